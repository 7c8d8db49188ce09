"""Calls that take too long are cut, others are left alone."""

import threading

import psycopg
import pytest

from eventstore import open_log
from eventstore.postgres.watchdog import is_stuck
from eventstore.testing.facts import birth


def test_a_call_beyond_its_limit_is_stuck():
    """After more than the limit, to the moment."""
    assert is_stuck(10.0, 13.1, 3.0)


def test_a_call_within_its_limit_is_not():
    """Exactly the limit is not yet too long."""
    assert not is_stuck(10.0, 13.0, 3.0)


def test_who_calls_nobody_is_not_stuck():
    """An idle connection may be idle for ever."""
    assert not is_stuck(0.0, 1e9, 3.0)


@pytest.mark.postgres
def test_a_stuck_call_gets_an_error_and_the_next_one_works(postgres_url):
    """The connection is cut under the call, and made anew for the next."""
    log = open_log(postgres_url)
    log.head("nothing")
    database = log.database
    session = database.connect()
    database.watchdog.watch(session, 0.1)
    caught = []

    def call():
        try:
            session.run("SELECT pg_sleep(20)")
        except psycopg.Error as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():
        database.watchdog.look()
        thread.join(0.02)
    assert isinstance(caught[0], psycopg.OperationalError)
    database.drop(session)
    assert log.head("nothing") is None
    log.close()


@pytest.mark.postgres
def test_a_log_outlives_the_end_of_all_its_connections(postgres_url):
    """Backends that the server ends in between are made anew: reading and appending go on."""
    log = open_log(postgres_url)
    birth(log, "a")
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    birth(log, "b")
    assert [head.id for head in log.heads(kind="run")] == ["b", "a"]
    log.close()
