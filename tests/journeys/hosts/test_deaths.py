"""Processes that die, stand still or leave: their work goes on elsewhere, and counts once."""

import signal
from pathlib import Path

import pytest

from tests.journeys.hosts.fleet import SOON, now
from tests.servers.waiting import wait_for

TRIES = 3  # at a measurement: machines stall now and then
LONG = "lease=60.0"  # seconds: nothing below waits for it to run out


def held(fleet, servers):
    """Give a run whose step hangs in one of two servers, that server, and the other one."""
    before = len(fleet.notes("second"))
    fleet.touch("hang")
    (run,) = fleet.start("story", 1)
    wait_for(lambda: len(fleet.notes("second")) > before, "a step that hangs")
    pid = fleet.notes("second")[-1][3]
    return run, *sorted(servers, key=lambda one: one.process.pid != pid)


def test_kill_9_in_the_middle_of_a_step(fleet):
    """After `kill -9` another process goes on within 3.5 s, though the lease is a minute."""
    assert any(takeover(fleet) < 3.5 for _ in range(TRIES))
    fleet.check()


def takeover(fleet):
    """Kill a process in the middle of a step; give the seconds until another is in that step."""
    servers = fleet.serve(LONG, LONG)
    run, victim, heir = held(fleet, servers)
    victim.kill()
    died = now()
    fleet.remove("hang")
    assert fleet.done([run]) == [25]
    assert fleet.deaths(run) == [1]
    (again,) = [note for note in fleet.notes("second") if note[1] == run.id and note[4] > died]
    assert again[3] == heir.process.pid
    assert len([note for note in fleet.notes("first") if note[1] == run.id]) == 1
    heir.kill()
    return again[4] - died


@pytest.mark.slow
def test_stopped_beyond_the_lease(fleet):
    """A process stopped for longer than its lease is fenced, and charged with no death."""
    (zombie,) = fleet.serve("lease=1.5")
    fleet.touch("hang")
    (run,) = fleet.start("story", 1)
    wait_for(lambda: fleet.notes("second"), "a step that hangs")
    fleet.serve(LONG)
    zombie.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: len(fleet.notes("second")) == 2, "a takeover", 1.5 + SOON)
    fleet.remove("hang")
    assert fleet.done([run]) == [25]
    before = [str(event) for event in fleet.told(run)]
    zombie.process.send_signal(signal.SIGCONT)
    fleet.works(zombie)
    assert [str(event) for event in fleet.told(run)] == before
    assert fleet.deaths(run) == [0]
    assert not fleet.told(run, "step.quarantined")
    fleet.check()


def test_a_soft_stop_hands_over_at_once(fleet):
    """After SIGTERM the step in flight ends where it runs; what follows runs elsewhere at once."""
    assert any(handover(fleet) < 1.0 for _ in range(TRIES))
    fleet.check()


def handover(fleet):
    """Stop a process softly in the middle of a step; give the seconds until another goes on."""
    servers = fleet.serve(LONG, LONG)
    run, leaver, heir = held(fleet, servers)
    leaver.process.send_signal(signal.SIGTERM)
    fleet.done(fleet.start("light", 1, 2, 3))  # those go to who stays
    fleet.remove("hang")
    assert fleet.done([run]) == [25]
    assert leaver.finish()[0] == 0
    (ended,) = [e for e in fleet.told(run, "step.succeeded") if e.subject == "second"]
    (_, _, _, pid, at) = fleet.notes("third")[-1]
    assert pid == heir.process.pid
    assert not fleet.told(run, "step.lost")
    assert leaver.process.pid not in fleet.pids()
    heir.kill()
    return at - ended.at.timestamp()


@pytest.mark.slow
def test_the_timers_of_a_dead_process_fire_elsewhere(any_fleet):
    """Timers that a process set before `kill -9` fire when they are due, in another one."""
    fleet = any_fleet
    (victim,) = fleet.serve(LONG)
    runs = fleet.start("asleep", *range(5))
    wait_for(lambda: all(run.status == "waiting" for run in runs), "timers that are set")
    victim.kill()
    (heir,) = fleet.serve()
    assert fleet.done(runs) == list(range(5))
    for run in runs:
        (fired,) = fleet.told(run, "timer.fired")
        assert fired.at.timestamp() - fired.data["due"] / 1e6 < SOON
    assert {note[3] for note in fleet.notes("late")} == {heir.process.pid}
    fleet.check()


HALT = """
import app, os, signal, sys, time
log = app.make().log
def halt(cursor):
    print(time.time(), flush=True)
    cursor.execute("UPDATE playhead.stream SET owner = 'nobody' WHERE id = %s", (sys.argv[1],))
    os.kill(os.getpid(), signal.SIGSTOP)
log._writer.do(halt)
"""


@pytest.mark.slow
def test_stopped_in_the_middle_of_a_transaction(fleet):
    """One that is stopped with a row locked keeps the run from others for 5 s and no longer."""
    (run,) = fleet.start("light", 3)
    zombie = fleet.run(HALT, run.id)
    wait_for(lambda: is_stopped(zombie), "a process that stands still")
    stopped = float(zombie.process.stdout.readline())
    fleet.serve()
    assert fleet.done([run]) == [3]
    assert 5 <= fleet.notes("quick")[0][4] - stopped < 5 + SOON
    fleet.check()


def is_stopped(program):
    """Tell whether a process stands still."""
    status = Path(f"/proc/{program.process.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow
def test_three_processes_killed_in_turn_under_load(fleet):
    """120 runs on three processes, two of them killed in turn: each result is recorded once."""
    servers = fleet.serve(*["threads=2"] * 3)
    for server in servers:
        fleet.works(server)
    runs = fleet.start("story", *range(40))
    naps = fleet.start("naps", *range(80))
    before = len(fleet.notes())
    for number in range(2):
        wait_for(lambda: len(fleet.notes()) > before + 60 * (number + 1), "some work")  # noqa: B023
        servers[number].kill()
        servers += fleet.serve("threads=2")
    assert fleet.done(runs) == [(x + 1) * 10 + 5 for x in range(40)]
    assert fleet.done(naps) == list(range(80))
    assert {one.process.pid for one in servers[:3]} <= {note[3] for note in fleet.notes()}
    fleet.check()
