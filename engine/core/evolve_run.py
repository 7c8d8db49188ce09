"""The fold of run.*: a life begins, is steered, ends, goes on."""
# ruff: noqa: ARG001, D103 - handlers have one shape, and are named by the event they fold

from typing import Any

from engine.core.events import ErrorDoc
from engine.core.joins import begin, rejoin
from engine.core.owing import answered, sort_signals
from engine.core.plan import Plan
from engine.core.run import Run, StepState


def shorten(error: ErrorDoc) -> ErrorDoc:
    """Give an error as lists show it: without traceback, the message at most 500 characters."""
    return ErrorDoc(error.type, error.message[:500])


def run_started(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    run.workflow = data.workflow
    run.definition = data.definition
    run.key = data.key
    run.tags = data.tags
    run.priority = data.priority
    run.started_at = at
    run.due = data.due
    if dest == "running":
        begin(run, plan)


def run_due(run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int) -> None:
    run.due = None
    begin(run, plan)


def run_ended(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    run.ended_at = at
    run.result = data.result
    if dest == "failed":
        run.failure = run.failure or version
        run.failing = run.failing or data.step or ""
        if run.error is None:
            ended = ErrorDoc("FailedState", f"the machine ended in state {run.place!r}")
            run.error = shorten(data.error) if data.error else ended


def run_steered(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    if dest == "paused":
        run.paused_at = at
    elif run.paused_at is not None:
        run.paused_total += at - run.paused_at
        run.paused_at = None


def run_retried(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    """Give a fresh budget to what failed for good; what succeeded or was survived stands."""
    run.ended_at = None
    run.result = None
    run.spins = 0
    failing, run.failing, run.failure, run.error = run.failing, None, 0, None
    if failing is not None and failing in run.signals:
        del run.signals[failing]
        run.begins[failing] = None
    if not run.begun:
        begin(run, plan)
        return
    if plan.definition.is_machine:
        _retry_machine(run, asks_again=failing == "")
        return
    for name, step in run.steps.items():
        if step.state in _RENEWED and not (step.state == "failed" and name in plan.survivable):
            if step.state == "failed":
                run.open += 1
            _renew(run, name, step)


def _retry_machine(run: Run, *, asks_again: bool) -> None:
    """Do the state's work anew; `asks_again`: a guard raised, what it judged stands."""
    here = run.steps.get(run.place or "")
    if run.place is None or here is None or here.state not in _RENEWED:
        return
    if asks_again and here.state == "failed":
        return
    owed = {**({run.pending[1]: run.pending[0]} if run.pending else {}), **run.later}
    run.later = {v: name for v, name in owed.items() if name not in ("done", "error")}
    answered(run)
    _renew(run, run.place, here)


_RENEWED = frozenset({"failed", "cancelled", "quarantined", "lost"})


def _renew(run: Run, name: str, step: StepState) -> None:
    run.lost.pop(name, None)
    run.running.pop(name, None)
    run.steps[name] = StepState(visit=step.visit, attempt=step.attempt, base=step.attempt)
    run.ready[name] = None


def run_redefined(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    run.definition = data.definition
    if plan.definition.is_machine:
        sort_signals(run, plan)
    elif run.begun:
        rejoin(run, plan)
