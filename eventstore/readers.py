"""Connections kept open for whoever reads next."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

IDLE = 8  # connections kept; more are opened when more read at once, and closed after
PATIENCE = 5.0  # seconds to wait for one of the `most` there may be; then one more is opened


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """Close it."""


S = TypeVar("S", bound=Closable)


class Readers(Generic[S]):
    """The idle ones; safe from any thread.

    Args:
        open_: gives a new connection.
        drop: closes one for good.
        most: at once; who wants more waits for one. None: as many as are wanted. It is no hard
            limit, so that who reads while reading cannot wait for himself for ever.
    """

    def __init__(
        self, open_: Callable[[], S], drop: Callable[[S], None], most: int | None = None
    ) -> None:
        self._open, self._drop, self._most = open_, drop, most
        self._idle: list[S] = []
        self._out: set[int] = set()  # those at work, by id, that are wanted back
        self._taken = 0  # those at work, and those that are being opened
        self._lock = threading.Condition(threading.Lock())

    def take(self) -> S:
        """Take one; give it back soon."""
        with self._lock:
            if self._most is not None and self._taken >= self._most:
                self._lock.wait_for(self._has_room, PATIENCE)
            self._taken += 1
            if self._idle:
                session = self._idle.pop()
                self._out.add(id(session))
                return session
        try:
            session = self._open()
        except BaseException:
            with self._lock:
                self._untake()
            raise
        with self._lock:
            self._out.add(id(session))
        return session

    def _has_room(self) -> bool:
        return self._most is None or self._taken < self._most

    def _untake(self) -> None:
        self._taken -= 1
        self._lock.notify()

    def give(self, session: S) -> None:
        """Give back what was taken; it is closed if it is not wanted any more."""
        with self._lock:
            is_wanted = id(session) in self._out and len(self._idle) < IDLE
            self._out.discard(id(session))
            if is_wanted:
                self._idle.append(session)
            self._untake()
        if not is_wanted:
            self._drop(session)

    def lose(self, session: S) -> None:
        """Close one that was taken and failed."""
        with self._lock:
            self._out.discard(id(session))
            self._untake()
        self._drop(session)

    def close(self) -> None:
        """Close the idle ones; those at work are closed when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._out.clear()
        for session in idle:
            self._drop(session)
