"""Up to where the whole log may be read: no event can still appear before that position.

Positions are drawn before they can be seen, so a reader that took the newest one for the end
would skip what is still on its way. While positions are without holes there is nothing to wait
for. At a hole that stays we wait, alone for a moment, for the lock that every writer of events
shares (`guards.py`): then all that was drawn before is either visible or gone for ever.
"""

import threading

from eventstore import clock
from eventstore.errors import StorageBusy
from eventstore.postgres.database import Postgres
from eventstore.postgres.guards import LOCK_KEY

FILLS_IN = 0.03  # seconds for a hole to fill by itself
# While we wait for the lock alone, new writers wait behind us; so not for long, and not again
# at once. A writer is done within milliseconds, unless its server process stands still.
ALONE = "100ms"
PAUSE = 0.2  # seconds between two tries
PATIENCE = 10.0  # seconds for the first answer, which cannot be an old one
# One statement, so that the server lets go by itself: held by a process that was just stopped,
# the lock would keep every writer waiting.
_HAIL = f"SELECT set_config('lock_timeout', '{ALONE}', true), pg_advisory_xact_lock({LOCK_KEY})"


class Barrier:
    """The safe position of one log; only grows."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._safe: int | None = None  # not asked yet
        self._tried = float("-inf")

    def safe(self) -> int:
        """Give the highest position known before which nothing can still appear.

        Raises:
            StorageBusy: a writer was in the way all the time, and nothing is known yet.
        """
        with self._lock:
            top: int = self._database.query(self._database.sql.TOP)[0][0] or 0
            if self._safe is None:
                self._safe = self._first(top)
            elif top > self._safe and (self._fills(self._safe, top) or self._try()):
                self._safe = top
            return self._safe

    def _first(self, top: int) -> int:
        until = clock.real_seconds() + PATIENCE
        while not self._try():
            if clock.real_seconds() > until:
                raise StorageBusy(
                    f"{self._database.place}: a transaction that writes events has not ended for"
                    f" {PATIENCE:g} s; find it in pg_stat_activity"
                )
            clock.real_sleep(PAUSE)
        return top

    def _fills(self, after: int, top: int) -> bool:
        """Say whether all positions between are there, if need be in a moment."""
        until = clock.real_seconds() + FILLS_IN
        while self._count(after, top) < top - after:
            if clock.real_seconds() > until:
                return False
            clock.real_sleep(0.005)
        return True

    def _count(self, after: int, top: int) -> int:
        return int(self._database.query(self._database.sql.COUNT_BETWEEN, (after, top))[0][0])

    def _try(self) -> bool:
        """Wait until every writer that had drawn a position has ended; False if one has not."""
        if clock.real_seconds() - self._tried < PAUSE and self._safe is not None:
            return False
        table = f"'{self._database.sql.schema}event'::regclass::oid"
        try:
            with self._database.reading() as cursor:
                cursor.execute(_HAIL.format(oid=table))
        except StorageBusy:
            self._tried = clock.real_seconds()
            return False
        return True
