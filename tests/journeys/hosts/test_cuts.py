"""Processes that are cut off from the server, and a server that goes away under load."""

import pytest

from tests.journeys.hosts.fleet import now
from tests.servers.waiting import wait_for

LEASE = 2.0  # seconds


@pytest.fixture
def cut_off(fleet, postgres_proxy):
    """Give a process whose way to the server can be cut, with a step that hangs in it; its run."""
    (server,) = fleet.serve(f"lease={LEASE}", url=postgres_proxy.url(fleet.url))
    fleet.touch("hang")
    (run,) = fleet.start("story", 1)
    wait_for(lambda: fleet.notes("second"), "a step that hangs")
    return server, run


@pytest.mark.slow
def test_a_process_behind_a_dead_wire_is_fenced(fleet, postgres_proxy, cut_off):
    """One that the server hears nothing of any more loses its run after the lease, no death."""
    server, run = cut_off
    (heir,) = fleet.serve(f"lease={LEASE}")
    with postgres_proxy.muted():
        muted = now()
        wait_for(lambda: len(fleet.notes("second")) == 2, "a takeover", LEASE + 4)
        assert fleet.notes("second")[1][3] == heir.process.pid
        assert fleet.notes("second")[1][4] - muted < LEASE + 3.5
        fleet.remove("hang")
        assert fleet.done([run]) == [25]
        before = [str(event) for event in fleet.told(run)]
    fleet.works(server)
    assert [str(event) for event in fleet.told(run)] == before
    assert fleet.deaths(run) == [0]
    fleet.check()


def test_a_broken_connection_loses_nothing(fleet, postgres_proxy, cut_off):
    """One whose connections all break connects again, keeps its run and records its result."""
    server, run = cut_off
    fleet.serve(f"lease={LEASE}")
    assert postgres_proxy.cut() >= 2
    fleet.works(server)
    fleet.remove("hang")
    assert fleet.done([run]) == [25]
    assert len(fleet.notes("second")) == 1
    assert not fleet.told(run, "step.lost")
    assert server.process.pid in fleet.pids()
    fleet.check()


@pytest.mark.slow
def test_the_server_restarts_under_load(fleet, own_postgres):
    """A crash and a stop of the server under load: nobody is dead, no step is charged."""
    servers = fleet.serve("threads=2", "threads=2")
    pids = set(fleet.pids())
    stories, naps = fleet.start("story", *range(40)), fleet.start("naps", *range(120))
    for number, mode in enumerate(("immediate", "fast")):
        wait_for(lambda: len(fleet.notes()) > 60 * (number + 1), "some work")  # noqa: B023
        own_postgres.restart(mode)
    assert fleet.done(stories, 60) == [(x + 1) * 10 + 5 for x in range(40)]
    assert fleet.done(naps, 60) == list(range(120))
    assert [deaths for run in stories + naps for deaths in fleet.deaths(run) if deaths] == []
    assert set(fleet.pids()) == pids
    assert not any(worker.dead for worker in fleet.engine.log.workers())
    assert all(one.process.poll() is None for one in servers)
    fleet.check()
