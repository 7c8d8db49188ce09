# ruff: noqa: TID251 - steps read the clock as users do
"""How a timeline walks: due moments that appear on the way, engines that share, steps in flight."""

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from eventstore import clock
from playhead import (
    CircuitBreaker,
    CronTrigger,
    Engine,
    FileTrigger,
    IntervalTrigger,
    Timer,
    Workflow,
    step,
)
from playhead.testing import Engines, Timeline, TimelineRefused, crash_after, drop


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """Give a moment of January 2030."""
    return datetime(2030, 1, day, hour, minute, second, tzinfo=UTC)


@pytest.fixture
def engines() -> Iterator[Engines]:
    """What makes engines, as the fixture `playhead_engine` gives it."""
    with Engines() as made:
        yield made


@pytest.fixture
def line(engines: Engines) -> Iterator[Timeline]:
    """A timeline, as the fixture `timeline` gives it."""
    with Timeline(engines=engines) as timeline:
        yield timeline


@step
def note() -> str:
    return "done"


@step
def read(path: Path) -> str:
    return path.read_text("utf-8")


noted = Workflow("noted", steps=[note])
reading = Workflow("reading", steps=[read])
both = pytest.mark.parametrize("is_open", [False, True], ids=["idle", "open"])


def opened(engine: Engine, *, is_open: bool) -> Engine:
    """Give the engine, with its threads at work if asked."""
    return engine.__enter__() if is_open else engine


# Due moments that appear on the way.


@both
def test_a_step_makes_what_is_due_within_the_same_advance(engines, line, is_open):
    """A run that a step starts, with a timer and retries of its own, is walked through at once."""
    tries = []

    @step
    @retry(wait=wait_fixed(600), stop=stop_after_attempt(3))
    def flaky(rest: datetime) -> str:
        tries.append(dt.datetime.now(UTC))
        if len(tries) < 3:
            raise OSError("not yet")
        return "done"

    child = Workflow("child", steps=[Timer("rest", 1200), flaky])

    @step
    def order(wait: datetime) -> str:
        return engine.start(child).id

    parent = Workflow("parent", steps=[Timer("wait", 600), order])
    engine = opened(engines(workflows=[parent, child]), is_open=is_open)
    run = engine.start(parent)
    assert line.advance(hours=2) == [at(1, 0, 10), at(1, 0, 30), at(1, 0, 40), at(1, 0, 50)]
    assert tries == [at(1, 0, 30), at(1, 0, 40), at(1, 0, 50)]
    assert engine.get(run.result(timeout=0)).ended_at == at(1, 0, 50)


@both
def test_a_slot_whose_run_is_retried_between_slots(engines, line, is_open):
    """Slots, the retries of their runs and the cool-down of a breaker are one row of moments."""
    calls = []
    api = CircuitBreaker("api", failure_threshold=2, reset_timeout=300)

    @step(breaker=api)
    @retry(wait=wait_fixed(60), stop=stop_after_attempt(9))
    def ask(slot: datetime) -> str:
        calls.append((slot, dt.datetime.now(UTC)))
        if len(calls) < 3:
            raise OSError("down")
        return "done"

    asking = Workflow("asking", steps=[ask])
    trigger = CronTrigger("0 * * * *", asking)
    engine = opened(engines(workflows=[asking], triggers=[trigger]), is_open=is_open)
    moments = line.advance(hours=2, minutes=30)
    assert moments == [at(1, 1), at(1, 1, 1), at(1, 1, 2), at(1, 1, 6), at(1, 2)], "parked at 2"
    assert calls == [(at(1, 1), at(1, 1, minute)) for minute in (0, 1, 6)] + [
        (at(1, 2), at(1, 2))
    ]
    assert len(engine.runs(status="succeeded")) == 2


@both
@pytest.mark.parametrize("by", ["rename", "write", "rsync", "link"])
def test_a_dropped_file_starts_one_run_a_second_later(engines, line, tmp_path, is_open, by):
    """However it was dropped: nothing before its settle time, one run at that moment, then none."""
    trigger = FileTrigger(str(tmp_path / "*.txt"), reading)
    engine = opened(engines(workflows=[reading], triggers=[trigger]), is_open=is_open)
    line.advance(hours=1)
    drop(tmp_path / "a.txt", "hello", by=by)
    assert line.advance(seconds=0.999999) == []
    assert engine.runs() == []
    assert line.advance(seconds=0.000001) == [at(1, 1, 0, 1)]
    (row,) = engine.runs()
    assert (row.status, row.started_at) == ("succeeded", at(1, 1, 0, 1))
    line.advance(days=1)
    assert len(engine.runs()) == 1


