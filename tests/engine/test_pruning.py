"""Which runs may lose their history, and what is told of them afterwards."""

from datetime import timedelta

import freezegun
import pytest

from engine.app import Engine
from engine.errors import RunPruned, RunUnknown
from engine.pruning import CHANGED, Pruning, Wish, why_stays
from eventstore import Head, Tip, clock
from eventstore.errors import StorageFull
from playhead import CircuitBreaker, IntervalTrigger, RunTrigger, Signal, Workflow, step


@step
def double(n: int) -> int:
    return n * 2


@step(breaker=CircuitBreaker("api", failure_threshold=1))
def boom(n: int) -> int:
    raise ValueError("no")


@step
def large(letter: str) -> str:
    return letter * 100_000


@step
def after(run: str) -> str:
    return run


@step
def take(go: str) -> str:
    return "gone"


@step
def tick() -> str:
    return "tick"


GOOD = Workflow("good", steps=[double])
BAD = Workflow("bad", steps=[boom])
LARGE = Workflow("large", steps=[large])
WAITS = Workflow("waits", steps=[Signal("go"), take])
AFTER = Workflow("after", steps=[after])
ALL = [GOOD, BAD, LARGE, WAITS, AFTER]


@pytest.fixture
def frozen():
    with freezegun.freeze_time("2030-01-01T00:00:00+00:00") as stopped:
        yield stopped


@pytest.fixture(params=["memory", "file"])
def engine(request, tmp_path, frozen):
    url = "sqlite:///:memory:"
    if request.param == "file":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    made = Engine(url, workflows=ALL)
    yield made
    made.close()


def older(days, **options):
    """Give a wish for what ended so many days ago."""
    return Wish(before=clock.now_us() - days * 24 * 3600 * clock.SECOND, **options)


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


def test_a_pruned_run_says_so_wherever_it_is_asked_for(engine, frozen):
    """Each way to its history names the day it was pruned; none is an empty lie."""
    run = engine.start("good", n=1, key="k")
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    Pruning(engine.log, older(30)).prune()
    asked = {
        "get": lambda: engine.get(run.id),
        "history": lambda: engine.history(run.id),
        "playhead": lambda: engine.playhead(run.id),
        "causes": lambda: engine.causes(run.id),
        "result": lambda: run.result(timeout=1),
        "inputs": lambda: run.inputs,
        "signal": lambda: engine.signal(run.id, "go"),
        "cancel": lambda: engine.cancel(run.id),
        "retry": lambda: engine.retry(run.id),
        "run": lambda: engine.run("good", n=1, key="k"),
    }
    for what, ask in asked.items():
        with pytest.raises(RunPruned, match="history was pruned on 2030-02-10") as said:
            ask()
        assert (said.value.run_id, said.value.status) == (run.id, "succeeded"), what
        assert isinstance(said.value, RunUnknown)
    assert run.status == "succeeded"


def test_a_start_key_counts_after_its_run_was_pruned(engine, frozen):
    """The same key gives the same run, which is not begun again; a new key starts a new one."""
    run = engine.start("good", n=1, key="k")
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    Pruning(engine.log, older(30)).prune()
    again = engine.start("good", n=1, key="k")
    assert (again.id, again.status) == (run.id, "succeeded")
    engine.run_until_idle()
    assert len(engine.runs()) == 1
    assert engine.run("good", n=3, key="other") == 6


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


def test_large_values_go_with_their_runs(engine, frozen):
    """A value that another run names too stays for that one; definitions in use stay."""
    old = engine.start("large", letter="x")
    engine.start("large", letter="y")
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    young = engine.start("large", letter="x")
    engine.run_until_idle()
    done = Pruning(engine.log, older(30)).prune()
    assert done.runs == {("large", "succeeded"): 2}
    assert (done.blobs, done.blob_bytes) == (1, 100_002)
    assert young.result() == "x" * 100_000
    assert engine.history(young.id)[2].value("output") == "x" * 100_000
    assert old.status == "succeeded"


def test_a_definition_that_all_have_forgotten_is_put_again_before_it_is_named(engine, frozen):
    """A program that has run for months starts a run of a workflow whose runs are all pruned."""
    engine.start("good", n=1)
    engine.run_until_idle()
    frozen.tick(timedelta(days=60))
    engine.log.leave(engine.worker.id, now=clock.now_us())  # no worker offers it any more
    assert Pruning(engine.log, older(30)).prune().blobs >= 1
    run = engine.start("good", n=2)
    other = Engine(engine.url, workflows=[]) if engine.log.path else engine
    assert other.get(run.id).status == "running"  # read with the definition from the log
    other.close()


def test_nothing_is_deleted_before_the_export_is_whole(engine, frozen):
    """The export gets every id at once; when it fails, all histories are there."""
    runs = [engine.start("good", n=n) for n in range(3)]
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    young = engine.start("good", n=9)
    engine.run_until_idle()
    seen = []

    def full(ids):
        seen.append(set(ids))
        raise StorageFull("no room")

    with pytest.raises(StorageFull):
        Pruning(engine.log, older(30)).prune(export=full)
    assert [run.result() for run in runs] == [0, 2, 4]

    def fine(ids):
        seen.append(set(ids))
        assert [run.result() for run in runs] == [0, 2, 4]

    done = Pruning(engine.log, older(30)).prune(export=fine)
    assert seen == [{run.id for run in runs}] * 2
    assert done.runs.total() == 3
    assert young.result() == 18


def test_a_run_that_goes_on_during_the_export_stays(engine, frozen):
    """Retried and ended anew after it was written out, it is neither old nor the same."""
    one, two = engine.start("bad", n=1), engine.start("bad", n=2)
    engine.breaker("api").disable()
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))

    def meanwhile(_ids):
        engine.retry(two)
        engine.run_until_idle()

    done = Pruning(engine.log, older(30)).prune(export=meanwhile)
    assert done.runs.total() == 1
    assert two.status == "failed"
    assert len(engine.history(two.id)) > 4
    with pytest.raises(RunPruned):
        engine.get(one.id)


def test_a_run_that_moves_between_look_and_purge_stays(engine, frozen, monkeypatch):
    """The purge is held to the version that was judged."""
    run = engine.start("bad", n=1)
    engine.breaker("api").disable()
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    purge = engine.log.purge

    def late(tips, *, now):
        engine.retry(run)
        return purge(tips, now=now)

    monkeypatch.setattr(engine.log, "purge", late)
    done = Pruning(engine.log, older(30)).prune()
    assert (done.runs.total(), done.stays[CHANGED]) == (0, 1)
    engine.run_until_idle()
    assert run.status == "failed"


def test_many_batches(engine, frozen, monkeypatch):
    """With batches of two all of seven go, and each batch is told."""
    monkeypatch.setattr("engine.pruning.BATCH", 2)
    for n in range(7):
        engine.start("good", n=n)
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))
    told = []
    done = Pruning(engine.log, older(30)).prune(told=told.append)
    assert done.runs.total() == 7
    assert told == [2, 4, 6, 7]


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
