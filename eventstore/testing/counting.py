"""What a log counts of itself, and finding ids by a part of them."""
# ruff: noqa: S101 - tests assert

from eventstore import clock
from eventstore.store import Headline, Log, WorkerRow
from eventstore.tally import Count, Holding, Lease, Overdue
from eventstore.testing.facts import birth, step

FLOW, OTHER = Headline(name="flow"), Headline(name="other")


class CountContract:
    """Counts by name and status, by owner, and by how late; ids that begin or end with a text."""

    def test_size(self, log: Log) -> None:
        """What a log takes is known where it is kept, and is nothing that is kept in memory."""
        birth(log, "a")
        size = log.size()
        in_memory = log.url.endswith((":memory:", "memory://"))
        assert size is None if in_memory else size

    def test_counts(self, log: Log) -> None:
        """Streams of a kind and their events, by name, status and need."""
        birth(log, "a", headline=FLOW, needs="h1")
        tip = birth(log, "b", headline=FLOW, needs="h1")
        step(log, "b", tip, needs="h1")
        birth(log, "c", headline=FLOW, status="failed")
        birth(log, "d", headline=OTHER)
        birth(log, "e", headline=OTHER, kind="breaker")
        assert sorted(log.counts("run"), key=str) == [
            Count("flow", "failed", None, 1, 1, 0),
            Count("flow", "running", "h1", 2, 3, 0),
            Count("other", "running", None, 1, 1, 0),
        ]
        assert log.counts("breaker") == [Count("other", "running", None, 1, 1, 0)]
        assert log.counts("trigger") == []

    def test_holdings(self, log: Log) -> None:
        """Streams that have an owner, by owner, kind and name; the unowned are left out."""
        for number in range(3):
            birth(log, f"a{number}", headline=FLOW, owner="w")
        birth(log, "b", headline=OTHER, owner="v", kind="trigger")
        birth(log, "c", headline=OTHER, due=1)
        assert log.holdings() == [
            Holding("v", "trigger", "other", 1),
            Holding("w", "run", "flow", 3),
        ]

    def test_overdue(self, log: Log) -> None:
        """What is due and unowned, the latest first; the owned and the future are left out."""
        birth(log, "a", headline=OTHER, due=30, needs="h1")
        birth(log, "b", headline=FLOW, due=20)
        birth(log, "c", headline=FLOW, due=10)
        birth(log, "d", headline=FLOW, due=1, owner="w")
        birth(log, "e", headline=FLOW, due=31)
        birth(log, "f", headline=FLOW)
        assert log.overdue("run", now=30) == [
            Overdue("flow", None, 2, 10),
            Overdue("other", "h1", 1, 30),
        ]
        assert log.overdue("run", now=9) == []
        assert log.overdue("trigger", now=99) == []

    def test_matching(self, log: Log) -> None:
        """Ids that begin with a text, so many at most; only if none does, those that end so."""
        for stream in ("abc", "abd", "b%c", "xab"):
            birth(log, stream)
        birth(log, "abe", kind="trigger")
        assert log.matching("run", "ab", limit=9) == ["abc", "abd"]
        assert log.matching("run", "ab", limit=1) == ["abc"]
        assert log.matching("run", "c", limit=9) == ["abc", "b%c"]
        assert log.matching("run", "b%", limit=9) == ["b%c"]
        assert log.matching("run", "xab", limit=9) == ["xab"]
        assert log.matching("run", "z", limit=9) == []

    def test_leases(self, log: Log) -> None:
        """Living workers by their ids, each with the end of its lease; not one that has left."""
        now = clock.now_us()
        for name, until in (("a", now + 10**7), ("b", now + 10**8)):
            log.enter(WorkerRow(name, name, "host", 1, now, until, ()))
        log.leave("a", now=now)
        assert set(log.leases()) == {"b"}
        assert isinstance(log.leases()["b"], Lease)
        assert log.leases()["b"].until == now + 10**8
