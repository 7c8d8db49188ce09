"""Up to where the whole log may be read."""

import threading

import psycopg
import pytest

from eventstore import clock, open_log
from eventstore.testing.facts import birth

pytestmark = pytest.mark.postgres
INSERT = (
    "INSERT INTO playhead.event(stream, version, type, type_version, epoch, subject, source, dest,"
    " data, at, append_id, hash) VALUES (%s, 1, 't', 1, 0, '', '', '', '{}', 1, 'a', '')"
)


@pytest.fixture
def log(postgres_url):
    made = open_log(postgres_url)
    made.head("nothing")
    yield made
    made.close()


@pytest.fixture
def slow(postgres_url, log):
    """A writer that has drawn a position and does not commit."""
    with psycopg.connect(postgres_url) as connection:
        birth(log, "before")
        log.last_position()  # the first answer cannot be an old one, and would wait
        connection.execute(INSERT, ("slow",))
        birth(log, "behind")
        yield connection


def streams(log, after=0):
    """Give the streams that the whole log shows, in order."""
    return [event.stream for event in log.read_all(after=after)]


def test_nothing_is_shown_beyond_a_hole_that_may_fill(log, slow):
    """What lies behind a position still on its way waits for it; nothing is skipped."""
    assert log.read_all()[-1].stream == "before"
    assert log.last_position() == log.read_all()[-1].position
    slow.commit()
    assert streams(log) == ["before", "slow", "behind"]


def test_a_hole_that_stays_is_passed(log, slow):
    """A position whose transaction was rolled back is a hole for ever, and holds nobody up."""
    slow.rollback()
    assert streams(log) == ["before", "behind"]
    birth(log, "next")
    assert streams(log)[-1] == "next"


def test_writers_hardly_wait_for_a_reader_at_the_barrier(log, slow):
    """While a follower asks again and again behind a stuck writer, others go on appending."""
    assert streams(log) == ["before"]
    stop = threading.Event()

    def follow():
        while not stop.is_set():
            log.read_all()

    thread = threading.Thread(target=follow)
    thread.start()
    begun = clock.real_seconds()
    for number in range(50):
        birth(log, f"w{number}")
    took = clock.real_seconds() - begun
    stop.set()
    thread.join()
    assert took < 10, "a reader that cannot pass keeps no writer for long"
    slow.rollback()
    until = clock.real_seconds() + 60
    while len(streams(log)) < 52:  # between two tries it shows what it knows
        assert clock.real_seconds() < until
