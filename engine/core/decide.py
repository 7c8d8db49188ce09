"""Run + command -> events. Every choice is here or in `advance`; user code has answered before.

`decide` says what a command means for the run as it stands; an outcome of an attempt that no
longer runs means nothing and gives no events. Pure: the time and what breakers say are handed in.
"""

from collections.abc import Callable, Mapping

import msgspec

from engine.core import breaker as breakers
from engine.core import commands as c
from engine.core.advance import cancel_rest, start_step
from engine.core.events import (
    NOT_YET,
    ErrorDoc,
    Fact,
    MachineMoved,
    RunEnded,
    RunRedefined,
    RunStarted,
    RunSteered,
    SignalTold,
    StepCancelled,
    StepFailed,
    StepLost,
    StepSkipped,
    StepSucceeded,
    TimerTold,
)
from engine.core.facts import Facts
from engine.core.machine import pick
from engine.core.plan import Plan
from engine.core.run import Run, StepState, attempt_id

SUSPECT_AFTER = 2  # losses by death; the next taker isolates the step
QUARANTINE_AFTER = 3  # deaths as a suspect


class Refusal(msgspec.Struct, frozen=True):
    """Why a command cannot be obeyed; the caller turns it into its error."""

    kind: str  # "ended", "state", "signal"
    reason: str
    record: tuple[Fact, ...] = ()  # what is written all the same


def decide(run: Run, plan: Plan, command: c.Command, facts: Facts) -> list[Fact] | Refusal:
    """Give the events that a command brings about; none if it means nothing any more. *Pure.*"""
    return _DECIDE[type(command)](run, plan, command, facts)


def _start(run: Run, plan: Plan, command: c.StartRun, facts: Facts) -> list[Fact]:
    later = command.due is not None and command.due > facts.now
    dest = "scheduled" if later else "running"
    data = RunStarted(
        workflow=command.workflow,
        definition=command.definition,
        inputs=command.inputs.raw,
        inputs_blob=command.inputs.blob,
        key=command.key,
        tags=command.tags,
        priority=command.priority,
        due=command.due,
    )
    return [Fact("run.started", "run", NOT_YET, dest, data)]


# Attempts.


def _attempt(run: Run, command: c.Succeed | c.Fail | c.Cease | c.Lose) -> StepState | None:
    """Give the step if just this attempt is in flight."""
    step = run.steps.get(command.step)
    if step is None or step.state != "running" or run.is_ended:
        return None
    if step.visit != command.visit or step.attempt != command.attempt:
        return None
    return step


def _judge(
    run: Run, plan: Plan, name: str, step: StepState, facts: Facts, *, ok: bool
) -> list[Fact]:
    if step.breaker is None or step.fallback or step.refused:
        return []
    breaker = facts.breakers[step.breaker]
    by = attempt_id(run, name, step)
    return breakers.outcome(
        breaker,
        facts.specs[step.breaker],
        facts.now,
        generation=step.generation,
        ok=ok,
        by=by,
    )


def _free(run: Run, name: str, step: StepState, facts: Facts) -> list[Fact]:
    """Free a probe's place: its attempt ended without an outcome."""
    if step.breaker is None or not step.probe:
        return []
    return breakers.uncounted(facts.breakers[step.breaker], by=attempt_id(run, name, step))


def _succeed(run: Run, plan: Plan, command: c.Succeed, facts: Facts) -> list[Fact]:
    step = _attempt(run, command)
    if step is None:
        return []
    data = StepSucceeded(
        attempt=step.attempt,
        output=command.value.raw,
        output_blob=command.value.blob,
        fallback=step.fallback,
    )
    done = Fact("step.succeeded", command.step, "running", "succeeded", data)
    if step.breaker is None:
        return [done]
    return [done, *_judge(run, plan, command.step, step, facts, ok=True)]


