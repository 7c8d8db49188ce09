"""What an event of a run must follow from, beyond the moves that the fold itself refuses. Pure.

Each rule is asked before its event is folded and gives a sentence, or None where all is well.
"""

from collections.abc import Callable
from typing import Any

from engine.core.events import NOT_YET
from engine.core.machine import legal
from engine.core.plan import Plan
from engine.core.run import Run
from eventstore import Event

Rule = Callable[[Run, Plan, Event, Any], str | None]


def _step_started(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    name = event.subject
    if name not in plan.nodes:
        return "the definition has no step of this name"
    step = run.step(name)
    if event.source == "blocked" and name not in run.ready:
        return "it starts, and what it waits for is not settled"
    if (data.visit, data.attempt) != (step.visit, step.attempt + 1):
        return (
            f"it starts attempt {data.attempt} of visit {data.visit}; the next one is attempt"
            f" {step.attempt + 1} of visit {step.visit}"
        )
    return _early(event, run.retrying.get(name))


def _attempt_ended(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    del plan
    step = run.steps.get(event.subject)
    if step is None or data.attempt == step.attempt:
        return None  # one that never started is refused by the fold
    return f"it tells of attempt {data.attempt}, and attempt {step.attempt} was started"


def _step_lost(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    del plan
    step = run.steps.get(event.subject)
    if step is None or data.worker == step.worker:
        return None
    return f"it names worker {data.worker}, and {step.worker} had started the attempt"


def _run_succeeded(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    del plan, event
    named = data.result.values() if isinstance(data.result, dict) else (data.result,)
    known = set(run.outputs.values())
    lost = [version for version in named if version is not None and version not in known]
    return f"its result lies in event {lost[0]}, which holds none" if lost else None


def _timer_set(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    del plan, data
    return None if event.subject in run.begins else "no wait of this name begins"


def _timer_fired(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    del plan
    due = run.timers.get(event.subject)
    if due is not None and data.due != due:
        return f"it says that it was due at {data.due}, and it was set to {due}"
    return _early(event, due)


def _early(event: Event, due: int | None) -> str | None:
    if due is None or event.at >= due:
        return None
    return f"it happened {due - event.at} microseconds before it was due"


def _machine_moved(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    if event.subject == "initial" and event.dest != plan.definition.initial:
        return f"the machine begins in {plan.definition.initial!r}, not in {event.dest!r}"
    visit = run.visits.get(event.dest, 0) + 1
    if data.visit not in (0, visit):
        return f"it is told as visit {data.visit} of {event.dest!r}, and it is visit {visit}"
    return _answers(run, data.payload_at) or _counted(run, event, data)


def _signal(run: Run, plan: Plan, event: Event, data: Any) -> str | None:
    if plan.definition.is_machine:
        place = run.place or NOT_YET
        if (event.source, event.dest) != (place, place):
            return f"it is told in state {event.source!r}, and the machine is in {place!r}"
    else:
        state = run.signals.get(event.subject, "pending")
        move = (event.source, event.type, event.dest)
        is_note = event.type == "signal.refused"
        if (
            event.source != state
            or move not in legal("signal")
            or (state == event.dest) != is_note
        ):
            return f"{event.source} -> {event.dest} cannot follow state {state}"
    return _answers(run, data.received) or _counted(run, event, data)


def _answers(run: Run, received: int | None) -> str | None:
    """Say so if an answer names a signal that does not wait for one."""
    if received is None or received in run.inbox or received in run.deferred:
        return None
    return f"it answers the signal of event {received}, and none of that version waits"


def _counted(run: Run, event: Event, data: Any) -> str | None:
    if data.key is not None and f"{event.subject}\0{data.key}" in run.keys:
        return f"its key {data.key!r} has counted before"
    return None


RULES: dict[str, Rule] = {
    "run.succeeded": _run_succeeded,
    "step.started": _step_started,
    "step.succeeded": _attempt_ended,
    "step.failed": _attempt_ended,
    "step.lost": _step_lost,
    "machine.moved": _machine_moved,
    "signal.received": _signal,
    "signal.refused": _signal,
    "signal.timed_out": _signal,
    "timer.set": _timer_set,
    "timer.fired": _timer_fired,
}
