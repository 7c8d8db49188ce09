"""What SQLite's errors mean in our tree, and what to do about each."""

import sqlite3

from eventstore.errors import (
    LogError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnsuitable,
)

ERROR = sqlite3.Error
_NO_TEXT = "Could not decode to UTF-8"  # the driver's own words; it gives them no code
BUSY, LOCKED, PROTOCOL = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL

_MEANING: dict[int, tuple[type[StorageError], str]] = {
    sqlite3.SQLITE_FULL: (
        StorageFull,
        "there is no room left; free some space and go on with the same log",
    ),
    sqlite3.SQLITE_READONLY: (
        StorageReadOnly,
        "it cannot be written; give this user the rights to the file and its folder",
    ),
    sqlite3.SQLITE_PERM: (StorageReadOnly, "the rights to it are missing"),
    sqlite3.SQLITE_CORRUPT: (
        StorageCorrupt,
        (
            "its bytes are damaged; stop, keep a copy of the file with its -wal, and restore a"
            " backup"
        ),
    ),
    sqlite3.SQLITE_NOTADB: (
        StorageCorrupt,
        (
            "it is not a SQLite database, or its first page is damaged; name another file or"
            " restore a backup"
        ),
    ),
    sqlite3.SQLITE_BUSY: (StorageBusy, "another program held it too long; stop that program"),
    sqlite3.SQLITE_LOCKED: (StorageBusy, "another program held it too long; stop that program"),
    sqlite3.SQLITE_PROTOCOL: (StorageBusy, "its locks are contended too much; try again"),
    sqlite3.SQLITE_CANTOPEN: (
        StorageError,
        "it cannot be opened; see that its folder exists and that file handles are left",
    ),
    sqlite3.SQLITE_IOERR: (
        StorageError,
        "the disk did not do what it was asked; look at the system's log and at the disk's limits",
    ),
    sqlite3.SQLITE_NOLFS: (StorageFull, "the file system cannot hold a file of this size"),
    sqlite3.SQLITE_TOOBIG: (StorageError, "a value is larger than SQLite can hold"),
    sqlite3.SQLITE_NOMEM: (StorageError, "there is not enough memory"),
}


def code_of(error: BaseException) -> int:
    """Give SQLite's primary result code of an error, or 0. *Pure.*"""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Say whether trying again in a moment may help. *Pure.*"""
    return code_of(error) in (BUSY, LOCKED, PROTOCOL)


def is_about_the_row(error: sqlite3.Error) -> bool:
    """Say whether the values were at fault, and the transaction goes on. *Pure.*"""
    return code_of(error) in (
        0, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_RANGE,
    )  # fmt: skip


def leaves_doubt(error: sqlite3.Error) -> bool:
    """Say whether the disk may hold what the call said it could not write. *Pure.*"""
    return code_of(error) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)


def is_passing(error: sqlite3.Error) -> bool:  # noqa: ARG001
    """Say whether the same transaction may go through at once: one writer meets nobody. *Pure.*"""
    return False


def translate(error: sqlite3.Error, place: str) -> LogError:
    """Give our error for a driver's error: what is wrong, where, and what to do next. *Pure.*"""
    code = code_of(error)
    if code == 0 and isinstance(error, sqlite3.ProgrammingError):
        return StorageUnsuitable(
            f"{place}: the connection was closed in the middle of a call ({error})"
        )
    kind, advice = _MEANING.get(code, (StorageError, "SQLite refused"))
    if code == 0 and str(error).startswith(_NO_TEXT):
        kind, advice = _MEANING[sqlite3.SQLITE_CORRUPT]
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
        kind, advice = StorageFull, "there is no room left for its -shm file; free some space"
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return kind(f"{place}: {advice} ({name}: {error})")
