"""What the rooms of a SQL log need of a database, whichever it is.

`sqlite/` and `postgres/` each keep one. The rooms share their words: `sql` holds the statements
of the dialect under the same names, with the same values in the same order.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeVar

from eventstore.errors import LogError
from eventstore.store import Counters

T = TypeVar("T")


class Cursor(Protocol):
    """A cursor of a driver that counts its statements."""

    number: int

    @property
    def rowcount(self) -> int:
        """Give how many rows the last statement changed."""

    def execute(self, sql: str, parameters: Sequence[Any] = ...) -> Self:
        """Execute one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Any:
        """Execute one statement with many sets of values; it counts as one."""

    def pour(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute one statement made for very many new rows."""

    def fetchone(self) -> Any:
        """Give the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""


class Session(Protocol):
    """One connection."""

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open on it."""

    @property
    def is_at_rest(self) -> bool:
        """Tell whether it is known to be well, with no transaction open."""

    def cursor(self) -> Cursor:
        """Give a new cursor that counts."""


class Faults(Protocol):
    """What a driver's errors mean; a module of functions, all pure."""

    @property
    def ERROR(self) -> type[Exception]:  # noqa: N802 - a constant of a module
        """Give the root of the driver's errors."""

    def translate(self, error: Any, place: str, /) -> LogError:
        """Give our error: what is wrong, where, and what to do next."""

    def is_about_the_row(self, error: Any, /) -> bool:
        """Say whether the values were at fault, and the transaction goes on."""

    def leaves_doubt(self, error: Any, /) -> bool:
        """Say whether it may have been written although the call failed."""

    def is_passing(self, error: Any, /) -> bool:
        """Say whether the same transaction, done again at once, may go through."""


class Database(Protocol):
    """Connections and write transactions of one database."""

    place: str  # where it is, for people; never with a password
    path: str | None  # of its file
    counters: Counters

    @property
    def sql(self) -> Any:
        """Give the statements of its dialect."""

    @property
    def faults(self) -> Faults:
        """Give what its driver's errors mean."""

    def ready(self) -> Any:
        """Open it if need be.

        Raises:
            StorageError: it cannot be used, and why.
        """

    def is_there(self) -> bool:
        """Say whether it has been made already; makes nothing."""

    def size(self) -> int | None:
        """Give the bytes that it takes; None in memory."""

    def is_ours(self) -> bool:
        """Say whether this process, and not one it was forked from, made this object."""

    def close(self) -> None:
        """Close all connections; the next call opens them again."""

    def forked(self) -> None:
        """Leave the parent's connections alone for ever; called in a forked child."""

    def query(self, sql: str, values: Sequence[Any] = (), *, long: bool = False) -> list[Any]:
        """Give the rows of one SELECT; a `long` one goes over much of the log, and may take."""

    def reading(self) -> AbstractContextManager[Cursor]:
        """Give a cursor for several SELECTs on one connection; its errors are ours."""

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Give what a reading attempt gives; tried again while others are in the way."""

    def count(self, statements: int) -> None:
        """Count statements; an `executemany` is one."""

    def changed(self) -> int:
        """Give a number that moves when somebody else has changed a stream."""

    def check_footing(self) -> None:
        """Raise if what the log stands on was taken away under it."""

    # Writing, by one thread at a time.

    def begin(self, *, long: bool = False) -> Any:
        """Begin a write transaction, give its session; `commit` or `rollback` ends it.

        Args:
            long: it changes much of the log, and its statements may take long.
        """

    def hope(self, session: Any, entries: Sequence[Any], *, alone: bool) -> int:
        """Write appends that touch different streams without looking first.

        Args:
            session: of `begin`.
            entries: `batch.Entry`s.
            alone: nothing else is to be done in this transaction; it may commit at once.

        Returns:
            The number of statements.

        Raises:
            batch.Doubt: one of them was refused; undo all and look before writing.
        """

    def commit(self, session: Any, size: int) -> None:
        """Commit `size` bytes of data; durable when it returns.

        Raises:
            Exception: the driver's; the outcome is not known: `rollback`, `reopen`, then look.
        """

    def rollback(self, session: Any) -> None:
        """Undo what the transaction did, as far as the connection still can."""

    def reopen(self) -> None:
        """Drop the writer's connection, which failed half-way, and make a new one."""

    def failed(self, reason: LogError) -> None:
        """Take note of why a transaction failed."""

    def tidy(self) -> None:
        """Do what is due between transactions."""
