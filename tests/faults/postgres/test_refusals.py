"""Rows 12, 13 and 19: what a server says when it does not do it, and what becomes of that."""

import contextlib
import socket
import struct
import threading

import psycopg
import pytest

from eventstore.errors import (
    SchemaMismatch,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnsuitable,
)
from eventstore.postgres import faults
from eventstore.testing import birth, step
from tests.servers.waiting import wait_for


def ended(own_postgres, database):
    """Have the server end all connections to a database."""
    own_postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )


@pytest.mark.parametrize(
    ("code", "kind", "passes"),
    [
        ("40001", StorageBusy, True),
        ("40P01", StorageBusy, True),
        ("55P03", StorageBusy, True),
        ("57014", StorageBusy, False),
        ("53100", StorageFull, False),
        ("53200", StorageError, False),
        ("53300", StorageBusy, False),
        ("25006", StorageReadOnly, False),
        ("25P04", StorageBusy, False),
        ("42501", StorageReadOnly, False),
        ("42P01", SchemaMismatch, False),
        ("58030", StorageError, False),
        ("XX000", StorageError, False),
        ("XX001", StorageCorrupt, False),
        ("XX002", StorageCorrupt, False),
        ("57P04", StorageUnreachable, False),
    ],
)
def test_each_code_has_its_meaning(postgres, postgres_url, code, kind, passes):
    """An error with a code, from the server, is the one of ours that says what to do."""
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{code}' USING MESSAGE = 'why'; END $$")
    told = faults.translate(caught.value, "here")
    assert type(told) is kind
    assert f"({code}: why" in str(told)
    assert faults.is_passing(caught.value) is passes
    assert faults.is_lost(caught.value) is (code == "25006" or code.startswith("57P"))


def test_the_last_word_of_a_connection_is_one_whatever_its_code(own_postgres, postgres_url):
    """A transaction that was idle for too long ends with its connection, which is of no use."""
    with contextlib.closing(psycopg.connect(postgres_url)) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
        pid = connection.info.backend_pid
        is_there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_for(lambda: not own_postgres.execute(is_there, [pid]), "the end of it")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("SELECT 1")
    assert caught.value.sqlstate == "25P03"
    assert faults.is_lost(caught.value)
    assert "took too long" in str(faults.translate(caught.value, "here"))


def test_work_whose_transaction_was_idle_for_too_long_is_done_again(own_postgres, log):
    """The server has ended it, and nothing of it is there: it is done once more."""
    tip = birth(log, "s")
    writer = log.database.ready()
    pid = writer.raw.info.backend_pid
    is_there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    writer.run("SET idle_in_transaction_session_timeout = '50ms'")
    turns = []

    def work(cursor):
        turns.append(cursor.execute(log.database.sql.STANDING, ("s",)).fetchone()[0])
        if len(turns) == 1:
            wait_for(lambda: not own_postgres.execute(is_there, [pid]), "the end of it")
        return turns[-1]

    assert log._writer.do(work) == tip.version
    assert len(turns) == 2


def test_connections_that_were_idle_for_too_long_are_made_anew(
    own_postgres, postgres_database, log
):
    """A server that ends idle sessions costs no call."""
    own_postgres.execute(
        f"ALTER DATABASE {postgres_database} SET idle_session_timeout = '500ms'"
    )
    tip = birth(log, "s")
    log.head("s")
    ended(own_postgres, postgres_database)  # those that come next have the time-out
    for version in (2, 3):
        tip = step(log, "s", tip)
        assert log.head("s").tip.version == version
        wait_for(lambda: not own_postgres.backends(postgres_database), "the end of all")


def test_an_append_that_an_administrator_cancels_is_told_and_can_be_done_again(
    own_postgres, postgres_database, log
):
    """It is not done, and the connection is well."""
    tip = birth(log, "s")
    writer = log.database.ready()
    told = []

    def write():
        with pytest.raises(StorageBusy, match="gave up on a statement") as caught:
            step(log, "s", tip)
        told.append(caught.value)

    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SELECT 1 FROM playhead.stream FOR UPDATE")
        thread = threading.Thread(target=write)
        thread.start()
        pid = writer.raw.info.backend_pid
        blocked = "SELECT cardinality(pg_blocking_pids(%s))"
        wait_for(lambda: own_postgres.execute(blocked, [pid]) == [(1,)], "an append that waits")
        own_postgres.execute("SELECT pg_cancel_backend(%s)", [pid])
        thread.join(10)
    assert told
    assert log.database.ready() is writer
    assert step(log, "s", tip).version == 2


