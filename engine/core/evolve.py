"""Run + event -> run. No choices here, no user code; what the run owes the world follows.

`evolve` changes the run it is given. Each handler costs the same however long the history is.
A corrupt log is found, not guessed at: source and move are held against the machine's table.
"""

from collections.abc import Callable
from typing import Any

from engine.core.events import DECODERS, NOT_YET, ErrorDoc
from engine.core.machine import legal
from engine.core.plan import Plan
from engine.core.run import SETTLED, Run, StepState

Handler = Callable[[Run, Plan, int, str, str, Any, int], None]


class IllegalEvent(ValueError):
    """An event that cannot follow from the state before it: the log or the program is wrong."""


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
    try:
        handler, kind = HANDLERS[type_]
    except KeyError:
        raise IllegalEvent(f"event {version} of run {run.id}: unknown type {type_!r}") from None
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
        if step.state != source:
            raise IllegalEvent(
                f"event {version} of run {run.id}: {type_} of {subject!r} says {source}, folded is {step.state}"
            )
        step.state = dest
    elif kind == "run":
        if run.status != source:
            raise IllegalEvent(
                f"event {version} of run {run.id}: {type_} says {source}, folded is {run.status}"
            )
        run.status = dest
    elif kind == "timer":
        if source != ("pending" if subject in run.timers else NOT_YET):
            raise IllegalEvent(
                f"event {version} of run {run.id}: {type_} of {subject!r} says {source}, folded is"
                f" {run.timers.get(subject, NOT_YET)}"
            )
    elif type_ == "machine.moved" and source != (run.place or NOT_YET):
        raise IllegalEvent(
            f"event {version} of run {run.id}: moved from {source}, folded is {run.place}"
        )
    run.version = version
    run.updated_at = at
    handler(run, plan, version, subject, dest, data, at)


# Joins: structure only. A settled node counts down its consumers; at nought they are joined.


def settle(run: Run, plan: Plan, name: str) -> None:
    """Count a settled node down at its consumers and join those that wait for nothing more."""
    todo = [name]
    while todo:
        for consumer in plan.consumers.get(todo.pop(), ()):
            left = run.waiting.get(consumer)
            if left is None:
                left = plan.upstream_count[consumer]
            run.waiting[consumer] = left = left - 1
            if not left and _join(run, plan, consumer):
                todo.append(consumer)


def _join(run: Run, plan: Plan, name: str) -> bool:
    """Note what a joined node owes; True if it is settled already (a signal that came early)."""
    node = plan.nodes[name]
    if node.kind in ("step", "workflow"):
        run.ready[name] = None
    elif name in run.signals:
        return True
    elif node.delay is None:
        run.awaiting[name] = None
    else:
        run.begins[name] = None
    return False


def _begin(run: Run, plan: Plan) -> None:
    run.begun = True
    run.open = plan.step_count
    if plan.definition.is_machine:
        run.pending = ("initial", run.version)
        return
    for name in plan.roots:
        if _join(run, plan, name):
            settle(run, plan, name)


# run.*


