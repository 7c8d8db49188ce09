"""Durable cursors: how far each follower of the whole log has come."""

from eventstore import database as base
from eventstore.errors import CursorMoved
from eventstore.store import Cursor
from eventstore.writer import Writer


class Cursors:
    """The cursors of a SQL log."""

    def __init__(self, database: base.Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._sql = database.sql

    def get(self, name: str) -> Cursor:
        """Give a cursor; one that there is not stands before the first event."""
        rows = self._database.query(self._sql.CURSOR, (name,))
        return Cursor(*rows[0]) if rows else Cursor(name)

    def move(self, cursor: Cursor, position: int, now: int) -> Cursor:
        """Move a cursor that still stands as it was read.

        Raises:
            CursorMoved: another follower moved it meanwhile.
        """
        moved = Cursor(cursor.name, position, cursor.version + 1, now)
        values = (moved.name, moved.position, moved.version, moved.updated)

        tries: list[Cursor] = []  # that wrote, and whose commit nobody may have confirmed

        def work(done: base.Cursor) -> None:
            if cursor.version:
                done.execute(self._sql.MOVE_CURSOR, (*values[1:], moved.name, cursor.version))
            else:
                done.execute(self._sql.PUT_CURSOR, values)
            if done.rowcount != 1:
                found = done.execute(self._sql.CURSOR, (moved.name,)).fetchone()
                now_at = Cursor(*found) if found else Cursor(moved.name)
                if now_at in tries:
                    return
                raise CursorMoved(moved.name, cursor.version, now_at.version, now_at.position)
            tries.append(moved)

        self._writer.do(work)
        return moved

    def all(self) -> list[Cursor]:
        """Give all cursors by name."""
        return [Cursor(*row) for row in self._database.query(self._sql.CURSORS)]
