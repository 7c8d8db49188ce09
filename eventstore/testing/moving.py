"""The contract of leaving and arriving: a log moves whole, and what does not fit is refused."""
# ruff: noqa: S101 - tests assert

import io

import pytest

from eventstore import arrival
from eventstore.errors import CursorMoved, HistoryDiffers, KeyTaken
from eventstore.event import NEW
from eventstore.export import export
from eventstore.memory import MemoryLog
from eventstore.picture import Taken
from eventstore.store import Append, Headline, InboxKey, Log, Write
from eventstore.testing.facts import birth, fact, row, step

LETTERS = '{"a": "\\u00e9 ☃", "b":1.50, "c" :\t[]}'


def lines_of(log: Log, *streams: str) -> list[bytes]:
    """Give the lines of an export between header and footer."""
    file = io.BytesIO()
    export(log, file.write, streams=streams or None)
    return file.getvalue().splitlines()[1:-1]


def move(source: Log, target: Log, *streams: str) -> Taken:
    """Export from one log and import into another."""
    file = io.BytesIO()
    export(source, file.write, streams=streams or None)
    file.seek(0)
    return arrival.take(target, file, arrival.check(file))


def furnish(log: Log) -> None:
    """Put something of every sort into a log."""
    line = Headline("orders", "k", {"team": "ä"}, 5)
    tip = birth(log, "b", headline=line, inbox=(InboxKey("door", "k", "b"),), owner="w")
    birth(log, "a", kind="breaker", waits_on=("x",), due=9)
    step(log, "b", tip, fact(data=LETTERS, at=7), owner="w", waits_on=("x", "y"), needs="n")
    log.move_cursor(log.cursor("mirror"), 2, now=8)
    log.put_blob(bytes(range(256)))


