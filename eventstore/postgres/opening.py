"""New connections: to a log that is there, or to a database that becomes one."""

from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa

from eventstore import clock, schema
from eventstore.errors import (
    LogError,
    SchemaMismatch,
    StorageBusy,
    StorageError,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnsuitable,
)
from eventstore.postgres import faults
from eventstore.postgres.address import Address, quoted
from eventstore.postgres.guards import GUARDS
from eventstore.postgres.session import Session

_FOUNDING = 5787091183  # of the advisory lock under which a log is founded
# `local`, `remote_write` and `remote_apply` wait for the disk, too, and are somebody's choice.
_ON_DISK = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
_IS_THERE = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
OLDEST = 150000  # server_version_num
# Words by which a server refuses a connection, what that is, and what to do.
_WHY: tuple[tuple[tuple[str, ...], type[StorageError], str], ...] = (
    (
        ("connection slots", "too many"),
        StorageBusy,
        "the server has no connection left; raise max_connections or use a pooler",
    ),
    (
        ("password", "pg_hba", "authentication failed", "authentication method"),
        StorageUnsuitable,
        "the server does not let this user in; check user and password",
    ),
    (
        ("not permitted to log in", "permission denied"),
        StorageUnsuitable,
        "the server does not let this user in; it needs LOGIN, and CONNECT on the database",
    ),
    (
        ("does not exist",),
        StorageUnsuitable,
        "there is no such database, or no such user; create it first",
    ),
)


class Server(msgspec.Struct, frozen=True):
    """What was found out about a server at the start."""

    version: int
    # A pooler stands between: no session of ours lasts longer than a transaction.
    is_pooled: bool


def connect(
    engine: sa.Engine,
    address: Address,
    is_pooled: bool = False,
    longest: float | None = None,
) -> Session:
    """Give a new connection; `longest` in seconds for which the server may say nothing.

    Raises:
        StorageUnreachable: nobody answers; which host, which port, how long it waited.
        StorageBusy: the server has no connection left.
        StorageUnsuitable: wrong user, password or database.
    """
    begun = clock.real_seconds()
    try:
        return Session(engine, is_pooled=is_pooled, longest=longest)
    except psycopg.Error as error:
        raise _refusal(error, address, clock.real_seconds() - begun) from None


def _refusal(error: psycopg.Error, address: Address, waited: float) -> LogError:
    """Give why there is no connection; the driver gives no code for it. *Pure.*"""
    told = " ".join(str(error).split())
    for words, kind, advice in _WHY:
        if any(word in told for word in words):
            return kind(f"{address.place}: {advice} ({told})")
    # A server that ends in the middle of a handshake is one that comes back.
    is_cut = any(word in told for word in ("SYSCALL", "unexpected", "expected auth"))
    if (
        isinstance(error, psycopg.ProgrammingError)
        or "invalid " in told
        or ("SSL" in told and not is_cut)
    ):
        return StorageUnsuitable(
            f"{address.place}: the url asks for what cannot be; mend its port, or the options"
            f" behind its `?` ({told})"
        )
    if faults.code_of(error):
        return faults.translate(error, address.place)
    if "FATAL" in told:
        return StorageUnreachable(
            f"{address.place}: {address.server} answers, and takes nobody in for now ({told})"
        )
    return StorageUnreachable(
        f"{address.place}: no answer from {address.server} after {waited:.1f} s; is the server"
        f" running, and is that its address? ({told})"
    )


