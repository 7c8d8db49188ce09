"""A PostgreSQL database as the log uses it: connections and write transactions.

One connection writes for the whole process, a few read; workers have one more, of the keeper.
A connection that is lost is made anew for as long as our patience lasts; reading is simply done
again, and what became of a write is found out by the append's id.
"""

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg

from eventstore import clock
from eventstore.batch import Doubt, Entry
from eventstore.database import Faults
from eventstore.errors import (
    LogError,
    StorageError,
    StorageUnsuitable,
)
from eventstore.postgres import bulk, faults, opening, patience, silence
from eventstore.postgres.address import Address
from eventstore.postgres.session import Counted, Session, engine_of
from eventstore.postgres.statements import Statements
from eventstore.readers import Readers
from eventstore.store import Counters

T = TypeVar("T")

READERS = 16  # connections that read at once


class Postgres:
    """A schema in a PostgreSQL database."""

    path: str | None = None
    faults: Faults = faults

    def __init__(self, address: Address, counters: Counters) -> None:
        self.address = address
        self.place = address.place
        self.counters = counters
        self.sql: Any = Statements(address.schema)
        self.server: opening.Server | None = None  # known once it was open
        self._writing = threading.Lock()  # held from begin to commit
        self._lock = threading.RLock()  # opening, closing
        self._gave_up = (float("-inf"), LogError())  # when opening failed, and why
        self._counting = threading.Lock()
        self._pid = os.getpid()
        self._writer: Session | None = None
        self._readers = Readers(self._new_reader, self.drop, READERS)
        self._engine = engine_of(address)
        self._everything: list[Session] = []
        self._finalizer = weakref.finalize(self, _close_all, self._everything)

    # -- opening and closing

    def ready(self) -> Session:
        """Give the writer's connection, opened if need be.

        Raises:
            StorageError: this is a forked child, or the server cannot be used, and why.
        """
        if not self.is_ours():
            raise StorageUnsuitable(
                f"{self.place} was opened before this process was forked; a connection cannot be"
                " shared with the parent: make a new Engine in the child, or start the child with"
                " multiprocessing's 'spawn'"
            )
        return self._writer or self._open()

    def is_there(self) -> bool:
        """Say whether the schema holds a log."""
        if self._writer is not None:
            return True
        session = self.connect()
        try:
            opening.look_at(session, self.address)
            return opening.recognise(session, self.address)
        except psycopg.Error as error:
            raise faults.translate(error, self.place) from error
        finally:
            self.drop(session)

    def size(self) -> int | None:
        """Give the bytes of the schema's tables with their indexes."""
        return int(self.query(self.sql.SIZE, (self.address.schema,))[0][0])

    def is_ours(self) -> bool:
        """Say whether this process, and not one it was forked from, made this object."""
        return self._pid == os.getpid()

    def _open(self) -> Session:
        came = clock.real_seconds()
        with self._lock:
            if self._writer is None:
                at, why = self._gave_up
                if at > came:  # who waited meanwhile has waited enough
                    raise type(why)(*why.args) from why.__cause__
                try:
                    self._writer = self.patiently_connect(self._new_writer)
                except LogError as error:
                    self._gave_up = (clock.real_seconds(), error)
                    raise
            return self._writer

    def _new_writer(self) -> Session:
        session = self.connect()
        try:
            server = opening.look_at(session, self.address)
            if server.is_pooled:
                session.raw.prepare_threshold = None
            else:
                opening.tune_writer(session)
            if not opening.recognise(session, self.address):
                opening.found(session, self.address)
        except BaseException as error:
            self.drop(session)
            if isinstance(error, psycopg.Error):
                raise faults.translate(error, self.place) from error
            raise
        self.server = server
        return session

    @property
    def is_pooled(self) -> bool:
        """Tell whether a pooler stands between; False while the server is not known yet."""
        return self.server is not None and self.server.is_pooled

    def connect(self, longest: float | None = None) -> Session:
        """Give a new connection; `longest` in seconds for which the server may say nothing."""
        session = opening.connect(self._engine, self.address, self.is_pooled, longest)
        self._everything.append(session)
        return session

    def patiently_connect(self, attempt: Callable[[], T]) -> T:
        """Give what an attempt gives; a server that was there before is waited for."""
        seconds = 0.0 if self.server is None else patience.PATIENCE
        return patience.patiently(attempt, seconds)

    def drop(self, session: Session) -> None:
        """Close a connection, or what is left of it."""
        with self._counting:
            if session in self._everything:
                self._everything.remove(session)
        with contextlib.suppress(Exception):  # it may be half dead
            session.close()

    def close(self) -> None:
        """Close all connections; the next call opens them again."""
        with self._writing, self._lock:
            self._readers.close()
            self._drop_writer()

    def reopen(self) -> None:
        """Drop the writer's connection, which failed half-way, and make a new one."""
        with self._lock:
            self._drop_writer()
            self._open()

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self.drop(writer)

    def forked(self) -> None:
        """Leave the parent's connections alone for ever; called in a forked child."""
        self._finalizer.detach()
        for kept in (self._everything, self._engine):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # never to be closed from here

    def check_footing(self) -> None:
        """Do nothing: the server looks after its files."""

    # -- reading

    def query(self, sql: str, values: Sequence[Any] = (), *, long: bool = False) -> list[Any]:
        """Give the rows of one SELECT, asked again if the connection was lost."""
        self.ready()
        self.count(1)
        until = 0.0
        while True:
            session = self.patiently_connect(self._readers.take)
            session.raw.longest = silence.LONG if long else silence.LONGEST
            try:
                rows = session.run(sql, values).fetchall()
            except psycopg.Error as error:
                self._readers.lose(session)
                may_pass = faults.is_lost(error) or faults.is_passing(error)
                now = clock.real_seconds()  # a silence alone may have taken longer
                until = until or now + patience.PATIENCE
                if not may_pass or now > until:
                    raise faults.translate(error, self.place) from error
                clock.real_sleep(0.02 * clock.chance())
            except BaseException:
                self._readers.lose(session)
                raise
            else:
                self._readers.give(session)
                return rows

    @contextlib.contextmanager
    def reading(self) -> Iterator[Counted]:
        """Give a cursor for several SELECTs on one connection; its errors are ours."""
        self.ready()
        session = self.patiently_connect(self._readers.take)
        session.raw.longest = silence.LONGEST
        cursor = Counted(session)
        try:
            yield cursor
        except psycopg.Error as error:
            self._readers.lose(session)
            raise faults.translate(error, self.place) from error
        except BaseException:
            self._readers.lose(session)
            raise
        else:
            self._readers.give(session)
        finally:
            self.count(cursor.number)

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Give what a reading attempt gives; made again if its connection was lost."""
        return self.patiently_connect(attempt)

    def count(self, statements: int) -> None:
        """Count statements; an `executemany` is one."""
        with self._counting:
            self.counters.statements += statements

    def _new_reader(self) -> Session:
        return self.connect()

    # -- writing, by one thread at a time

    def begin(self, *, long: bool = False) -> Session:
        """Get ready to write; the transaction begins with the first statement."""
        self._writing.acquire()
        try:
            writer = self.ready()
        except BaseException:
            self._writing.release()
            raise
        writer.wants_transaction, writer.wrote = True, False
        writer.raw.longest = silence.LONG if long else silence.LONGEST
        return writer

    def hope(self, session: Session, entries: Sequence[Entry], *, alone: bool) -> int:
        """Write appends without looking first, all in one statement."""
        if any(not check.tip.version for entry in entries for check in entry.checks):
            raise Doubt  # that a stream is absent is seen by looking only
        session.wants_transaction = not alone  # alone it commits by itself
        cursor = session.cursor()
        try:
            bulk.write_hopefully(cursor.execute, self.sql.schema, entries)
        except psycopg.errors.DivisionByZero:
            raise Doubt from None
        session.wrote = True
        return cursor.number

    def commit(self, session: Session, size: int) -> None:  # noqa: ARG002 - the server's affair
        """Commit; durable when it returns."""
        session.wants_transaction = False
        if not session.is_at_rest:  # one that is closed raises here
            session.run("COMMIT")
            session.wrote = True
        if session.wrote:
            self.counters.commits += 1
        self._writing.release()

    def rollback(self, session: Session) -> None:
        """Undo what the transaction did, as far as the connection still can."""
        session.wants_transaction = False
        try:
            with contextlib.suppress(psycopg.Error):
                if session.in_transaction:
                    session.run("ROLLBACK")
        finally:
            self._writing.release()

    def failed(self, reason: LogError) -> None:
        """Do nothing: the next write tries again."""

    def tidy(self) -> None:
        """Do nothing: the server tidies by itself."""

    def changed(self) -> int:
        """Tell nothing: see `lookout.py`."""
        raise StorageError("the lookout tells what changed")


def _close_all(sessions: list[Session]) -> None:
    for session in sessions:
        with contextlib.suppress(Exception):
            session.close()
