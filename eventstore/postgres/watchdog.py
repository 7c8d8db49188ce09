"""A server process that neither answers nor dies is given up.

No time-out of TCP or of the server helps against it: the connection is well, and nobody is at
home. So whoever keeps a thread looks now and then at the calls in progress, and cuts the
connection of one that takes too long; the caller then gets an error and connects anew.
"""

import contextlib
import socket
import threading
import weakref

from eventstore import clock
from eventstore.postgres.session import Session

LONGEST = 15.0  # seconds of one call, unless its connection has a limit of its own


def is_stuck(since: float, now: float, limit: float) -> bool:
    """Say whether a call that began at `since` (0: none) takes too long. *Pure.*"""
    return since > 0.0 and now - since > limit


class Watchdog:
    """The connections that are watched."""

    def __init__(self) -> None:
        self._watched: weakref.WeakKeyDictionary[Session, float] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def watch(self, session: Session, limit: float = LONGEST) -> None:
        """Watch a connection; `limit` in seconds for each call on it."""
        with self._lock:
            self._watched[session] = limit

    def forget(self, session: Session) -> None:
        """Watch it no longer."""
        with self._lock:
            self._watched.pop(session, None)

    def look(self) -> int:
        """Cut the connections whose call takes too long; give how many."""
        now = clock.real_seconds()
        with self._lock:
            stuck = [s for s, limit in self._watched.items() if is_stuck(s.since, now, limit)]
        for session in stuck:
            cut(session)
        return len(stuck)


def cut(session: Session) -> None:
    """Shut a connection's socket down, so that who waits for an answer gets an error."""
    with contextlib.suppress(Exception):  # it may just be closing
        twin = socket.socket(fileno=session.raw.fileno())
        try:
            twin.shutdown(socket.SHUT_RDWR)
        finally:
            twin.detach()  # the descriptor is the driver's
