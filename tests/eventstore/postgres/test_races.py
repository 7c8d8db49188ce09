"""Who comes between the looks and the deeds of another process, on PostgreSQL."""

import contextlib
import threading

import psycopg
import pytest

from eventstore import WorkerRow, claims, clock, open_log
from eventstore.testing.facts import birth
from tests.servers.waiting import wait_for

pytestmark = pytest.mark.postgres
FAR = 1 << 60


@pytest.fixture
def one(postgres_log_url):
    with contextlib.closing(open_log(postgres_log_url)) as log:
        log.head("nobody")
        yield log


@pytest.fixture
def other(postgres_log_url, one):
    with contextlib.closing(open_log(postgres_log_url)) as log:
        log.head("nobody")
        yield log


@pytest.fixture
def raw(postgres_log_url, one):
    """A connection of its own, in a transaction; tables need no schema's name."""
    url, _, schema = postgres_log_url.partition("?schema=")
    with psycopg.connect(url, options=f"-csearch_path={schema}") as connection:
        yield connection


def worker(name, until=FAR):
    """Give a lease."""
    return WorkerRow(name, name, "host", 1, 0, until, ())


def in_thread(call):
    """Call in another thread; give the thread and where the answer will be."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


def wait_blocked(raw):
    """Wait until somebody waits for a lock of that transaction."""
    blocked = "SELECT 1 FROM pg_locks WHERE NOT granted"
    wait_for(lambda: raw.execute(blocked).fetchone(), "somebody who is blocked")


def test_a_lease_renewed_since_the_look_is_not_buried(one, other, raw):
    """The mark falls on the lease that was seen, and on no later one."""
    one.enter(worker("w", until=1000))
    raw.execute("UPDATE worker SET locked = 0")  # as behind a pooler: the lease decides
    raw.commit()
    raw.execute("SELECT FROM worker FOR UPDATE")
    thread, found = in_thread(lambda: other.bury(now=2000))
    wait_blocked(raw)
    raw.execute("UPDATE worker SET until = 5000")
    raw.commit()
    thread.join()
    assert found == [[]]
    assert not other.workers()[0].dead
    assert other.bury(now=6000) == ["w"]


def test_a_late_answer_is_no_second_look_at_a_lock(one, other, raw):
    """A lock is free for as long as it was seen free, not since somebody began to ask."""
    one.enter(worker("w"))
    (seen,) = other.workers()
    one._leases._desk.close()  # its connection is gone, and with it the lock
    raw.execute("LOCK TABLE worker IN ACCESS EXCLUSIVE MODE")
    locks = other._leases.locks
    thread, first = in_thread(lambda: locks.is_free(seen))
    wait_blocked(raw)
    begun = clock.real_seconds()
    wait_for(lambda: clock.real_seconds() - begun > 1.0, "a second")
    raw.commit()
    thread.join()
    assert first == [False]
    came = locks._lookout.answered
    wait_for(lambda: locks.is_free(seen), "a death")
    assert clock.real_seconds() - came > 0.8


class Watched:
    """Statements of a log; something happens just before one of them is executed."""

    def __init__(self, sql, name, happens):
        self._sql, self._name, self._happens = sql, name, [happens]

    def __getattr__(self, name):
        if name == self._name and self._happens:
            self._happens.pop()()
        return getattr(self._sql, name)


@pytest.mark.parametrize("before", ["OWNERS", "WORKERS"])
def test_who_enters_while_another_claims_keeps_what_it_took(one, other, monkeypatch, before):
    """A worker that came between two questions of a claim is not taken for one that is gone."""
    birth(one, "s1", due=1)
    birth(one, "s2", due=5)
    one.enter(worker("one"))
    looks, real = [], claims._ready

    def arrive():
        other.enter(worker("other"))
        (given,) = other.claim("other", kind="run", now=10, limit=1, skip=["s1"])
        assert given.head.id == "s2"

    def ready(sql, *rest):
        looks.append(sql)
        taking = len(looks) == 2  # the first one only looks whether there is anything
        return real(Watched(sql, before, arrive) if taking else sql, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(claims, "_ready", ready)
        taken = one.claim("one", kind="run", now=1, limit=5)
    assert [claim.head.id for claim in taken] == ["s1"]
    assert one.head("s2").owner == "other"


def test_a_claim_does_not_fail_for_a_connection_that_was_idle_when_it_ended(one, raw):
    """Reading for a claim is done again, as all reading is, on a connection made anew."""
    birth(one, "s", due=1)
    one.head("s")
    raw.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'playhead' AND datname = current_database()"
    )
    raw.commit()
    assert [claim.head.id for claim in one.claim("w", kind="run", now=10, limit=5)] == ["s"]
