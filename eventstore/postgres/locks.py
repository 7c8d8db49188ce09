"""Session advisory locks by which the deaths of workers are known.

The server opens a lock when its session ends, however it ends. Sessions also end when the server
restarts or a network is cut, while the worker lives; it comes back and takes its lock again. So a
free lock is a death only if it stays free, and the lease unrenewed, for a second in which the
server could be reached all the time; longer when the server itself has just come back. Behind a
pooler there are no locks, and the lease decides.
"""

import hashlib

from eventstore import clock
from eventstore.errors import LogError
from eventstore.postgres.database import Postgres
from eventstore.postgres.keeper import Keeper
from eventstore.postgres.lookout import Lookout
from eventstore.store import WorkerRow
from eventstore.tally import Lease

DEAD_AFTER = 0.9  # seconds of a free lock: seen in one round, and in the next
# Seconds after the server was away for all of us: others may be slower to come back.
RETURN, AFTER_RETURN = 10.0, 2.9
_PATIENCE = 2.0  # seconds to wait for a lock that our own last session may still hold
_TAKE = "SELECT pg_try_advisory_lock(%s)"
_DROP = "SELECT pg_advisory_unlock(%s)"


def key_of(worker: str) -> int:
    """Give the number of a worker's lock. *Pure.*"""
    digest = hashlib.sha256(worker.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class SessionLocks:
    """The locks of workers: those held here, and a look at those of others."""

    def __init__(self, database: Postgres, keeper: Keeper, lookout: Lookout) -> None:
        self._database, self._keeper, self._lookout = database, keeper, lookout
        self._held: set[str] = set()  # held here, or to be taken again
        self._free: dict[str, tuple[float, int, int]] = {}  # seen free: when, lease, connection

    def take(self, worker: str) -> bool:
        """Hold a worker's lock until `drop`, `close` or the end of the session.

        Raises:
            LogError: another process lives under this id.
        """
        self._keeper.open(worker)
        if self._database.is_pooled:
            return False
        try:
            self._wait_for(worker)
        except BaseException:
            if worker not in self._held:
                self._keeper.leave(worker)
            raise
        self._held.add(worker)
        return True

    def _wait_for(self, worker: str) -> None:
        until = clock.real_seconds() + _PATIENCE
        while not self._try(worker):
            if clock.real_seconds() > until:
                raise LogError(
                    f"worker {worker!r} is at work in another process; each needs an id of its own"
                )
            clock.real_sleep(0.05)

    def take_again(self) -> bool:
        """Take all locks again that the last session held; called when the server is back.

        One that the server still thinks held, by a session of ours that it has not given up, is
        as good as held until it does: so True says that this is to be called again, soon.
        """
        missing = [worker for worker in list(self._held) if not self._try(worker)]
        return bool(missing)

    def _try(self, worker: str) -> bool:
        if worker in self._held and key_of(worker) in self._own():
            return True  # a lock taken twice would have to be dropped twice
        return bool(self._keeper.rows(_TAKE, (key_of(worker),))[0][0])

    def _own(self) -> set[int]:
        sql = self._database.sql.HELD_LOCKS + " AND pid = pg_backend_pid()"
        return {key for (key,) in self._keeper.rows(sql)}

    def drop(self, worker: str) -> None:
        """Let go of a worker's lock."""
        try:
            if worker in self._held:
                self._held.discard(worker)
                self._keeper.rows(_DROP, (key_of(worker),))
        finally:
            self._keeper.leave(worker)

    def is_free(self, worker: WorkerRow) -> bool | None:
        """Say whether a worker is known to be gone; None if only its lease can tell."""
        if not worker.locked or self._database.is_pooled:
            return None
        if worker.id in self._held:
            return False
        self._lookout.look()
        if key_of(worker.id) in self._lookout.locks:
            self._free.pop(worker.id, None)
            return False
        at, generation = self._lookout.asked, self._keeper.generation
        seen = (self._lookout.answered, worker.until, generation)  # it may have come late
        first = self._free.setdefault(worker.id, seen)
        if first[1:] != seen[1:]:
            first = self._free[worker.id] = seen
        was_away = generation > 1 and at - self._keeper.since < RETURN
        return at - first[0] >= (AFTER_RETURN if was_away else DEAD_AFTER)

    def any_free(self) -> bool:
        """Say whether some worker may be gone, by the last look of the lookout."""
        held = self._lookout.locks
        return any(
            key_of(worker) not in held
            for worker in self._lookout.locked
            if worker not in self._held
        )

    def leases(self) -> dict[str, Lease] | None:
        """Give the leases of living workers, by the last look of the lookout."""
        self._lookout.changed()
        return dict(self._lookout.leases)

    def clear(self, worker: str) -> None:
        """Forget a worker that is gone."""
        self._free.pop(worker, None)

    def close(self) -> None:
        """Forget the locks; they end with the keeper's session."""
        self._held.clear()
        self._free.clear()

    def forked(self) -> None:
        """Forget them; the parent holds them."""
        self._held.clear()
