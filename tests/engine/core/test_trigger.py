"""The trigger's own decide and evolve: what follows, what is refused, what stays quiet."""

from itertools import product

import pytest

from engine.core import trigger as core
from engine.core.trigger import (
    LEGAL,
    NOT_YET,
    SHAPES,
    Armed,
    Declined,
    Fired,
    Move,
    Steered,
    TriggerState,
)

STATES = (NOT_YET, "armed", "paused", "failed")
A_MOVE = {
    "trigger.armed": Armed("r1", 10),
    "trigger.fired": Fired("k", {}, "run1"),
    "trigger.declined": Declined("why", "k"),
    "trigger.paused": Steered(),
    "trigger.resumed": Steered(since=50),
    "trigger.failed": Steered(),
}


def folded(*moves: Move | None) -> TriggerState:
    """Fold moves from the beginning."""
    state = TriggerState()
    for move in moves:
        assert move is not None
        core.evolve(
            state, move.type, move.source, move.dest, move.data, version=state.version + 1
        )
    return state


def armed(revision: str = "r1", now: int = 100) -> TriggerState:
    """Give a trigger that has just been armed."""
    return folded(core.arm(TriggerState(), revision, now))


def take(state: TriggerState, move: Move | None) -> TriggerState:
    """Fold one more move."""
    assert move is not None
    core.evolve(state, move.type, move.source, move.dest, move.data, state.version + 1)
    return state


def test_arming_counts_from_now() -> None:
    """A new trigger is armed and its slots count from then."""
    state = armed("r1", 100)
    assert (state.state, state.revision, state.since, state.watermark) == (
        "armed", "r1", 100, 100,
    )  # fmt: skip
    assert state.is_open("r1")
    assert not state.is_open("r2")


def test_arming_again_stays_quiet_and_a_new_revision_does_not() -> None:
    """The same revision writes nothing; another one begins its own watermark."""
    state = armed("r1", 100)
    assert core.arm(state, "r1", 200) is None
    take(state, core.arm(state, "r2", 300))
    assert (state.revision, state.watermark) == ("r2", 300)


def test_a_paused_trigger_is_not_armed_and_a_failed_one_is() -> None:
    """Pausing survives a deployment; a failure is mended by arming."""
    state = armed()
    take(state, core.pause(state, by="ann"))
    assert core.arm(state, "r2", 200) is None
    assert core.pause(state, by="ann") is None
    take(state, core.resume(state, 300, by="ann"))
    assert state.watermark == 300
    assert core.resume(state, 400, by="ann") is None
    take(state, core.fail(state, "gone"))
    assert core.fail(state, "gone") is None
    assert core.decline(state, "k", "why", {}, None) is None
    take(state, core.arm(state, "r1", 500))
    assert state.is_open("r1")


def test_a_slot_fires_once_and_in_order() -> None:
    """A slot at or before the watermark is settled; a firing without a slot is not asked."""
    state = armed(now=100)
    assert core.fire(state, "early", {}, "run0", 100) is None
    take(state, core.fire(state, "s", {"slot": "x"}, "run1", 160))
    assert (state.fired, state.last, state.watermark) == (1, "s", 160)
    assert core.fire(state, "s", {}, "run2", 160) is None
    take(state, core.fire(state, "file", {}, "run3", None))
    assert (state.fired, state.watermark) == (2, 160)


def test_a_decline_that_repeats_stays_quiet() -> None:
    """Reason, key and count as last time write nothing; another key does, paused too."""
    state = armed()
    take(state, core.decline(state, "a", "why", {}, None))
    assert core.decline(state, "a", "why", {}, None) is None
    take(state, core.decline(state, "b", "why", {"count": 3}, None))
    assert state.declined == 4
    take(state, core.pause(state, by=""))
    move = core.decline(state, "c", "why", {}, None)
    assert move is not None
    assert (move.source, move.dest) == ("paused", "paused")


def test_a_declined_slot_is_settled() -> None:
    """Missed slots move the watermark, so that they can neither fire nor be declined again."""
    state = armed(now=100)
    take(state, core.decline(state, "s", "missed", {"count": 2}, 150))
    assert state.watermark == 150
    assert core.decline(state, "s0", "missed", {}, 140) is None
    assert core.fire(state, "s", {}, "run", 150) is None


def test_only_so_many_reasons_are_remembered() -> None:
    """The fold stays small: the reason that was quiet longest is forgotten first."""
    state = armed()
    for number in range(core.REMEMBERED + 5):
        take(state, core.decline(state, "k", f"reason {number}", {}, None))
    assert len(state.said) == core.REMEMBERED
    assert "reason 0" not in state.said


@pytest.mark.parametrize(("source", "type_"), list(product(STATES, SHAPES)))
def test_every_move_is_legal_or_refused(source: str, type_: str) -> None:
    """From every state each event leads where the table says, and nowhere else."""
    for dest in STATES:
        state = TriggerState(state=source)
        if (source, type_, dest) in LEGAL:
            core.evolve(state, type_, source, dest, A_MOVE[type_], 1)
            assert state.state == dest
        else:
            with pytest.raises(ValueError, match="cannot follow"):
                core.evolve(state, type_, source, dest, A_MOVE[type_], 1)


def test_a_hole_or_a_wrong_source_is_found() -> None:
    """An event of another version or another state than folded raises."""
    with pytest.raises(ValueError, match="follows 0"):
        core.evolve(TriggerState(), "trigger.armed", NOT_YET, "armed", Armed("r", 1), 2)
    with pytest.raises(ValueError, match="cannot follow state armed"):
        core.evolve(armed(), "trigger.resumed", "paused", "armed", Steered(), 2)


def test_text_folds_like_structs() -> None:
    """JSON text of the log folds into the same state as the struct that was written."""
    told = '{"reason":"missed","key":"s","count":2,"facts":{},"slot":150,"later":"ignored"}'
    by_text, by_struct = armed(), armed()
    core.evolve(by_text, "trigger.declined", "armed", "armed", told, 2)
    core.evolve(
        by_struct, "trigger.declined", "armed", "armed", Declined("missed", "s", 2, {}, 150), 2
    )
    assert by_text == by_struct
