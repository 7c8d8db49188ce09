"""The line of runs that wait for a slot."""

from engine.core.define import Definition
from engine.core.plan import Plan
from engine.core.run import Run
from engine.hungry import Hungry
from engine.repository import Hold
from eventstore import NEW


def hold(name: str, priority: int = 0) -> Hold:
    return Hold(Run(name, priority=priority), Plan(Definition("w"), "hash"), NEW)


def order(line: Hungry) -> list[str]:
    """Take all out of the line; give their ids."""
    asked = set[str]()
    taken = []
    while (found := line.take(asked)) is not None:
        taken.append(found.run.id)
    return taken


def test_suspects_come_first_then_the_larger_priority_then_who_was_first() -> None:
    """A suspect of low priority is asked before all others: they cannot start while it waits."""
    line = Hungry()
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        line.put(hold(name, priority), suspect=False)
    line.put(hold("s", -1), suspect=True)
    assert order(line) == ["s", "b", "d", "a", "c"]
    assert not line


def test_who_was_asked_and_stands_in_line_again_is_not_asked_twice() -> None:
    """One pass asks each once, also the one that comes first; the next pass asks it again."""
    line = Hungry()
    first, second = hold("a", 5), hold("b")
    for one in (first, second):
        line.put(one, suspect=False)
    asked = set[str]()
    assert line.take(asked) is first
    line.put(first, suspect=False)
    assert line.take(asked) is second
    assert line.take(asked) is None
    assert order(line) == ["a"]


def test_a_run_that_becomes_a_suspect_moves_to_the_front() -> None:
    """It stands in line once, before those that came earlier; no longer one, it keeps its place."""
    line = Hungry()
    one, other = hold("a"), hold("b")
    line.put(one, suspect=False)
    line.put(other, suspect=False)
    line.put(other, suspect=True)
    assert line.has_suspect
    assert len(line) == 2
    assert order(line) == ["b", "a"]
    assert line.has_suspect, "it was taken, and nobody has said what became of it"
    line.put(other, suspect=False)
    assert not line.has_suspect


def test_one_claimed_anew_keeps_its_place_when_the_lost_one_goes() -> None:
    """Two holds of one run: the old one takes neither place nor suspicion of the new one along."""
    line = Hungry()
    old, new = hold("a"), hold("a")
    line.put(old, suspect=False)
    line.put(new, suspect=True)
    line.drop(old)
    assert line["a"] is new
    assert line.has_suspect
    line.drop(new)
    assert not line
    assert not line.has_suspect
    assert order(line) == []


def test_one_that_could_not_be_asked_stands_in_line_as_it_did() -> None:
    """The log failed: a suspect is one still."""
    line = Hungry()
    suspect = hold("s")
    line.put(suspect, suspect=True)
    line.put(hold("a", 9), suspect=False)
    assert line.take(set()) is suspect
    line.again(suspect)
    assert order(line) == ["s", "a"]
