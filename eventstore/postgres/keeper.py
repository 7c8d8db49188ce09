"""The connection of a process's workers: their locks, their leases, their ears.

It is their own, so that a long append or a full pool never keeps a lease from being renewed. A
thread waits on it: for notices from other processes, and for its end, which it hears of at once.
Then it connects again, takes the locks again, and has the leases renewed.
"""

import contextlib
import ctypes
import logging
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg

from eventstore import clock
from eventstore.database import Cursor
from eventstore.errors import LogError
from eventstore.postgres import faults
from eventstore.postgres.database import Postgres
from eventstore.postgres.session import Session

log = logging.getLogger("playhead.eventstore")
R = TypeVar("R")
Ends = tuple[socket.socket, socket.socket]  # bell and rope

# Seconds of silence before a connection is given up: a lease has 10, renewed every third of it.
LIMIT = 3.0
ROUND = 1.0  # seconds at most until a connection that a caller lost is made anew
AGAIN = 0.3  # seconds at most between two tries to connect: others may take us for dead
TRIES = 3


class Keeper:
    """The workers' connection of one log.

    Args:
        database: gives connections.
        channel: what is listened to; quoted.
        hear: called with the text of each notice.
    """

    def __init__(self, database: Postgres, channel: str, hear: Callable[[str], None]) -> None:
        self._database, self._channel, self._hear = database, channel, hear
        self._lock = threading.RLock()
        self._session: Session | None = None
        self.generation = 0  # grows with each connection made
        self.since = 0.0  # when the last one was made, real seconds
        # Called once the server is back, and soon again for as long as they give True.
        self.on_back: list[Callable[[], bool | None]] = []
        self._ends: Ends | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()  # of that thread, and of no other
        self._users: set[str] = set()

    def open(self, user: str) -> None:
        """Connect, and keep a thread that listens for as long as somebody uses it."""
        with self._lock:
            if (
                self._session is not None
                and self._thread is None
                and not self._database.is_pooled
            ):
                self.touch(f"LISTEN {self._channel}", ())
            self._ready()
            self._users.add(user)
            if self._thread is None:
                self._stop, self._ends = threading.Event(), socket.socketpair()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop, self._ends[0]),
                    name="playhead-keeper", daemon=True,
                )  # fmt: skip
                self._thread.start()

    def leave(self, user: str) -> None:
        """Stop the thread if this was the last who used it; the connection is kept.

        It listens no more: what nobody takes in would pile up in the server.
        """
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
            thread, ends = self._part()  # who comes from now on gets another thread
        _see_off(thread, ends)
        with self._lock:
            if (
                self._session is not None
                and self._thread is None
                and not self._database.is_pooled
            ):
                try:
                    self._session.run("UNLISTEN *")
                except psycopg.Error:
                    self._lose()

    def do(self, work: Callable[[Cursor], R]) -> R:
        """Do some work in a transaction of its own; it may be done twice."""
        return self._patiently(lambda session: _in_transaction(session, work))

    def touch(self, sql: str, values: Sequence[Any]) -> int:
        """Execute one statement by itself; give how many rows it changed."""
        return self._patiently(lambda session: session.run(sql, values).rowcount)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Give the rows of one statement executed by itself."""
        return self._patiently(lambda session: session.run(sql, values).fetchall())

    def _patiently(self, attempt: Callable[[Session], R]) -> R:
        database = self._database
        with self._lock:
            for left in range(TRIES - 1, -1, -1):
                session = database.patiently_connect(self._ready)
                database.count(1)
                try:
                    result = attempt(session)
                except psycopg.Error as error:
                    if faults.is_lost(error):
                        self._lose()
                    if not left or not (faults.is_lost(error) or faults.is_passing(error)):
                        raise faults.translate(error, database.place) from error
                except BaseException:
                    self._lose()
                    raise
                else:
                    database.counters.commits += 1
                    return result
        raise AssertionError("the last try returns or raises")

    def _ready(self) -> Session:
        if self._session is None:
            self._database.ready()
            session = self._database.connect(LIMIT)
            try:
                if not self._database.is_pooled:
                    session.run("SET lock_timeout = '2s'")
                    session.run("SET idle_in_transaction_session_timeout = '5s'")
                    session.run(f"LISTEN {self._channel}")
            except psycopg.Error as error:
                self._database.drop(session)
                raise faults.translate(error, self._database.place) from error
            session.raw.add_notify_handler(lambda notice: self._hear(notice.payload))
            self._session = session
            self.generation += 1
            self.since = clock.real_seconds()
            self._ring()
        return self._session

    def _lose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._database.drop(session)

    def _run(self, stop: threading.Event, bell: socket.socket) -> None:
        seen = self.generation
        pause = 0.0
        calls: list[Callable[[], bool | None]] = []  # that are not done
        while not stop.is_set():
            self._wait(bell, pause or (AGAIN if calls else ROUND))
            if not self._lock.acquire(timeout=0.05):
                continue  # somebody is at work on it, and hears what comes meanwhile
            try:
                if stop.is_set():
                    return
                self._listen()
                if self._session is None:
                    self._ready()
                is_back, seen, pause = self.generation != seen, self.generation, 0.0
            except LogError:
                pause = min(AGAIN, pause * 2 or 0.05)
                continue
            finally:
                self._lock.release()
            calls = [
                call for call in (list(self.on_back) if is_back else calls) if _calls(call)
            ]

    def _wait(self, bell: socket.socket, seconds: float) -> None:
        poll = select.poll()
        poll.register(bell, select.POLLIN)
        session = self._session
        if session is not None:
            with contextlib.suppress(psycopg.Error, ValueError):
                poll.register(session.raw.fileno(), select.POLLIN)
        poll.poll(seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            bell.recv(64, socket.MSG_DONTWAIT)

    def _listen(self) -> None:
        """Take in what the server has sent; its end, too."""
        session = self._session
        if session is None:
            return
        try:
            raw = session.raw.pgconn
            raw.consume_input()
            while notice := raw.notifies():
                self._hear(notice.extra.decode())
        except psycopg.Error:
            self._lose()

    def _ring(self) -> None:
        if self._ends is not None:
            _pull(self._ends)

    def close(self) -> None:
        """Stop the thread and let go of the connection, and so of all locks."""
        with self._lock:
            self._users.clear()
            thread, ends = self._part()
        _see_off(thread, ends)
        with self._lock:
            self._lose()

    def _part(self) -> tuple[threading.Thread | None, Ends | None]:
        """Tell the thread to end, and give it to be seen off where no lock is held."""
        self._stop.set()
        thread, self._thread = self._thread, None
        ends, self._ends = self._ends, None
        return thread, ends

    def forked(self) -> None:
        """Leave it to the parent."""
        for kept in (self._session, self._ends):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # never to be closed from here
        self._session = self._ends = None


def _see_off(thread: threading.Thread | None, ends: Ends | None) -> None:
    if ends is not None:
        _pull(ends)
    if thread is not None and thread is not threading.current_thread():
        thread.join()
    for end in ends or ():
        end.close()


def _pull(ends: Ends) -> None:
    with contextlib.suppress(OSError):  # it rings already
        ends[1].send(b"!", socket.MSG_DONTWAIT)


def _calls(call: Callable[[], bool | None]) -> bool:
    try:
        return bool(call())
    except LogError as error:
        log.warning("after a lost connection: %s", error, extra={"action": "keeper_failed"})
        return False


def _in_transaction(session: Session, work: Callable[[Cursor], R]) -> R:
    session.wants_transaction = True
    try:
        result = work(session.cursor())
        if not session.is_at_rest:  # one that is closed raises here
            session.run("COMMIT")
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            if session.in_transaction:
                session.wants_transaction = False
                session.run("ROLLBACK")
        raise
    finally:
        session.wants_transaction = False
    return result
