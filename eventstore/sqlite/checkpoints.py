"""When the write-ahead log is copied into the database, and how a doubt is settled.

SQLite's automatic checkpoints are off everywhere: with the SQLite versions named in `gate.py` a
checkpoint must not meet a writer, so each is asked for, alone, by whoever has just committed.
"""

import sqlite3
from pathlib import Path

from eventstore import clock
from eventstore.sqlite import gate
from eventstore.sqlite.patience import Patience
from eventstore.sqlite.session import Session

PAGES = 2000  # written between two checkpoints: about 8 MB of log
_SETTLING = 2.0  # seconds to wait for readers when a doubt is to be settled


class Checkpoints:
    """The gate of one database's writers, and the count of what they wrote."""

    def __init__(self, patience: Patience, *, is_file: bool) -> None:
        self._patience, self._is_file = patience, is_file
        self._gate: gate.Gate | None = None
        self._pages = 0.0
        self.in_doubt = False  # a commit failed half-way; see `settle`
        self.is_cramped = False  # a write found no room; see `before_a_write`

    def open(self, folder: Path) -> None:
        """Open the gate, if this SQLite needs one."""
        if self._gate is None and gate.AFFECTED:
            self._gate = gate.Gate(folder)

    def close(self) -> None:
        """Close the gate's files."""
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def enter(self) -> None:
        """Pass the gate as a writer; waits while a checkpoint is at work."""
        if self._gate is not None and not self._gate.enter():
            until = self._patience.deadline()
            while not self._gate.enter():
                self._patience.pause(until)

    def leave(self) -> None:
        """Leave the gate."""
        if self._gate is not None:
            self._gate.leave()

    def wrote(self, size: int) -> None:
        """Take note of a commit of so many bytes."""
        self._pages += 5 + size / 2048

    def is_due(self) -> bool:
        """Say whether enough was written since the last checkpoint."""
        return self._is_file and self._pages >= PAGES

    def before_a_write(self, writer: Session) -> None:
        """Settle a doubt; on a disk that was full, make room in the log before it grows.

        The log may be many times what it says anew about the database, and would take for itself
        whatever room there is again. Copied, it is written from its beginning.

        Raises:
            sqlite3.Error, StorageBusy: a doubt cannot be settled yet.
        """
        if self.in_doubt:
            self.settle(writer)
        if self.is_cramped:
            self.is_cramped = self._is_file and not self.run(writer)

    def run(self, writer: Session) -> bool:
        """Copy the log into the database; False if others were in the way.

        A full disk is no reason to fail here: what was committed stays safe in the log, and the
        next append says what is wrong.
        """
        try:
            return self._copy(writer)
        except sqlite3.Error:
            self._pages = PAGES * 0.5
            return False

    def settle(self, writer: Session) -> None:
        """Make sure that what can be read is on the disk, after a commit that failed half-way.

        Such a commit may be found by reading although its sync failed, and a second sync of the
        same file may lie. Copying all of the log into the database writes and syncs it anew.

        Raises:
            sqlite3.Error: the disk is not well yet.
            StorageBusy: readers were in the way all the time.
        """
        until = clock.real_seconds() + _SETTLING
        while not self._copy(writer):
            self._patience.pause(until)
        self.in_doubt = False

    def _copy(self, writer: Session) -> bool:
        if self._gate is not None and not self._gate.enter_alone():
            self._pages = PAGES * 0.9  # soon again
            return False
        try:
            row = writer.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            self.leave()
        busy, logged, copied = row
        self._pages = max(0, logged - copied) * 0.5
        return not busy and bool(logged == copied)
