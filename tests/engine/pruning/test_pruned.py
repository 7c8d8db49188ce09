"""What is told of a pruned run, and what becomes of a pruning that is disturbed."""

from datetime import timedelta

import pytest

from engine.app import Engine
from engine.errors import RunPruned, RunUnknown
from engine.pruning import CHANGED, Pruning
from eventstore import clock
from eventstore.errors import StorageFull
from tests.engine.pruning.aged import older


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


def test_a_pruning_that_ends_between_batches_is_repeated(engine, frozen, monkeypatch):
    """Cut off after any batch, what is left is whole, and the same command takes the rest."""
    monkeypatch.setattr("engine.pruning.BATCH", 2)
    runs = [engine.start("good", n=n) for n in range(5)]
    engine.run_until_idle()
    frozen.tick(timedelta(days=40))

    class Cut(BaseException):
        pass

    def cut(_gone):
        raise Cut

    for left in (3, 1, 0):
        with pytest.raises(Cut):
            Pruning(engine.log, older(30)).prune(told=cut)
        assert list(engine.log.verify()) == []
        whole = [row for row in engine.runs() if row.pruned_at is None]
        assert len(whole) == left
        assert [engine.get(row.id).status for row in whole] == ["succeeded"] * left
    done = Pruning(engine.log, older(30)).prune()
    assert done.runs.total() == 0
    assert {run.status for run in runs} == {"succeeded"}
