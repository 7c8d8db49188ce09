"""The fold of machine.*, signal.* and timer.*: states change, messages and moments come."""
# ruff: noqa: ARG001, D103 - handlers have one shape, and are named by the event they fold

from typing import Any

from engine.core.events import NOT_YET, ErrorDoc, IllegalEvent
from engine.core.joins import settle
from engine.core.owing import answered, owe_trigger, sort_signals
from engine.core.plan import Plan
from engine.core.run import Run, StepState


def machine_moved(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    source = run.place if run.place is not None else NOT_YET
    if subject != "initial":
        edges = plan.edges.get((source, subject), ())
        if not any((edge.dest or source) == dest for edge in edges):
            raise IllegalEvent(
                f"event {version} of run {run.id}: no edge {source} -{subject}-> {dest}"
            )
    by_signal = data.payload_at is not None or run.pending is None
    run.spins = 0 if by_signal or at != run.moved_at else run.spins + 1
    run.moved, run.moved_at = version, at
    if data.payload_at is not None:
        run.inbox.pop(data.payload_at, None)
    if data.key is not None:
        run.keys[f"{subject}\0{data.key}"] = None
    run.triggers[subject] = data.payload_at or version
    stays = data.visit == 0
    if stays:
        if data.payload_at is None and run.pending is not None and run.pending[0] == subject:
            answered(run)
        return
    run.pending, run.later = None, {}
    run.place = dest
    sort_signals(run, plan)
    run.visits[dest] = data.visit
    run.ready.pop(source, None)
    run.begins.pop(source, None)
    if dest in plan.nodes:
        run.steps[dest] = StepState(visit=data.visit)
        run.ready[dest] = None
    if plan.states[dest].timeout is not None:
        run.begins[dest] = None


# signal.* and timer.*


def signal_received(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    if data.key is not None:
        run.keys[f"{subject}\0{data.key}"] = None
    if plan.definition.is_machine:
        run.inbox[version] = subject
        sort_signals(run, plan)
        return
    run.signals[subject] = "received"
    run.outputs[subject] = version
    joined = run.begun and not run.waiting.get(subject, plan.upstream_count[subject])
    run.begins.pop(subject, None)
    run.awaiting.pop(subject, None)
    if joined:
        settle(run, plan, subject)


def signal_refused(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    if data.key is not None and not plan.definition.is_machine:
        run.keys[f"{subject}\0{data.key}"] = None  # it will be refused for ever; once is enough
    if data.received is not None:
        run.inbox.pop(data.received, None)
        run.deferred.pop(data.received, None)
    elif run.pending is not None and run.pending[0] == subject and data.by == "engine":
        answered(run)


def signal_timed_out(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.signals[subject] = "timed_out"
    if subject in plan.survivable:
        settle(run, plan, subject)
    elif run.failing is None:
        run.failing, run.failure = subject, version
        run.error = ErrorDoc("SignalTimeout", f"no signal {subject!r} came in time")


def timer_set(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers[subject] = data.due
    run.begins.pop(subject, None)


def timer_fired(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers.pop(subject, None)
    if plan.definition.is_machine:
        owe_trigger(run, plan, plan.states[subject].on_timeout or "", version)
    elif plan.nodes[subject].kind == "timer":
        run.outputs[subject] = version
        settle(run, plan, subject)


def timer_cancelled(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers.pop(subject, None)
