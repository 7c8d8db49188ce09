"""When a file is complete: by looks that agree and the engine's clock, or what else is declared."""

from collections.abc import Mapping

import pytest

from engine.errors import DefinitionError
from eventstore import clock
from triggers.files.complete import Marker, Rule
from triggers.files.scan import Found
from triggers.files.sights import Sight, Sights

A = Found("a", 1, 100)
GROWN = Found("a", 2, 100)
TOUCHED = Found("a", 1, 200)
SECOND = clock.SECOND


def sights_of(complete: str = "settle", settle: int = 10, marker: str | None = None) -> Sights:
    """Give a folder's memory under a rule; settle in microseconds."""
    return Sights(Rule(complete, marker, settle))


def look(
    sights: Sights,
    files: list[Found],
    now: int,
    hints: Mapping[str, str] | None = None,
    markers: tuple[str, ...] = (),
) -> tuple[list[str], int | None]:
    """Give what is ready by name, and when the next can be."""
    ready = sights.look(files, now, hints=hints, markers=markers)
    return [sight.relative for sight in ready.files], ready.due


def ready(sights: Sights, files: list[Found], now: int, *markers: str) -> list[Sight]:
    """Give what is ready."""
    return sights.look(files, now, markers=markers).files


def know(sights: Sights, files: list[Found], now: int) -> None:
    """Settle all that is ready."""
    for sight in ready(sights, files, now):
        sight.is_known = True


def test_two_equal_looks_far_enough_apart() -> None:
    """Seen at 0, settle 10: not at 9, ready at 10, and ready until it is known."""
    sights = sights_of()
    assert look(sights, [A], 0) == ([], 10)
    assert look(sights, [A], 9) == ([], 10)
    assert look(sights, [A], 10) == (["a"], None)
    assert look(sights, [A], 11) == (["a"], None)
    know(sights, [A], 12)
    assert look(sights, [A], 13) == ([], None)


def test_what_changes_begins_again() -> None:
    """Another size or another mtime is another file in the making."""
    sights = sights_of()
    look(sights, [A], 0)
    assert look(sights, [GROWN], 9) == ([], 19)
    assert look(sights, [TOUCHED], 18) == ([], 28)
    assert look(sights, [TOUCHED], 28) == (["a"], None)


def test_a_known_file_that_changes_counts_again() -> None:
    """A corrected drop under the old name is not silent."""
    sights = sights_of(settle=0)
    know(sights, [A], 0)
    assert look(sights, [GROWN], 1) == (["a"], None)


def test_what_is_gone_is_forgotten() -> None:
    """Nothing is kept of a file that is no longer there."""
    sights = sights_of()
    look(sights, [A], 0)
    assert look(sights, [], 5) == ([], None)
    assert len(sights) == 0
    assert look(sights, [A], 10) == ([], 20)


def test_a_clock_put_back_begins_again_and_forgets_nothing_known() -> None:
    """A file seen in what is now the future settles anew; one that is known stays known."""
    sights = sights_of()
    look(sights, [A], 100)
    assert look(sights, [A], 50) == ([], 60)
    know(sights, [A], 60)
    assert look(sights, [A], 20) == ([], None)


def test_the_oldest_comes_first() -> None:
    """By mtime, then by name; the next due is the earliest of the rest."""
    files = [Found("b", 1, 5), Found("c", 1, 4), Found("a", 1, 5)]
    sights = sights_of()
    look(sights, [files[0]], 0)
    assert look(sights, files, 3) == ([], 10)
    assert look(sights, files, 13)[0] == ["c", "a", "b"]


def test_a_file_seen_closed_needs_no_second_look() -> None:
    """The hint is the evidence, and holds until the file changes."""
    sights = sights_of("close")
    hints = {"a": "seen closed"}
    (sight,) = sights.look([A, Found("b", 1, 1)], 5, hints=hints).files
    assert (sight.relative, sight.evidence) == ("a", "seen closed")
    assert look(sights, [A], 6) == (["a"], None)
    assert look(sights, [GROWN], 7) == ([], 17)
    (sight,) = ready(sights, [GROWN], 17)
    assert sight.evidence == "same size and mtime at two looks 0.0 s apart"


def test_a_glance_takes_in_single_files() -> None:
    """Ready at once, and once; the others are as they were, and the next look forgets none."""
    sights = sights_of("close")
    b = Found("b", 1, 1)
    look(sights, [A], 5)
    hints = {"b": "seen closed"}
    (sight,) = sights.glance([b], 6, hints)
    assert (sight.relative, sight.evidence, sight.before) == ("b", "seen closed", 5)
    assert sights.glance([b], 7, hints) == []
    sight.is_known = True
    assert look(sights, [A, b], 8) == ([], 15)
    assert len(sights) == 2
    assert [one.size for one in sights.glance([GROWN], 9, {"a": "seen closed"})] == [2]
    assert look(sights, [], 10) == ([], None)
    assert len(sights) == 0


