"""The contract of workers, their leases and their ears."""
# ruff: noqa: S101 - tests assert

import threading

import msgspec
import pytest

from eventstore import clock
from eventstore.errors import LogError
from eventstore.store import Log, WorkerRow
from eventstore.testing.claiming import worker
from eventstore.testing.facts import birth


class WorkContract:
    """Workers come, are heard of, and go."""

    def test_enter_and_leave(self, log: Log) -> None:
        """A worker is listed while it is there; leaving frees its streams, due at once."""
        log.enter(worker("a", 100, "gpu", "v1"))
        assert _unlocked(log) == [worker("a", 100, "gpu", "v1")]
        birth(log, "s", owner="a")
        log.leave("a", now=33)
        assert log.workers() == []
        head = log.head("s")
        assert head is not None
        assert (head.owner, head.due) == (None, 33)

    def test_renew(self, log: Log) -> None:
        """Renewing moves the end of the lease, and the offers only if they are named."""
        log.enter(worker("a", 100, "v1"))
        log.renew("a", until=200)
        assert _unlocked(log) == [worker("a", 200, "v1")]
        log.renew("a", until=300, offers=["v2"])
        assert _unlocked(log) == [worker("a", 300, "v2")]

    def test_when_a_worker_was_last_heard_of(self, log: Log) -> None:
        """Entering and each renewal are noted with the worker's own time of that moment."""
        began = clock.now_us()
        log.enter(worker("a"))
        entered = log.workers()[0].renewed
        log.renew("a", until=200)
        assert began <= entered <= log.workers()[0].renewed <= clock.now_us()

    def test_a_stranger_cannot_renew(self, log: Log) -> None:
        """Renewing a lease that was never taken is refused."""
        with pytest.raises(LogError, match="enter"):
            log.renew("nobody", until=5)

    def test_bury_leaves_the_living_alone(self, log: Log) -> None:
        """Nobody whose lease runs is buried."""
        log.enter(worker("a", 100))
        assert log.bury(now=50) == []
        assert [row.dead for row in log.workers()] == [False]

    def test_who_left_is_not_claimed_from(self, log: Log) -> None:
        """After leaving, a claim of the worker's streams is an ordinary one."""
        log.enter(worker("a"))
        birth(log, "s", owner="a")
        log.leave("a", now=5)
        (claim,) = log.claim("b", kind="run", now=5, limit=1)
        assert (claim.lost_by, claim.died) == (None, False)

    def test_a_hint_is_heard(self, log: Log) -> None:
        """A hint reaches all ears but the one left out."""
        a, b = log.listen("a"), log.listen("b")
        try:
            log.hint(["s", "t"], skip="a")
            assert b.wait(5) == {"s", "t"}
            assert a.wait(0) == frozenset()
        finally:
            a.close()
            b.close()

    def test_a_hint_wakes_a_waiter(self, log: Log) -> None:
        """A waiting worker is woken by a hint long before its time is up."""
        ear = log.listen("a")
        try:
            timer = threading.Timer(0.05, lambda: log.hint({"s"}))
            began = clock.real_seconds()
            timer.start()
            assert ear.wait(10) == {"s"}
            assert clock.real_seconds() - began < 5
            timer.join()
        finally:
            ear.close()

    def test_a_poke_ends_the_wait(self, log: Log) -> None:
        """A poke ends the wait with nothing heard, also one that came before it."""
        ear = log.listen("a")
        try:
            ear.poke()
            ear.poke()
            began = clock.real_seconds()
            assert ear.wait(10) == frozenset()
            assert clock.real_seconds() - began < 5
            assert ear.wait(0) == frozenset()
        finally:
            ear.close()

    def test_a_wait_ends_in_time(self, log: Log) -> None:
        """Without a hint the wait ends when its real time is up."""
        ear = log.listen("a")
        try:
            began = clock.real_seconds()
            assert ear.wait(0.05) == frozenset()
            assert 0.04 < clock.real_seconds() - began < 5
        finally:
            ear.close()

    def test_a_closed_ear_waits_no_more(self, log: Log) -> None:
        """Closing ends a wait in another thread; closing twice is no harm."""
        ear = log.listen("a")
        waiting = threading.Thread(target=ear.wait, args=(30,))
        waiting.start()
        ear.close()
        ear.close()
        waiting.join(5)
        assert not waiting.is_alive()
        log.hint(["s"])


def _unlocked(log: Log) -> list[WorkerRow]:
    """Give the leases but for their times, and for what only some logs have: a lock, a clock."""
    return [
        msgspec.structs.replace(row, locked=False, renewed=0, skew=None)
        for row in log.workers()
    ]
