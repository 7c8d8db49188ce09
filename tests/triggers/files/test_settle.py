"""When a file is complete: by looks that agree and the engine's clock, nothing else."""

from triggers.files.scan import Found
from triggers.files.settle import Ready, Settling

A = Found("a", 1, 100)
GROWN = Found("a", 2, 100)
TOUCHED = Found("a", 1, 200)


def test_two_equal_looks_far_enough_apart() -> None:
    """Seen at 0, settle 10: not at 9, ready at 10, and ready until it is known."""
    settling = Settling(10)
    assert settling.look([A], 0) == Ready([], 10)
    assert settling.look([A], 9) == Ready([], 10)
    assert settling.look([A], 10) == Ready([A], None)
    assert settling.look([A], 11) == Ready([A], None)
    settling.know(A)
    assert settling.look([A], 12) == Ready([], None)


def test_what_changes_begins_again() -> None:
    """Another size or another mtime is another file in the making."""
    settling = Settling(10)
    settling.look([A], 0)
    assert settling.look([GROWN], 9) == Ready([], 19)
    assert settling.look([TOUCHED], 18) == Ready([], 28)
    assert settling.look([TOUCHED], 28).files == [TOUCHED]


def test_a_known_file_that_changes_counts_again() -> None:
    """A corrected drop under the old name is not silent."""
    settling = Settling(0)
    settling.look([A], 0)
    settling.know(A)
    assert settling.look([GROWN], 1).files == [GROWN]


def test_what_is_gone_is_forgotten() -> None:
    """Nothing is kept of a file that is no longer there."""
    settling = Settling(10)
    settling.look([A], 0)
    assert settling.look([], 5) == Ready([], None)
    assert settling.look([A], 10) == Ready([], 20)


def test_one_look_will_do_if_nothing_has_to_settle() -> None:
    """`settle=0`, or a file that the watch saw closed."""
    assert Settling(0).look([A], 5).files == [A]
    assert Settling(10).look([A, Found("b", 1, 1)], 5, {"a"}) == Ready([A], 15)


def test_a_clock_put_back_begins_again_and_forgets_nothing_known() -> None:
    """A file seen in what is now the future settles anew; one that is known stays known."""
    settling = Settling(10)
    settling.look([A], 100)
    assert settling.look([A], 50) == Ready([], 60)
    settling.look([A], 60)
    settling.know(A)
    assert settling.look([A], 20) == Ready([], None)


def test_the_oldest_comes_first() -> None:
    """By mtime, then by name; the next due is the earliest of the rest."""
    files = [Found("b", 1, 5), Found("c", 1, 4), Found("a", 1, 5)]
    settling = Settling(10)
    settling.look([files[0]], 0)
    assert settling.look(files, 3).due == 10
    assert [file.relative for file in settling.look(files, 13).files] == ["c", "a", "b"]
