"""The machines: flat tables, built and validated by `transitions`, then compiled.

The tables are data (h11's manner): a row says which event moves what from where to where. Rows
whose source is their dest are notes. Only this room knows the library; of it are used its
tables and its choice of an edge, on a scratch object; not its queues, timers, locks, async,
hierarchy.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from transitions import EventData, Machine

from engine.core.define import Definition, Edge

ABSENT: Final = "\N{EN DASH}"  # not yet there
_PLACE: Final = "playhead_place"
Row = tuple[str, tuple[str, ...], tuple[str, ...]]  # event type, sources, dests
Move = tuple[str, str, str]  # source, event type, dest

_LIVE = ("scheduled", "running", "paused", "parked", "cancelling")
_ENDED = ("succeeded", "failed", "cancelled")

RUN: tuple[Row, ...] = (
    ("run.started", (ABSENT,), ("scheduled", "running")),
    ("run.due", ("scheduled",), ("running",)),
    ("run.succeeded", ("running",), ("succeeded",)),
    ("run.failed", ("running",), ("failed",)),
    ("run.paused", ("running", "scheduled"), ("paused",)),
    ("run.resumed", ("paused",), ("running", "scheduled")),
    ("run.parked", ("running",), ("parked",)),
    ("run.cancelling", ("running", "scheduled", "paused", "parked"), ("cancelling",)),
    ("run.cancelled", ("cancelling",), ("cancelled",)),
    ("run.retried", ("failed", "cancelled", "parked"), ("running",)),
    ("run.rewound", (*_ENDED, "paused"), ("running",)),
)
RUN_NOTES = ("run.rewound", "run.forked", "run.redefined")  # in whatever status the run is

STEP: tuple[Row, ...] = (
    ("step.started", ("blocked", "retrying", "parked", "lost"), ("running",)),
    ("step.succeeded", ("running",), ("succeeded",)),
    ("step.skipped", ("blocked", "retrying", "parked", "lost"), ("skipped",)),
    ("step.failed", ("running",), ("retrying", "failed")),
    ("step.parked", ("blocked", "retrying", "lost"), ("parked",)),
    ("step.lost", ("running",), ("lost",)),
    ("step.quarantined", ("lost",), ("quarantined",)),
    ("step.cancelled", ("running", "retrying", "parked", "lost"), ("cancelled",)),
)

SIGNAL: tuple[Row, ...] = (
    ("signal.received", ("pending",), ("received",)),
    ("signal.timed_out", ("pending",), ("timed_out",)),
)
SIGNAL_NOTES = ("signal.received", "signal.refused")

TIMER: tuple[Row, ...] = (
    ("timer.set", (ABSENT,), ("pending",)),
    ("timer.fired", ("pending",), ("fired",)),
    ("timer.cancelled", ("pending",), ("cancelled",)),
)

BREAKER: tuple[Row, ...] = (
    ("breaker.failed", ("closed",), ("closed",)),
    ("breaker.recovered", ("closed",), ("closed",)),
    ("breaker.opened", ("closed", "half_open"), ("open",)),
    ("breaker.half_opened", ("open", "half_open"), ("half_open",)),  # a place was freed
    ("breaker.probed", ("half_open",), ("half_open",)),
    ("breaker.closed", ("half_open",), ("closed",)),
    ("breaker.forced_open", ("closed", "open", "half_open", "disabled"), ("forced_open",)),
    ("breaker.disabled", ("closed", "open", "half_open", "forced_open"), ("disabled",)),
    ("breaker.reset", ("closed", "open", "half_open", "forced_open", "disabled"), ("closed",)),
)

TRIGGER: tuple[Row, ...] = (
    ("trigger.armed", (ABSENT, "armed", "failed"), ("armed",)),
    ("trigger.fired", ("armed",), ("armed",)),
    ("trigger.declined", ("armed",), ("armed",)),
    ("trigger.declined", ("paused",), ("paused",)),
    ("trigger.paused", ("armed",), ("paused",)),
    ("trigger.resumed", ("paused",), ("armed",)),
    ("trigger.failed", ("armed",), ("failed",)),
)

_TABLES: dict[str, tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...]]] = {
    "run": (RUN, RUN_NOTES, (*_LIVE, *_ENDED)),
    "step": (STEP, (), ()),
    "signal": (SIGNAL, SIGNAL_NOTES, (ABSENT, "pending", "received", "timed_out")),
    "timer": (TIMER, (), ()),
    "breaker": (BREAKER, (), ()),
    "trigger": (TRIGGER, (), ()),
}


@functools.cache
def legal(kind: str) -> frozenset[Move]:
    """Give every legal move of a lifecycle machine, compiled at first use.

    Args:
        kind: "run", "step", "signal", "timer", "breaker" or "trigger".

    Returns:
        (source, event type, dest) of each.
    """
    rows, notes, noted = _TABLES[kind]
    edges = [(t, s, d) for t, sources, dests in rows for s in sources for d in dests]
    edges += [(note, status, status) for note in notes for status in noted]
    states = dict.fromkeys(name for _, source, dest in edges for name in (source, dest))
    return compile_table(build(list(states), edges))


def build(states: Iterable[str], edges: Iterable[tuple[str, str, str | None]]) -> Machine:
    """Let `transitions` build and validate a flat table without a model.

    Args:
        states: Their names.
        edges: (trigger, source, dest) of each; dest None stays.

    Raises:
        ValueError: The library refuses the table.
    """
    machine = Machine(
        model=None,
        states=list(states),
        initial=None,
        auto_transitions=False,
        send_event=True,
        queued=False,
        model_attribute=_PLACE,  # the library refuses a trigger of this name
    )
    for trigger, source, dest in edges:
        for state in (source, source if dest is None else dest):
            machine.get_state(state)  # the library itself looks only when it moves
        machine.add_transition(trigger, source, dest)
    return machine


def compile_table(machine: Machine) -> frozenset[Move]:
    """Give a table's moves for deciding and replaying: a look-up is 65 times faster."""
    return frozenset(
        (source, trigger, source if edge.dest is None else edge.dest)
        for trigger, event in machine.events.items()
        for source, edges in event.transitions.items()
        for edge in edges
    )


