"""What follows by itself: starts, timers, joins' ends. One small group of events at a time.

`advance` is asked again after its events are folded, until it has nothing more to say. `question`
names what must first be asked of user code (a `when`, a delay, a machine's guards).
"""

import msgspec

from engine.core import breaker as breakers
from engine.core.define import Delay, Node
from engine.core.events import (
    NOT_YET,
    Fact,
    MachineMoved,
    RunEnded,
    RunSteered,
    SignalTold,
    StepCancelled,
    StepParked,
    StepSkipped,
    StepStarted,
    TimerTold,
)
from engine.core.facts import Facts
from engine.core.plan import Plan
from engine.core.run import Run, StepState, attempt_id

SPINS = 1_000  # moves at one moment that bring no work: the machine goes round for ever


class Question(msgspec.Struct, frozen=True):
    """Something that only user code can answer."""

    kind: str  # "when", "delay", "guards"
    name: str  # the step; the timer, signal or state; the trigger
    version: int = 0  # guards: of the event that is answered


def advance(run: Run, plan: Plan, facts: Facts) -> list[Fact] | Question:
    """Give the next events that follow from the run as it stands, or what must be asked first.

    An empty list: nothing more follows until something happens. *Pure.*
    """
    status = run.status
    if status == "running":
        if run.failing is not None:
            return [] if run.running else [_failed(run)]
        return _timers(run, plan, facts) or _owed(run, plan, facts)
    if status == "scheduled" and run.due is not None and run.due <= facts.now:
        told = RunSteered(late=facts.now - run.due)
        return [Fact("run.due", "run", "scheduled", "running", told)]
    if status == "cancelling" and not run.running:
        return [Fact("run.cancelled", "run", "cancelling", "cancelled", RunEnded())]
    return []


def _failed(run: Run) -> Fact:
    step = run.steps.get(run.failing or "")
    attempts = step.attempt - step.base if step else 0
    data = RunEnded(step=run.failing, attempts=attempts, result=run.failure)
    return Fact("run.failed", "run", "running", "failed", data)


def _timers(run: Run, plan: Plan, facts: Facts) -> list[Fact]:
    """Fire the earliest timer that is due; equal ones in the order they were set."""
    if not run.timers or run.pending is not None or run.inbox:
        return []  # what came before is answered first
    name = min(run.timers, key=run.timers.__getitem__)
    due = run.timers[name]
    if due > facts.now:
        return []
    told = TimerTold(due=due, late=facts.now - due)
    fired = [Fact("timer.fired", name, "pending", "fired", told)]
    node = plan.nodes.get(name)
    if not plan.definition.is_machine and node is not None and node.kind == "signal":
        reason = "no signal came in time"
        fired.append(
            Fact("signal.timed_out", name, "pending", "timed_out", SignalTold(reason=reason))
        )
    return fired


def _owed(run: Run, plan: Plan, facts: Facts) -> list[Fact] | Question:
    """Give what is owed first: answers, then attempts that were begun before, then new ones."""
    moved = _machine(run, plan) if plan.definition.is_machine else []
    if moved:
        return moved
    started = _again(run, plan, facts)
    if started:
        return started
    for name in run.begins:
        if plan.definition.is_machine:
            return _begin_wait(name, plan.states[name].timeout, facts)
        return _begin_wait(name, plan.nodes[name].delay, facts)
    for name in run.ready:
        return _ready(run, plan, plan.nodes[name], facts)
    return _ended(run, plan)


def _again(run: Run, plan: Plan, facts: Facts) -> list[Fact]:
    """Start the next attempt of a step that was lost, has waited, or may ask its breaker again."""
    lost = next(iter(run.lost), None)
    due = next((name for name, at in run.retrying.items() if at <= facts.now), None)
    for name in (lost, due, *(run.parked if facts.woken else ())):
        started = start_step(run, plan, name, facts) if name is not None else []
        if started:
            return started
    return []


def _ready(run: Run, plan: Plan, node: Node, facts: Facts) -> list[Fact] | Question:
    """Begin what a complete join allows; nothing while no slot is free for it."""
    if not plan.definition.is_machine:
        for param in (*node.params, *(node.when or ())):
            if param.kind == "node" and param.required and not param.outcome:
                above = run.steps.get(param.name)
                if above is not None and above.state == "skipped":
                    reason = f"{param.name} was skipped"
                    return [_skip(run, node.name, reason)]
        if node.when is not None and node.name not in facts.answered:
            return Question("when", node.name)
    return start_step(run, plan, node.name, facts)


def _skip(run: Run, name: str, reason: str) -> Fact:
    return Fact(
        "step.skipped", name, run.step(name).state, "skipped", StepSkipped(reason=reason)
    )


def _begin_wait(name: str, delay: Delay | None, facts: Facts) -> list[Fact] | Question:
    if delay is None or delay.params is not None:
        return Question("delay", name)
    due = delay.at if delay.at is not None else facts.now + (delay.us or 0)
    return [Fact("timer.set", name, NOT_YET, "pending", TimerTold(due=due))]


