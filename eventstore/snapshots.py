"""Disposable copies of folded state."""

from collections.abc import Collection

from eventstore.database import Database
from eventstore.reading import array
from eventstore.writer import Writer


class Snapshots:
    """The snapshots of a SQL log."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._sql = database.sql

    def put(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep a copy."""
        values = (stream, kind, version, content)
        self._writer.do(lambda cursor: cursor.execute(self._sql.PUT_SNAPSHOT, values) and None)

    def get(self, stream: str, kind: str, upto: int | None) -> tuple[int, bytes] | None:
        """Give the newest copy of a kind up to a version, or None."""
        values = (stream, kind, self._sql.MOST if upto is None else upto)
        rows = self._database.query(self._sql.SNAPSHOT, values)
        return (rows[0][0], rows[0][1]) if rows else None

    def all(self, streams: Collection[str]) -> list[tuple[str, str, int]]:
        """Give stream, kind and version of each copy of these streams."""
        return list(self._database.query(self._sql.SNAPSHOTS, (array(streams),)))

    def drop(self) -> None:
        """Delete them all."""
        self._writer.do(
            lambda cursor: cursor.execute(self._sql.DROP_SNAPSHOTS) and None, long=True
        )
