"""One moment of a PostgreSQL database: many questions of one snapshot, while others write."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from eventstore import clock
from eventstore.errors import StorageBusy
from eventstore.picture import Rows
from eventstore.postgres import faults
from eventstore.postgres.barrier import ALONE, PATIENCE, PAUSE
from eventstore.postgres.database import Postgres
from eventstore.postgres.guards import LOCK_KEY
from eventstore.postgres.session import Session
from eventstore.postgres.silence import EVER

_ROWS_AT_ONCE = 2000


@contextlib.contextmanager
def moment(database: Postgres) -> Iterator[Rows]:
    """Give what asks one moment of a database.

    The snapshot is taken while no writer has a position drawn and not committed, so that it holds
    every event up to the last one in it.
    """
    database.ready()
    session = database.patiently_connect(lambda: database.connect(EVER))
    try:
        _begin(database, session)
        yield _asking(database, session)
    except psycopg.Error as error:
        raise faults.translate(error, database.place) from error
    finally:
        database.drop(session)


def _begin(database: Postgres, session: Session) -> None:
    """Take the snapshot; writers are held up for a tenth of a second at most, now and then."""
    table = f"'{database.sql.schema}event'::regclass::oid"
    until = clock.real_seconds() + PATIENCE
    while True:
        try:
            with database.reading() as door:
                door.execute("BEGIN")
                door.execute(f"SET LOCAL lock_timeout = '{ALONE}'")
                door.execute(f"SELECT pg_advisory_xact_lock({LOCK_KEY.format(oid=table)})")
                session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                session.run("SELECT 1")  # now
                door.execute("COMMIT")
        except StorageBusy:
            if clock.real_seconds() > until:
                raise StorageBusy(
                    f"{database.place}: a transaction that writes events has not ended for"
                    f" {PATIENCE:g} s; find it in pg_stat_activity"
                ) from None
            clock.real_sleep(PAUSE)
        else:
            return


def _asking(database: Postgres, session: Session) -> Rows:
    number = itertools.count()

    def ask(text: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        database.count(1)
        name = f"moment_{next(number)}"
        with session.raw.cursor(name, binary=True) as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(text.encode(), values or None)
            yield from cursor

    return ask