def look_at(session: Session, address: Address) -> Server:
    """Find out what kind of server answers.

    Raises:
        StorageUnsuitable: it is too old, or keeps text in another encoding than UTF-8.
        StorageReadOnly: it is a standby.
    """
    version, encoding, standby, pid = session.run(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
        " pg_is_in_recovery(), pg_backend_pid()"
    ).fetchone()
    if version < OLDEST:
        raise StorageUnsuitable(
            f"{address.place}: the server is PostgreSQL {version // 10000}; 15 or newer is needed"
        )
    if encoding != "UTF8":
        raise StorageUnsuitable(
            f"{address.place}: the database keeps text in {encoding}; create it with encoding UTF8"
        )
    if standby:
        raise StorageReadOnly(
            f"{address.place}: this server is a standby and only reads; name the primary, e.g. by"
            " target_session_attrs=read-write"
        )
    # A pooler makes up the process id that it tells its clients.
    return Server(version, is_pooled=session.raw.info.backend_pid != pid)


def schema_of(session: Session, address: Address) -> int | None:
    """Give the schema that a log is stamped with; None if it is empty or not there.

    Raises:
        SchemaMismatch: it is another program's.
    """
    rows = session.run(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s", (address.schema,)
    ).fetchall()
    names = {name for (name,) in rows}
    if not names:
        return None
    stamp: dict[str, Any] = {}
    if "log_meta" in names:
        meta = f"{quoted(address.schema)}.log_meta"
        stamp = dict(session.run(f"SELECT key, value FROM {meta}").fetchall())  # noqa: S608
    if stamp.get("format") != schema.FORMAT:
        tables = ", ".join(sorted(names)[:5])
        raise SchemaMismatch(
            f"{address.place}: schema {address.schema} belongs to another program (it has the"
            f" tables {tables}); name another one with ?schema=NAME in the url"
        )
    return int(stamp["schema"])


def outdated(address: Address, found: int) -> str:
    """Say why a log of another schema is refused, and what to do with it. *Pure.*"""
    return schema.outdated(
        address.place, found, backup="pg_dump", migrate="playhead migrate --url URL"
    )


def recognise(session: Session, address: Address) -> bool:
    """Say whether the schema holds a log of ours; False if it is empty or not there.

    Raises:
        SchemaMismatch: it is another program's, or of another version than this Playhead's.
    """
    found = schema_of(session, address)
    if found not in (None, schema.VERSION):
        raise SchemaMismatch(outdated(address, found))
    return found is not None


def found(session: Session, address: Address) -> None:
    """Create schema, tables, guards and stamp, unless somebody else was faster."""
    name = quoted(address.schema)
    held = session.held.execution_options(schema_translate_map={None: address.schema})
    raw = session.raw
    session.run("BEGIN")
    try:
        session.run("SELECT pg_advisory_xact_lock(%s)", (_FOUNDING,))
        if not recognise(session, address):
            # IF NOT EXISTS asks for the right to make one even where there is one.
            if not session.run(_IS_THERE, (address.schema,)).fetchone():
                session.run(f"CREATE SCHEMA {name}")
            schema.tables.create_all(held)
            for guard in GUARDS:
                raw.execute(guard.replace("@", f"{name}.").encode())
            stamp = {
                "format": schema.FORMAT,
                "schema": str(schema.VERSION),
                "store": clock.new_id(),
            }
            session.cursor().executemany(
                f"INSERT INTO {name}.log_meta VALUES (%s, %s)",  # noqa: S608 - quoted above
                list(stamp.items()),
            )
        session.run("COMMIT")
    except BaseException:
        if session.in_transaction:
            raw.execute("ROLLBACK")
        raise


def tune_writer(session: Session) -> None:
    """Set what the connection that writes needs; behind a pooler nothing can be set.

    Rows of a batch come in the order of their streams' ids, and are to be locked in that order:
    a plan that gathers them in another one could meet another writer's in a deadlock. A process
    that is stopped in mid-transaction is not to keep others from the rows that it has locked. What
    is acknowledged is on disk, whatever this database or user has been told about other programs.
    """
    session.run(_ON_DISK)
    session.run("SET lock_timeout = '10s'")
    session.run("SET idle_in_transaction_session_timeout = '5s'")
    session.run("SET enable_hashjoin = off")
    session.run("SET enable_mergejoin = off")
    session.run("SET plan_cache_mode = force_generic_plan")
