"""One question now and then for all that a worker at rest wants to know of the others.

Has anybody touched a stream? Until when do leases last? Who holds a lock? The answer is kept for
a while, because several ask in each round, and a database at rest is to be left at rest.
"""

import threading

from eventstore import clock
from eventstore.postgres.database import Postgres
from eventstore.tally import Lease

KEPT = 1.5  # seconds for which an answer is good; hints make up for it
FRESH = 0.2  # seconds for which it is good to who looks twice at one matter


class Lookout:
    """The last answer, and a number that moves with the streams."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._drawn = -1  # statements that touched a stream, as the server counts them
        self._echo = False
        self._number = 0
        self._is_stale = False
        self.asked = float("-inf")  # when the last answer was asked for, real seconds
        self.answered = float("-inf")  # when it came: what it tells of lies in between
        self.leases: dict[str, Lease] = {}  # of living workers
        self.locked: frozenset[str] = frozenset()  # those of them that hold a lock
        self.locks: frozenset[int] = frozenset()

    def changed(self) -> int:
        """Give a number that moves when somebody has touched a stream.

        It moves once more at the look after that: the server counts before it commits, so the
        first look may have come too early to see what was written.
        """
        with self._lock:
            self._look(KEPT)
            return self._number

    def look(self) -> None:
        """See to it that the answer is fresh."""
        with self._lock:
            self._look(FRESH)

    def _look(self, kept: float) -> None:
        now = clock.real_seconds()
        if now - self.asked < kept and not self._is_stale:
            return
        self._is_stale = False
        drawn, ids, untils, skews, locked, locks = self._database.query(
            self._database.sql.LOOK
        )[0]
        self.asked, self.answered = now, clock.real_seconds()
        self.leases = dict(zip(ids, map(Lease, untils, skews), strict=True))
        self.locked = frozenset(
            one for one, is_held in zip(ids, locked, strict=True) if is_held
        )
        self.locks = frozenset(locks)
        if drawn != self._drawn or self._echo:
            self._number += 1
        self._echo = drawn != self._drawn
        self._drawn = drawn

    def forget(self) -> None:
        """Ask anew next time: a hint came."""
        self._is_stale = True
