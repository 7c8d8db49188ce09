"""Up to where the whole log may be read: no event can still appear before that position.

Positions are drawn before they can be seen, so a reader that took the newest one for the end
would skip what is still on its way. While positions are without holes there is nothing to wait
for. At a hole that stays we wait, alone for a moment, for the lock that every writer of events
shares (`guards.py`): then all that was drawn before is either visible or gone for ever.
"""

import threading

from eventstore import clock
from eventstore.postgres.database import Postgres
from eventstore.postgres.guards import LOCK_KEY

PATIENCE = 0.03  # seconds for a hole to fill by itself
_HAIL = "SELECT pg_advisory_xact_lock(" + LOCK_KEY + ")"


class Barrier:
    """The safe position of one log; only grows."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._safe: int | None = None  # not asked yet

    def safe(self) -> int:
        """Give the highest position before which nothing can still appear."""
        sql = self._database.sql
        with self._lock:
            top = self._database.query(sql.TOP)[0][0] or 0
            if self._safe is None:
                self._pass()
                self._safe = top
            elif top > self._safe:
                until = clock.real_seconds() + PATIENCE
                while not self._is_whole(self._safe, top):
                    if clock.real_seconds() > until:
                        self._pass()
                        break
                    clock.real_sleep(0.005)
                self._safe = max(self._safe, top)
            return self._safe

    def _is_whole(self, after: int, top: int) -> bool:
        count = self._database.query(self._database.sql.COUNT_BETWEEN, (after, top))[0][0]
        return int(count) == top - after

    def _pass(self) -> None:
        """Wait until every writer that had drawn a position has ended."""
        table = f"'{self._database.sql.schema}event'::regclass::oid"
        with self._database.reading() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute("SET LOCAL lock_timeout = '30s'")
                cursor.execute(_HAIL.format(oid=table))
            finally:
                cursor.execute("ROLLBACK")
