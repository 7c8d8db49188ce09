"""A trigger: armed, paused or failed, with its own decide and evolve. Pure.

Laws of this file: a new revision counts its slots from its own arming; a slot at or before the
watermark never fires; a decline that says again what was said last writes nothing.
"""

from typing import Any

import msgspec

from engine.core.machine import legal

NOT_YET = "–"  # noqa: RUF001 - the sign of the event catalogue
PREFIX = "trigger:"
REMEMBERED = 32  # reasons of declines; the one that was quiet longest is forgotten first

LEGAL = legal("trigger")


class Armed(msgspec.Struct, frozen=True):
    """Data of `trigger.armed`: what holds from now on, and from when slots count."""

    revision: str
    since: int  # microseconds; for what follows runs, a position in the log


class Fired(msgspec.Struct, frozen=True, omit_defaults=True):
    """Data of `trigger.fired`: what came due, and the run it started or sent a signal."""

    key: str
    facts: dict[str, Any]
    run: str
    slot: int | None = None  # of a clock, microseconds, or a position; the watermark moves here
    signal: str = ""  # its name, if the run was there already


class Declined(msgspec.Struct, frozen=True, omit_defaults=True):
    """Data of `trigger.declined`: what started nothing, how often, and why."""

    reason: str
    key: str
    count: int = 1
    facts: dict[str, Any] = {}
    slot: int | None = None  # the last one passed over


class Steered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Data of `trigger.paused`, `resumed` and `failed`."""

    by: str = ""
    reason: str = ""
    since: int | None = None  # resumed: slots count from here


SHAPES: dict[str, type[Any]] = {
    "trigger.armed": Armed,
    "trigger.fired": Fired,
    "trigger.declined": Declined,
    "trigger.paused": Steered,
    "trigger.resumed": Steered,
    "trigger.failed": Steered,
}


class TriggerState(msgspec.Struct):
    """What a trigger has become: the value its events fold into."""

    state: str = NOT_YET
    revision: str = ""
    since: int = 0  # when this revision was armed: microseconds, or a position in the log
    watermark: int = 0  # slots up to here are settled, measured likewise
    last: str = ""  # key of the last firing
    fired: int = 0
    declined: int = 0
    version: int = 0
    said: dict[str, tuple[str, int]] = {}  # by reason: key and count of the last decline

    def is_open(self, revision: str) -> bool:
        """Tell whether this revision may fire: it is the one that is armed."""
        return self.state == "armed" and self.revision == revision


class Move(msgspec.Struct, frozen=True):
    """A transition that was decided and is not yet written."""

    type: str
    source: str
    dest: str
    data: Armed | Fired | Declined | Steered


def data_of(type_: str, text: str) -> Armed | Fired | Declined | Steered:
    """Give the data of an event. *Pure.*"""
    data: Armed | Fired | Declined | Steered = msgspec.json.decode(text, type=SHAPES[type_])
    return data


def copy(state: TriggerState) -> TriggerState:
    """Give a state that can be folded on by itself. *Pure.*"""
    return msgspec.structs.replace(state, said=dict(state.said))


def evolve(
    state: TriggerState, type_: str, source: str, dest: str, data: str | Any, version: int
) -> None:
    """Fold one event into the trigger; makes no choice.

    `data` is the struct of the event's type, or its JSON text.

    Raises:
        ValueError: the event does not follow from the state it is folded into.
    """
    if version != state.version + 1:
        raise ValueError(f"event {version} of a trigger follows {state.version}")
    if source != state.state or (source, type_, dest) not in LEGAL:
        raise ValueError(f"{type_} {source} -> {dest} cannot follow state {state.state}")
    if type(data) is str:
        data = data_of(type_, data)
    state.state = dest
    state.version = version
    match data:
        case Armed():
            state.revision = data.revision
            state.since = state.watermark = data.since
            state.said = {}
        case Fired():
            state.fired += 1
            state.last = data.key
            _pass(state, data.slot)
        case Declined():
            state.declined += data.count
            state.said.pop(data.reason, None)
            state.said[data.reason] = (data.key, data.count)
            if len(state.said) > REMEMBERED:
                del state.said[next(iter(state.said))]
            _pass(state, data.slot)
        case Steered():
            _pass(state, data.since)


def _pass(state: TriggerState, slot: int | None) -> None:
    if slot is not None:
        state.watermark = max(state.watermark, slot)


def arm(state: TriggerState, revision: str, now: int) -> Move | None:
    """Arm a revision from `now` on; None if it is armed already. *Pure.*

    A paused trigger stays as it is: its new revision is armed when it has been resumed.
    """
    if state.state == "paused" or (state.state == "armed" and state.revision == revision):
        return None
    return Move("trigger.armed", state.state, "armed", Armed(revision, now))


def fire(
    state: TriggerState, key: str, facts: dict[str, Any], run: str, slot: int | None,
    signal: str = "",
) -> Move | None:  # fmt: skip
    """Record that a firing started a run, or sent it a signal. *Pure.*

    None if its slot is settled already. Only an armed trigger fires: ask `is_open` first.
    """
    if slot is not None and slot <= state.watermark:
        return None
    return Move("trigger.fired", "armed", "armed", Fired(key, facts, run, slot, signal))


def decline(
    state: TriggerState, key: str, reason: str, facts: dict[str, Any], slot: int | None
) -> Move | None:
    """Record that a firing, or `facts["count"]` of them, started nothing. *Pure.*

    None if that is what was said last for this reason, if the slot is settled already, or if
    the trigger has failed, which says enough.
    """
    count = int(facts.get("count", 1))
    if state.state not in ("armed", "paused") or state.said.get(reason) == (key, count):
        return None
    if slot is not None and slot <= state.watermark:
        return None
    told = Declined(reason, key, count, facts, slot)
    return Move("trigger.declined", state.state, state.state, told)


def pause(state: TriggerState, *, by: str) -> Move | None:
    """Pause an armed trigger; None if it is not armed. *Pure.*"""
    if state.state != "armed":
        return None
    return Move("trigger.paused", "armed", "paused", Steered(by=by))


def resume(state: TriggerState, now: int, *, by: str) -> Move | None:
    """Let a paused trigger go on; slots passed meanwhile do not fire. *Pure.*"""
    if state.state != "paused":
        return None
    return Move("trigger.resumed", "paused", "armed", Steered(by=by, since=now))


def fail(state: TriggerState, reason: str) -> Move | None:
    """Record that an armed trigger cannot go on; arming it again mends it. *Pure.*"""
    if state.state != "armed":
        return None
    return Move("trigger.failed", "armed", "failed", Steered(reason=reason))
