"""A SQLite database as the log uses it: connections, write transactions, checkpoints.

One connection writes, a few read; in memory one connection does both under a lock. Opening is
lazy. Transactions begin IMMEDIATE with our own short jittered patience, because SQLite's busy
handler sleeps up to 100 ms at a time and starves writers of other processes.
"""

import ctypes
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from eventstore import clock, faults, gate, schema
from eventstore.errors import SchemaMismatch, StorageBusy, StorageError, StorageUnsuitable
from eventstore.place import Footing, check_place
from eventstore.store import Counters

T = TypeVar("T")

PATIENCE = 10.0  # seconds of waiting for another program's lock before StorageBusy
_IDLE_READERS = 8  # connections kept open for the next reader
_WAL_PAGES = 2000  # about 8 MB of log between two checkpoints
_WAL_BYTES = 64 * 2**20  # the log's file is cut back to this when it starts over


class Session:
    """One connection: SQLAlchemy's, and the driver's own below it for the hot path."""

    __slots__ = ("generation", "held", "raw")

    def __init__(self, engine: sa.Engine, generation: int) -> None:
        self.held = engine.connect()
        raw = self.held.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - for the type checker
        self.raw = raw
        self.generation = generation

    def close(self) -> None:
        """Close the connection."""
        self.held.close()