def _fail(run: Run, plan: Plan, command: c.Fail, facts: Facts) -> list[Fact]:
    step = _attempt(run, command)
    if step is None:
        return []
    node = plan.nodes[command.step]
    dest, due, after = "failed", None, ""
    if run.status == "cancelling":
        pass
    elif command.wait is not None and not step.fallback:
        dest, due = "retrying", facts.now + command.wait
    elif node.fallback is not None and not step.fallback and not command.for_good:
        dest, due, after = "retrying", facts.now, "fallback"
    data = StepFailed(
        attempt=step.attempt,
        error=command.error,
        due=due,
        fallback=step.fallback,
        next=after,
    )
    failed = Fact("step.failed", command.step, "running", dest, data)
    if command.counts is not None:
        return [failed, *_judge(run, plan, command.step, step, facts, ok=not command.counts)]
    return [failed, *_free(run, command.step, step, facts)]


def _cease(run: Run, plan: Plan, command: c.Cease, facts: Facts) -> list[Fact]:
    step = _attempt(run, command)
    if step is None:
        return []
    return _stop(run, command.step, step, command.reason, facts)


def _stop(run: Run, name: str, step: StepState, reason: str, facts: Facts) -> list[Fact]:
    data = StepCancelled(attempt=step.attempt, reason=reason)
    gone = Fact("step.cancelled", name, "running", "cancelled", data)
    return [gone, *_free(run, name, step, facts)]


def _lose(run: Run, plan: Plan, command: c.Lose, facts: Facts) -> list[Fact]:
    step = _attempt(run, command)
    if step is None:
        return []
    node = plan.nodes[command.step]
    freed = _free(run, command.step, step, facts)
    if node.on_lost == "fail" and not step.fallback:
        error = ErrorDoc(
            "StepLost",
            f"worker {step.worker} was lost in the middle of attempt {step.attempt},"
            " and this step must never run twice (on_lost='fail')",
        )
        data = StepFailed(attempt=step.attempt, error=error, lost=True)
        return [Fact("step.failed", command.step, "running", "failed", data), *freed]
    as_suspect = step.deaths >= SUSPECT_AFTER
    deaths = step.deaths + command.died
    suspect = step.suspect + (command.died and as_suspect)
    lost = StepLost(
        worker=step.worker,
        deaths=deaths,
        suspect=suspect,
        reason=command.reason
        or ("its worker died" if command.died else "its worker lost the lease"),
    )
    facts_ = [Fact("step.lost", command.step, "running", "lost", lost), *freed]
    if suspect >= QUARANTINE_AFTER:
        reason = f"{command.step} took its worker down {deaths} times, {suspect} times alone"
        told = StepLost(worker=step.worker, deaths=deaths, suspect=suspect, reason=reason)
        facts_.append(Fact("step.quarantined", command.step, "lost", "quarantined", told))
        if run.status == "running":
            parked = RunSteered(by="engine", reason=reason)
            facts_.append(Fact("run.parked", "run", "running", "parked", parked))
    return facts_


# Answers of user code.


def _answer_when(run: Run, plan: Plan, command: c.AnswerWhen, facts: Facts) -> list[Fact]:
    if command.step not in run.ready:
        return []
    if command.error is None:
        data = StepSkipped(reason="when said no")
        return [
            Fact("step.skipped", command.step, run.step(command.step).state, "skipped", data)
        ]
    # Asking is part of the first attempt: it failed, and it is not tried again.
    started = start_step(run, plan, command.step, facts, asked=True)
    step = run.step(command.step)
    attempt = step.attempt + 1
    data_ = StepFailed(attempt=attempt, error=command.error)
    return [*started, Fact("step.failed", command.step, "running", "failed", data_)]


def _set_timer(run: Run, plan: Plan, command: c.SetTimer, facts: Facts) -> list[Fact]:
    if command.name not in run.begins:
        return []
    if command.error is not None:
        return _run_failed(run, command.name, command.error, facts)
    return [Fact("timer.set", command.name, NOT_YET, "pending", TimerTold(due=command.due))]


def _run_failed(run: Run, step: str | None, error: ErrorDoc, facts: Facts) -> list[Fact]:
    """Fail the run at once; attempts in flight are cancelled, a retry begins them anew."""
    out: list[Fact] = []
    for name in run.running:
        out += _stop(run, name, run.steps[name], "the run failed", facts)
    ended = RunEnded(step=step, error=error)
    return [*out, Fact("run.failed", "run", "running", "failed", ended)]


