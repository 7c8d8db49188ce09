"""A SQLite database as the log uses it: connections and write transactions.

One connection writes, a few read; in memory one connection does both under a lock. Opening is
lazy, and a forked child is refused.
"""

import contextlib
import ctypes
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from eventstore.batch import Entry
from eventstore.database import Faults
from eventstore.errors import LogError, StorageError, StorageFull, StorageUnsuitable
from eventstore.readers import Readers
from eventstore.sqlite import bulk, faults, statements
from eventstore.sqlite.checkpoints import Checkpoints
from eventstore.sqlite.opening import open_reader, open_writer
from eventstore.sqlite.patience import Patience
from eventstore.sqlite.place import Footing, check_place, has_content, size_of
from eventstore.sqlite.session import Counted, Session, close_all, engine_of
from eventstore.store import Counters

T = TypeVar("T")


class Sqlite:
    """A database file (or one in memory, if `path` is None)."""

    sql: Any = statements
    faults: Faults = faults

    def __init__(self, path: str | None, counters: Counters) -> None:
        self.path = path
        self.place = path or "the database in memory"
        self.counters = counters
        self.patience = Patience(self.place)
        self.checkpoints = Checkpoints(self.patience, is_file=path is not None)
        self._writing = threading.Lock()  # held from begin to commit; taken before `_lock`
        self._lock = threading.RLock()  # opening, closing; in memory: every use
        self._counting = threading.Lock()
        self._pid = os.getpid()
        self._writer: Session | None = None
        self._watcher: Session | None = None
        self._readers = Readers(self._new_reader, self._drop)
        self._everything: list[Session] = []
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._footing: Footing | None = None
        self._fault: StorageError | None = None
        self._changes = 0  # of the writer's connection before its transaction
        self._engine = engine_of(path)

    def ready(self) -> Session:
        """Give the writer's connection, opened if need be.

        Raises:
            StorageUnsuitable: this is a forked child.
        """
        if not self.is_ours():
            raise StorageUnsuitable(
                f"{self.place} was opened before this process was forked; SQLite cannot be"
                " carried across a fork: make a new Engine in the child, or start the child with"
                " multiprocessing's 'spawn'"
            )
        if self._fault is not None:
            raise self._fault
        return self._writer or self._open()

    def is_there(self) -> bool:
        """Say whether there is a file that is not empty; in memory there is."""
        return self.path is None or has_content(self.path)

    def size(self) -> int | None:
        """Give the bytes of the file and its write-ahead log."""
        return None if self.path is None else size_of(self.path)

    def is_ours(self) -> bool:
        """Say whether this process, and not one it was forked from, made this object."""
        return self._pid == os.getpid()

    def _open(self) -> Session:
        with self._lock:
            if self._writer is not None:
                return self._writer
            if self.path is not None:
                check_place(self.path)
            writer = self.patiently(
                lambda: open_writer(
                    Session(self._engine), self.path, self.place, self.checkpoints
                )
            )
            self._everything.insert(0, writer)
            self._finalizer = weakref.finalize(self, close_all, self._everything)
            if self.path is not None:
                self._footing = Footing(self.path)
            self._writer = writer
            return writer

    def close(self) -> None:
        """Close all connections; the next call opens them again. In memory they stay."""
        if self.path is None:
            return
        with self._writing, self._lock:
            self._fault = None
            if self._finalizer is not None:
                self._finalizer.detach()
            self._readers.close()
            for session in (self._watcher, self._writer):
                if session is not None:
                    self._drop(session)
            self._watcher, self._writer = None, None
            self.checkpoints.close()
            self._footing = None

    def reopen(self) -> None:
        """Drop the writer's connection, which failed half-way, and make a new one."""
        with self._lock:
            self.checkpoints.in_doubt = self.path is not None
            writer, self._writer = self._writer, None
            if writer is not None:
                self._drop(writer)
            if self.path is None:
                raise StorageError(f"{self.place} failed; what it held is gone")
            self._open()

    def forked(self) -> None:
        """Leave the parent's connections alone for ever; called in a forked child."""
        if self._finalizer is not None:
            self._finalizer.detach()
        for kept in (self._everything, self._engine):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # never to be closed from here
        self.checkpoints.close()

    def check_footing(self) -> None:
        """Raise, now and until closed, if the files were deleted or replaced under us."""
        if self._footing is not None:
            try:
                self._footing.check()
            except StorageError as error:
                self._fault = error
                raise

    def query(self, sql: str, values: Sequence[Any] = (), *, long: bool = False) -> list[Any]:  # noqa: ARG002 - as long as it takes
        """Give the rows of one SELECT."""
        self.count(1)
        session = self.take()
        try:
            return session.raw.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if not faults.is_busy(error):
                raise faults.translate(error, self.place) from error
            return self.patiently(lambda: session.raw.execute(sql, values).fetchall())
        finally:
            self.give(session)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Counted]:
        """Give a cursor for several SELECTs on one connection; its errors are ours."""
        session = self.take()
        cursor = session.cursor()
        try:
            with self.patience.translated():
                yield cursor
        finally:
            self.count(cursor.number)
            self.give(session)

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Give what `attempt` gives; tried again while others hold the database."""
        with self.patience.translated():
            return self.patience.retry(attempt)

    def count(self, statements: int) -> None:
        """Count statements; an `executemany` is one."""
        with self._counting:
            self.counters.statements += statements

    def take(self) -> Session:
        """Take a connection for reading; give it back soon."""
        writer = self.ready()
        if self.path is None:
            self._lock.acquire()
            return writer
        return self._readers.take()

    def give(self, session: Session) -> None:
        """Give back what was taken."""
        if self.path is None:
            self._lock.release()
            return
        self._readers.give(session)

    def _new_reader(self) -> Session:
        with self._lock:
            session = self.patiently(lambda: open_reader(Session(self._engine)))
            self._everything.append(session)
            return session

    def _drop(self, session: Session) -> None:
        with self._lock:
            self._everything.remove(session)
            session.close()

    def changed(self) -> int:
        """Give SQLite's data version: it moves when another connection has committed."""
        self.ready()
        if self.path is None:
            return self.counters.commits
        with self._lock:
            self._watcher = self._watcher or self._new_reader()
            version = self.patiently(self._watcher.raw.execute("PRAGMA data_version").fetchone)
            return int(version[0])

    # -- writing, by one thread at a time

    def begin(self, *, long: bool = False) -> Session:  # noqa: ARG002 - as long as it takes
        """Begin a write transaction and give its connection; `commit` or `rollback` ends it."""
        self._writing.acquire()
        try:
            writer = self.ready()
            if self.path is None:
                self._lock.acquire()
            try:
                with self.patience.translated():
                    self.checkpoints.before_a_write(writer)
                    self._begin(writer)
            except BaseException:
                if self.path is None:
                    self._lock.release()
                raise
        except BaseException:
            self._writing.release()
            raise
        self._changes = writer.raw.total_changes
        return writer

    def _begin(self, writer: Session) -> None:
        self.checkpoints.enter()
        try:
            try:
                writer.raw.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not faults.is_busy(error):
                    raise
                self.patience.retry(lambda: writer.raw.execute("BEGIN IMMEDIATE"))
        except BaseException:
            self.checkpoints.leave()
            raise

    def hope(self, session: Session, entries: Sequence[Entry], *, alone: bool) -> int:  # noqa: ARG002
        """Write appends without looking first; see `database.Database`."""
        return bulk.write_hopefully(session.cursor(), entries)

    def commit(self, session: Session, size: int) -> None:
        """Commit `size` bytes of data; durable when it returns.

        Raises:
            sqlite3.Error: the outcome is not known; `rollback` and `reopen`, then look.
        """
        wrote = session.raw.total_changes != self._changes
        session.raw.execute("COMMIT")
        if wrote:
            self.counters.commits += 1
            self.checkpoints.wrote(size)
        self._leave()

    def rollback(self, session: Session) -> None:
        """Undo what the transaction did, as far as the connection still can."""
        try:  # the error that led here is the one to report; SQLite rolls back by itself
            with contextlib.suppress(sqlite3.Error):
                if session.raw.in_transaction:
                    session.raw.execute("ROLLBACK")
        finally:
            self._leave()

    def _leave(self) -> None:
        if self.path is None:
            self._lock.release()
        else:
            self.checkpoints.leave()
        self._writing.release()

    def failed(self, reason: LogError) -> None:
        """Note that there was no room."""
        self.checkpoints.is_cramped |= isinstance(reason, StorageFull)

    def tidy(self) -> None:
        """Checkpoint if much was written since the last time; called between transactions."""
        if self.checkpoints.is_due():
            self.checkpoint()

    def checkpoint(self) -> bool:
        """Copy the write-ahead log into the database; False if others were in the way."""
        with self._writing:
            return self.checkpoints.run(self.ready())
