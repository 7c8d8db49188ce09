"""Run + command -> events. Every choice is here or in `advance`; user code has answered before.

`decide` says what a command means for the run as it stands; an outcome of an attempt that no
longer runs means nothing and gives no events. Pure: the time and what breakers say are handed in.
"""

# ruff: noqa: ARG001 - every rule has the same shape
from collections.abc import Callable

from engine.core import commands as c
from engine.core import decide_signal as signals
from engine.core import decide_step as steps
from engine.core.commands import Refusal
from engine.core.events import (
    NOT_YET,
    Fact,
    RunRedefined,
    RunStarted,
    RunSteered,
)
from engine.core.facts import Facts
from engine.core.plan import Plan
from engine.core.run import Run


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
    c.Succeed: steps.succeed,
    c.Fail: steps.fail,
    c.Cease: steps.cease,
    c.Lose: steps.lose,
    c.AnswerWhen: steps.answer_when,
    c.SetTimer: signals.set_timer,
    c.PullTrigger: signals.pull,
    c.TellSignal: signals.tell,
    c.CancelRun: _cancel,
    c.PauseRun: _pause,
    c.ResumeRun: _resume,
    c.RetryRun: _retry,
    c.ParkRun: _park,
    c.RedefineRun: _redefine,
}
