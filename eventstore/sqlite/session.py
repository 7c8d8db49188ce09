"""One connection to SQLite, and what makes a database a log of ours."""

import sqlite3
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from eventstore import clock, schema
from eventstore.errors import SchemaMismatch, StorageUnsuitable

_WAL_BYTES = 64 * 2**20  # the write-ahead log's file is cut back to this when it starts over


def engine_of(path: str | None) -> sa.Engine:
    """Give SQLAlchemy's engine for a file, or for a database in memory. Opens nothing."""
    return sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=path or ":memory:"),
        poolclass=NullPool,
        connect_args={
            "timeout": 0.0,  # our own patience instead
            "isolation_level": None,  # our own BEGIN
            "check_same_thread": False,
            "cached_statements": 256,
        },
    )


class Counted(sqlite3.Cursor):
    """A cursor that counts its statements, for work that is not known beforehand."""

    number = 0

    def execute(self, sql: str, parameters: Any = ()) -> "Counted":
        """Execute one statement."""
        self.number += 1
        super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any]) -> "Counted":
        """Execute one statement with many sets of values; it counts as one."""
        self.number += 1
        super().executemany(sql, parameters)
        return self

    def pour(self, sql: str, rows: Iterable[Any]) -> None:
        """Execute one statement with very many sets of values."""
        self.executemany(sql, rows)


class Session:
    """One connection: SQLAlchemy's, and the driver's own below it for the hot path."""

    __slots__ = ("held", "raw")

    def __init__(self, engine: sa.Engine) -> None:
        self.held = engine.connect()
        raw = self.held.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - for the type checker
        self.raw = raw

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open on it."""
        return self.raw.in_transaction

    @property
    def is_at_rest(self) -> bool:
        """Tell whether it is known to be well, with no transaction open."""
        return not self.raw.in_transaction

    def cursor(self) -> Counted:
        """Give a new cursor that counts."""
        return self.raw.cursor(Counted)

    def close(self) -> None:
        """Close the connection."""
        self.held.close()

    def tune(self) -> None:
        """Set what each connection needs. Only explicit checkpoints: see `checkpoints.py`."""
        for pragma in (
            "synchronous=FULL", "recursive_triggers=ON", "wal_autocheckpoint=0", "mmap_size=0",
            f"journal_size_limit={_WAL_BYTES}",
        ):  # fmt: skip
            self.raw.execute("PRAGMA " + pragma)


def close_all(sessions: list[Session]) -> None:
    """Close connections, the writer's, which is the first, last of all."""
    for session in reversed(sessions):
        session.close()


def outdated(place: str, found: int) -> str:
    """Say why a log of another schema is refused, and what to do with it. *Pure.*"""
    url = f"sqlite:///{place}"
    return schema.outdated(
        place, found,
        backup=f"playhead backup --url {url} COPY", migrate=f"playhead migrate --url {url}",
    )  # fmt: skip


def schema_of(session: Session, place: str) -> int | None:
    """Give the schema that a database is stamped with; None if it is empty.

    Raises:
        SchemaMismatch: it is another program's.
    """
    run = session.raw.execute
    names = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names:
        return None
    stamp = dict(run("SELECT * FROM log_meta").fetchall()) if "log_meta" in names else {}
    if stamp.get("format") != schema.FORMAT:
        tables = ", ".join(sorted(names)[:5])
        raise SchemaMismatch(
            f"{place} belongs to another program (it has the tables {tables}); name another file"
        )
    return int(stamp["schema"])


def recognise(session: Session, place: str) -> bool:
    """Say whether a database is a log of ours; False if it is empty.

    Raises:
        SchemaMismatch: it is another program's, or of another schema than this Playhead's.
    """
    found = schema_of(session, place)
    if found not in (None, schema.VERSION):
        raise SchemaMismatch(outdated(place, found))
    return found is not None


def keep_ahead(session: Session, place: str) -> None:
    """Switch an empty or our own database to a write-ahead log.

    Raises:
        StorageUnsuitable: SQLite cannot keep one there.
    """
    mode = session.raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StorageUnsuitable(
            f"{place} lies where SQLite cannot keep a write-ahead log (it stays in mode {mode});"
            " use a local disk"
        )


def found(session: Session) -> None:
    """Create tables, guards and stamp, within the transaction that is open."""
    schema.tables.create_all(session.held)
    for guard in schema.SQLITE_GUARDS:
        session.raw.execute(guard)
    stamp = {"format": schema.FORMAT, "schema": str(schema.VERSION), "store": clock.new_id()}
    session.raw.executemany("INSERT INTO log_meta VALUES (?, ?)", stamp.items())
