"""Old code and new code at once: each run goes to workers whose definition fits it."""

from tests.servers.waiting import wait_for


def waiting(*runs):
    """Wait until runs wait for their signal."""
    wait_for(lambda: all(run.status == "waiting" for run in runs), "runs that wait")


def test_a_rolling_deploy(fleet):
    """While both are there each goes on with its own; when the old has gone, the new takes over."""
    old, new = fleet.serve("", "version=2")
    newer = fleet.app.make(fleet.url, version=2)
    mine, left = fleet.start("orders", 1, 2)
    theirs = newer.start("orders", x=3)
    waiting(mine, left, theirs)
    for run in (mine, theirs):
        fleet.engine.signal(run, "go", 10)
    assert fleet.done([mine]) == [20]
    assert theirs.result(timeout=50) == "40 kg"
    at = {(note[0], note[1]): note[3] for note in fleet.notes()}
    assert at["gather", mine.id] == at["weigh", mine.id] == old.process.pid
    assert at["gather", theirs.id] == at["weigh", theirs.id] == new.process.pid
    assert not fleet.told(mine, "run.redefined")

    old.process.terminate()
    assert old.finish()[0] == 0
    fleet.engine.signal(left, "go", 10)
    assert newer.get(left.id).result(timeout=50) == "30 kg"
    assert len(fleet.told(left, "run.redefined")) == 1
    assert [note[3] for note in fleet.notes("weigh") if note[1] == left.id] == [new.process.pid]
    newer.close()
    fleet.check()


def test_code_that_does_not_fit_leaves_runs_alone(fleet):
    """A run is parked only when no live worker fits it, with the reason; the old code frees it."""
    old, _ = fleet.serve("", "version=3")
    mine, left = fleet.start("orders", 1, 2)
    waiting(mine, left)
    fleet.engine.signal(mine, "go", 10)
    assert fleet.done([mine]) == [20]
    old.process.terminate()
    assert old.finish()[0] == 0
    fleet.engine.signal(left, "go", 10)
    wait_for(lambda: left.status == "parked", "a parked run")
    (parked,) = fleet.told(left, "run.parked")
    assert "gather" in parked.data["reason"]
    fleet.serve()
    fleet.engine.retry(left)
    assert fleet.done([left]) == [30]
    assert len([note for note in fleet.notes("gather") if note[1] == left.id]) == 1
    fleet.check()