def test_a_database_that_only_reads_for_a_while_is_written_again(
    own_postgres, postgres_database, log
):
    """A connection made meanwhile only reads for ever; a new one is made for the next append."""
    tip = birth(log, "s")
    setting = f"ALTER DATABASE {postgres_database} %s default_transaction_read_only"
    own_postgres.execute(setting % "SET" + " = on")
    ended(own_postgres, postgres_database)
    for _ in range(2):
        with pytest.raises(StorageReadOnly, match="the server only reads"):
            step(log, "s", tip)
        assert log.head("s").tip == tip
    own_postgres.execute(setting % "RESET")
    assert step(log, "s", tip).version == 2


def test_a_worker_in_a_database_that_only_reads_for_a_while_keeps_its_lease_after(
    own_postgres, postgres_database, log
):
    """The connection by which leases are renewed is made anew, too."""
    ear = log.listen("me")
    keeper = log._leases._desk
    setting = f"ALTER DATABASE {postgres_database} %s default_transaction_read_only"
    own_postgres.execute(setting % "SET" + " = on")
    ended(own_postgres, postgres_database)
    with pytest.raises(StorageReadOnly):
        keeper.touch("DELETE FROM playhead.worker", ())
    own_postgres.execute(setting % "RESET")
    assert keeper.touch("DELETE FROM playhead.worker", ()) == 0
    ear.close()


def test_a_database_that_is_dropped_is_told_as_such(own_postgres, postgres_database, log):
    """An append to what is there no more ends at once, in words."""
    tip = birth(log, "s")
    own_postgres.execute(f"DROP DATABASE {postgres_database} WITH (FORCE)")
    with pytest.raises(StorageUnsuitable, match="does not exist"):
        step(log, "s", tip)
    with pytest.raises(StorageUnsuitable, match="create it first"):
        log.head("s")
    own_postgres.execute(f"CREATE DATABASE {postgres_database}")  # for whoever drops it


def test_a_schema_that_is_dropped_is_told_as_such(own_postgres, postgres_database, log):
    """It is no damage of a value: nothing is recorded as lost for it."""
    tip = birth(log, "s")
    own_postgres.execute("DROP SCHEMA playhead CASCADE", database=postgres_database)
    for call in (lambda: step(log, "s", tip), lambda: log.head("s")):
        with pytest.raises(SchemaMismatch, match="dropped"):
            call()


def test_a_user_that_may_not_log_in_is_told_as_such(own_postgres, postgres_database, log_at):
    """The server did answer, so the words are not that nobody did."""
    own_postgres.execute("CREATE ROLE barred NOLOGIN PASSWORD 'x'")
    try:
        place = f"127.0.0.1:{own_postgres.port}/{postgres_database}"
        with pytest.raises(StorageUnsuitable, match="LOGIN"):
            log_at(f"postgresql://barred:x@{place}").head("s")
    finally:
        own_postgres.execute("DROP ROLE barred")


def test_a_server_that_takes_nobody_in_is_one_that_comes_back(
    own_postgres, postgres_database, log
):
    """A database closed for a moment is waited for, like a server on its way up."""
    tip = birth(log, "s")
    closed = f"ALTER DATABASE {postgres_database} ALLOW_CONNECTIONS %s"
    own_postgres.execute(closed % "false")
    ended(own_postgres, postgres_database)
    opening = threading.Timer(0.5, own_postgres.execute, (closed % "true",))
    opening.start()
    assert step(log, "s", tip).version == 2
    opening.join()


def test_a_server_that_ends_in_a_handshake_is_one_that_comes_back(log_at):
    """Cut in the middle of TLS, the words are neither of the password nor of the url's options."""

    def hang_up(listening):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client:
                    client.recv(8)
                    client.sendall(b"S")  # and nothing more
                    client.recv(10)
                    now = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=hang_up, args=(listening,), daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        for mode in ("prefer", "require"):
            with pytest.raises(StorageUnreachable, match="no answer"):
                log_at(f"postgresql://u@127.0.0.1:{port}/d?sslmode={mode}").head("s")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