@both
def test_a_slow_file_settles_after_its_last_piece(engines, line, tmp_path, is_open):
    """Each piece begins the wait anew: one run, of the whole file, a second after the last."""
    trigger = FileTrigger(str(tmp_path / "*.txt"), reading)
    engine = opened(engines(workflows=[reading], triggers=[trigger]), is_open=is_open)
    for _ in drop(tmp_path / "a.txt", "from first to last", by="slow", pieces=5):
        line.advance(seconds=0.9)
        assert engine.runs() == []
    line.advance(seconds=1)
    (row,) = engine.runs()
    assert row.started_at == at(1, 0, 0, 4) + timedelta(seconds=0.6)
    assert engine.get(row.id).result(timeout=0) == "from first to last"


@pytest.mark.parametrize(
    ("policy", "started"),
    [
        ({"overlap": "allow"}, [(1, 0), (2, 0), (3, 0), (4, 0)]),
        ({"overlap": "skip"}, [(1, 0), (3, 0)]),
        ({"overlap": "wait"}, [(1, 0), (2, 30), (4, 0)]),
        ({"overlap": "cancel"}, [(1, 0), (2, 0), (3, 0), (4, 0)]),
    ],
)
@both
def test_slots_that_overlap(engines, line, policy, started, is_open):
    """Runs of 90 minutes, a slot each hour: what waits or is passed over, is so to the minute."""

    @step
    def rise(nap: datetime) -> None:
        pass

    napping = Workflow("napping", steps=[Timer("nap", 5400), rise])
    trigger = CronTrigger("0 * * * *", napping, **policy)
    engine = opened(engines(workflows=[napping], triggers=[trigger]), is_open=is_open)
    line.advance(hours=4)
    rows = engine.runs(limit=None)
    assert sorted(row.started_at for row in rows) == [at(1, *when) for when in started]


@both
def test_slots_with_jitter_come_at_their_own_moments(engines, line, is_open):
    """A jittered slot is a due moment like any other: its run starts when it is met."""
    trigger = CronTrigger("0 * * * *", noted, jitter=600)
    engine = opened(engines(workflows=[noted], triggers=[trigger]), is_open=is_open)
    moments = line.advance(hours=5, minutes=30)
    assert len(moments) == 5
    assert all(0 <= moment.minute < 10 for moment in moments)
    rows = engine.runs(status="succeeded", limit=None)
    assert sorted(row.ended_at for row in rows) == moments


# Engines that share.


@both
def test_two_engines_on_one_log_fire_each_slot_once(engines, line, tmp_path, is_open):
    """Both have the trigger and both are walked through: a run for each slot, at its moment."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    for _ in range(2):
        trigger = IntervalTrigger(600, noted)
        opened(engines(workflows=[noted], triggers=[trigger], url=url), is_open=is_open)
    moments = line.advance(hours=1)
    assert moments == [at(1, 0, minute) for minute in range(10, 60, 10)] + [at(1, 1)]
    rows = engines.made[0].runs(limit=None)
    assert sorted(row.ended_at for row in rows) == moments


@both
def test_each_engine_does_what_it_knows(engines, line, tmp_path, is_open):
    """Two engines of one log know different workflows: nobody waits for what is not theirs."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    other = Workflow("other", steps=[note])
    for workflow, every in ((noted, 600), (other, 900)):
        trigger = IntervalTrigger(every, workflow)
        opened(engines(workflows=[workflow], triggers=[trigger], url=url), is_open=is_open)
    began = clock.real_seconds()
    line.advance(hours=1)
    assert clock.real_seconds() - began < 20
    rows = engines.made[0].runs(limit=None)
    assert {row.status for row in rows} == {"succeeded"}
    assert len(rows) == 10


