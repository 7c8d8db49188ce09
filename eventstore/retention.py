"""What a SQL log lets go of: the events of streams that rest, and large values nobody names.

Events are deleted under a permit: a row that is written and deleted in the same transaction, and
without which the database itself refuses. The stream's row stays, so that keys still count.
"""

import itertools
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from eventstore.database import Cursor, Database
from eventstore.event import Tip
from eventstore.reading import array, head_of
from eventstore.store import Head
from eventstore.writer import Writer

BLOBS_AT_ONCE = 500  # deleted in one transaction


class Room(Protocol):
    """What a database takes on disk."""

    def settle(self) -> None:
        """Do what keeps it small after much was written."""

    def reclaim(self) -> int:
        """Give free room back to the system; give the bytes."""


class Retention:
    """Rows that are old, and their end."""

    def __init__(self, database: Database, writer: Writer, room: Room) -> None:
        self._database, self._writer, self._room = database, writer, room
        self._sql = database.sql

    def old_heads(
        self, kind: str, before: int, name: str | None, status: Collection[str], after: str,
        limit: int,
    ) -> list[Head]:  # fmt: skip
        """Give rows whose last event is older than `before`, first created first."""
        text, values = self._sql.OLD, [kind, after, before]
        filters: list[tuple[str, Any]] = []
        if name is not None:
            filters.append((self._sql.BY_NAME, name))
        if status:
            filters.append((self._sql.BY_STATUS, array(status)))
        for condition, value in filters:
            text += " AND " + condition
            values.append(value)
        rows = self._database.query(text + self._sql.OLDEST_FIRST, (*values, limit), long=True)
        return [head_of(row) for row in rows]

    def purge(self, tips: Mapping[str, Tip], now: int) -> list[str]:
        """Take events and snapshots of streams that stand at these tips and rest."""

        def take(cursor: Cursor) -> list[str]:
            gone, going = [], []
            for stream, *tip, purged in cursor.execute(
                self._sql.RESTING, (array(tips),)
            ).fetchall():
                if purged is None and Tip(*tip) == tips[stream]:
                    going.append(stream)
                elif purged == now:
                    gone.append(stream)  # this is done for the second time
            names = array(going)
            cursor.execute(self._sql.PERMIT, (names,))
            cursor.execute(self._sql.PURGE_EVENTS, (names,))
            cursor.execute(self._sql.PURGE_SNAPSHOTS, (names,))
            cursor.execute(self._sql.ENTOMB, (now, names))
            cursor.execute(self._sql.FORBID)
            return gone + going

        gone: list[str] = self._writer.do(take, long=True)
        self._room.settle()
        return gone

    def old_blobs(self, before: int) -> set[str]:
        """Give the names of blobs that were last put before a time."""
        rows = self._database.query(self._sql.OLD_BLOBS, (before,), long=True)
        return {name for (name,) in rows}

    def drop_blobs(self, names: Collection[str], before: int) -> tuple[int, int]:
        """Delete blobs among these that were not put since; give how many, and their bytes."""
        count = size = 0
        each = iter(sorted(names))
        while batch := list(itertools.islice(each, BLOBS_AT_ONCE)):
            values = (array(batch), before)

            def drop(cursor: Cursor, values: Any = values) -> tuple[int, int]:
                found = cursor.execute(self._sql.SIZE_OF_BLOBS, values).fetchone()
                cursor.execute(self._sql.DROP_BLOBS, values)
                return found[0], found[1]

            dropped = self._writer.do(drop, long=True)
            count, size = count + dropped[0], size + dropped[1]
            self._room.settle()
        return count, size

    def reclaim(self) -> int:
        """Give free room back to the system; give the bytes."""
        return self._room.reclaim()
