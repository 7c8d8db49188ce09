"""Runs of the dead that a worker claims and lets go of again: others can have them at once."""

from datetime import timedelta
from pathlib import Path

from engine.testing import crash_after
from eventstore import NEW, Append, Headline, NewEvent, Row, WorkerRow, Write, open_log
from playhead import Engine, Timer, Workflow, step
from tests.playhead.served import wait_until


@step
def nothing() -> None:
    return None


@step(after=["pause"])
def late() -> None:
    return None


quick = Workflow("quick", steps=[nothing])
pausing = Workflow("pausing", steps=[Timer("pause", timedelta(seconds=0.3)), late])


def test_a_caller_that_claims_its_own_run_strands_no_run_of_the_dead(tmp_path: Path) -> None:
    """`engine.run` claims what is due until its own run is among it; the others go on elsewhere."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    victim = Engine(url, workflows=[quick, pausing])
    run = victim.start(quick).id
    with crash_after(1, victim):
        victim.run_until_idle()
    caller = Engine(url, workflows=[quick, pausing])
    caller.run(pausing)
    caller.close()
    with Engine(url, workflows=[quick]) as other:
        wait_until(lambda: other.get(run).status == "succeeded", "the run")


def test_a_run_of_the_dead_that_cannot_be_read_stays_claimable(tmp_path: Path) -> None:
    """Who cannot read it lets go of it, due at once: who can, by its key or version, may come."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = open_log(url)
    log.enter(WorkerRow("dead", "dead", "host", 1, 0, 1, ()))
    told = NewEvent("run.started", "run", "", "running", "{}", 1)
    row = Row("running", None, owner="dead")
    log.append(
        Append("spoilt", (Write("spoilt", "run", NEW, (told,), row, Headline("quick")),))
    )
    log.close()
    engine = Engine(url, workflows=[quick])
    engine.run_until_idle()
    head = engine.log.head("spoilt")
    assert head is not None
    assert head.owner is None
    assert head.due is not None
    engine.close()
