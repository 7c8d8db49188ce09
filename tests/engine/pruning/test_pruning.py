"""Which runs may lose their history, and what stays whatever its age."""

from datetime import timedelta

import pytest

from engine.app import Engine
from engine.errors import RunPruned
from engine.pruning import Pruning, why_stays
from eventstore import Head, Tip
from playhead import IntervalTrigger, RunTrigger, Workflow
from tests.engine.pruning.aged import AFTER, ALL, older, tick


def row(**fields):
    """Give the row of a run that ended long ago."""
    plain = {
        "id": "r", "kind": "run", "tip": Tip(3, 1, b"h"), "status": "succeeded", "due": None,
        "waits_on": (), "owner": None, "needs": None, "label": "{}", "name": "w", "key": None,
        "tags": {}, "priority": 0, "created": 1, "updated": 5,
    }  # fmt: skip
    return Head(**{**plain, **fields})


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_an_old_ended_run_may_go(status):
    """Whatever its end was."""
    assert why_stays(row(status=status), before=6) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "running"}, "a live run is never pruned"),
        ({"status": "waiting"}, "a live run is never pruned"),
        ({"status": "paused"}, "a live run is never pruned"),
        ({"status": "parked"}, "a live run is never pruned"),
        ({"status": "cancelling"}, "a live run is never pruned"),
        ({"status": "scheduled"}, "a live run is never pruned"),
        ({"updated": 6}, "too recently"),
        ({"owner": "w"}, "a worker is not done"),
        ({"due": 4}, "a worker is not done"),
        ({"kind": "trigger", "status": "armed"}, "a trigger is no run"),
        ({"kind": "breaker"}, "a breaker is no run"),
    ],
)
def test_what_stays_says_why(fields, reason):
    """Live, recent and held runs stay, and all that is no run."""
    assert reason in why_stays(row(**fields), before=6)


def test_what_is_gone_or_needed_is_left_alone():
    """A tombstone is no news; a need outweighs age."""
    assert "gone already" in why_stays(row(purged=5), before=6)
    assert why_stays(row(), before=6, needed="a trigger wants it") == "a trigger wants it"


def test_old_runs_lose_their_history_and_young_ones_keep_it(engine, frozen):
    """Of runs of 31 days, 29 days and today only the first goes; its row stays in lists."""
    old = engine.start("good", n=1, key="old", tags={"a": "b"})
    engine.run_until_idle()
    frozen.tick(timedelta(days=2))
    young = engine.start("good", n=2)
    waits = engine.start("waits")
    engine.run_until_idle()
    frozen.tick(timedelta(days=29))
    wish = older(30)
    surveyed = Pruning(engine.log, wish).survey()
    assert engine.get(old.id).result() == 2
    done = Pruning(engine.log, wish).prune()
    assert done.runs == surveyed.runs == {("good", "succeeded"): 1}
    assert done.events == surveyed.events > 0
    assert young.result() == 4
    assert waits.status == "waiting"
    rows = engine.runs()
    assert [r.id for r in rows] == [waits.id, young.id, old.id]
    assert [r.pruned_at is not None for r in rows] == [False, False, True]
    assert (rows[2].status, rows[2].key, rows[2].inputs) == ("succeeded", "old", {})
    assert rows[2].tags == {"a": "b"}
    assert list(engine.log.verify()) == []
    assert Pruning(engine.log, wish).prune().runs == {}


@pytest.mark.postgres
def test_pruning_on_postgres(postgres_url, frozen):
    """Histories and large values go, keys count, and what is left verifies."""
    engine = Engine(postgres_url, workflows=ALL)
    old = engine.start("large", letter="x", key="k")
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    young = engine.start("large", letter="y")
    engine.run_until_idle()
    done = Pruning(engine.log, older(30)).prune()
    assert done.runs == {("large", "succeeded"): 1}
    assert (done.blobs, done.blob_bytes) == (1, 100_002)
    assert young.result() == "y" * 100_000
    assert engine.start("large", letter="x", key="k") == old
    with pytest.raises(RunPruned):
        old.result()
    assert list(engine.log.verify()) == []
    engine.close()


def test_filters_of_workflow_and_status(engine, frozen):
    """Only runs of the workflow and of the ends that are named go."""
    for name, given in (("good", {"n": 1}), ("bad", {"n": 1}), ("large", {"letter": "x"})):
        engine.start(name, **given)
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    assert Pruning(engine.log, older(30, workflow="large")).prune().runs.keys() == {
        ("large", "succeeded")
    }
    assert Pruning(engine.log, older(30, statuses=("cancelled",))).prune().runs == {}
    assert Pruning(engine.log, older(30, statuses=("failed",))).prune().runs.keys() == {
        ("bad", "failed")
    }
    assert [r.pruned_at is None for r in engine.runs()] == [False, False, True]
    assert engine.log.head("breaker:api").purged is None


def test_an_end_that_a_trigger_has_not_followed_yet_stays(tmp_path, frozen):
    """Until the trigger has seen it, or `unseen` says that it need not; other ends go."""
    file_url = f"sqlite:///{tmp_path / 'log.db'}"
    engine = Engine(file_url, workflows=ALL)
    follows = [RunTrigger("good", AFTER, name="then")]
    with_trigger = Engine(file_url, workflows=ALL, triggers=follows)
    with_trigger.trigger("then")
    seen = engine.start("good", n=1)
    engine.run_until_idle()
    with_trigger.run_until_idle()
    unseen, failed = engine.start("good", n=2), engine.start("bad", n=2)
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    done = Pruning(engine.log, older(30, statuses=("succeeded", "failed"))).prune()
    assert done.stays == {"trigger 'then' has not seen their ends yet": 1}
    assert done.runs == {
        ("good", "succeeded"): 1,
        ("bad", "failed"): 1,
        ("after", "succeeded"): 1,
    }
    assert unseen.result() == 4
    assert {seen.status, failed.status} == {"succeeded", "failed"}
    assert Pruning(engine.log, older(30, unseen=True)).prune().runs.total() == 1
    with_trigger.close()
    engine.close()


def test_triggers_and_breakers_keep_their_past(engine, frozen):
    """Their streams and the keys of their firings stay, whatever their age."""
    beats = Workflow("beats", steps=[tick])
    timed = Engine(
        engine.url, workflows=[beats], triggers=[IntervalTrigger(3600, beats, name="beat")]
    )
    for _ in range(3):
        timed.run_until_idle()
        frozen.tick(timedelta(hours=1))
    timed.run_until_idle()
    frozen.tick(timedelta(days=40))
    before = timed.log.read("trigger:beat")
    assert [event.type for event in before] == ["trigger.armed"] + 3 * ["trigger.fired"]
    done = Pruning(timed.log, older(30)).prune()
    assert done.runs.total() == 3
    assert timed.log.read("trigger:beat") == before
    keys = [r.key for r in timed.runs("beats")]
    assert all(timed.log.find("start:beats", key) for key in keys)
    timed.close()


def test_a_wish_takes_no_live_run_whatever_its_statuses(engine, frozen):
    """Asked for live runs, it finds each and says that it stays."""
    waits = engine.start("waits")
    engine.run_until_idle()
    frozen.tick(timedelta(days=400))
    done = Pruning(engine.log, older(30, statuses=("waiting",))).prune()
    assert done.runs == {}
    assert done.stays == {"it is waiting: a live run is never pruned": 1}
    engine.signal(waits, "go", "now")
    engine.run_until_idle()
    assert waits.result() == "gone"
