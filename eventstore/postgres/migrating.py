"""A connection on which a log in PostgreSQL is brought to another schema, alone."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from eventstore.postgres import faults
from eventstore.postgres.address import Address, quoted
from eventstore.postgres.opening import connect, look_at, schema_of
from eventstore.postgres.session import Session, engine_of
from eventstore.postgres.silence import EVER

_WORKERS = "SELECT id, name, host, pid, until FROM worker WHERE dead = 0"  # in every schema


class Bench(NamedTuple):
    """A log on the bench: a transaction in which its tables need no schema's name."""

    held: sa.Connection
    schema: int | None  # that it is stamped with; None: it is empty
    workers: list[tuple[Any, ...]]  # id, name, host, process and end of lease of those not dead


@contextlib.contextmanager
def bench(address: Address, *, writes: bool) -> Iterator[Bench]:
    """Give a log in a transaction that ends with the block, undone if that fails.

    Args:
        address: Where it is.
        writes: Others wait, or are waited for, until the block ends.
    """
    try:
        session = connect(engine_of(address), address, longest=EVER)
        try:
            look_at(session, address)
            session.run("BEGIN")
            yield _laid(session, address, writes=writes)
            session.run("COMMIT")
        finally:
            if session.in_transaction:
                session.raw.execute("ROLLBACK")
            session.close()
    except psycopg.Error as error:
        raise faults.translate(error, address.place) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise faults.translate(error.orig, address.place) from error
        raise


def _laid(session: Session, address: Address, *, writes: bool) -> Bench:
    found = schema_of(session, address)
    if found is None:
        return Bench(session.held, None, [])
    session.run("SELECT set_config('search_path', %s, true)", (quoted(address.schema),))
    if writes:
        session.run("SET LOCAL lock_timeout = '30s'")
        session.run("LOCK TABLE log_meta, worker, blob IN ACCESS EXCLUSIVE MODE")
        found = schema_of(session, address)  # another migration may have been faster
    return Bench(session.held, found, session.run(_WORKERS).fetchall())
