"""The first connection: what it founds, and whom it turns away with which words."""

import socket
import threading

import psycopg
import pytest

from eventstore import open_log
from eventstore.errors import (
    SchemaMismatch,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnsuitable,
)
from eventstore.testing.facts import birth

pytestmark = pytest.mark.postgres


@pytest.fixture
def run(postgres_url):
    """Execute SQL in the empty database."""

    def execute(sql):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if sql.startswith("SELECT") else None

    return execute


def opened(url):
    """Open a log and ask it something; give it closed."""
    log = open_log(url)
    try:
        log.head("nothing")
    finally:
        log.close()
    return log


@pytest.mark.parametrize("asked", ["nonsense=1", "connect_timeout=soon", "sslmode=perhaps"])
def test_an_option_that_cannot_be_is_told_as_such(postgres_url, asked):
    """Not as a server that does not answer."""
    joined = "&" if "?" in postgres_url else "?"
    log = open_log(f"{postgres_url}{joined}{asked}")
    with pytest.raises(StorageUnsuitable, match="mend its port, or the options"):
        log.head("nothing")
    log.close()


def test_nobody_answers():
    """The error names host and port, and how long it waited."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = rf"no answer from 127\.0\.0\.1:{port} after \d\.\d s"
    with pytest.raises(StorageUnreachable, match=words):
        opened(f"postgresql://ann@127.0.0.1:{port}/d")


def test_somebody_answers_who_says_nothing():
    """A peer that accepts and keeps silent is given up after the url's connect_timeout."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(StorageUnreachable, match=rf"{port} after \d\.\d s"):
            opened(f"postgresql://ann@127.0.0.1:{port}/d?connect_timeout=2")


def test_wrong_password(postgres, postgres_url):
    """The server's refusal is told as such, without the password."""
    wrong = psycopg.conninfo.conninfo_to_dict(postgres_url)
    url = f"postgresql://nobody_{wrong['user']}:hunter2@127.0.0.1:{wrong['port']}/{wrong['dbname']}"
    with pytest.raises(StorageUnsuitable) as caught:
        opened(url)
    assert "hunter2" not in str(caught.value)
    assert "user" in str(caught.value)


def test_no_such_database(postgres_url):
    """A database is not made for anybody: it is to be created first."""
    url = postgres_url.rpartition("/")[0] + "/not_there"
    with pytest.raises(StorageUnsuitable, match="create it first"):
        opened(url)


def test_a_schema_of_another_program(postgres_url, run):
    """Tables of another program in the schema are left alone; another schema goes beside them."""
    run("CREATE SCHEMA playhead")
    run("CREATE TABLE playhead.orders (id int)")
    with pytest.raises(SchemaMismatch, match=r"the tables orders\); name another .*schema="):
        opened(postgres_url)
    opened(postgres_url + "?schema=log")
    assert ("log",) in run("SELECT schemaname FROM pg_tables WHERE tablename = 'event'")


def test_a_database_with_other_tables_is_fine(postgres_url, run):
    """What others keep in their own schemas, under the same names too, is not touched."""
    run("CREATE SCHEMA other")
    run("CREATE TABLE other.event (id int)")
    opened(postgres_url)
    assert run("SELECT count(*) FROM other.event") == [(0,)]


def test_a_newer_log_is_refused(postgres_url, run):
    """A log of a later schema needs a later Playhead."""
    opened(postgres_url)
    run("UPDATE playhead.log_meta SET value = '999' WHERE key = 'schema'")
    with pytest.raises(SchemaMismatch, match="update Playhead"):
        opened(postgres_url)


def test_text_in_another_encoding(postgres):
    """A database that does not keep UTF-8 cannot keep every value, and is refused."""
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C'"
                     " LC_CTYPE 'C'")  # fmt: skip
    try:
        with pytest.raises(StorageUnsuitable, match="LATIN1"):
            opened(postgres.admin_url("latin"))
    finally:
        postgres.drop("latin")


def test_missing_rights(own_postgres, postgres_url, run):
    """Who may not create a schema hears which rights are missing."""
    name = postgres_url.rpartition("/")[2]
    own_postgres.execute(f"REVOKE CREATE ON DATABASE {name} FROM PUBLIC, app")
    own_postgres.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    with pytest.raises(StorageReadOnly, match="CREATE on the database"):
        opened(postgres_url)


def test_a_schema_that_was_made_beforehand_is_enough(own_postgres, postgres_url, run):
    """Who may not create schemas needs an empty one of its own, and no right on the database."""
    name = postgres_url.rpartition("/")[2]
    run("CREATE SCHEMA playhead")
    own_postgres.execute(f"REVOKE CREATE ON DATABASE {name} FROM PUBLIC, app")
    own_postgres.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    opened(postgres_url)
    assert ("event",) in run("SELECT tablename FROM pg_tables WHERE schemaname = 'playhead'")


@pytest.mark.parametrize(("given", "kept"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_what_is_acknowledged_is_on_disk(postgres_url, run, given, kept):
    """A database that does not wait for its disk does for us; a stricter choice is left alone."""
    name = postgres_url.rpartition("/")[2]
    run(f"ALTER DATABASE {name} SET synchronous_commit = {given}")
    log = open_log(postgres_url)
    birth(log, "s")
    assert log.database.ready().run("SHOW synchronous_commit").fetchone() == (kept,)
    log.close()


def test_many_found_one_log_at_once(postgres_url):
    """Eight threads, each with a log of its own, meet an empty database: one founds it."""
    faults = []

    def go(number):
        log = open_log(postgres_url)
        try:
            birth(log, f"s{number}")
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            log.close()

    threads = [threading.Thread(target=go, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert faults == []
    log = open_log(postgres_url)
    assert len(log.heads(kind="run")) == 8
    log.close()


def test_looking_founds_nothing(postgres_url, run):
    """`is_there` says no of an empty database, and leaves it empty."""
    log = open_log(postgres_url)
    assert not log.is_there()
    assert run("SELECT count(*) FROM pg_tables WHERE schemaname = 'playhead'") == [(0,)]
    log.head("nothing")
    assert log.is_there()
    log.close()
