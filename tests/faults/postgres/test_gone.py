"""Row 12: a server that does not come back is told of once its time is over, and to all at once."""

import re
import threading

import pytest

from eventstore import clock
from eventstore.errors import StorageUnreachable
from eventstore.postgres import patience
from eventstore.testing import birth, step

TIME = 4.0  # seconds for which a server that went away is waited for, of which there are ten


@pytest.fixture
def gone(postgres_proxy, postgres_url, log_at, monkeypatch):
    """A log with a stream `s`, a function that takes the server away, and where it was."""
    monkeypatch.setattr(patience, "PATIENCE", TIME)
    log = log_at(postgres_proxy.url(postgres_url))
    birth(log, "s")

    def away():
        postgres_proxy.refusing = True
        postgres_proxy.cut()

    return log, away, "{}:{}".format(*postgres_proxy.address)


def refused(call):
    """Give the error of a call to a server that is gone, and how long it took."""
    begun = clock.real_seconds()
    with pytest.raises(StorageUnreachable) as caught:
        call()
    return str(caught.value), clock.real_seconds() - begun


def told_time(told):
    """Give the seconds that an error speaks of."""
    return float(re.search(r"tried again and again for (\d+\.\d) s", told)[1])


@pytest.mark.slow
def test_an_append_waits_once_and_says_where_and_how_long(gone):
    """The error names host and port, what was waited in all, and what to do with the append."""
    log, away, place = gone
    tip = log.head("s").tip
    away()
    told, took = refused(lambda: step(log, "s", tip))
    assert TIME < took < 2 * TIME
    assert f"no answer from {place}" in told
    assert TIME <= told_time(told) < 2 * TIME
    assert "again with the same id" in told


@pytest.mark.slow
def test_a_read_waits_once_and_says_where_and_how_long(gone):
    """So does the error of a question."""
    log, away, place = gone
    away()
    told, took = refused(lambda: log.head("s"))
    assert TIME < took < 2 * TIME
    assert f"no answer from {place}" in told
    assert TIME <= told_time(told) < 2 * TIME


@pytest.mark.slow
def test_many_who_wait_for_one_server_wait_together(gone):
    """Six who ask for the connection that writes hear of it when the first one does."""
    log, away, _ = gone
    away()
    refused(lambda: birth(log, "lost"))
    took = []
    threads = [
        threading.Thread(
            target=lambda n=n: took.append(refused(lambda: birth(log, f"n{n}"))[1])
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 6
    assert max(took) < 4 * TIME, "far from six times"
