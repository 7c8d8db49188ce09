"""The gate between writers and checkpoints, shared by all processes that use a database.

SQLite from 3.7.0 to 3.51.2 can corrupt a database when one connection resets the write-ahead
log while another one checkpoints (sqlite.org/wal.html, "the WAL-reset bug"). With such a SQLite
every writer passes here and holds the gate shared; a checkpoint holds it alone. A turnstile in
front keeps a stream of writers from shutting the checkpoint out for ever.
"""

import contextlib
import fcntl
import os
import sqlite3
import weakref
from pathlib import Path

from eventstore import clock

AFFECTED = not (sqlite3.sqlite_version_info >= (3, 51, 3))
_ALONE_PATIENCE = (
    0.05  # seconds that a checkpoint keeps writers waiting at most before it gives up
)


class Gate:
    """Two locked files; a lock belongs to the open file, so each log has its own."""

    def __init__(self, folder: Path) -> None:
        self._turnstile = os.open(
            folder / "turnstile", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
        self._gate = os.open(folder / "gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._finalizer = weakref.finalize(self, _close, self._turnstile, self._gate)

    def enter(self) -> bool:
        """Pass as a writer beside other writers; False if a checkpoint is at work."""
        if not _lock(self._turnstile, fcntl.LOCK_SH):
            return False
        try:
            return _lock(self._gate, fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def enter_alone(self) -> bool:
        """Pass alone, for a checkpoint; False if writers did not leave in time."""
        if not _lock(self._turnstile, fcntl.LOCK_EX):
            return False
        until = clock.real_seconds() + _ALONE_PATIENCE
        try:
            while not _lock(self._gate, fcntl.LOCK_EX):
                if clock.real_seconds() > until:
                    return False
                clock.real_sleep(0.0005)
            return True
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Let go of the gate."""
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; in a forked child this does not open the parent's locks."""
        self._finalizer()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
