"""Connections kept open for whoever reads next."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

IDLE = 8  # connections kept; more are opened when more read at once, and closed after


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
    """

    def __init__(self, open_: Callable[[], S], drop: Callable[[S], None]) -> None:
        self._open, self._drop = open_, drop
        self._idle: list[S] = []
        self._out: set[int] = set()  # those at work, by id, that are wanted back
        self._lock = threading.Lock()

    def take(self) -> S:
        """Take one; give it back soon."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._open()
        with self._lock:
            self._out.add(id(session))
        return session

    def give(self, session: S) -> None:
        """Give back what was taken; it is closed if it is not wanted any more."""
        with self._lock:
            is_wanted = id(session) in self._out and len(self._idle) < IDLE
            self._out.discard(id(session))
            if is_wanted:
                self._idle.append(session)
        if not is_wanted:
            self._drop(session)

    def lose(self, session: S) -> None:
        """Close one that was taken and failed."""
        with self._lock:
            self._out.discard(id(session))
        self._drop(session)

    def close(self) -> None:
        """Close the idle ones; those at work are closed when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._out.clear()
        for session in idle:
            self._drop(session)
