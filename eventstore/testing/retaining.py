"""The contract of retention: what is taken, what stays, and who is told no."""
# ruff: noqa: S101 - tests assert

import pytest

from eventstore import clock
from eventstore.errors import Fenced, KeyTaken, WrongExpectedVersion
from eventstore.event import NEW
from eventstore.store import Append, Headline, InboxKey, Log, Write
from eventstore.testing.claiming import worker
from eventstore.testing.facts import birth, fact, step

DAY = 24 * 3600 * clock.SECOND


class RetainContract:
    """Events go only whole streams at a time, and each leaves its row."""

    def test_a_purged_stream_is_a_row(self, log: Log) -> None:
        """Events and snapshots are gone; status, version, hash, name and key stay; all verifies."""
        line = Headline(name="n", key="k")
        tip = birth(log, "old", headline=line, inbox=(InboxKey("s", "k", "old"),))
        tip = step(log, "old", tip, fact(2_000), status="succeeded")
        birth(log, "other", events=(fact(), fact()))
        log.put_snapshot("old", 1, "fold", b"x")
        log.put_snapshot("other", 1, "fold", b"y")
        assert log.purge({"old": tip}, now=9_000) == ["old"]
        head, events = log.load("old")
        assert (events, log.read("old"), log.read_version("old", [1, 2])) == ([], [], {})
        assert (head.purged, head.status, head.updated) == (9_000, "succeeded", 2_000)
        assert (head.tip.version, head.tip.hash) == (tip.version, tip.hash)
        assert (head.name, head.key) == ("n", "k")
        assert log.snapshot("old", "fold") is None
        assert log.snapshot("other", "fold") == (1, b"y")
        assert [event.stream for event in log.read_all()] == ["other", "other"]
        assert [h.purged for h in log.heads(kind="run")] == [None, 9_000]
        assert list(log.verify()) == []

    def test_a_key_counts_after_its_stream_was_purged(self, log: Log) -> None:
        """What was started once is not started again."""
        key = InboxKey("s", "k", "old")
        tip = birth(log, "old", inbox=(key,))
        log.purge({"old": tip}, now=9)
        assert log.find("s", "k") == "old"
        with pytest.raises(KeyTaken):
            birth(log, "new", inbox=(InboxKey("s", "k", "new"),))
        assert log.head("new") is None

    def test_an_append_is_refused_if_only_a_part_of_it_can_still_be_found(
        self, log: Log
    ) -> None:
        """Sent again with the same id after one of its streams was purged it is judged anew."""
        writes = tuple(Write(name, "run", NEW, (fact(),)) for name in ("kept", "old"))
        _, tip = log.append(Append("both", writes))
        assert log.purge({"old": tip}, now=9) == ["old"]
        with pytest.raises(WrongExpectedVersion):
            log.append(Append("both", writes))
        assert log.head("kept").tip.version == 1  # type: ignore[union-attr]

    def test_positions_are_not_given_out_twice(self, log: Log) -> None:
        """After the last events were purged the next one has a higher position."""
        birth(log, "first")
        tip = birth(log, "last")
        last = log.last_position()
        log.purge({"last": tip}, now=9)
        birth(log, "next")
        assert log.read_all()[-1].position > last
        assert [e.stream for e in log.read_all(after=last)] == ["next"]
        assert [e.stream for e in log.read_all(after=last - 1)] == ["next"]

    def test_what_does_not_rest_stays(self, log: Log) -> None:
        """A stream that moved on, has an owner, is due, or is not there, is left alone."""
        log.enter(worker("w"))
        moved = birth(log, "moved")
        step(log, "moved", moved)
        tips = {
            "moved": moved,
            "owned": birth(log, "owned", owner="w"),
            "due": birth(log, "due", due=10**18),
            "none": moved,
        }
        assert log.purge(tips, now=9) == []
        assert [head.purged for head in log.heads(kind="run")] == [None] * 3
        assert len(log.read_all()) == 4
        assert log.purge({}, now=9) == []

    def test_a_stream_is_purged_once(self, log: Log) -> None:
        """A second time, at its old tip or at its new one, changes nothing."""
        tip = birth(log, "s")
        assert log.purge({"s": tip}, now=9) == ["s"]
        head = log.head("s")
        assert head is not None
        assert log.purge({"s": tip}, now=10) == []
        assert log.purge({"s": head.tip}, now=10) == []
        assert log.head("s") == head

    def test_who_still_holds_a_purged_stream_is_fenced(self, log: Log) -> None:
        """An append at the tip from before the purge is refused: there is nothing to go on from."""
        tip = birth(log, "s")
        birth(log, "t")
        log.purge({"s": tip}, now=9)
        with pytest.raises(Fenced):
            step(log, "s", tip)
        with pytest.raises(Fenced):
            log.append(
                Append(
                    "a",
                    (Write("new", "run", NEW, (fact(),)), Write("s", "run", tip, (fact(),))),
                )
            )
        assert log.head("new") is None

    def test_old_rows_by_page(self, log: Log) -> None:
        """Rows of a kind, older by their last event than a time, oldest first, a page at a time."""
        for number in range(5):
            at = 1_000 * (number + 1)
            line = Headline(name="even" if number % 2 == 0 else "odd")
            status = "failed" if number == 4 else "succeeded"
            birth(log, f"s{number}", events=(fact(at),), headline=line, status=status)
        birth(log, "t", kind="trigger")

        def ids(before: int = 10_000, **options: object) -> list[str]:
            found = log.old_heads(kind="run", before=before, **options)  # type: ignore[arg-type]
            return [head.id for head in found]

        assert ids() == ["s0", "s1", "s2", "s3", "s4"]
        assert ids(before=3_000) == ["s0", "s1"]
        assert ids(limit=2) == ["s0", "s1"]
        assert ids(limit=2, after="s1") == ["s2", "s3"]
        assert ids(name="odd") == ["s1", "s3"]
        assert ids(status=["failed"]) == ["s4"]
        assert ids(name="even", status=["succeeded"], after="s0") == ["s2"]
        head = log.head("s1")
        assert head is not None
        log.purge({"s1": head.tip}, now=9)
        assert ids() == ["s0", "s2", "s3", "s4"]
        assert ids(after="s1") == ["s2", "s3", "s4"]

    def test_a_large_value_goes_when_it_was_put_long_ago(self, log: Log) -> None:
        """Only names asked for are deleted, and of those only what was not put since."""
        began = clock.now_us()
        a, b = log.put_blob(b"a" * 10), log.put_blob(b"b" * 20)
        later = clock.now_us() + DAY
        assert log.old_blobs(before=began) == set()
        assert log.old_blobs(before=later) == {a, b}
        assert log.drop_blobs({a, b}, before=began) == (0, 0)
        assert log.drop_blobs(set(), before=later) == (0, 0)
        assert log.drop_blobs({b, "0" * 64}, before=later) == (1, 20)
        assert log.old_blobs(before=later) == {a}
        assert log.blob(a) == b"a" * 10
        assert log.put_blob(b"b" * 20) == b
        assert log.blob(b) == b"b" * 20

    def test_room_is_given_back(self, log: Log) -> None:
        """Reclaiming changes nothing that can be read, and gives no more than there is."""
        tip = birth(log, "s", events=(fact(data=f'"{"x" * 100_000}"'),))
        birth(log, "t")
        log.purge({"s": tip}, now=9)
        assert log.reclaim() >= 0
        assert log.reclaim() == 0
        assert [event.stream for event in log.read_all()] == ["t"]
        assert list(log.verify()) == []
