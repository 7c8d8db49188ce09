"""Leases of workers, and the locks by which their deaths are known.

Beside a database file each worker holds a lock on a file of its own. The system opens the lock
when the process ends, however it ends: a free lock is a death, and a held lock is a life even if
the lease ran out (a stopped process, a suspended machine).
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from eventstore import clock
from eventstore.errors import LogError
from eventstore.reading import array
from eventstore.sqlite import statements as sql
from eventstore.sqlite.database import Sqlite
from eventstore.store import WorkerRow
from eventstore.writer import Writer

_offers = msgspec.json.Decoder(tuple[str, ...])


def worker_of(row: tuple[Any, ...]) -> WorkerRow:
    """Give a lease for a row of `statements.WORKERS`. *Pure.*"""
    worker, name, host, pid, since, until, offers, dead = row
    return WorkerRow(worker, name, host, pid, since, until, _offers.decode(offers), bool(dead))


class Locks:
    """The lock files of workers: those held here, and a look at those of others."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._held)

    def take(self, worker: str) -> None:
        """Hold a worker's lock until `drop`, `close` or the end of the process.

        Raises:
            LogError: another process lives under this id.
        """
        if self._database.path is None:
            return
        path = self._path(worker)
        until = clock.real_seconds() + 1.0
        with self._lock:
            if worker in self._held:
                return
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    if clock.real_seconds() > until:
                        raise LogError(
                            f"worker {worker!r} is at work in another process; each needs an"
                            " id of its own"
                        ) from None
                    clock.real_sleep(0.01)  # somebody may just be looking whether it is free
                    continue
                if _same_file(descriptor, path):
                    self._held[worker] = descriptor
                    return
                os.close(descriptor)  # it was cleared away between the two calls

    def drop(self, worker: str) -> None:
        """Let go of a worker's lock and clear its file away."""
        with self._lock:
            descriptor = self._held.pop(worker, None)
            if descriptor is not None:
                self._path(worker).unlink(missing_ok=True)
                os.close(descriptor)

    def is_free(self, worker: str) -> bool | None:
        """Say whether nobody holds a worker's lock any more; None if there is no lock file."""
        if self._database.path is None:
            return None
        if worker in self._held:
            return False
        path = self._path(worker)
        return self._is_unheld(path.name) if path.exists() else None

    def any_free(self) -> bool:
        """Say whether some worker's lock file lies about that nobody holds: its process died.

        Asks the file system only. A worker that leaves takes its file away.
        """
        if self._database.path is None:
            return False
        held = {self._path(worker).name for worker in list(self._held)}
        try:
            names = [path.name for path in self._database.folder().glob("*.lock")]
        except OSError:
            return False
        return any(self._is_unheld(name) for name in names if name not in held)

    def _is_unheld(self, name: str) -> bool:
        try:
            descriptor = os.open(self._database.folder() / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def clear(self, worker: str) -> None:
        """Clear away the lock file of a worker that is gone."""
        if self._database.path is not None:
            self._path(worker).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all locks held here; their files stay, free."""
        with self._lock:
            _close(self._held)

    def forked(self) -> None:
        """Close the descriptors in a forked child; the parent's locks stay held."""
        _close(self._held)

    def _path(self, worker: str) -> Path:
        digest = hashlib.sha256(worker.encode(errors="surrogateescape")).hexdigest()
        return self._database.folder() / f"{digest[:32]}.lock"


class Leases:
    """The rows of workers."""

    def __init__(self, database: Sqlite, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self.locks = Locks(database)
        self._entered: dict[str, WorkerRow] = {}

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock."""
        self._database.ready()
        self.locks.take(worker.id)
        self._entered[worker.id] = worker
        self._writer.do(lambda cursor: cursor.execute(sql.ENTER, _values(worker)) and None)

    def renew(self, worker: str, until: int, offers: Sequence[str] | None) -> None:
        """Extend a lease, and see that the database's files are still the ones we opened."""
        self._database.check_footing()

        def extend(cursor: sqlite3.Cursor) -> None:
            row = cursor.execute(sql.WORKER, (worker,)).fetchone()
            if row is None:
                entered = self._entered.get(worker)
                if entered is None:
                    raise LogError(f"no worker {worker!r} in this log; `enter` it first")
                cursor.execute(sql.ENTER, _values(entered))
                row = (0, array(entered.offers))
            if row[0]:
                cursor.execute(sql.DISOWN, (clock.now_us(), worker))
            now_offers = row[1] if offers is None else array(offers)
            cursor.execute(sql.RENEW, (until, now_offers, worker))

        self._writer.do(extend)

    def leave(self, worker: str, now: int) -> None:
        """Remove a worker; its streams become unowned and due."""

        def remove(cursor: sqlite3.Cursor) -> None:
            cursor.execute(sql.DISOWN, (now, worker))
            cursor.execute(sql.LEAVE, (worker,))

        self._writer.do(remove)
        self._entered.pop(worker, None)
        self.locks.drop(worker)

    def all(self) -> list[WorkerRow]:
        """Give all leases."""
        return [worker_of(row) for row in self._database.query(sql.WORKERS)]

    def any_death(self) -> bool:
        """Say whether a lock says that a worker died; costs no query."""
        return self.locks.any_free()

    def bury(self, now: int) -> list[str]:
        """Mark the dead, forget those that own nothing; give the newly found."""
        rows = self.all()
        suspects = []
        for row in rows:
            if not row.dead:
                free = self.locks.is_free(row.id)
                if free or (free is None and row.until <= now):
                    suspects.append(row.id)
        if not suspects and not any(row.dead for row in rows):
            return []

        def mark(cursor: sqlite3.Cursor) -> list[str]:
            found = [
                worker for worker in suspects if cursor.execute(sql.BURY, (worker,)).rowcount
            ]
            cursor.execute(sql.FORGET)
            return found

        found = self._writer.do(mark)
        for worker in found:
            self.locks.clear(worker)
        return found


def _values(worker: WorkerRow) -> tuple[Any, ...]:
    return (
        worker.id, worker.name, worker.host, worker.pid, worker.since, worker.until,
        array(worker.offers), int(worker.dead),
    )  # fmt: skip


def _close(held: dict[str, int]) -> None:
    for descriptor in held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    held.clear()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
