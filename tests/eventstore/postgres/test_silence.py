"""A server that says nothing is given up, by whoever waits; one that works is left alone."""

import contextlib
import json
import threading

import psycopg
import pytest

from eventstore import clock, open_log
from eventstore.postgres import patience, silence
from eventstore.postgres.silence import Silent
from eventstore.testing.facts import birth, fact, step

pytestmark = pytest.mark.postgres


@pytest.fixture
def brief(monkeypatch):
    """Let silence be too long after half a second, of which there are thirty."""
    monkeypatch.setattr(silence, "LONGEST", 0.5)


@pytest.fixture
def log(postgres_log_url):
    """A log where nobody works: there is no thread beside the caller's."""
    with contextlib.closing(open_log(postgres_log_url)) as log:
        yield log


@contextlib.contextmanager
def held(log, seconds):
    """Keep the row of stream `s` locked for so long, from before the block begins."""
    other = log.database.connect(silence.EVER)
    other.run("BEGIN")
    other.run(log.database.sql.STANDING, ("s",))
    timer = threading.Timer(seconds, other.run, ("COMMIT",))
    timer.start()
    yield
    timer.join()
    log.database.drop(other)


def test_a_silent_call_gets_an_error_and_its_connection_is_closed(brief, log):
    """The call fails after its time; what comes later on that connection is heard by nobody."""
    log.head("nobody")
    session = log.database.connect()
    begun = clock.real_seconds()
    with pytest.raises(Silent, match=r"said nothing for 0\.5 s"):
        session.run("SELECT pg_sleep(20)")
    assert clock.real_seconds() - begun < 10
    assert session.raw.closed
    log.database.drop(session)


def test_a_read_given_to_a_frozen_backend_is_asked_anew(own_postgres, brief, log):
    """No thread is needed for it, and none is there."""
    birth(log, "s")
    log.head("s")
    (reader,) = log.database._readers._idle
    threads = threading.active_count()
    with own_postgres.frozen(reader.raw.info.backend_pid):
        assert log.head("s") is not None
    assert threading.active_count() == threads


@pytest.mark.parametrize("read", ["head", "load", "read"])
def test_a_silence_longer_than_our_patience_is_no_end_of_it(
    own_postgres, brief, log, monkeypatch, read
):
    """As 15 s are to 10 s by default; the read is asked anew all the same."""
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    birth(log, "s")
    log.head("s")
    (reader,) = log.database._readers._idle
    with own_postgres.frozen(reader.raw.info.backend_pid):
        assert getattr(log, read)("s")


def test_a_transaction_of_many_statements_is_given_up_too(own_postgres, brief, log):
    """Rows sent by `executemany` go through a pipeline, whose end does not wait again."""
    birth(log, "s")
    session = log.database.connect()
    begun = clock.real_seconds()
    with (
        own_postgres.frozen(session.raw.info.backend_pid),
        pytest.raises(Silent),
    ):
        session.cursor().executemany("SELECT %s", [(str(n),) for n in range(500)])
    assert clock.real_seconds() - begun < 5
    log.database.drop(session)


def test_what_changes_much_of_the_log_may_take(brief, log):
    """A purge that the server is silent about for longer is neither cut nor done twice."""
    tip = birth(log, "s", due=None)
    commits = log.counters.commits
    writer = log.database.ready()
    with held(log, 1.5):
        assert log.purge({"s": tip}, now=9) == ["s"]
    assert log.database.ready() is writer
    assert log.counters.commits == commits + 1
    birth(log, "t")
    assert writer.raw.longest == silence.LONGEST


@pytest.mark.slow
def test_bytes_that_come_slowly_are_no_silence(postgres_proxy, postgres_url, monkeypatch):
    """An answer that takes several times as long, but comes bit by bit, is taken in."""
    monkeypatch.setattr(silence, "LONGEST", 2.5)  # seconds, of which there are thirty
    with contextlib.closing(open_log(postgres_proxy.url(postgres_url))) as log:
        tip = birth(log, "s")
        for _ in range(20):
            tip = step(log, "s", tip, fact(data=json.dumps("x" * 60_000)))
        log.read("s", upto=1)
        (reader,) = log.database._readers._idle
        postgres_proxy.delay = 0.3  # seconds, for each piece that it passes on
        begun = clock.real_seconds()
        assert len(log.read("s")) == tip.version
        assert clock.real_seconds() - begun > 2 * silence.LONGEST
        assert log.database._readers._idle == [reader]


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