@both
def test_what_nobody_can_do_hides_no_slot(engines, line, tmp_path, is_open):
    """A run that stays due, its workflow unknown here, leaves every slot its own moment."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    Engine(url, workflows=[reading]).start(reading, path="x")
    trigger = IntervalTrigger(600, noted)
    engine = opened(engines(workflows=[noted], triggers=[trigger], url=url), is_open=is_open)
    assert line.advance(minutes=35) == [at(1, 0, 10), at(1, 0, 20), at(1, 0, 30)]
    rows = engine.runs(noted)
    assert sorted(row.started_at for row in rows) == [at(1, 0, 10), at(1, 0, 20), at(1, 0, 30)]
    assert {row.ended_at == row.started_at for row in rows} == {True}


def test_an_engine_opened_and_closed_on_the_way(engines, line, tmp_path):
    """Idle, open, idle and closed again, an engine keeps its place on the timeline."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    engine = engines(workflows=[noted], triggers=[IntervalTrigger(600, noted)], url=url)
    moments = line.advance(minutes=25)
    with engine:
        moments += line.advance(minutes=20)
    moments += line.advance(minutes=15)
    assert moments == [at(1, 0, minute) for minute in range(10, 60, 10)] + [at(1, 1)]
    rows = engine.runs(status="succeeded")
    assert sorted(row.ended_at for row in rows) == moments


def test_an_engine_of_a_step_joins_in(engines, line):
    """An engine made while the timeline walks is walked through from then on."""

    @step
    def found(wait: datetime) -> None:
        engines(workflows=[noted], triggers=[IntervalTrigger(600, noted)])

    founding = Workflow("founding", steps=[Timer("wait", 600), found])
    first = engines(workflows=[founding])
    first.start(founding)
    line.advance(minutes=15)
    assert line.advance(minutes=20) == [at(1, 0, 20), at(1, 0, 30)]
    assert len(engines.made[1].runs(status="succeeded")) == 2


def test_only_an_engine_is_added(line):
    """What is no engine is refused by name."""
    with pytest.raises(TypeError, match="in an Engine, not 3"):
        line.add(3)


# Steps in flight.


class Gate:
    """What a step stands at until the test lets it through."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def stand(self) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        return "through"


def refused(line: Timeline, step_name: str, run_id: str = "") -> None:
    """Hold that each move is refused, names the step and leaves the clock."""
    now = line.now
    for move in (lambda: line.advance(hours=1), line.to_next, lambda: line.jump(1)):
        with pytest.raises(
            TimelineRefused, match=f"in flight: step '{step_name}' of run {run_id}"
        ):
            move()
    assert line.now == now


def test_an_async_step_in_flight(engines, line):
    """An async step on the loop of an open engine keeps time from moving, by name."""
    gate = Gate()
    line.patience = 0.02

    @step
    async def dig() -> str:
        return await asyncio.to_thread(gate.stand)

    digging = Workflow("digging", steps=[dig])
    with engines(workflows=[digging]) as engine:
        run = engine.start(digging)
        assert gate.begun.wait(10)
        refused(line, "dig", run.id)
        gate.go_on.set()
        assert run.result(timeout=10) == "through"
        line.patience = 10
        assert line.advance(hours=1) == []


@pytest.mark.parametrize("how", ["run", "run_until_idle"])
def test_a_step_of_another_thread_in_flight(engines, line, how):
    """A step that `engine.run` or `run_until_idle` performs in another thread does so too."""
    gate = Gate()
    line.patience = 0.02

    @step
    def dig() -> str:
        return gate.stand()

    @step
    def carry(dig: str) -> str:
        return dig

    digging = Workflow("digging", steps=[dig, carry])
    engine = engines(workflows=[digging])
    results: list[Any] = []

    def work() -> None:
        if how == "run":
            results.append(engine.run(digging))
        else:
            run = engine.start(digging)
            engine.run_until_idle()
            results.append(run.result(timeout=0))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert gate.begun.wait(10)
        refused(line, "dig")
    finally:
        gate.go_on.set()
        thread.join()
    assert results == ["through"]
    line.patience = 10
    assert line.advance(hours=1) == []
    assert line.now == at(1, 1)


def test_an_engine_that_was_cut_off_is_walked_past(engines: Engines, tmp_path: Path) -> None:
    """Cut off in the middle of a walk: the walk of the next engine meets each slot that is left."""

    def one() -> Engine:
        trigger = IntervalTrigger(60, noted, name="beats", catchup="all")
        url = f"sqlite:///{tmp_path / 'log.db'}"
        return engines(url=url, workflows=[noted], triggers=[trigger])

    with Timeline("2030-01-01", engines=engines) as line:
        first = one()
        with crash_after(4, first) as cut:
            line.advance(minutes=5)
        assert cut.crashed
        assert line.now < at(1, 0, 5)
        second = one()
        assert line.engines == [second]
        line.advance(at(1, 0, 5))
        keys = sorted(str(row.key) for row in second.runs(status="succeeded"))
        assert keys == [f"beats/2030-01-01T00:0{minute}:00Z" for minute in range(1, 6)]
