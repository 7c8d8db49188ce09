"""Processes that are cut off from the server, and a server that goes away under load."""

import pytest

from tests.journeys.hosts.fleet import SOON
from tests.servers.waiting import wait_for

LEASE = 3.0  # seconds, of the one that is to lose it; the others' is long
KEPT = 60.0


def hanging(fleet, proxy, lease):
    """Give a process whose way to the server can be cut, with a step that hangs in it; its run."""
    (server,) = fleet.serve(f"lease={lease}", url=proxy.url(fleet.url))
    fleet.touch("hang")
    (run,) = fleet.start("story", 1)
    wait_for(lambda: fleet.notes("second"), "a step that hangs")
    return server, run


@pytest.mark.slow
def test_a_process_behind_a_dead_wire_is_fenced(fleet, postgres_proxy):
    """One that the server hears nothing of any more loses its run after the lease, no death."""
    server, run = hanging(fleet, postgres_proxy, LEASE)
    (heir,) = fleet.serve(f"lease={KEPT}")
    with postgres_proxy.muted():
        wait_for(lambda: len(fleet.notes("second")) == 2, "a takeover", LEASE + SOON)
        assert fleet.notes("second")[1][3] == heir.process.pid
        fleet.remove("hang")
        assert fleet.done([run]) == [25]
        before = [str(event) for event in fleet.told(run)]
    fleet.works(server)
    assert [str(event) for event in fleet.told(run)] == before
    assert fleet.deaths(run) == [0]
    fleet.check()


def test_a_broken_connection_loses_nothing(fleet, postgres_proxy):
    """One whose connections all break connects again, keeps its run and records its result."""
    server, run = hanging(fleet, postgres_proxy, KEPT)
    fleet.serve(f"lease={KEPT}")
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
    servers = fleet.serve(*[f"threads=2, lease={KEPT}"] * 2)
    pids = set(fleet.pids())
    stories, naps = fleet.start("story", *range(40)), fleet.start("naps", *range(120))
    for number, mode in enumerate(("immediate", "fast")):
        wait_for(lambda: len(fleet.notes()) > 60 * (number + 1), "some work")  # noqa: B023
        own_postgres.restart(mode)
    assert fleet.done(stories) == [(x + 1) * 10 + 5 for x in range(40)]
    assert fleet.done(naps) == list(range(120))
    assert [deaths for run in stories + naps for deaths in fleet.deaths(run) if deaths] == []
    assert set(fleet.pids()) == pids
    assert not any(worker.dead for worker in fleet.engine.log.workers())
    assert all(one.process.poll() is None for one in servers)
    fleet.check()
