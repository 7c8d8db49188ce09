"""Where a log's schema stands, and bringing it to today's: the door to `migrations`.

Alembic is imported when there is something to migrate, never before.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from eventstore import clock, schema
from eventstore.errors import LogError, SchemaMismatch, StorageError, StorageUnsuitable
from eventstore.sqlite.checkpoints import Checkpoints
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.locks import LockFiles
from eventstore.sqlite.opening import folder_beside
from eventstore.sqlite.place import check_place
from eventstore.sqlite.session import Session, engine_of, outdated, schema_of
from eventstore.store import Counters, WorkerRow

_WORKERS = "SELECT id, name, host, pid, until FROM worker WHERE dead = 0"  # in every schema


class Standing(NamedTuple):
    """What a migration would do, or did."""

    found: int  # the schema before
    schema: int  # today's
    steps: tuple[str, ...]  # what is done on the way, for people
    living: tuple[str, ...]  # workers at work, for people


class WorkersAtWork(LogError):
    """Workers are at work on a log that is to be migrated."""

    def __init__(self, place: str, living: tuple[str, ...]) -> None:
        self.living = living
        super().__init__(
            f"{place} is in use by {', '.join(living)}; stop what uses it, then migrate: a worker"
            " of an earlier Playhead could not go on"
        )


def migrate_file(path: str, *, is_check: bool = False, anyway: bool = False) -> Standing:
    """Bring a log in a SQLite file to today's schema, in one transaction.

    Killed anywhere, it can be repeated; a log of today's schema is left as it is.

    Args:
        path: The file; it must be there.
        is_check: Say what would be done; nothing is written.
        anyway: Do it although workers seem to be at work.

    Raises:
        WorkersAtWork: Nothing was done.
        SchemaMismatch: It is no log of ours, or of a newer Playhead.
        StorageError: There is no such file, or it cannot be written.
    """
    if not Path(path).is_file():
        raise StorageError(f"there is no log {path} to migrate")
    with _transaction(path, writes=not is_check) as session:
        found = schema_of(session, path)
        living = () if found is None else tuple(_living(session, path))
        if found is not None and found > schema.VERSION:
            raise SchemaMismatch(outdated(path, found))
        return _take(session.held, found, living, path, is_check=is_check, anyway=anyway)


def migrate_server(url: str, *, is_check: bool = False, anyway: bool = False) -> Standing:
    """Bring a log in PostgreSQL to today's schema, as `migrate_file` does with a file.

    Raises:
        WorkersAtWork, SchemaMismatch, StorageError: as there.
    """
    from eventstore.postgres.address import address_of  # noqa: PLC0415 - brings psycopg
    from eventstore.postgres.migrating import bench  # noqa: PLC0415
    from eventstore.postgres.opening import outdated as newer  # noqa: PLC0415

    address = address_of(url)
    with bench(address, writes=not is_check) as laid:
        if laid.schema is not None and laid.schema > schema.VERSION:
            raise SchemaMismatch(newer(address, laid.schema))
        now = clock.now_us()
        living = tuple(_words(*row[:4]) for row in laid.workers if row[4] > now)
        return _take(
            laid.held, laid.schema, living, address.place, is_check=is_check, anyway=anyway
        )


def _take(
    held: sa.Connection, found: int | None, living: tuple[str, ...], place: str, *,
    is_check: bool, anyway: bool,
) -> Standing:  # fmt: skip
    """Take the steps that are due, within the transaction that is open; say which they are."""
    if found is None:
        raise StorageUnsuitable(f"{place} is empty: there is nothing to migrate")
    if found == schema.VERSION:
        return Standing(found, found, (), ())
    from eventstore import migrations  # noqa: PLC0415 - see the caption

    steps = tuple(step.told for step in migrations.steps_from(found))
    if not is_check:
        if living and not anyway:
            raise WorkersAtWork(place, living)
        migrations.upgrade(held, found)
    return Standing(found, schema.VERSION, steps, living)


@contextlib.contextmanager
def _transaction(path: str, *, writes: bool) -> Iterator[Session]:
    """Give a connection in a transaction that ends with the block, undone if that fails."""
    check_place(path)
    database = Sqlite(path, Counters())  # for its patience and its folder; it stays closed
    checkpoints = Checkpoints(database.patience, is_file=True)
    with database.patience.translated():
        session = Session(engine_of(path))
        try:
            session.tune()
            if writes:
                checkpoints.open(folder_beside(path))
                checkpoints.enter()
            begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
            database.patience.retry(lambda: session.raw.execute(begin))
            yield session
            session.raw.execute("COMMIT")
        finally:
            if session.raw.in_transaction:
                session.raw.execute("ROLLBACK")
            session.close()
            checkpoints.close()


def _living(session: Session, path: str) -> Iterator[str]:
    """Give the workers whose lock is held, or whose lease runs while there is no lock to see."""
    locks, now = LockFiles(Sqlite(path, Counters())), clock.now_us()
    for worker, name, host, pid, until in session.raw.execute(_WORKERS).fetchall():
        is_free = locks.is_free(WorkerRow(worker, name, host, pid, 0, until, ()))
        if is_free is False or (is_free is None and until > now):
            yield _words(worker, name, host, pid)


def _words(worker: str, name: str, host: str, pid: int) -> str:
    return f"worker {name or worker} (process {pid} on {host})"