def _run_started(
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
        _begin(run, plan)


def _run_due(run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int) -> None:
    run.due = None
    _begin(run, plan)


def _run_ended(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    run.ended_at = at
    run.result = data.result
    if dest == "failed":
        run.failure = run.failure or version
        run.failing = run.failing or data.step or ""
        if run.error is None:
            reason = data.reason or f"the machine ended in state {run.place!r}"
            run.error = shorten(data.error) if data.error else ErrorDoc("RunFailed", reason)


def _run_steered(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    if dest == "paused":
        run.paused_at = at
    elif run.paused_at is not None:
        run.paused_total += at - run.paused_at
        run.paused_at = None


def _run_retried(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    """Give a fresh budget to what failed for good; what succeeded or was survived stands."""
    run.ended_at = None
    run.result = None
    failing, run.failing, run.failure, run.error = run.failing, None, 0, None
    if failing is not None and failing in run.signals:
        del run.signals[failing]
        run.begins[failing] = None
    if not run.begun:
        _begin(run, plan)
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
    _answered(run)
    _renew(run, run.place, here)


_RENEWED = frozenset({"failed", "cancelled", "quarantined", "lost"})


def _renew(run: Run, name: str, step: StepState) -> None:
    run.lost.pop(name, None)
    run.running.pop(name, None)
    run.steps[name] = StepState(visit=step.visit, attempt=step.attempt, base=step.attempt)
    run.ready[name] = None


def _run_redefined(
    run: Run, plan: Plan, version: int, _: str, dest: str, data: Any, at: int
) -> None:
    run.definition = data.definition
    if plan.definition.is_machine:
        _sort_signals(run, plan)
    elif run.begun:
        rejoin(run, plan)


def rejoin(run: Run, plan: Plan) -> None:
    """Work the joins out again under another definition; costs one pass over its nodes."""
    run.waiting = {}
    run.ready = {}
    run.awaiting = {}
    run.begins = {}
    run.open = 0
    for name, node in plan.nodes.items():
        state = run.step(name).state
        if node.kind in ("step", "workflow") and state not in SETTLED:
            run.open += 1
        left = sum(not _is_settled(run, plan, up) for up in plan.upstreams[name])
        if left != plan.upstream_count[name]:
            run.waiting[name] = left
        touched = name in run.timers or name in run.signals or name in run.outputs
        if not left and not touched and state == "blocked":
            _join(run, plan, name)


def _is_settled(run: Run, plan: Plan, name: str) -> bool:
    """Tell whether a node counts as done at its consumers' joins."""
    state = run.signals.get(name)
    if state is None:
        state = run.step(name).state
        if state != "failed":
            return state in SETTLED or name in run.outputs
    elif state == "received":  # one that came early counts when its wait would begin
        return all(_is_settled(run, plan, up) for up in plan.upstreams[name])
    return name in plan.survivable  # failed or timed out


# step.*


def _step_started(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    step = run.steps[subject]
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.lost.pop(subject, None)
    if run.parked.pop(subject, None) is not None:
        step.idle += at - step.parked_at
    run.running[subject] = None
    step.visit = data.visit
    step.attempt = data.attempt
    step.worker = data.worker
    step.fallback = data.fallback
    step.deadline = data.deadline
    step.breaker = data.breaker
    step.generation = data.generation
    step.probe = data.probe
    step.refused = data.refused
    step.started = version
    step.due = None
    if not step.began:
        step.began = at
        step.paused_before = run.paused_total


def _step_succeeded(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.running.pop(subject, None)
    run.outputs[subject] = version
    if plan.definition.is_machine:
        _owe_trigger(run, plan, "done", version)
        return
    run.open -= 1
    settle(run, plan, subject)


def _owe_trigger(run: Run, plan: Plan, trigger: str, version: int) -> None:
    """A trigger that no edge of the state knows is owed nothing: the state waits for a signal."""
    if (run.place, trigger) not in plan.edges:
        return
    if run.pending is None:
        run.pending = (trigger, version)
    else:
        run.later[version] = trigger


def _answered(run: Run) -> None:
    """Turn to the trigger that is owed next."""
    version = next(iter(run.later), None)
    run.pending = None if version is None else (run.later.pop(version), version)


def _sort_signals(run: Run, plan: Plan) -> None:
    """Keep the deferred signals that the present state does not take out of the inbox."""
    if not plan.definition.defer or not (run.inbox or run.deferred):
        return
    unanswered = dict(sorted({**run.inbox, **run.deferred}.items()))
    run.inbox, run.deferred = {}, {}
    for version, name in unanswered.items():
        kept = name in plan.definition.defer and (run.place, name) not in plan.edges
        (run.deferred if kept else run.inbox)[version] = name


def _step_skipped(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.parked.pop(subject, None)
    run.lost.pop(subject, None)
    run.steps[subject].reason = data.reason
    if plan.definition.is_machine:
        _owe_trigger(run, plan, "done", version)
        return
    run.open -= 1
    settle(run, plan, subject)


def _step_failed(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    step = run.steps[subject]
    run.running.pop(subject, None)
    run.lost.pop(subject, None)
    step.failed = version
    if dest == "retrying":
        step.fallback = data.next == "fallback"
        step.due = data.due
        run.retrying[subject] = data.due or at
        return
    if plan.definition.is_machine:
        _owe_trigger(run, plan, "error", version)
        if (run.place, "error") not in plan.edges:
            run.failing, run.failure = subject, version
        return
    run.open -= 1
    if subject in plan.survivable:
        settle(run, plan, subject)
    elif run.failing is None:
        run.failing, run.failure, run.error = subject, version, shorten(data.error)


def shorten(error: ErrorDoc) -> ErrorDoc:
    """Give an error as lists show it: without traceback, the message at most 500 characters."""
    return ErrorDoc(error.type, error.message[:500])


def _step_parked(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.lost.pop(subject, None)
    run.parked[subject] = data.breaker
    step = run.steps[subject]
    step.parked_at = at
    if not step.began:
        step.began, step.paused_before = at, run.paused_total


def _step_lost(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.running.pop(subject, None)
    run.lost[subject] = None
    step = run.steps[subject]
    step.base += 1  # the retry policy never hears of it
    step.deaths, step.suspect = data.deaths, data.suspect


def _step_quarantined(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.lost.pop(subject, None)


def _step_cancelled(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    for owed in (run.running, run.retrying, run.parked, run.lost, run.ready):
        owed.pop(subject, None)  # type: ignore[attr-defined]


# machine.*


def _machine_moved(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    source = run.place if run.place is not None else NOT_YET
    if subject != "initial":
        edges = plan.edges.get((source, subject), ())
        if not any((edge.dest or source) == dest for edge in edges):
            raise IllegalEvent(
                f"event {version} of run {run.id}: no edge {source} -{subject}-> {dest}"
            )
    run.moved = version
    if data.payload_at is not None:
        run.inbox.pop(data.payload_at, None)
    if data.key is not None:
        run.keys[f"{subject}\0{data.key}"] = None
    run.triggers[subject] = data.payload_at or version
    stays = data.visit == 0
    if stays:
        if data.payload_at is None and run.pending is not None and run.pending[0] == subject:
            _answered(run)
        return
    run.pending, run.later = None, {}
    run.place = dest
    _sort_signals(run, plan)
    run.visits[dest] = data.visit
    run.ready.pop(source, None)
    run.begins.pop(source, None)
    if dest in plan.nodes:
        run.steps[dest] = StepState(visit=data.visit)
        run.ready[dest] = None
    if plan.states[dest].timeout is not None:
        run.begins[dest] = None


# signal.* and timer.*


def _signal_received(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    if data.key is not None:
        run.keys[f"{subject}\0{data.key}"] = None
    if plan.definition.is_machine:
        run.inbox[version] = subject
        _sort_signals(run, plan)
        return
    run.signals[subject] = "received"
    run.outputs[subject] = version
    joined = run.begun and not run.waiting.get(subject, plan.upstream_count[subject])
    run.begins.pop(subject, None)
    run.awaiting.pop(subject, None)
    if joined:
        settle(run, plan, subject)


def _signal_refused(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    if data.key is not None and not plan.definition.is_machine:
        run.keys[f"{subject}\0{data.key}"] = None  # it will be refused for ever; once is enough
    if data.received is not None:
        run.inbox.pop(data.received, None)
        run.deferred.pop(data.received, None)
    elif run.pending is not None and run.pending[0] == subject and data.by == "engine":
        _answered(run)


def _signal_timed_out(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.signals[subject] = "timed_out"
    if subject in plan.survivable:
        settle(run, plan, subject)
    elif run.failing is None:
        run.failing, run.failure = subject, version
        run.error = ErrorDoc("SignalTimeout", f"no signal {subject!r} came in time")


def _timer_set(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers[subject] = data.due
    run.begins.pop(subject, None)


def _timer_fired(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers.pop(subject, None)
    if plan.definition.is_machine:
        _owe_trigger(run, plan, plan.states[subject].on_timeout or "", version)
    elif plan.nodes[subject].kind == "timer":
        run.outputs[subject] = version
        settle(run, plan, subject)


def _timer_cancelled(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.timers.pop(subject, None)


HANDLERS: dict[str, tuple[Handler, str | None]] = {
    "run.started": (_run_started, "run"),
    "run.due": (_run_due, "run"),
    "run.succeeded": (_run_ended, "run"),
    "run.failed": (_run_ended, "run"),
    "run.cancelled": (_run_ended, "run"),
    "run.paused": (_run_steered, "run"),
    "run.resumed": (_run_steered, "run"),
    "run.parked": (_run_steered, "run"),
    "run.cancelling": (_run_steered, "run"),
    "run.retried": (_run_retried, "run"),
    "run.redefined": (_run_redefined, "run"),
    "step.started": (_step_started, "step"),
    "step.succeeded": (_step_succeeded, "step"),
    "step.skipped": (_step_skipped, "step"),
    "step.failed": (_step_failed, "step"),
    "step.parked": (_step_parked, "step"),
    "step.lost": (_step_lost, "step"),
    "step.quarantined": (_step_quarantined, "step"),
    "step.cancelled": (_step_cancelled, "step"),
    "machine.moved": (_machine_moved, None),
    "signal.received": (_signal_received, None),
    "signal.refused": (_signal_refused, None),
    "signal.timed_out": (_signal_timed_out, None),
    "timer.set": (_timer_set, "timer"),
    "timer.fired": (_timer_fired, "timer"),
    "timer.cancelled": (_timer_cancelled, "timer"),
}