def _pull(run: Run, plan: Plan, command: c.PullTrigger, facts: Facts) -> list[Fact]:
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
        return _move(run, plan, command.trigger, edges[choice].dest, facts, by=how,
                     guards=command.answers, received=command.version if by_signal else None)  # fmt: skip
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


# Signals.


def _tell(run: Run, plan: Plan, command: c.TellSignal, facts: Facts) -> list[Fact] | Refusal:
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
        return Refusal("signal", f"workflow {run.workflow!r} has no signal of this name")
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
        return [Fact("signal.received", command.name, "received", "received", data)]
    if not edges:
        reason = f"state {place!r} does not take it" + ("" if known else "; no state does")
        told = msgspec.structs.replace(
            data, reason=reason, payload=msgspec.UNSET, payload_blob=None
        )
        refused = Fact("signal.refused", command.name, place, place, told)
        if plan.definition.ignore_invalid_triggers:
            return [refused]
        return Refusal("signal", reason, (refused,))
    return _move(run, plan, command.name, edges[0].dest, facts, by=command.by or "signal",
                 value=command.value, key=command.key)  # fmt: skip


# Steering.


def _cancel(run: Run, plan: Plan, command: c.CancelRun, facts: Facts) -> list[Fact] | Refusal:
    if run.is_ended:
        return [] if run.status == "cancelled" else Refusal("ended", "cancel it")
    if run.status == "cancelling":
        return []
    data = RunSteered(by=command.by, reason=command.reason)
    return [Fact("run.cancelling", "run", run.status, "cancelling", data)]


def _pause(run: Run, plan: Plan, command: c.PauseRun, facts: Facts) -> list[Fact] | Refusal:
    if run.is_ended:
        return Refusal("ended", "pause it")
    if run.status == "paused":
        return []
    if run.status not in ("running", "scheduled"):
        return Refusal("state", "pause it")
    return [Fact("run.paused", "run", run.status, "paused", RunSteered(by=command.by))]


def _resume(run: Run, plan: Plan, command: c.ResumeRun, facts: Facts) -> list[Fact] | Refusal:
    if run.is_ended:
        return Refusal("ended", "resume it")
    if run.status != "paused":
        return [] if run.status == "running" else Refusal("state", "resume it")
    dest = "running" if run.begun else "scheduled"
    resumed = Fact("run.resumed", "run", "paused", dest, RunSteered(by=command.by))
    for name, step in run.steps.items():
        if step.state == "quarantined":  # while the run was paused
            parked = RunSteered(by="engine", reason=f"{name} is quarantined")
            return [resumed, Fact("run.parked", "run", "running", "parked", parked)]
    return [resumed]


def _retry(run: Run, plan: Plan, command: c.RetryRun, facts: Facts) -> list[Fact] | Refusal:
    if run.status not in ("failed", "cancelled", "parked"):
        if run.is_ended:
            return Refusal("ended", "retry it")
        return Refusal("state", "retry it: only a failed, cancelled or parked run goes on")
    return [Fact("run.retried", "run", run.status, "running", RunSteered(by=command.by))]


def _park(run: Run, plan: Plan, command: c.ParkRun, facts: Facts) -> list[Fact]:
    if run.status != "running":
        return []
    data = RunSteered(by="engine", reason=command.reason)
    return [Fact("run.parked", "run", "running", "parked", data)]


def _redefine(run: Run, plan: Plan, command: c.RedefineRun, facts: Facts) -> list[Fact]:
    if run.definition == command.definition or run.is_ended:
        return []
    data = RunRedefined(definition=command.definition, by=command.by)
    return [Fact("run.redefined", "run", run.status, run.status, data)]


_DECIDE: dict[type[c.Command], Callable[..., list[Fact] | Refusal]] = {
    c.StartRun: _start,
    c.Succeed: _succeed,
    c.Fail: _fail,
    c.Cease: _cease,
    c.Lose: _lose,
    c.AnswerWhen: _answer_when,
    c.SetTimer: _set_timer,
    c.PullTrigger: _pull,
    c.TellSignal: _tell,
    c.CancelRun: _cancel,
    c.PauseRun: _pause,
    c.ResumeRun: _resume,
    c.RetryRun: _retry,
    c.ParkRun: _park,
    c.RedefineRun: _redefine,
}
