"""What signals, timers and guards' answers mean for a run."""
# ruff: noqa: ARG001 - every rule has the same shape

import difflib
from collections.abc import Mapping

import msgspec

from engine.core import commands as c
from engine.core.advance import cancel_rest
from engine.core.commands import Refusal
from engine.core.decide_step import stop
from engine.core.events import (
    NOT_YET,
    ErrorDoc,
    Fact,
    MachineMoved,
    RunEnded,
    SignalTold,
    TimerTold,
)
from engine.core.facts import Facts
from engine.core.machine import pick
from engine.core.plan import Plan
from engine.core.run import Run


def set_timer(run: Run, plan: Plan, command: c.SetTimer, facts: Facts) -> list[Fact]:
    """Date a wait that begins, or fail the run if asking failed."""
    if command.name not in run.begins:
        return []
    if command.error is not None:
        return _run_failed(run, command.name, command.error, facts)
    return [Fact("timer.set", command.name, NOT_YET, "pending", TimerTold(due=command.due))]


def _run_failed(run: Run, step: str | None, error: ErrorDoc, facts: Facts) -> list[Fact]:
    """Fail the run at once; attempts in flight are cancelled, a retry begins them anew."""
    out: list[Fact] = []
    for name in run.running:
        out += stop(run, name, run.steps[name], "the run failed", facts)
    ended = RunEnded(step=step, error=error)
    return [*out, Fact("run.failed", "run", "running", "failed", ended)]


def pull(run: Run, plan: Plan, command: c.PullTrigger, facts: Facts) -> list[Fact]:
    """Take the first edge that the guards' answers let through, or refuse the trigger."""
    by_signal = command.version in run.inbox
    if not by_signal and run.pending != (command.trigger, command.version):
        return []
    if command.error is not None:
        error = msgspec.structs.replace(
            command.error, message=f"guard {command.guard!r} raised: {command.error.message}"
        )
        return _run_failed(run, None, error, facts)
    place = run.place or NOT_YET
    edges = plan.edges.get((place, command.trigger), ())
    choice = pick(edges, command.answers)
    if choice is not None:
        how = f"signal@{command.version}" if by_signal else command.trigger
        received = command.version if by_signal else None
        return _move(
            run, plan, command.trigger, edges[choice].dest, facts,
            by=how, guards=command.answers, received=received,
        )  # fmt: skip
    told = SignalTold(
        reason="no guard holds" if edges else f"state {place} has no edge for it",
        by="engine",
        received=command.version if by_signal else None,
    )
    refused = Fact("signal.refused", command.trigger, place, place, told)
    if command.trigger == "error" and not by_signal:
        error = ErrorDoc("NoEdge", f"no guard lets the error of {place!r} through")
        return [refused, *_run_failed(run, place, error, facts)]
    return [refused]


def _move(
    run: Run, plan: Plan, trigger: str, dest: str | None, facts: Facts, *, by: str,
    guards: Mapping[str, bool] | None = None, received: int | None = None,
    value: c.Value | None = None, key: str | None = None,
) -> list[Fact]:  # fmt: skip
    """Leave the present state, with all that its work still owes, and enter another."""
    place = run.place or NOT_YET
    stays = dest is None
    goes_to = place if dest is None else dest
    out = [] if stays else cancel_rest(run, place, facts, f"{trigger} left the state")
    data = MachineMoved(
        visit=0 if stays else run.visits.get(goes_to, 0) + 1,
        by=by,
        guards=dict(guards or {}),
        payload=value.raw if value else msgspec.UNSET,
        payload_blob=value.blob if value else None,
        payload_at=received,
        key=key,
    )
    return [*out, Fact("machine.moved", trigger, place, goes_to, data)]


def tell(run: Run, plan: Plan, command: c.TellSignal, facts: Facts) -> list[Fact] | Refusal:
    """Take a signal, keep it for later, or refuse it."""
    if command.key is not None and f"{command.name}\0{command.key}" in run.keys:
        return []
    if run.is_ended or run.status == "cancelling":
        return Refusal("ended", f"signal {command.name!r}")
    data = SignalTold(
        payload=command.value.raw,
        payload_blob=command.value.blob,
        key=command.key,
        by=command.by,
    )
    if not plan.definition.is_machine:
        return _tell_pipeline(run, plan, command, data)
    return _tell_machine(run, plan, command, data, facts)


def _tell_pipeline(
    run: Run, plan: Plan, command: c.TellSignal, data: SignalTold
) -> list[Fact] | Refusal:
    node = plan.nodes.get(command.name)
    if node is None or node.kind != "signal":
        names = [n.name for n in plan.nodes.values() if n.kind == "signal"]
        near = difflib.get_close_matches(command.name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return Refusal("signal", f"workflow {run.workflow!r} has no signal of this name{hint}")
    if command.name in run.signals:
        state = run.signals[command.name]
        told = msgspec.structs.replace(data, reason=f"already {state}; the first counts")
        return [Fact("signal.refused", command.name, state, state, told)]
    received = Fact("signal.received", command.name, "pending", "received", data)
    if command.name in run.timers:
        due = run.timers[command.name]
        return [
            Fact("timer.cancelled", command.name, "pending", "cancelled", TimerTold(due=due)),
            received,
        ]
    return [received]


def _tell_machine(
    run: Run, plan: Plan, command: c.TellSignal, data: SignalTold, facts: Facts
) -> list[Fact] | Refusal:
    place = run.place or NOT_YET
    edges = plan.edges.get((place, command.name), ())
    deferred = command.name in plan.definition.defer
    known = deferred or any(trigger == command.name for _, trigger in plan.edges)
    busy = bool(run.inbox) or run.status != "running"
    busy = busy or run.place is None or run.pending is not None
    if known and (
        busy or (edges and edges[0].conditions + edges[0].unless) or (deferred and not edges)
    ):
        return [Fact("signal.received", command.name, place, place, data)]
    if not edges:
        reason = f"state {place!r} does not take it" + (
            "" if known else _near(plan, command.name)
        )
        told = msgspec.structs.replace(
            data, reason=reason, payload=msgspec.UNSET, payload_blob=None
        )
        refused = Fact("signal.refused", command.name, place, place, told)
        if plan.definition.ignore_invalid_triggers:
            return [refused]
        return Refusal("signal", reason, (refused,))
    return _move(run, plan, command.name, edges[0].dest, facts, by=command.by or "signal",
                 value=command.value, key=command.key)  # fmt: skip


def _near(plan: Plan, name: str) -> str:
    """Say that no state takes a signal, and what may have been meant."""
    near = difflib.get_close_matches(name, {trigger for _, trigger in plan.edges}, 1)
    return f"; no state does, did you mean {near[0]!r}?" if near else "; no state does"
