"""One connection to PostgreSQL."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from eventstore import clock
from eventstore.postgres import silence
from eventstore.postgres.address import Address

# The rooms of the driver that measure time: its own, and those of its build in C.
_WAITING = [
    sys.modules[name]
    for name in ("psycopg.waiting", "psycopg_binary._psycopg", "psycopg_c._psycopg")
    if name in sys.modules
]


def engine_of(address: Address) -> sa.Engine:
    """Give SQLAlchemy's engine for an address. Opens nothing."""
    engine = sa.create_engine(
        address.url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # our own BEGIN
        connect_args=dict(address.options),
    )
    sa.event.listen(engine, "do_connect", _pick_up)
    return engine


def _pick_up(_dialect: Any, _record: Any, args: Any, options: Any) -> silence.Line:
    return silence.Line.connect(*args, **options)


def _unfreeze() -> None:
    """Let the driver wait by a clock that runs: on a frozen one no time-out ever comes.

    Each time, because the end of a `freeze_time` puts back what stood there when it began.
    """
    for module in _WAITING:
        module.monotonic = clock.real_seconds  # type: ignore[attr-defined]


class Session:
    """SQLAlchemy's connection, and the driver's own below it for the hot path.

    It begins its transaction with the first statement of `cursor()`; `raw` commits each statement
    by itself. A server that says nothing for `longest` seconds is given up.
    """

    __slots__ = ("__weakref__", "held", "raw", "wants_transaction", "wrote")

    def __init__(
        self, engine: sa.Engine, *, is_pooled: bool = False, longest: float | None = None
    ) -> None:
        _unfreeze()
        try:
            self.held = engine.connect()
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from None
            raise
        raw = self.held.connection.driver_connection
        assert isinstance(raw, silence.Line)  # noqa: S101 - for the type checker
        self.raw: silence.Line = raw
        raw.prepare_threshold = None if is_pooled else 2
        raw.longest = silence.LONGEST if longest is None else longest
        self.wants_transaction = False
        self.wrote = False

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open on it."""
        return self.raw.info.transaction_status in (
            psycopg.pq.TransactionStatus.ACTIVE,
            psycopg.pq.TransactionStatus.INTRANS,
            psycopg.pq.TransactionStatus.INERROR,
        )

    @property
    def is_at_rest(self) -> bool:
        """Tell whether it is known to be well, with no transaction open."""
        return self.raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def cursor(self) -> "Counted":
        """Give a new cursor that counts."""
        return Counted(self)

    def run(self, sql: str, values: Sequence[Any] = ()) -> "Counted":
        """Execute one statement by itself."""
        return Counted(self).execute(sql, values)

    def close(self) -> None:
        """Close the connection, or what is left of it."""
        try:
            self.held.invalidate()
        finally:
            self.held.close()


class Counted:
    """A cursor that counts its statements, and begins the transaction that its session wants."""

    __slots__ = ("_cursor", "_session", "number")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cursor: Any = session.raw.cursor(binary=True)
        self.number = 0

    @property
    def rowcount(self) -> int:
        """Give how many rows the last statement changed."""
        return int(self._cursor.rowcount)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "Counted":
        """Execute one statement."""
        self._begin()
        self.number += 1
        self._cursor.execute(sql, parameters or None)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> "Counted":
        """Execute one statement with many sets of values; it counts as one."""
        self._begin()
        self.number += 1
        self._cursor.executemany(sql, parameters)
        return self

    def pour(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Copy rows in; `sql` is a COPY."""
        self._begin()
        self.number += 1
        with self._cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)

    def fetchone(self) -> Any:
        """Give the next row, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        rows: list[Any] = self._cursor.fetchall()
        return rows

    def _begin(self) -> None:
        session = self._session
        if session.wants_transaction:
            session.wants_transaction = False
            self.number += 1
            self._cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
