"""A copy of a database that others write to meanwhile, by SQLite's own backup interface.

The copy is of one moment: a read transaction is held from the first page to the last, so that a
writer in between neither shows in the copy nor makes it begin anew. The file is never read by
other means: closing a descriptor of it would drop the locks of this process
(sqlite.org/howtocorrupt.html, 2.2).
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from eventstore import clock
from eventstore.database import Database
from eventstore.errors import StorageCorrupt, StorageError, StorageUnsuitable
from eventstore.integrity import Integrity
from eventstore.sqlite import faults, statements
from eventstore.sqlite.patience import Patience
from eventstore.sqlite.place import check_place, is_own
from eventstore.sqlite.session import Session, engine_of, schema_of

PAGES = 1024  # copied in one step; writers in other processes never wait for it
_BESIDE = ("-wal", "-journal")  # what SQLite would take for a part of the copy

_NOT_WRITTEN = {  # what cannot be said of the log, which is only read
    sqlite3.SQLITE_FULL: "there is no room left on its disk; free some, or name a file elsewhere",
    sqlite3.SQLITE_CANTOPEN: "its folder cannot be written; name a file in another",
    sqlite3.SQLITE_READONLY: "its folder cannot be written; name a file in another",
}
_RUNS = "SELECT kind, status, count(*) FROM stream GROUP BY kind, status ORDER BY kind, status"
_EVENTS = "SELECT count(*), max(at) FROM event"


class Copied(NamedTuple):
    """What a copy holds."""

    path: str
    bytes: int
    schema: int
    streams: dict[str, dict[str, int]]  # how many, by kind and status
    events: int
    newest: int | None  # time of the newest event
    faults: tuple[str, ...]  # what verifying it found; nothing: it is sound


class _Copy:
    """A database that is only asked, as `Integrity` asks it."""

    sql = statements

    def __init__(self, raw: sqlite3.Connection, place: str) -> None:
        self._raw, self.place = raw, place

    def query(self, sql: str, values: Any = (), *, long: bool = False) -> list[Any]:  # noqa: ARG002 - as long as it takes
        """Give the rows of one SELECT."""
        try:
            return self._raw.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise faults.translate(error, self.place) from error


def back_up(
    source: str, target: str, *, force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Copied:  # fmt: skip
    """Copy a log's file, of whatever schema, to another; verified before it gets its name.

    Args:
        source: The file of the log; it may be at work.
        target: The file of the copy.
        force: Put it in the place of a file that is there.
        progress: Called after each step with pages copied and pages in all.

    Raises:
        StorageError: It cannot be made there; nothing is left behind.
        StorageCorrupt: The copy has faults, and so has the log; nothing is left behind.
    """
    _check_target(source, target, force=force)
    part = f"{target}.{clock.new_id()}.part"
    try:
        with Patience(source).translated(), _reader(source) as session:
            if schema_of(session, source) is None:
                raise StorageUnsuitable(f"{source} is empty: there is nothing to copy")
            _copy(session.raw, part, target, progress)
        copied = _look(part, target)
        if copied.faults:
            raise StorageCorrupt(
                f"the copy of {source} has faults, and so has the log: {copied.faults[0]};"
                " `playhead verify` names them all. No copy was kept"
            )
        _sync(part)
        Path(part).replace(target)
        _sync(str(Path(target).parent))
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        for name in (part, *(part + end for end in (*_BESIDE, "-shm"))):
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
    return copied


def _check_target(source: str, target: str, *, force: bool) -> None:
    path = Path(target)
    if path.is_dir():
        raise StorageError(f"{target} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise StorageError(f"there is no folder {path.parent}; make it first")
    if is_own(source, target):
        raise StorageUnsuitable(
            f"{target} is the log itself, or a part of it; name another file"
        )
    if path.exists():
        if not path.is_file():
            raise StorageError(f"{target} is no file that can be replaced; name another")
        if not force:
            raise StorageError(f"{target} is there already; name another file, or use --force")
    for end in _BESIDE:
        if Path(target + end).exists():
            raise StorageUnsuitable(
                f"{target}{end} lies beside {target}: some program has it open, or died with it;"
                " it would be read as a part of the copy. Name another file"
            )


@contextlib.contextmanager
def _reader(source: str) -> Iterator[Session]:
    """Give a connection that sees the log as it is now until the block ends."""
    check_place(source)
    session = Session(engine_of(source))
    try:
        session.tune()
        session.raw.execute("PRAGMA query_only=ON")
        session.raw.execute("BEGIN")
        Patience(source).retry(
            lambda: session.raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
        )
        yield session
        session.raw.execute("ROLLBACK")
    finally:
        session.close()


def _copy(
    raw: sqlite3.Connection, part: str, target: str, progress: Callable[[int, int], None] | None
) -> None:
    def step(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    try:
        copy = sqlite3.connect(part, isolation_level=None)
    except sqlite3.Error as error:
        raise _not_written(error, target) from error
    try:
        raw.backup(copy, pages=PAGES, progress=step, sleep=0)
    except sqlite3.Error as error:
        raise _not_written(error, target) from error
    finally:
        copy.close()


def _not_written(error: sqlite3.Error, target: str) -> Exception:
    """Give what to say of the copy; what may as well be the log's is left as it is. *Pure.*"""
    reason = _NOT_WRITTEN.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return error if reason is None else StorageError(f"cannot write {target}: {reason}")


def _look(part: str, target: str) -> Copied:
    """Open the copy as a log would be opened, and look at all of it."""
    raw = sqlite3.connect(part, isolation_level=None)
    try:
        asked = _Copy(raw, target)
        faults_found = tuple(Integrity(cast("Database", asked)).verify(None))
        streams: dict[str, dict[str, int]] = {}
        for kind, status, count in asked.query(_RUNS):
            streams.setdefault(kind, {})[status] = count
        events, newest = asked.query(_EVENTS)[0]
        (found,) = asked.query("SELECT value FROM log_meta WHERE key = 'schema'")[0]
    finally:
        raw.close()
    size = Path(part).stat().st_size
    return Copied(target, size, int(found), streams, events, newest, faults_found)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
