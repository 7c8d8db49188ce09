"""The room that a SQLite file takes, and how what is free in it is cut off."""

from eventstore.database import Cursor
from eventstore.sqlite import statements as sql
from eventstore.sqlite.database import Sqlite
from eventstore.writer import Writer

PAGES_AT_ONCE = 2000  # cut off in one transaction: 8 MB


class FileRoom:
    """The room of one database; see `retention.Room`."""

    def __init__(self, database: Sqlite, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def settle(self) -> None:
        """Keep the write-ahead log short: a purge writes much more than its statements say."""
        if self._database.path is not None:
            self._database.checkpoint()

    def reclaim(self) -> int:
        """Cut free pages off the file, some at a time so that writers get in between."""
        before = free = self._free()
        while free:
            pages = min(free, PAGES_AT_ONCE)

            def cut(cursor: Cursor, pages: int = pages) -> None:
                for _ in range(pages):
                    cursor.execute(sql.RECLAIM_ONE)

            self._writer.do(cut)
            self.settle()
            left = self._free()
            if left >= free:
                break  # writers were faster, or the file was made without incremental vacuum
            free = left
        (size,) = self._database.query(sql.PAGE_SIZE)[0]
        return max(0, before - free) * int(size)

    def _free(self) -> int:
        return int(self._database.query(sql.FREE_PAGES)[0][0])
