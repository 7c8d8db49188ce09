"""Rows 21, 23 and 24: workers that stand still, are too slow, or are killed by what they run."""

import signal

import pytest

from eventstore import open_log
from playhead import Engine, Workflow, step

ZOMBIE = """
import os, pathlib, sys, threading
from eventstore import open_log
from eventstore.errors import LogError
from eventstore.store import WorkerRow
from eventstore.testing import birth, step
log = open_log(sys.argv[1])
log.enter(WorkerRow("zombie", "zombie", "h", os.getpid(), 0, 10, ()))
tip = birth(log, "s", owner="zombie")
print("in", flush=True)
while not pathlib.Path("go").exists():
    threading.Event().wait(0.01)
for work in (lambda: step(log, "s", tip), lambda: log.renew("zombie", until=1000)):
    try:
        print(work())
    except LogError as error:
        print(type(error).__name__)
print(sorted(log.owned("zombie")), len(log.read("s")))
"""


def told(desk, run):
    return [(event.type, event.subject) for event in desk.history(run)]


def test_a_stopped_writer_is_fenced_when_it_wakes(app, program, desk):
    """Row 21: SIGSTOP beyond the lease, claimed by another; its append is `Fenced`, twice over.

    A renewal afterwards gives it a lease again, and none of what it has lost.
    """
    one = program(ZOMBIE, desk.url)
    assert one.process.stdout.readline() == "in\n"
    one.process.send_signal(signal.SIGSTOP)
    (app / "go").touch()
    log = open_log(desk.url)
    assert log.claim("heir", kind="run", now=9, limit=1) == [], "its lease runs"
    (claim,) = log.claim("heir", kind="run", now=11, limit=1)
    assert (claim.lost_by, claim.died) == ("zombie", False)
    one.process.send_signal(signal.SIGCONT)
    status, out, err = one.finish()
    assert (status, err) == (0, "")
    assert out.splitlines() == ["Fenced", "None", "[] 1"]
    assert log.head("s").owner == "heir"
    log.close()


@pytest.mark.slow
def test_a_step_of_four_leases_is_left_alone(serve, started, desk, ended, noted, until):
    """Row 23: a step that sleeps keeps its lease, renewed meanwhile; another daemon looks on."""
    daemons = [serve("lease=1.0"), serve("lease=1.0")]
    until(lambda: len(desk.log.workers()) == 2)
    ended(started("light", *range(8)))
    for _ in range(3):  # a machine that stands still for a lease loses it
        (run,) = started("sleepy", 4)
        ended([run])
        assert desk.get(run).result(timeout=1) in [one.process.pid for one in daemons]
        if ("step.lost", "sleep") not in told(desk, run):
            break
    assert ("step.lost", "sleep") not in told(desk, run)
    assert len([note for note in noted("sleep") if note[1] == run]) == 1


@pytest.mark.slow
def test_a_step_that_holds_the_interpreter_is_taken_over(
    app, serve, started, desk, ended, noted, until
):
    """Row 23: a C call that keeps the GIL stops the renewals too; another daemon does the step.

    It is charged to nobody. The first one's result comes late and is dropped, and it works on.
    """
    one = serve("lease=0.5")
    (run,) = started("clutching", 6)
    until((app / "clutched").exists)
    two = serve("lease=60.0")
    ended([run])
    first, second = noted("clutch")
    assert first[3] == second[3] == f"{run}/clutch:1"
    assert (first[4], second[4]) == (one.process.pid, two.process.pid)
    assert desk.get(run).result(timeout=1) == second[4]
    (lost,) = [event for event in desk.history(run) if event.type == "step.lost"]
    assert lost.data.get("deaths", 0) == 0
    before = told(desk, run)
    (app / "pipe").write_text("go on")
    ended(started("light", *range(20)))
    one.process.send_signal(signal.SIGTERM)
    assert one.finish()[0] == 0
    assert told(desk, run) == before
    assert before.count(("step.succeeded", "clutch")) == 1


@pytest.mark.slow
def test_a_step_that_kills_in_five_ways_is_quarantined(app, serve, started, desk, ended, until):
    """Row 24: each attempt is counted before it runs; five deaths of any kind park the run."""
    (run,) = started("killer", 4)
    ways = {"segv": -11, "abort": -6, "kill": -9, "memory": -7, "": 77}
    for number, (way, code) in enumerate(ways.items(), 1):
        (app / "poison").write_text(way)
        status, _, _ = serve().finish()
        assert status == code
        assert told(desk, run).count(("step.started", "deadly")) == number
    serve()
    ended([run], "parked")
    kinds = told(desk, run)
    assert kinds.count(("step.lost", "deadly")) == 5
    assert [kind for kind, _ in kinds[-2:]] == ["step.quarantined", "run.parked"]
    assert list(desk.log.verify()) == []
    ended(started("light", 1))


def test_no_memory_is_a_failure_like_others(url):
    """Row 24: what Python can refuse to allocate is a MemoryError, and no death."""

    @step
    def huge() -> int:
        return len(bytearray(1 << 56))

    workflow = Workflow("huge", steps=[huge])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert (run.status, run.error.error_type) == ("failed", "MemoryError")
