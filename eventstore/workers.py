"""Leases of workers: one row each, and beside it a lock by which a death is known sooner."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from eventstore import clock
from eventstore.database import Cursor, Database
from eventstore.errors import LogError
from eventstore.reading import array
from eventstore.store import WorkerRow
from eventstore.tally import Lease

R = TypeVar("R")
_offers = msgspec.json.Decoder(tuple[str, ...])


def worker_of(row: tuple[Any, ...]) -> WorkerRow:
    """Give a lease for a row of `statements.WORKERS`. *Pure.*"""
    worker, name, host, pid, since, until, offers, dead, locked, renewed, skew = row
    return WorkerRow(
        worker,
        name,
        host,
        pid,
        since,
        until,
        _offers.decode(offers),
        bool(dead),
        bool(locked),
        renewed,
        skew,
    )


class Locks(Protocol):
    """The locks of workers: those held here, and a look at those of others."""

    def take(self, worker: str) -> bool:
        """Hold a worker's lock until `drop`, `close` or the end of the process.

        False: there are no locks here, and the lease alone tells of a life.

        Raises:
            LogError: another process lives under this id.
        """

    def drop(self, worker: str) -> None:
        """Let go of a worker's lock."""

    def is_free(self, worker: WorkerRow) -> bool | None:
        """Say whether a worker is known to be gone; None if only its lease can tell."""

    def any_free(self) -> bool:
        """Say whether some worker may be gone; asks no database."""

    def leases(self) -> dict[str, Lease] | None:
        """Give the leases of living workers, if they were seen by the way; else None."""

    def clear(self, worker: str) -> None:
        """Clear away what a worker that is gone has left."""

    def close(self) -> None:
        """Let go of all locks held here."""

    def forked(self) -> None:
        """Let go of what a forked child got; the parent's locks stay held."""


class Desk(Protocol):
    """Where the rows of workers are written."""

    def do(self, work: Callable[[Cursor], R]) -> R:
        """Do some work in a write transaction; durable when its result is given."""

    def touch(self, sql: str, values: Sequence[Any]) -> int:
        """Execute one statement in a transaction of its own; give how many rows it changed."""


class Leases:
    """The rows of workers."""

    def __init__(self, database: Database, desk: Desk, locks: Locks) -> None:
        self._database, self._desk, self.locks = database, desk, locks
        self._sql = database.sql
        self._entered: dict[str, WorkerRow] = {}
        self._lengths: dict[str, int] = {}  # of each lease when it was last renewed

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock."""
        self._database.ready()
        is_locked = self.locks.take(worker.id)
        worker = msgspec.structs.replace(worker, locked=is_locked)
        self._lengths[worker.id] = worker.until - clock.now_us()
        self._entered[worker.id] = worker
        self._desk.touch(self._sql.ENTER, _values(worker))

    def renew(self, worker: str, until: int, offers: Sequence[str] | None) -> None:
        """Extend a lease, and see that the database's files are still the ones we opened."""
        self._database.check_footing()
        self._lengths[worker] = until - clock.now_us()
        said = None if offers is None else array(offers)
        if self._desk.touch(self._sql.RENEW_LIVING, (until, said, clock.now_us(), worker)):
            return

        def extend(cursor: Cursor) -> None:
            row = cursor.execute(self._sql.WORKER, (worker,)).fetchone()
            if row is None:
                entered = self._entered.get(worker)
                if entered is None:
                    raise LogError(f"no worker {worker!r} in this log; `enter` it first")
                cursor.execute(self._sql.ENTER, _values(entered))
                row = (0, array(entered.offers))
            if row[0]:
                cursor.execute(self._sql.DISOWN, (clock.now_us(), worker))
            cursor.execute(self._sql.RENEW, (until, said or row[1], clock.now_us(), worker))

        self._desk.do(extend)

    def renew_all(self) -> None:
        """Extend the leases of all that entered here by what they were given last."""
        for worker in list(self._entered):
            length = self._lengths.get(worker)
            if length is not None:  # it may be leaving
                self.renew(worker, clock.now_us() + length, None)

    def leave(self, worker: str, now: int) -> None:
        """Remove a worker; its streams become unowned and due."""

        def remove(cursor: Cursor) -> None:
            cursor.execute(self._sql.DISOWN, (now, worker))
            cursor.execute(self._sql.LEAVE, (worker,))

        self._desk.do(remove)
        self._entered.pop(worker, None)
        self._lengths.pop(worker, None)
        self.locks.drop(worker)

    def all(self) -> list[WorkerRow]:
        """Give all leases."""
        return [worker_of(row) for row in self._database.query(self._sql.WORKERS)]

    def living(self) -> dict[str, Lease]:
        """Give the lease of each living worker by its id."""
        seen = self.locks.leases()
        if seen is not None:
            return seen
        return {row.id: Lease(row.until, row.skew) for row in self.all() if not row.dead}

    def any_death(self) -> bool:
        """Say whether a lock says that a worker died; costs no query."""
        return self.locks.any_free()

    def bury(self, now: int) -> list[str]:
        """Mark the dead, forget those that own nothing; give the newly found."""
        rows = self.all()
        suspects: list[tuple[str, int]] = []
        for row in rows:
            if not row.dead:
                free = self.locks.is_free(row)
                if free or (free is None and row.until <= now):
                    suspects.append((row.id, row.until))  # unless it renews meanwhile
        if not suspects and not any(row.dead for row in rows):
            return []

        def mark(cursor: Cursor) -> list[str]:
            found = [
                worker
                for worker, until in suspects
                if cursor.execute(self._sql.BURY, (worker, until)).rowcount
            ]
            cursor.execute(self._sql.FORGET)
            return found

        found: list[str] = self._desk.do(mark)
        for worker in found:
            self.locks.clear(worker)
        return found


def _values(worker: WorkerRow) -> tuple[Any, ...]:
    return (
        worker.id, worker.name, worker.host, worker.pid, worker.since, worker.until,
        array(worker.offers), int(worker.dead), int(worker.locked), clock.now_us(),
    )  # fmt: skip
