"""The part of a log in a SQL database that is about followers and about moving."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eventstore.cursors import Cursors
from eventstore.intake import Intake
from eventstore.lines import Body
from eventstore.parts import Parts
from eventstore.picture import Picture, Taken
from eventstore.showing import SqlPicture
from eventstore.store import Cursor


class SqlMoving:
    """Cursors, and a log that leaves and arrives whole."""

    def __init__(self, parts: Parts) -> None:
        self._sql, self._moment = parts.database.sql, parts.moment
        self._cursors = Cursors(parts.database, parts.writer)
        self._intake = Intake(parts.database, parts.writer)
        self.is_remote = parts.is_remote

    def cursor(self, name: str) -> Cursor:
        """Give a durable cursor; one that was never moved stands at 0."""
        return self._cursors.get(name)

    def move_cursor(self, cursor: Cursor, position: int, *, now: int) -> Cursor:
        """Move a cursor, durably, if it still stands as it was read."""
        return self._cursors.move(cursor, position, now)

    def cursors(self) -> list[Cursor]:
        """Give all cursors that were ever moved, by name."""
        return self._cursors.all()

    @contextmanager
    def picture(self) -> Iterator[Picture]:
        """Give all that the log holds at one moment, while others go on writing."""
        with self._moment() as rows:
            yield SqlPicture(self._sql, rows)

    def take_in(self, lines: Callable[[], Iterator[Body]], *, last: int) -> Taken:
        """Write what another log held, verbatim, in one transaction."""
        return self._intake.take_in(lines, last)