class MoveContract:
    """What leaves a log arrives in another."""

    def test_cursors(self, log: Log) -> None:
        """A cursor stands at 0 until it is moved, and then where it was moved to."""
        first = log.cursor("mirror")
        assert (first.name, first.position, first.version) == ("mirror", 0, 0)
        moved = log.move_cursor(first, 7, now=3)
        assert moved == log.cursor("mirror")
        assert (moved.position, moved.version, moved.updated) == (7, 1, 3)
        again = log.move_cursor(moved, 5, now=4)
        assert log.cursors() == [again]
        assert log.cursor("other").version == 0

    def test_of_two_followers_of_one_name_one_moves_the_cursor(self, log: Log) -> None:
        """The second hears where it stands and that there is another; nothing is written."""
        both = log.cursor("mirror")
        first = log.move_cursor(both, 7, now=3)
        with pytest.raises(CursorMoved, match=r"'mirror' was moved .* stands at position 7"):
            log.move_cursor(both, 9, now=4)
        second = log.move_cursor(first, 8, now=5)
        with pytest.raises(CursorMoved, match="version 2, expected 1"):
            log.move_cursor(first, 9, now=6)
        assert log.cursor("mirror") == second

    def test_kinds_and_names_of_many_streams(self, log: Log) -> None:
        """Those that there are come back with what they are."""
        birth(log, "s", headline=Headline("orders"))
        birth(log, "t", kind="breaker")
        assert log.named(["s", "t", "u"]) == {"s": ("run", "orders"), "t": ("breaker", "")}
        assert log.named([]) == {}

    def test_a_log_moves_there_and_back_letter_for_letter(self, log: Log) -> None:
        """Out into another log and exported again: the same lines; the chains are whole."""
        furnish(log)
        before = lines_of(log)
        other = MemoryLog()
        taken = move(log, other)
        assert taken == Taken(streams=2, events=3, keys=1, blobs=1, cursors=1)
        assert lines_of(other) == before
        assert log.read("b")[1].data == LETTERS
        assert list(other.verify()) == []

    def test_what_another_log_held_arrives(self, log: Log) -> None:
        """Rows, events, keys, blobs, waits and cursors are as they were; nobody owns them."""
        other = MemoryLog()
        furnish(other)
        move(other, log)
        assert lines_of(log) == lines_of(other)
        assert list(log.verify()) == []
        head = log.head("b")
        assert head is not None
        assert (head.owner, head.due, head.tip.epoch) == (None, 7, 1)
        assert log.find("door", "k") == "b"
        assert log.waiting("x", limit=9) == ["a", "b"]
        assert [h.id for h in log.heads(kind="run", tags={"team": "ä"})] == ["b"]
        assert log.cursor("mirror").position == 2
        (claim,) = log.claim("w2", kind="run", now=10, limit=9, offers=["n"])
        assert (claim.head.id, claim.lost_by, claim.head.tip.epoch) == ("b", None, 2)
        assert step(log, "b", claim.head.tip, owner="w2").version == 3

    def test_twice_is_once(self, log: Log) -> None:
        """What is there already is left alone, also when it has gone on here."""
        other = MemoryLog()
        furnish(other)
        move(other, log)
        before = lines_of(log)
        assert move(other, log) == Taken(there=2)
        assert lines_of(log) == before
        head = log.head("a")
        assert head is not None
        log.append(Append("more", (Write("a", "breaker", head.tip, (fact(),), row()),)))
        assert move(other, log) == Taken(there=2)
        assert len(log.read("a")) == 2

    def test_what_has_grown_since_grows(self, log: Log) -> None:
        """A later export of the same log adds what is new, at its own positions."""
        other = MemoryLog()
        furnish(other)
        move(other, log)
        head = other.head("b")
        assert head is not None
        step(other, "b", head.tip, fact(at=20), due=30, waits_on=("z",))
        birth(other, "c")
        assert move(other, log) == Taken(streams=1, grown=1, there=1, events=2)
        assert lines_of(log) == lines_of(other)
        assert log.waiting("z") == ["b"]

    def test_new_positions_where_others_stand(self, log: Log) -> None:
        """In a log with events of its own the order is kept, and cursors are left out."""
        birth(log, "mine")
        other = MemoryLog()
        furnish(other)
        taken = move(other, log)
        assert (taken.has_kept_positions, taken.cursors, taken.events) == (False, 0, 3)
        order = [(e.stream, e.version) for e in log.read_all()]
        assert order == [("mine", 1), ("b", 1), ("a", 1), ("b", 2)]
        assert move(other, log).has_kept_positions is False
        assert (len(log.read_all()), log.cursors()) == (4, [])

    def test_positions_that_were_given_out_are_not_given_again(self, log: Log) -> None:
        """A follower that has come past events that are gone misses nothing after the move."""
        other = MemoryLog()
        birth(other, "kept")
        for _ in range(9):
            birth(other, "gone" + str(other.last_position()))
        move(other, log, "kept")
        birth(log, "new")
        assert [event.position for event in log.read_all()] == [1, 11]

    def test_a_tombstone_moves(self, log: Log) -> None:
        """A stream whose events are gone arrives as one; its key counts there too, once."""
        other = MemoryLog()
        furnish(other)
        tip = birth(other, "old", inbox=(InboxKey("door", "old", "old"),), status="succeeded")
        assert other.purge({"old": tip}, now=99) == ["old"]
        assert move(other, log).streams == 3
        assert lines_of(log) == lines_of(other)
        head = log.head("old")
        assert head is not None
        assert (head.purged, head.tip.version) == (99, 1)
        assert (log.find("door", "old"), log.read("old")) == ("old", [])
        assert move(other, log) == Taken(there=3)
        assert list(log.verify()) == []

    def test_what_was_pruned_here_does_not_come_back(self, log: Log) -> None:
        """An export from before finds the tombstone and leaves it alone."""
        other = MemoryLog()
        tip = birth(other, "old", status="succeeded")
        move(other, log)
        assert log.purge({"old": tip}, now=99) == ["old"]
        assert move(other, log) == Taken(there=1)
        assert log.read("old") == []
        step(other, "old", tip)
        with pytest.raises(HistoryDiffers, match="its events are gone on one side"):
            move(other, log)

    def test_another_history_is_refused(self, log: Log) -> None:
        """The stream is named and nothing is written, whichever of the two is longer."""
        tip = birth(log, "b", events=(fact(at=3),))
        before = lines_of(log)
        other = MemoryLog()
        birth(other, "a")
        birth(other, "b", events=(fact(at=4),))
        with pytest.raises(HistoryDiffers, match="stream 'b' stands in this log with another"):
            move(other, log)
        step(other, "b", other.load("b")[0].tip)
        with pytest.raises(HistoryDiffers, match="'b'"):
            move(other, log)
        assert lines_of(log) == before
        step(log, "b", step(log, "b", tip))
        with pytest.raises(HistoryDiffers, match="'b'"):
            move(other, log)
        assert log.head("a") is None

    def test_a_stream_at_work_here_does_not_grow(self, log: Log) -> None:
        """Its worker is named; it would be fenced in the middle of what it does."""
        other = MemoryLog()
        tip = birth(other, "s", due=1)
        move(other, log)
        log.claim("w", kind="run", now=5, limit=1)
        step(other, "s", tip)
        with pytest.raises(HistoryDiffers, match="worker w"):
            move(other, log)

    def test_a_key_that_counts_for_another_stream_is_refused(self, log: Log) -> None:
        """Nothing is written."""
        birth(log, "mine", inbox=(InboxKey("door", "k", "mine"),))
        other = MemoryLog()
        furnish(other)
        with pytest.raises(KeyTaken, match="'mine'"):
            move(other, log)
        assert log.head("b") is None

    def test_some_streams_leave_with_what_they_name(self, log: Log) -> None:
        """Their events, keys, waits and blobs, also those that blobs name; nothing else."""
        inner = log.put_blob(b"inner")
        outer = log.put_blob(b'{"next":"%s"}' % inner.encode())
        log.put_blob(b"another's")
        furnish(log)
        write = Write("s", "run", NEW, (fact(data=f'{{"out_blob":"{outer}"}}'),), row())
        log.append(Append("s", (write,), (InboxKey("door", "s", "s"),)))
        other = MemoryLog()
        assert move(log, other, "s", "none") == Taken(streams=1, events=1, keys=1, blobs=2)
        assert other.blob(inner)  # as it is stored
        assert [event.stream for event in other.read_all()] == ["s"]
