"""A circuit breaker: closed, open, half open, with its own decide and evolve. Pure.

Laws of this file: an outcome counts only in the generation in which its call began; a healthy
breaker writes nothing; a probe's place is freed by its outcome, its deadline or its uncounted end.
"""

import msgspec

from engine.core.define import BreakerSpec
from engine.core.events import BreakerTold, Fact
from engine.core.machine import legal

PREFIX = "breaker:"


class BreakerState(msgspec.Struct):
    """What a breaker has become: the value its events fold into."""

    name: str
    state: str = "closed"
    version: int = 0
    generation: int = 0  # grows at each transition; notes leave it alone
    failures: int = 0  # consecutive ones while closed
    until: int | None = None  # open: the probes begin then
    probes: dict[str, int] = {}  # half open: who probes, until when


def evolve(
    breaker: BreakerState, version: int, type_: str, source: str, dest: str, data: BreakerTold
) -> None:
    """Fold one event into the breaker; makes no choice.

    Raises:
        ValueError: the event does not follow from the state it is folded into.
    """
    if source != breaker.state or (source, type_, dest) not in legal("breaker"):
        raise ValueError(f"{type_} {source} -> {dest} cannot follow state {breaker.state}")
    breaker.version = version
    breaker.state = dest
    if type_ == "breaker.failed":
        breaker.failures = data.count
        return
    if type_ == "breaker.recovered":
        breaker.failures = 0
        return
    if type_ == "breaker.probed":
        breaker.probes[data.by] = data.until or 0
        return
    if type_ == "breaker.half_opened" and source == "half_open":
        breaker.probes.pop(data.freed, None)
        return
    breaker.generation = data.generation
    breaker.failures = 0
    breaker.until = data.until
    breaker.probes = {}


class Leave(msgspec.Struct, frozen=True):
    """Whether a call may be made, and what must be written first."""

    given: bool
    probe: bool = False
    facts: tuple[Fact, ...] = ()


def _fact(breaker: BreakerState, type_: str, dest: str, source: str, data: BreakerTold) -> Fact:
    return Fact(type_, "breaker", source, dest, data, stream=PREFIX + breaker.name)


def admit(
    breaker: BreakerState, spec: BreakerSpec, now: int, *, by: str, deadline: int
) -> Leave:
    """Say whether `by` may call now. *Pure.*

    Args:
        by: who asks, unique to the attempt.
        deadline: until when the caller may hold a probe's place, microseconds.
    """
    if breaker.state in ("closed", "disabled"):
        return Leave(given=True)
    if breaker.state == "forced_open":
        return Leave(given=False)
    facts: list[Fact] = []
    generation = breaker.generation
    taken = 0
    if breaker.state == "open":
        if breaker.until is None or now < breaker.until:
            return Leave(given=False)
        generation += 1
        facts.append(half_open(breaker))
    else:
        taken = sum(until > now for until in breaker.probes.values())
    if taken >= spec.probes:
        return Leave(given=False)
    told = BreakerTold(generation=generation, until=deadline, by=by)
    facts.append(_fact(breaker, "breaker.probed", "half_open", "half_open", told))
    return Leave(given=True, probe=True, facts=tuple(facts))


def half_open(breaker: BreakerState) -> Fact:
    """Let an open breaker whose time has come probe. *Pure.*"""
    told = BreakerTold(generation=breaker.generation + 1)
    return _fact(breaker, "breaker.half_opened", "half_open", "open", told)


def outcome(
    breaker: BreakerState, spec: BreakerSpec, now: int, *, generation: int, ok: bool, by: str
) -> list[Fact]:
    """Judge a call's outcome; usually there is nothing to write. *Pure.*

    The `failure_threshold`-th failure in a row opens the breaker, in the same append.
    """
    if generation != breaker.generation:
        return []
    if breaker.state == "closed":
        if ok:
            if not breaker.failures:
                return []
            told = BreakerTold(generation=generation, count=0, by=by)
            return [_fact(breaker, "breaker.recovered", "closed", "closed", told)]
        count = breaker.failures + 1
        told = BreakerTold(generation=generation, count=count, by=by)
        facts = [_fact(breaker, "breaker.failed", "closed", "closed", told)]
        if count >= spec.failure_threshold:
            facts.append(_open(breaker, spec, now, f"{count} failures in a row", by))
        return facts
    if breaker.state == "half_open" and by in breaker.probes:
        if ok:
            told = BreakerTold(generation=generation + 1, by=by)
            return [_fact(breaker, "breaker.closed", "closed", "half_open", told)]
        return [_open(breaker, spec, now, "a probe failed", by)]
    return []


def _open(breaker: BreakerState, spec: BreakerSpec, now: int, rule: str, by: str) -> Fact:
    told = BreakerTold(
        generation=breaker.generation + 1, rule=rule, until=now + spec.reset_timeout, by=by
    )
    return _fact(breaker, "breaker.opened", "open", breaker.state, told)


def uncounted(breaker: BreakerState, *, by: str) -> list[Fact]:
    """Free the place of a probe that ended without an outcome (cancelled, lost). *Pure.*"""
    if breaker.state != "half_open" or by not in breaker.probes:
        return []
    told = BreakerTold(generation=breaker.generation, freed=by)
    return [_fact(breaker, "breaker.half_opened", "half_open", "half_open", told)]


STEERED = {
    "trip": ("breaker.forced_open", "forced_open"),
    "reset": ("breaker.reset", "closed"),
    "disable": ("breaker.disabled", "disabled"),
}


def steer(breaker: BreakerState, command: str, *, by: str) -> list[Fact]:
    """Trip, reset or disable by an operator; nothing if it is so already. *Pure.*"""
    type_, dest = STEERED[command]
    if breaker.state == dest and not (command == "reset" and breaker.failures):
        return []
    told = BreakerTold(generation=breaker.generation + 1, by=by)
    return [_fact(breaker, type_, dest, breaker.state, told)]


def due_of(breaker: BreakerState) -> int | None:
    """Give when the breaker next needs a look: its cool-down, or the earliest probe's deadline."""
    if breaker.state == "open":
        return breaker.until
    if breaker.state == "half_open" and breaker.probes:
        return min(breaker.probes.values())
    return None