def test_a_file_that_was_renamed_is_complete_at_first_sight() -> None:
    """`rename`: the name itself says so."""
    (sight,) = ready(sights_of("rename"), [A], 0)
    assert sight.evidence == "renamed in"


def test_the_evidence_of_settling_says_how_long() -> None:
    """In seconds between the looks; with settle=0 there was one."""
    sights = sights_of(settle=SECOND)
    look(sights, [A], 0)
    (sight,) = ready(sights, [A], SECOND * 3 // 2)
    assert sight.evidence == "same size and mtime at two looks 1.5 s apart"
    (sight,) = ready(sights_of(settle=0), [A], 0)
    assert sight.evidence == "seen at one look"


@pytest.mark.parametrize("marker", ["x/a.csv.done", "x/a.done"])
def test_a_file_with_its_marker_is_complete(marker: str) -> None:
    """The marker bears its whole name or that without the suffix, and stands beside it."""
    sights = sights_of(marker="*.done")
    file = Found("x/a.csv", 1, 1)
    assert look(sights, [file], 0, markers=("a.csv.done", "x/b.done")) == ([], None)
    assert look(sights, [file], 100) == ([], None)
    (sight,) = ready(sights, [file], 101, marker)
    assert sight.evidence == f"marker {marker[2:]}"


def test_a_file_that_changes_under_its_marker_has_to_settle() -> None:
    """The marker was of what stood there before; a new one, or a changed marker's file, counts."""
    sights = sights_of(marker="*.done")
    know_marked = ready(sights, [A], 0, "a.done")
    know_marked[0].is_known = True
    assert look(sights, [GROWN], 5, markers=("a.done",)) == ([], 15)
    assert look(sights, [GROWN], 15, markers=("a.done",)) == (["a"], None)
    fresh = sights_of(marker="*.done")
    look(fresh, [A], 0)
    assert look(fresh, [GROWN], 1, markers=("a.done",)) == (["a"], None)


def test_a_file_that_keeps_changing_is_told_of_once() -> None:
    """After 10 s, or five times its settle time; not again while it goes on."""
    sights = sights_of(settle=SECOND)
    told = []
    for now in range(30):
        young = sights.look([Found("a", now, now)], now * SECOND).young
        told += [(now, sight.relative) for sight in young]
    assert told == [(11, "a")]
    patient = sights_of(settle=10 * SECOND)
    for now in range(60):
        young = patient.look([Found("a", now, now)], now * SECOND).young
        assert bool(young) == (now == 51)


def test_a_file_that_simply_settles_is_not_told_of() -> None:
    """However long its settle time is, and when it stood still for long before."""
    sights = sights_of(settle=3600 * SECOND)
    assert all(not sights.look([A], now * SECOND).young for now in range(0, 3600, 60))


def test_a_file_without_its_marker_is_told_of_once() -> None:
    """After 60 s, also when it stands still."""
    sights = sights_of(marker="*.done")
    told = [now for now in range(100) if sights.look([A], now * SECOND).young]
    assert told == [61]


def test_a_file_in_the_making_has_no_past() -> None:
    """`before` is the last look that had not seen it like this; None at the first look."""
    sights = sights_of(settle=0)
    assert ready(sights, [A], 5)[0].before is None
    assert [one.before for one in ready(sights, [GROWN, Found("b", 1, 1)], 7)] == [5, 5]


@pytest.mark.parametrize(
    ("complete", "marker", "says"),
    [
        ("soon", None, "none of 'settle', 'close', 'rename', 'marker' \\("),
        ("setle", None, "did you mean 'settle'"),
        ("marker", None, "wants to know the marker"),
        ("close", "*.done", "contradict each other"),
        ("rename", "*.done", "contradict each other"),
        ("marker=*.ok", "*.done", "name two markers"),
        ("settle", "done", "one \\* in it"),
        ("settle", "*.*", "one \\* in it"),
        ("settle", "ok/*", "one \\* in it"),
        ("settle", "*", "one \\* in it"),
        ("marker=", None, "one \\* in it"),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused(
    complete: str, marker: str | None, says: str
) -> None:
    """Unknown words with the near miss, two markers, no marker."""
    with pytest.raises(DefinitionError, match=says):
        Rule(complete, marker, 0)


def test_a_marker_knows_its_own_names() -> None:
    """What fits it is never one of the user's files; the other spelling means the same."""
    marker = Marker("ok-*.flag")
    assert marker.names.fullmatch("ok-a.flag")
    assert not marker.names.fullmatch("ok-.flag")
    assert marker.candidates("/in/a.csv") == ("/in/ok-a.csv.flag", "/in/ok-a.flag")
    assert marker.candidates(".csv") == ("ok-.csv.flag",)
    assert Rule("marker=*.done", None, 0).kind == Rule("settle", "*.done", 0).kind == "marker"