def start_step(
    run: Run, plan: Plan, name: str, facts: Facts, *, asked: bool = False
) -> list[Fact]:
    """Start the next attempt of a step, if a slot is free and its breaker gives leave. *Pure.*

    Args:
        asked: the attempt is over as soon as it began (its `when` raised): no slot, no breaker.
    """
    node = plan.nodes[name]
    step = run.step(name)
    attempt = step.attempt + 1
    fallback = step.fallback and step.state in ("retrying", "lost")
    started = StepStarted(
        visit=step.visit,
        attempt=attempt,
        worker=facts.worker,
        fallback=fallback,
        deadline=None if node.timeout is None else facts.now + node.timeout,
    )
    begun = Fact("step.started", name, step.state, "running", started)
    if asked:
        return [begun]
    if node.breaker is not None and not fallback:
        return _start_guarded(run, node, step, begun, facts)
    return [begun] if facts.take(name) else []


def _start_guarded(
    run: Run, node: Node, step: StepState, begun: Fact, facts: Facts
) -> list[Fact]:
    """Start behind a breaker: with its leave, or as `on_open` says without."""
    name = node.breaker or ""
    breaker, spec = facts.breakers[name], facts.specs[name]
    waiting = step.state == "parked"
    if (
        breaker.state == "closed"
        and name in facts.queued
        and not waiting
        and node.on_open == "park"
    ):
        return [_park(node.name, step, name)]
    started: StepStarted = begun.data
    by = attempt_id(run, node.name, msgspec.structs.replace(step, attempt=started.attempt))
    deadline = facts.now + (node.timeout or spec.reset_timeout)
    leave = breakers.admit(breaker, spec, facts.now, by=by, deadline=deadline)
    if leave.given:
        if not facts.take(node.name):
            return []
        transitions = sum(f.type == "breaker.half_opened" for f in leave.facts)
        data = msgspec.structs.replace(
            started,
            breaker=name,
            generation=breaker.generation + transitions,
            probe=leave.probe,
        )
        return [*leave.facts, msgspec.structs.replace(begun, data=data)]
    if node.on_open == "park":
        return [] if waiting else [_park(node.name, step, name)]
    if node.on_open == "skip":
        return [_skip(run, node.name, f"breaker {name} is {breaker.state}")]
    if not facts.take(node.name):
        return []
    if node.on_open == "fallback":
        return [
            msgspec.structs.replace(begun, data=msgspec.structs.replace(started, fallback=True))
        ]
    return [
        msgspec.structs.replace(
            begun, data=msgspec.structs.replace(started, breaker=name, refused=True)
        )
    ]


def _park(name: str, step: StepState, breaker: str) -> Fact:
    return Fact("step.parked", name, step.state, "parked", StepParked(breaker=breaker))


def _machine(run: Run, plan: Plan) -> list[Fact] | Question:
    """Answer what a machine has before it: signals and triggers in order of their versions."""
    pending = run.pending
    if pending is not None and pending[0] == "initial":
        start = plan.definition.initial or ""
        data = MachineMoved(visit=1, by="engine")
        return [Fact("machine.moved", "initial", NOT_YET, start, data)]
    if run.place in plan.finals and run.place is not None:
        return _final(run, plan, run.place)
    if run.spins >= SPINS:
        reason = f"it moved {SPINS} times in a row without work, the last time to {run.place}"
        told = RunSteered(by="engine", reason=reason)
        return [Fact("run.parked", "run", "running", "parked", told)]
    for version, name in run.inbox.items():
        if pending is not None and pending[1] < version:
            break
        return Question("guards", name, version)
    if pending is not None:
        return Question("guards", *pending)
    return []


def _final(run: Run, plan: Plan, place: str) -> list[Fact] | Question:
    """End a machine in a final state, once the work of that state is done."""
    if (
        place in run.ready
        or place in run.running
        or place in run.retrying
        or place in run.parked
    ):
        return []
    if place in run.lost:
        return []
    if plan.states[place].outcome == "failed":
        data = RunEnded(reason=f"state {place}", step=None)
        return [Fact("run.failed", "run", "running", "failed", data)]
    latest = max(run.outputs.values(), default=None)
    data = RunEnded(result=latest)
    return [*cancel_timers(run), Fact("run.succeeded", "run", "running", "succeeded", data)]


def cancel_timers(run: Run) -> list[Fact]:
    """Cancel all timers that are still pending. *Pure.*"""
    return [
        Fact("timer.cancelled", name, "pending", "cancelled", TimerTold(due=due))
        for name, due in run.timers.items()
    ]


def cancel_rest(run: Run, place: str, facts: Facts, reason: str) -> list[Fact]:
    """Cancel all that a state's work still owes: its attempt, retry or park, and its timer."""
    out: list[Fact] = []
    if place in run.timers:
        due = run.timers[place]
        out.append(Fact("timer.cancelled", place, "pending", "cancelled", TimerTold(due=due)))
    step = run.steps.get(place)
    if step is not None and step.state in ("running", "retrying", "parked", "lost"):
        data = StepCancelled(attempt=step.attempt, reason=reason)
        out.append(Fact("step.cancelled", place, step.state, "cancelled", data))
        if step.state == "running" and step.breaker is not None and step.probe:
            by = attempt_id(run, place, step)
            out.extend(breakers.uncounted(facts.breakers[step.breaker], by=by))
    return out


def _ended(run: Run, plan: Plan) -> list[Fact]:
    """End a pipeline whose steps have all settled."""
    if plan.definition.is_machine or run.open or not run.begun:
        return []
    lasts = plan.lasts
    result: int | dict[str, int | None] | None
    if len(lasts) == 1:
        result = run.outputs.get(lasts[0])
    else:
        result = {name: run.outputs.get(name) for name in lasts}
    return [
        *cancel_timers(run),
        Fact("run.succeeded", "run", "running", "succeeded", RunEnded(result=result)),
    ]
