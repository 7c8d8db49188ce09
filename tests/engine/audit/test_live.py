"""The deep look beside working engines: what moves on meanwhile is no fault."""

import threading

import pytest

from engine import repository
from engine.audit import walk
from eventstore import clock
from playhead import CircuitBreaker, Engine, IntervalTrigger, Workflow, step
from tests.journeys.conftest import wait_until

SECONDS = 2.0  # real, of looking


@step
def begin(n: int = 0) -> int:
    return n


@step
def middle(begin: int) -> int:
    return begin


@step(breaker=CircuitBreaker("api", failure_threshold=1, reset_timeout=0.01), on_open="fail")
def end(middle: int) -> int:
    if middle % 3 == 0:
        raise OSError("down")
    return middle


work = Workflow("work", steps=[begin, middle, end])


@pytest.mark.slow
def test_a_log_at_work_has_no_false_faults(tmp_path, monkeypatch):
    """Looked at again and again from another connection while 8 threads append, nothing is told."""
    monkeypatch.setattr(repository, "SNAPSHOT_EVERY", 2)
    url = f"sqlite:///{tmp_path / 'log.db'}"
    looker = Engine(url)
    worker = Engine(
        url, workflows=[work], threads=8, triggers=[IntervalTrigger(0.02, work, name="beat")]
    )
    stopped = threading.Event()

    def feed():
        for n in range(1_000_000):
            if stopped.is_set():
                return
            worker.start(work, n=n)

    feeding = threading.Thread(target=feed)
    looks, grown = 0, set()
    with worker:
        feeding.start()
        try:
            until = clock.real_seconds() + SECONDS
            while clock.real_seconds() < until or len(grown) < 3:
                verdict = looker.verify(deep=True)
                assert verdict.faults == []
                looks += 1
                grown.add(verdict.events)
        finally:
            stopped.set()
            feeding.join()
    verdict = looker.verify(deep=True)
    assert verdict.faults == []
    assert verdict.snapshots > 0
    assert {head.kind for head in looker.log.streams(limit=100_000)} == {
        "run", "breaker", "trigger",
    }  # fmt: skip
    looker.close()


def test_what_moves_on_between_two_reads_is_looked_at_again(tmp_path, monkeypatch):
    """A row read long before its snapshots is behind them: a second look finds all well."""
    monkeypatch.setattr(repository, "SNAPSHOT_EVERY", 2)
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[work])
    engine.start(work, n=1)
    seen = []

    class Behind(walk.Audit):
        def _snapshots_of(self, streams):
            if not seen:  # the rows are read, the snapshots not yet
                engine.run_until_idle()
            seen.append(streams)
            return super()._snapshots_of(streams)

    audit = Behind(engine.log, engine.repository.plan, deep=True)
    assert list(audit.faults()) == []
    assert len(seen) == 2  # it was looked at again
    assert (audit.events, audit.snapshots > 0) == (8, True)
    engine.close()


def test_a_fault_is_told_although_the_log_moves(tmp_path):
    """What is at fault in both looks is told, while other streams grow."""
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[work])
    bad = engine.start(work, n=1)
    engine.run_until_idle()
    engine.log.put_snapshot(bad.id, 99, repository.SNAPSHOT_KIND, b"{}")
    with engine:
        more = [engine.start(work, n=n) for n in (1, 2, 4)]
        (fault,) = engine.verify(deep=True).faults
        wait_until(lambda: all(run.status == "succeeded" for run in more))
    assert fault.stream == bad.id
