"""Run + event -> run. No choices here, no user code; what the run owes the world follows.

`evolve` changes the run it is given. Each handler costs the same however long the history is.
A corrupt log is found, not guessed at: source and move are held against the machine's table.
"""

from collections.abc import Callable
from typing import Any

from engine.core import evolve_machine as on_machine
from engine.core import evolve_run as on_run
from engine.core import evolve_step as on_step
from engine.core.events import DECODERS, NOT_YET, IllegalEvent
from engine.core.machine import legal
from engine.core.plan import Plan
from engine.core.run import Run, StepState

Handler = Callable[[Run, Plan, int, str, str, Any, int], None]


def evolve(
    run: Run, plan: Plan, version: int, type_: str, subject: str, source: str, dest: str,
    data: Any, at: int,
) -> None:  # fmt: skip
    """Fold one event into the run.

    Args:
        data: the decoded data (`core/events.py`), or the JSON text of it.

    Raises:
        IllegalEvent: version, source or move do not follow from the run as folded so far.
    """
    if version != run.version + 1:
        raise IllegalEvent(f"event {version} of run {run.id} follows {run.version}")
    handler, kind = HANDLERS.get(type_, (None, None))
    if handler is None:
        raise IllegalEvent(f"event {version} of run {run.id}: unknown type {type_!r}")
    if kind is not None and (source, type_, dest) not in legal(kind):
        raise IllegalEvent(
            f"event {version} of run {run.id}: {type_} {source} -> {dest} is no legal move"
        )
    if type(data) is str:
        data = DECODERS[type_](data)
    if kind == "step":
        step = run.steps.get(subject)
        if step is None:
            step = run.steps[subject] = StepState()
        was, step.state = step.state, dest
    elif kind == "run":
        was, run.status = run.status, dest
    elif kind == "timer":
        was = "pending" if subject in run.timers else NOT_YET
    else:
        was = (run.place or NOT_YET) if type_ == "machine.moved" else source
    if was != source:
        raise IllegalEvent(
            f"event {version} of run {run.id}: {type_} of {subject!r} says it was {source},"
            f" folded is {was}"
        )
    run.version = version
    run.updated_at = at
    handler(run, plan, version, subject, dest, data, at)


HANDLERS: dict[str, tuple[Handler, str | None]] = {
    "run.started": (on_run.run_started, "run"),
    "run.due": (on_run.run_due, "run"),
    "run.succeeded": (on_run.run_ended, "run"),
    "run.failed": (on_run.run_ended, "run"),
    "run.cancelled": (on_run.run_ended, "run"),
    "run.paused": (on_run.run_steered, "run"),
    "run.resumed": (on_run.run_steered, "run"),
    "run.parked": (on_run.run_steered, "run"),
    "run.cancelling": (on_run.run_steered, "run"),
    "run.retried": (on_run.run_retried, "run"),
    "run.redefined": (on_run.run_redefined, "run"),
    "step.started": (on_step.step_started, "step"),
    "step.succeeded": (on_step.step_succeeded, "step"),
    "step.skipped": (on_step.step_skipped, "step"),
    "step.failed": (on_step.step_failed, "step"),
    "step.parked": (on_step.step_parked, "step"),
    "step.lost": (on_step.step_lost, "step"),
    "step.quarantined": (on_step.step_quarantined, "step"),
    "step.cancelled": (on_step.step_cancelled, "step"),
    "machine.moved": (on_machine.machine_moved, None),
    "signal.received": (on_machine.signal_received, None),
    "signal.refused": (on_machine.signal_refused, None),
    "signal.timed_out": (on_machine.signal_timed_out, None),
    "timer.set": (on_machine.timer_set, "timer"),
    "timer.fired": (on_machine.timer_fired, "timer"),
    "timer.cancelled": (on_machine.timer_cancelled, "timer"),
}