class Sqlite:
    """A database file (or one in memory, if `path` is None)."""

    def __init__(self, path: str | None, counters: Counters) -> None:
        self.path = path
        self.place = path or "sqlite in memory"
        self.counters = counters
        self.patience = PATIENCE
        self._writing = threading.Lock()  # held from begin to commit; taken before `_lock`
        self._lock = threading.RLock()  # opening, closing; in memory: every use
        self._counting = threading.Lock()
        self._pid = os.getpid()
        self._generation = 0
        self._writer: Session | None = None
        self._watcher: Session | None = None
        self._readers: list[Session] = []
        self._everything: list[Session] = []
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._gate: gate.Gate | None = None
        self._footing: Footing | None = None
        self._fault: StorageError | None = None
        self._pages = 0.0
        self._changes = 0  # of the writer's connection before the transaction
        self._engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=path or ":memory:"),
            poolclass=NullPool,
            connect_args={
                "timeout": 0.0,
                "isolation_level": None,
                "check_same_thread": False,
                "cached_statements": 256,
            },
        )

    # -- opening and closing

    def ready(self) -> Session:
        """Give the writer's connection, opened if need be; refuse in a forked child."""
        if not self.is_ours():
            raise StorageUnsuitable(
                f"{self.place} was opened before this process was forked; SQLite cannot be carried"
                " across a fork: make a new Engine in the child, or start it with"
                " multiprocessing's 'spawn'"
            )
        if self._fault is not None:
            raise self._fault
        return self._writer or self._open()

    def _open(self) -> Session:
        with self._lock:
            if self._writer is not None:
                return self._writer
            if self.path is not None:
                check_place(self.path)
            with self._translated():
                writer = Session(self._engine, self._generation)
                try:
                    self._prepare(writer)
                except BaseException:
                    writer.close()
                    self._close_gate()
                    raise
            self._everything.insert(0, writer)
            self._finalizer = weakref.finalize(self, _close_all, self._everything)
            self._writer = writer
            if self.path is not None:
                self._footing = Footing(self.path)
            return writer

    def folder(self) -> Path:
        """Give the folder of lock files beside the database, made if need be."""
        folder = Path(f"{self.path}-workers")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {folder} beside the database: {error}") from error
        return folder

    def _prepare(self, writer: Session) -> None:
        run = writer.raw.execute
        found = self._patiently(lambda: self._recognise(writer))
        if not found:
            run("PRAGMA auto_vacuum=INCREMENTAL")
        if self.path is not None and self._gate is None and gate.AFFECTED:
            self._gate = gate.Gate(self.folder())
        if self.path is not None:
            mode = self._patiently(lambda: run("PRAGMA journal_mode=WAL").fetchone()[0])
            if mode != "wal":
                raise StorageUnsuitable(
                    f"{self.path} lies where SQLite cannot keep a write-ahead log (it says {mode});"
                    " use a local disk"
                )
        self._tune(writer)
        run(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        if not found:
            self._begin(writer)
            try:
                if not self._recognise(writer):
                    schema.tables.create_all(writer.held)
                    for guard in schema.SQLITE_GUARDS:
                        run(guard)
                    stamp = {
                        "format": schema.FORMAT,
                        "schema": str(schema.VERSION),
                        "store": clock.new_id(),
                    }
                    writer.raw.executemany("INSERT INTO log_meta VALUES (?, ?)", stamp.items())
                run("COMMIT")
            except BaseException:
                writer.raw.rollback()
                raise
        writer.held.rollback()

    def _tune(self, session: Session) -> None:
        for pragma in (
            "synchronous=FULL", "recursive_triggers=ON", "wal_autocheckpoint=0", "mmap_size=0",
        ):  # fmt: skip
            session.raw.execute("PRAGMA " + pragma)

    def _recognise(self, session: Session) -> bool:
        """Say whether the database is a log of ours; False if it is empty."""
        run = session.raw.execute
        names = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not names:
            return False
        stamp = {}
        if "log_meta" in names:
            stamp = dict(run("SELECT key, value FROM log_meta").fetchall())
        if stamp.get("format") != schema.FORMAT:
            raise SchemaMismatch(
                f"{self.place} belongs to another program (tables: {', '.join(sorted(names)[:5])});"
                " name another file"
            )
        if int(stamp["schema"]) != schema.VERSION:
            raise SchemaMismatch(
                f"{self.place} has schema {stamp['schema']}, this Playhead knows {schema.VERSION}:"
                + (
                    " update Playhead"
                    if int(stamp["schema"]) > schema.VERSION
                    else " run `playhead migrate`"
                )
            )
        return True

    def close(self) -> None:
        """Close all connections; the next call opens them again. In memory nothing is let go."""
        if self.path is None:
            return
        with self._writing, self._lock:
            self._fault = None
            self._generation += 1  # readers at work are closed when they are given back
            if self._finalizer is not None:
                self._finalizer.detach()
            idle = [*self._readers, self._watcher, self._writer]
            self._readers, self._watcher, self._writer = [], None, None
            for session in idle:
                if session is not None:
                    self._everything.remove(session)
                    session.close()
            self._close_gate()
            self._footing = None

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def reopen(self) -> None:
        """Drop the writer's connection, of which nobody knows what it did, and make a new one."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._everything.remove(writer)
                writer.close()
            if self.path is None:
                raise StorageError("the database in memory failed; what it held is gone")
            self._open()

    def is_ours(self) -> bool:
        """Say whether this process, and not one it was forked from, made this object."""
        return self._pid == os.getpid()

    def forked(self) -> None:
        """Leave the parent's connections alone for ever; called in a forked child."""
        if self._finalizer is not None:
            self._finalizer.detach()
        for kept in (self._everything, self._engine):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # never to be closed from here
        self._close_gate()

    # -- reading

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Give the rows of one SELECT."""
        session = self.take()
        try:
            return self.select(session, sql, values)
        finally:
            self.give(session)

    def select(self, session: Session, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Give the rows of one SELECT on a connection that was taken."""
        self.count(1)
        try:
            return session.raw.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if not faults.is_busy(error):
                raise faults.translate(error, self.place) from error
        with self._translated():
            return self._patiently(lambda: session.raw.execute(sql, values).fetchall())

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
        try:
            return self._readers.pop()
        except IndexError:
            return self._new_reader()

    def give(self, session: Session) -> None:
        """Give back what was taken."""
        if self.path is None:
            self._lock.release()
            return
        with self._lock:
            if session.generation == self._generation and len(self._readers) < _IDLE_READERS:
                self._readers.append(session)
            else:
                self._everything.remove(session)
                session.close()

    def _new_reader(self) -> Session:
        with self._lock, self._translated():
            session = Session(self._engine, self._generation)
            self._tune(session)
            session.raw.execute("PRAGMA query_only=ON")
            self._everything.append(session)
            return session

    def changed(self) -> int:
        """Give SQLite's data version: it moves when another connection has committed."""
        self.ready()
        if self.path is None:
            return self.counters.commits
        with self._lock, self._translated():
            if self._watcher is None:
                self.ready()
                self._watcher = self._new_reader()
            version = self._patiently(self._watcher.raw.execute("PRAGMA data_version").fetchone)
            return int(version[0])

    # -- writing, by one thread at a time

    def begin(self) -> Session:
        """Begin a write transaction and give its connection; `commit` or `rollback` ends it."""
        self._writing.acquire()
        try:
            writer = self.ready()
            if self.path is None:
                self._lock.acquire()
            try:
                with self._translated():
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
        if self._gate is None:
            self._patiently(lambda: writer.raw.execute("BEGIN IMMEDIATE"))
            return
        doors = self._gate
        until = clock.real_seconds() + self.patience
        while not doors.enter():
            self._pause(until, None)
        try:
            self._patiently(lambda: writer.raw.execute("BEGIN IMMEDIATE"))
        except BaseException:
            doors.leave()
            raise

    def commit(self, session: Session, size: int) -> None:
        """Commit; durable when it returns. `size`: bytes written, to know when to checkpoint.

        Raises:
            sqlite3.Error: the outcome is not known; `rollback` and `reopen`, then look.
        """
        wrote = session.raw.total_changes != self._changes
        session.raw.execute("COMMIT")
        if wrote:
            self.counters.commits += 1
            self._pages += 5 + size / 2048
        self._leave()

    def rollback(self, session: Session) -> None:
        """Undo what the transaction did, as far as the connection still can."""
        try:
            if session.raw.in_transaction:
                session.raw.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the error that led here is the one to report; SQLite rolls back by itself
        finally:
            self._leave()

    def _leave(self) -> None:
        if self.path is None:
            self._lock.release()
        elif self._gate is not None:
            self._gate.leave()
        self._writing.release()

    def tidy(self) -> None:
        """Checkpoint if much was written since the last time; called between transactions."""
        if self._pages >= _WAL_PAGES and self.path is not None:
            self.checkpoint()

    def checkpoint(self) -> bool:
        """Copy the write-ahead log into the database; False if others were in the way."""
        with self._writing:
            return self._checkpoint(self.ready())

    def _checkpoint(self, writer: Session) -> bool:
        if self._gate is not None and not self._gate.enter_alone():
            self._pages = _WAL_PAGES * 0.9  # soon again
            return False
        try:
            busy, logged, copied = writer.raw.execute(
                "PRAGMA wal_checkpoint(PASSIVE)"
            ).fetchone()
        except sqlite3.Error:
            self._pages = (
                _WAL_PAGES * 0.5
            )  # e.g. a full disk: what was committed stays in the log
            return False
        finally:
            if self._gate is not None:
                self._gate.leave()
        self._pages = max(0, logged - copied) * 0.5
        return not busy and logged == copied

    def check_footing(self) -> None:
        """Raise, now and from now on, if the files were deleted or replaced under us."""
        if self._footing is not None:
            try:
                self._footing.check()
            except StorageError as error:
                self._fault = error
                raise

    # -- patience and errors

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Give what `attempt` gives; tried again while others hold the database."""
        with self._translated():
            return self._patiently(attempt)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        until = clock.real_seconds() + self.patience
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not faults.is_busy(error):
                    raise
                self._pause(until, error)

    def _pause(self, until: float, error: sqlite3.Error | None) -> None:
        if clock.real_seconds() > until:
            raise StorageBusy(
                f"{self.place}: another program held the database for more than"
                f" {self.patience:g} s; find it (`fuser {self.place}`) and stop it"
            ) from error
        clock.real_sleep(0.0002 + 0.0038 * clock.chance())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise faults.translate(error, self.place) from error
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise faults.translate(error.orig, self.place) from error
            raise


def _close_all(sessions: list[Session]) -> None:
    for session in reversed(sessions):  # the writer was the first
        session.close()
