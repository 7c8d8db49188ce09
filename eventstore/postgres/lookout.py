"""One question now and then for all that a worker at rest wants to know of the others.

Has anybody touched a stream? Who holds a lock? The answer is kept for a while, because several
ask in each round, and a database at rest is to be left at rest.
"""

import threading

from eventstore import clock
from eventstore.postgres.database import Postgres

KEPT = 1.5  # seconds for which an answer is good; hints make up for it


class Lookout:
    """The last answer, and a number that moves with the streams."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._drawn = -1  # statements that touched a stream, as the server counts them
        self._echo = False
        self._number = 0
        self.locked: tuple[str, ...] = ()  # living workers that hold a lock
        self.locks: frozenset[int] = frozenset()

    def changed(self) -> int:
        """Give a number that moves when somebody has touched a stream.

        It moves once more at the look after that: the server counts before it commits, so the
        first look may have come too early to see what was written.
        """
        with self._lock:
            now = clock.real_seconds()
            if now - self._asked >= KEPT:
                drawn, locked, locks = self._database.query(self._database.sql.LOOK)[0]
                self._asked = now
                self.locked, self.locks = tuple(locked), frozenset(locks)
                if drawn != self._drawn or self._echo:
                    self._number += 1
                self._echo = drawn != self._drawn
                self._drawn = drawn
            return self._number

    def forget(self) -> None:
        """Ask anew next time: a hint came."""
        self._asked = float("-inf")
