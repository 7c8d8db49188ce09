"""The machines' tables: the moves of the design are legal, no others; guards pick edges."""

import itertools
import re
from pathlib import Path

import pytest
from transitions import Machine

from engine.core.define import Definition, Edge, State
from engine.core.machine import ABSENT, build, legal, moves_of, pick

KINDS = ("run", "step", "signal", "timer", "breaker", "trigger")
HELD = Edge("go", "a", "b", ("yes",))
UNLESS = Edge("go", "a", "c", unless=("no",))
FREE = Edge("go", "a", None)


@pytest.mark.parametrize(
    ("kind", "move"),
    [
        ("run", (ABSENT, "run.started", "scheduled")),
        ("run", ("scheduled", "run.due", "running")),
        ("run", ("running", "run.parked", "parked")),
        ("run", ("parked", "run.cancelling", "cancelling")),
        ("run", ("failed", "run.retried", "running")),
        ("run", ("paused", "run.resumed", "scheduled")),
        ("run", ("succeeded", "run.rewound", "running")),
        ("run", ("parked", "run.redefined", "parked")),
        ("step", ("lost", "step.started", "running")),
        ("step", ("running", "step.failed", "retrying")),
        ("step", ("blocked", "step.skipped", "skipped")),
        ("step", ("lost", "step.quarantined", "quarantined")),
        ("signal", ("pending", "signal.received", "received")),
        ("signal", ("received", "signal.refused", "received")),
        ("timer", (ABSENT, "timer.set", "pending")),
        ("breaker", ("closed", "breaker.failed", "closed")),
        ("breaker", ("half_open", "breaker.opened", "open")),
        ("breaker", ("half_open", "breaker.closed", "closed")),
        ("trigger", ("failed", "trigger.armed", "armed")),
    ],
)
def test_the_moves_of_the_design_are_legal(kind: str, move: tuple[str, str, str]) -> None:
    """The tables hold what the event table says."""
    assert move in legal(kind)


@pytest.mark.parametrize(
    ("kind", "move"),
    [
        ("run", ("succeeded", "run.failed", "failed")),
        ("run", ("scheduled", "run.succeeded", "succeeded")),
        ("run", ("succeeded", "run.cancelling", "cancelling")),
        ("step", ("succeeded", "step.started", "running")),
        ("step", ("failed", "step.started", "running")),
        ("step", ("blocked", "step.succeeded", "succeeded")),
        ("step", ("running", "step.parked", "parked")),
        ("timer", ("fired", "timer.cancelled", "cancelled")),
        ("breaker", ("open", "breaker.closed", "closed")),
        ("trigger", ("paused", "trigger.fired", "paused")),
    ],
)
def test_other_moves_are_not_legal(kind: str, move: tuple[str, str, str]) -> None:
    """A move that no row spells is refused."""
    assert move not in legal(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_dotted_and_of_their_kind(kind: str) -> None:
    """A type is kind.past_tense; compiled once."""
    assert all(re.fullmatch(rf"{kind}\.[a-z_]+", event) for _, event, _ in legal(kind))
    assert legal(kind) is legal(kind)


def test_not_yet_there_is_one_dash() -> None:
    """The en dash, as it stands in the log."""
    assert (ABSENT, len(ABSENT)) == ("\N{EN DASH}", 1)


def test_the_first_edge_that_holds_is_picked() -> None:
    """In the order of asking; an edge without guards holds."""
    edges = (HELD, UNLESS, FREE)
    assert pick(edges, {"yes": True}) == 0
    assert pick(edges, {"yes": False, "no": False}) == 1
    assert pick(edges, {"yes": False, "no": True}) == 2


def test_no_edge_is_picked_if_none_holds() -> None:
    """Every guard says no, or there is no edge."""
    assert pick((HELD, UNLESS), {"yes": False, "no": True}) is None
    assert pick((), {}) is None


def test_an_edge_without_guards_needs_no_answers() -> None:
    """The first edge is taken unasked."""
    assert pick((FREE, HELD), {}) == 0


def test_a_guard_without_an_answer_is_an_error() -> None:
    """A guard that had to be asked, and was not, is told by name."""
    with pytest.raises(KeyError, match="no"):
        pick((HELD, UNLESS), {"yes": False})


def test_picking_is_what_the_definition_says() -> None:
    """For all answers: the first edge whose conditions hold and whose unless do not."""
    edges = (
        Edge("go", "a", "b", ("p", "q")),
        Edge("go", "a", "b", ("p",), ("r",)),
        Edge("go", "a", "a", unless=("q", "r")),
    )
    for said in itertools.product([False, True], repeat=3):
        answers = dict(zip("pqr", said, strict=True))
        held = [
            all(answers[g] for g in e.conditions) and not any(answers[g] for g in e.unless)
            for e in edges
        ]
        assert pick(edges, answers) == (held.index(True) if any(held) else None)


def test_a_table_is_built_by_the_library() -> None:
    """A flat Machine without a model, automatic triggers or a queue."""
    machine = build(["a", "b"], [("go", "a", "b")])
    assert isinstance(machine, Machine)
    assert (machine.models, list(machine.events), machine.has_queue) == ([], ["go"], False)


def test_a_table_with_an_unknown_state_is_refused() -> None:
    """The library looks a state up when it moves; here it looks when built."""
    with pytest.raises(ValueError, match="'b'"):
        build(["a"], [("go", "a", "b")])


def test_a_users_machine_is_compiled_to_its_moves() -> None:
    """A stay is a move from a state to itself; a trigger may bear any name."""
    definition = Definition(
        "m",
        states=(State("a"), State("b")),
        edges=(Edge("state", "a", "b"), Edge("note", "a", None)),
        initial="a",
    )
    assert moves_of(definition) == {("a", "state", "b"), ("a", "note", "a")}


def test_only_one_room_names_the_library() -> None:
    """`import transitions` stands in engine/core/machine.py alone."""
    root = Path(__file__).parents[3]
    naming = [
        path.relative_to(root).as_posix()
        for package in ("eventstore", "engine", "triggers", "playhead")
        for path in (root / package).rglob("*.py")
        if re.search(r"^\s*(from|import) transitions\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert naming == ["engine/core/machine.py"]
