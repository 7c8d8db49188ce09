"""Counts, made by the database: no row of a stream is read for them."""

from itertools import starmap

from eventstore.database import Database
from eventstore.tally import Count, Holding, Overdue

LAST = "\U0010ffff"  # no id goes on with it


class Census:
    """The part of a log that whoever looks after it asks."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.sql

    def counts(self, kind: str) -> list[Count]:
        """Give how many streams of a kind there are, by name, status and need."""
        return list(starmap(Count, self._database.query(self._sql.COUNTS, (kind,), long=True)))

    def holdings(self) -> list[Holding]:
        """Give how many streams each worker owns, by kind and name."""
        return list(starmap(Holding, self._database.query(self._sql.HOLDINGS, long=True)))

    def overdue(self, kind: str, *, now: int) -> list[Overdue]:
        """Give how many streams of a kind are due at `now` and unowned, the latest first."""
        rows = self._database.query(self._sql.OVERDUE, (kind, now), long=True)
        return list(starmap(Overdue, rows))

    def matching(self, kind: str, text: str, *, limit: int) -> list[str]:
        """Give ids of a kind that begin with a text; if none does, those that end with it."""
        bound = (kind, text, text + LAST, limit)
        rows = self._database.query(self._sql.BEGINNING, bound)
        if not rows:
            asked = (kind, len(text), text, limit)
            rows = self._database.query(self._sql.ENDING, asked, long=True)
        return [stream for (stream,) in rows]
