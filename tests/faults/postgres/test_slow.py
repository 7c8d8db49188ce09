"""Rows 17 and 18: a server that is slow, and one with no connection left."""

import contextlib
import threading

import psycopg
import pytest

from eventstore import clock
from eventstore.errors import StorageBusy
from eventstore.testing import birth
from tests.faults.postgres.conftest import told
from tests.faults.stage import story

pytestmark = pytest.mark.slow


def test_a_slow_server_costs_no_lease(
    postgres_proxy, postgres_url, app, serve, desk, until, noted
):
    """Row 17: each answer 0.15 s late, a lease of 5 s is kept, and a rival takes nothing."""
    (app / "hang").touch()
    slow = serve(postgres_proxy.url(postgres_url), lease=5.0)
    run = desk.start(story, x=1).id
    until((app / "hanging").exists)
    postgres_proxy.delay = 0.15
    serve()
    until(lambda: len(desk.log.workers()) == 2)
    (first,) = [row for row in desk.log.workers() if row.pid == slow.process.pid]
    until(lambda: lease_of(desk, first) > first.until + 5 * clock.SECOND)
    (app / "hang").unlink()
    until(lambda: desk.get(run).status == "succeeded")
    assert told(desk, run).count(("step.started", "second")) == 1
    assert {note[-1] for note in noted()} == {slow.process.pid}


def lease_of(desk, worker):
    """Give when a worker's lease runs out, after seeing that it has not yet."""
    (row,) = [row for row in desk.log.workers() if row.id == worker.id]
    assert row.until > clock.now_us()
    return row.until


def test_with_no_connection_left_a_newcomer_is_told_and_the_others_work_on(
    own_postgres, postgres_url, app, serve, desk, until, log_at
):
    """Row 18: a server without a free connection says so in words; leases and runs go on."""
    serve(lease=5.0)
    until(desk.log.workers)
    first = desk.start(story, x=1).id
    until(lambda: desk.get(first).status == "succeeded")
    with contextlib.ExitStack() as taken:
        while True:
            try:
                taken.enter_context(psycopg.connect(postgres_url))
            except psycopg.OperationalError:
                break
        with pytest.raises(StorageBusy, match="no connection left"):
            birth(log_at(postgres_url), "s")
        (before,) = desk.log.workers()
        until(lambda: lease_of(desk, before) > before.until + 2 * clock.SECOND)
        second = desk.start(story, x=2).id
        until(lambda: desk.get(second).status == "succeeded")
    birth(log_at(postgres_url), "s")


def test_more_readers_than_connections_wait_and_are_served(
    log, own_postgres, postgres_database
):
    """Row 18: forty threads that read at once share sixteen connections, and all are answered."""
    birth(log, "s")
    gate, answers, counts = threading.Barrier(41), [], []

    def read():
        gate.wait(60)
        answers.extend(len(log.read("s")) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(40)]
    for thread in threads:
        thread.start()
    gate.wait(60)
    while any(thread.is_alive() for thread in threads):
        counts.append(len(own_postgres.backends(postgres_database)))
    assert answers == [1] * 800
    assert 9 < max(counts) <= 17  # and the writer's
