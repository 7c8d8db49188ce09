"""One moment of a SQLite database: many questions of the same state, while others write."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from eventstore.picture import Rows
from eventstore.sqlite import faults
from eventstore.sqlite.database import Sqlite

_ROWS_AT_ONCE = 500


@contextlib.contextmanager
def moment(database: Sqlite) -> Iterator[Rows]:
    """Give what asks one moment of a database.

    A file is read in one transaction: writers go on, only the write-ahead log is not emptied
    meanwhile. What lies in memory is copied, because it has one connection only.
    """
    session = database.take()
    if database.path is None:
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            session.raw.backup(copy)
        finally:
            database.give(session)
        with contextlib.closing(copy):
            yield _asking(database, copy)
        return
    try:
        database.patiently(lambda: session.raw.execute("BEGIN"))
        try:
            yield _asking(database, session.raw)
        finally:
            session.raw.rollback()
    finally:
        database.give(session)


def _asking(database: Sqlite, raw: sqlite3.Connection) -> Rows:
    def ask(text: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        database.count(1)
        cursor = database.patiently(lambda: raw.execute(text, values))
        try:
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield from rows
        except sqlite3.Error as error:
            raise faults.translate(error, database.place) from error

    return ask
