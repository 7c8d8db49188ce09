"""The contract of claiming, letting go, waking and due times."""
# ruff: noqa: S101 - tests assert

import threading

import pytest

from eventstore.errors import Fenced
from eventstore.event import Tip
from eventstore.store import Headline, Log, WorkerRow
from eventstore.testing.facts import birth, row, step


def worker(name: str, until: int = 100, *offers: str) -> WorkerRow:
    """Give a lease."""
    return WorkerRow(name, name, "host", 1, 0, until, offers)


class ClaimContract:
    """Each stream has one owner, and the newest owner's epoch is the highest."""

    def test_what_is_due_is_given_once(self, log: Log) -> None:
        """A due stream goes to the first who asks, with a new owner and the next epoch."""
        log.enter(worker("a"))
        tip = birth(log, "s", due=10)
        assert log.claim("a", kind="run", now=9, limit=5) == []
        (claim,) = log.claim("a", kind="run", now=10, limit=5)
        assert (claim.head.id, claim.head.owner, claim.lost_by, claim.died) == (
            "s", "a", None, False,
        )  # fmt: skip
        assert claim.head.tip == Tip(tip.version, tip.epoch + 1, tip.hash)
        assert log.head("s") == claim.head
        assert log.claim("b", kind="run", now=10, limit=5) == []
        assert step(log, "s", claim.head.tip, owner="a").epoch == 1

    def test_priority_then_due(self, log: Log) -> None:
        """Higher priority first, then the earlier due; the limit cuts off the rest."""
        for name, priority, due in (
            ("a", 0, 1),
            ("b", 5, 9),
            ("c", 5, 3),
            ("d", -1, 0),
            ("e", 0, 0),
        ):
            birth(log, name, headline=Headline(priority=priority), due=due)
        given = log.claim("w", kind="run", now=10, limit=4)
        assert [claim.head.id for claim in given] == ["c", "b", "e", "a"]
        assert [claim.head.id for claim in log.claim("w", kind="run", now=10, limit=4)] == ["d"]

    def test_not_due_other_kind_or_skipped(self, log: Log) -> None:
        """No due time, a later one, another kind, or a named id: not given."""
        birth(log, "never")
        birth(log, "later", due=11)
        birth(log, "breaker", kind="breaker", due=1)
        birth(log, "skipped", due=1)
        assert log.claim("w", kind="run", now=10, limit=9, skip=["skipped"]) == []
        given = log.claim("w", kind="run", now=10, limit=9)
        assert [claim.head.id for claim in given] == ["skipped"]

    def test_needs_and_offers(self, log: Log) -> None:
        """What needs a capability goes to who offers it."""
        log.enter(worker("w"))
        birth(log, "plain", due=1)
        birth(log, "gpu", due=2, needs="gpu")
        assert [c.head.id for c in log.claim("w", kind="run", now=9, limit=9)] == ["plain"]
        given = log.claim("g", kind="run", now=9, limit=9, offers=("cpu", "gpu"))
        assert [claim.head.id for claim in given] == ["gpu"]

    def test_a_known_name_when_nobody_living_offers(self, log: Log) -> None:
        """Whose name one knows goes to one, but only while no living worker offers its need."""
        log.enter(worker("owner-of-v1", 100, "v1"))
        birth(log, "s", due=1, needs="v1", headline=Headline("wf"))
        assert log.claim("new", kind="run", now=50, limit=1, offers=["v2"], names=["wf"]) == []
        assert log.claim("new", kind="run", now=150, limit=1, offers=["v2"], names=["no"]) == []
        given = log.claim("new", kind="run", now=150, limit=1, offers=["v2"], names=["wf"])
        assert [claim.head.id for claim in given] == ["s"]

    def test_a_lease_that_ran_out_is_a_takeover(self, log: Log) -> None:
        """The streams of a worker whose lease ran out can be claimed, due or not; no death."""
        log.enter(worker("a"))
        tip = birth(log, "s", owner="a")
        assert log.claim("b", kind="run", now=99, limit=1) == []
        (claim,) = log.claim("b", kind="run", now=101, limit=1)
        assert (claim.lost_by, claim.died) == ("a", False)
        with pytest.raises(Fenced):
            step(log, "s", tip, owner="a")

    def test_an_owner_without_a_lease_holds_nothing(self, log: Log) -> None:
        """The stream of an owner that never entered can be claimed, so that it is never stuck."""
        birth(log, "s", owner="stranger")
        (claim,) = log.claim("b", kind="run", now=0, limit=1)
        assert (claim.lost_by, claim.died) == ("stranger", False)

    def test_ones_own_are_not_claimed(self, log: Log) -> None:
        """A worker whose own lease ran out is not given its own streams again."""
        log.enter(worker("a"))
        birth(log, "s", owner="a", due=1)
        assert log.claim("a", kind="run", now=500, limit=5) == []

    def test_the_lost_come_in_the_same_order(self, log: Log) -> None:
        """Due ones and lost ones are given by priority and due time together; no due comes last."""
        log.enter(worker("a"))
        birth(log, "lost", owner="a", headline=Headline(priority=1))
        birth(log, "due", due=3)
        birth(log, "lost and due", due=2, owner="a")
        birth(log, "lost at nought", owner="a")
        given = log.claim("b", kind="run", now=500, limit=9)
        assert [c.head.id for c in given] == ["lost", "lost and due", "due", "lost at nought"]

    def test_release(self, log: Log) -> None:
        """Letting go leaves the stream unowned with a due time; a stale tip does nothing."""
        birth(log, "s", due=1)
        tip = log.claim("a", kind="run", now=1, limit=1)[0].head.tip
        log.release("s", Tip(tip.version, tip.epoch - 1, tip.hash), due=5)
        assert log.owned("a") == {"s": (1, 1)}
        log.release("s", tip, due=5)
        head = log.head("s")
        assert head is not None
        assert (head.owner, head.due) == (None, 5)
        log.release("s", head.tip, due=6)
        log.release("none", tip, due=6)
        after = log.head("s")
        assert after is not None
        assert after.due == 5

    def test_a_reader_from_before_a_release_is_fenced(self, log: Log) -> None:
        """Who read the stream as owned cannot write it as owned after it was let go."""
        tip = birth(log, "s", owner="a")
        log.release("s", tip, due=5)
        with pytest.raises(Fenced):
            step(log, "s", tip, owner="a")

    def test_owned(self, log: Log) -> None:
        """`owned` gives version and due time of each stream of a worker."""
        birth(log, "s", owner="a", due=3)
        birth(log, "t", owner="a")
        birth(log, "u", owner="b")
        assert log.owned("a") == {"s": (1, 3), "t": (1, None)}
        assert log.owned("c") == {}

    def test_wake_the_longest_waiting(self, log: Log) -> None:
        """Those that began to wait first are woken first, and each only once."""
        tips = {name: birth(log, name) for name in ("x", "a", "m")}
        for name in ("m", "x", "a"):
            tips[name] = step(log, name, tips[name], waits_on=("breaker:b", "other"))
        assert log.waiting("breaker:b", limit=9) == ["m", "x", "a"]
        assert log.waiting("breaker:b") == ["m"]
        assert log.wake("breaker:b", now=50, limit=1) == ["m"]
        assert log.wake("breaker:b", now=50, limit=9) == ["x", "a"]
        assert log.wake("breaker:b", now=50, limit=9) == []
        head = log.head("m")
        assert head is not None
        assert head.due == 50
        assert head.tip == tips["m"]

    def test_who_is_due_later_is_woken_too(self, log: Log) -> None:
        """A stream due later is made due now; one that is due already is left alone."""
        birth(log, "later", waits_on=("n",), due=90)
        birth(log, "due", waits_on=("n",), due=10)
        assert log.wake("n", now=50, limit=9) == ["later"]
        assert log.waiting("n", limit=9) == ["later", "due"]

    def test_going_on_waiting_keeps_the_place(self, log: Log) -> None:
        """A name that stays in the row keeps its place in the queue; one that leaves loses it."""
        a = birth(log, "a", waits_on=("n",))
        b = birth(log, "b", waits_on=("n",))
        step(log, "a", a, waits_on=("m", "n"))
        assert log.waiting("n", limit=9) == ["a", "b"]
        b = step(log, "b", b)
        assert log.waiting("n", limit=9) == ["a"]
        step(log, "b", b, waits_on=("n",))
        assert log.waiting("n", limit=9) == ["a", "b"]

    def test_next_due(self, log: Log) -> None:
        """The earliest due time of unowned streams of the kinds; later than `after`, if given."""
        assert log.next_due(kinds=["run"]) is None
        birth(log, "a", due=30, headline=Headline(priority=9))
        birth(log, "b", due=20, kind="trigger")
        birth(log, "c", due=40)
        birth(log, "d", due=5, owner="w")
        birth(log, "e")
        assert log.next_due(kinds=["run"]) == 30
        assert log.next_due(kinds=["run", "trigger"]) == 20
        assert log.next_due(kinds=["run", "trigger"], after=30) == 40
        assert log.next_due(kinds=["run"], after=40) is None
        assert log.next_due(kinds=[]) is None

    def test_no_stream_is_claimed_twice(self, log: Log) -> None:
        """Eight threads that claim at once get all streams, each one once."""
        for number in range(40):
            birth(log, f"s{number}", due=1)
        for number in range(8):
            log.enter(worker(f"w{number}"))
        got: list[str] = []
        start = threading.Barrier(8)

        def claim(name: str) -> None:
            start.wait(10)
            while given := log.claim(name, kind="run", now=5, limit=3):
                got.extend(claim.head.id for claim in given)

        threads = [threading.Thread(target=claim, args=(f"w{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(got) == sorted(f"s{n}" for n in range(40))

    def test_a_claim_keeps_the_row(self, log: Log) -> None:
        """Claiming changes owner and epoch and no more."""
        birth(log, "s", due=1, waits_on=("n",), needs=None, label='{"a":2}')
        (claim,) = log.claim("w", kind="run", now=5, limit=1)
        assert claim.head.status == row().status
        assert (claim.head.due, claim.head.waits_on, claim.head.label) == (1, ("n",), '{"a":2}')
