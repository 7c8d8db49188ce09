"""A log in PostgreSQL of an earlier schema becomes one of today's.

There never was a released one of schema 1: it is made by taking away what schema 2 added.
"""

import contextlib

import psycopg
import pytest

from eventstore import clock, open_log, schema
from eventstore.errors import SchemaMismatch
from eventstore.migrating import WorkersAtWork, migrate_server
from eventstore.store import WorkerRow
from eventstore.testing import birth, step

pytestmark = pytest.mark.postgres
HOUR = 3600 * clock.SECOND
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
    FROM information_schema.columns WHERE table_schema = 'playhead'
    ORDER BY table_name, ordinal_position
"""
REST = """
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'playhead'
    UNION ALL SELECT tgname || ' ' || tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1
"""


@contextlib.contextmanager
def server(url):
    """Give a connection of our own."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as raw:
        yield raw


@pytest.fixture
def old(postgres_url):
    """The url of a log of schema 1 with a stream, a blob, and a worker whose lease ran out."""
    log = open_log(postgres_url)
    birth(log, "s")
    log.put_blob(b"x" * 70_000)
    log.close()
    with server(postgres_url) as raw:
        raw.execute("SET search_path = playhead")
        raw.execute(
            "ALTER TABLE worker DROP COLUMN locked, DROP COLUMN renewed, DROP COLUMN skew"
        )
        raw.execute("ALTER TABLE blob DROP COLUMN kept")
        raw.execute("UPDATE log_meta SET value = '1' WHERE key = 'schema'")
        raw.execute("INSERT INTO worker VALUES ('w', 'old', 'host', 7, 5, 10, '[]', 0)")
    return postgres_url


def shape(url):
    """Give columns, indexes and triggers."""
    with server(url) as raw:
        return raw.execute(COLUMNS).fetchall(), raw.execute(REST).fetchall()


def test_an_old_log_in_postgres_is_migrated_and_goes_on(old):
    """Refused before; afterwards whole, with its worker heard of when it came."""
    with pytest.raises(SchemaMismatch, match=r"pg_dump.*playhead migrate"):
        open_log(old).head("s")
    assert migrate_server(old, is_check=True).found == 1
    with pytest.raises(SchemaMismatch):
        open_log(old).head("s")
    done = migrate_server(old)
    assert (done.found, done.schema, done.living) == (1, schema.VERSION, ())
    assert migrate_server(old) == (schema.VERSION, schema.VERSION, (), ())
    log = open_log(old)
    assert list(log.verify()) == []
    assert [(w.id, w.renewed, w.skew, w.locked) for w in log.workers()] == [
        ("w", 5, None, False)
    ]
    step(log, "s", log.head("s").tip)
    assert len(log.read("s")) == 2
    log.close()


def test_a_migrated_log_in_postgres_and_a_new_one_are_the_same(old):
    """Columns in their order, with types, defaults and collations; indexes; triggers."""
    migrate_server(old)
    migrated = shape(old)
    assert ("blob", "kept") in [column[:2] for column in migrated[0]]
    with server(old) as raw:
        raw.execute("DROP SCHEMA playhead CASCADE")
    log = open_log(old)
    birth(log, "s")
    log.close()
    assert migrated == shape(old)


def test_a_worker_at_work_is_in_the_way_on_postgres_too(old):
    """Its lease says so; nothing is done, unless told otherwise."""
    with server(old) as raw:
        until = clock.now_us() + HOUR
        raw.execute("UPDATE playhead.worker SET until = %s", (until,))
    with pytest.raises(WorkersAtWork, match=r"worker old \(process 7 on host\)"):
        migrate_server(old)
    with pytest.raises(SchemaMismatch):
        open_log(old).head("s")
    assert migrate_server(old, anyway=True).living == ("worker old (process 7 on host)",)


def test_how_far_a_clock_is_from_the_servers_is_noted(postgres_url):
    """Entering and renewing note the worker's time less the server's: about nothing, here."""
    log = open_log(postgres_url)
    log.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    (entered,) = log.workers()
    log.renew("w", until=clock.now_us() + HOUR)
    (renewed,) = log.workers()
    for row in (entered, renewed):
        assert row.skew is not None
        assert abs(row.skew) < 10 * clock.SECOND
    log.leave("w", now=0)
    log.close()