@functools.lru_cache(maxsize=256)
def moves_of(definition: Definition) -> frozenset[Move]:
    """Give every legal move of a user's machine.

    Raises:
        ValueError: The library refuses the table.
    """
    edges = [(edge.trigger, edge.source, edge.dest) for edge in definition.edges]
    return compile_table(build((state.name for state in definition.states), edges))


class _Scratch:
    """What the library moves when it picks an edge; thrown away after."""

    __slots__ = (_PLACE,)

    def __init__(self) -> None:
        self.playhead_place = "here"


def pick(edges: tuple[Edge, ...], answers: Mapping[str, bool]) -> int | None:
    """Pick the first edge that holds, by the guards' recorded answers.

    Args:
        edges: The edges of one state and trigger, in the order of asking.
        answers: By guard, what it said; guards behind the edge that holds need none.

    Returns:
        The edge's place in `edges`; None if no edge holds.

    Raises:
        KeyError: A guard that had to be asked has no answer.
    """
    if not edges:
        return None
    if not (edges[0].conditions or edges[0].unless):
        return 0  # no answer is needed to take the first
    scratch = _Scratch()
    taken = _chooser(edges).events["pull"].trigger(scratch, answers=answers)
    return int(scratch.playhead_place) if taken else None


@functools.lru_cache(maxsize=4096)
def _chooser(edges: tuple[Edge, ...]) -> Machine:
    """Make the table in which each edge leads to a place of its own, named by its number."""
    places = [str(index) for index in range(len(edges))]
    machine = build(["here", *places], ())
    for place, edge in zip(places, edges, strict=True):
        machine.add_transition(
            "pull",
            "here",
            place,
            conditions=[_Answer(name) for name in edge.conditions],
            unless=[_Answer(name) for name in edge.unless],
        )
    return machine


class _Answer:
    """A guard that says what the log says it said."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, event: EventData) -> bool:
        answers: Mapping[str, Any] = event.kwargs["answers"]
        return bool(answers[self._name])
