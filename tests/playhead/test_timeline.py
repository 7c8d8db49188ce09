# ruff: noqa: TID251 - every clock that user code may read is read here
"""A clock that walks through what is due: each recipe of time travel, and what it refuses."""

import asyncio
import concurrent.futures
import datetime as dt
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from tenacity import retry, stop_after_attempt, wait_exponential, wait_fixed

from playhead import (
    AtTrigger,
    CircuitBreaker,
    CronTrigger,
    Engine,
    FileTrigger,
    IntervalTrigger,
    Signal,
    Timer,
    Workflow,
    step,
)
from playhead.engines import Engines
from playhead.freezing import START
from playhead.timeline import Timeline, TimelineRefused

BEGIN = datetime.fromisoformat(START)


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0, *, month: int = 1) -> Any:
    """Give a moment of 2030."""
    return datetime(2030, month, day, hour, minute, second, tzinfo=UTC)


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
def invite(name: str) -> str:
    return f"dear {name}"


@step
def remind(invite: str, patience: datetime) -> str:
    return f"{invite}, {patience:%d %B}, {dt.datetime.now(UTC):%d %B}"


@step
def note() -> str:
    return "done"


reminder = Workflow(
    "reminder", steps=[invite, Timer("patience", timedelta(days=30), after=["invite"]), remind]
)
noted = Workflow("noted", steps=[note])


# The recipes.


def test_a_reminder_of_thirty_days(engines, line):
    """A wait of 30 days ends at its moment, and not a day before; no time passes meanwhile."""
    engine = engines(workflows=[reminder])
    run = engine.start(reminder, name="Ann")
    assert line.advance(days=29) == []
    assert run.status == "waiting"
    assert line.advance(days=2) == [at(31)]
    assert run.result(timeout=0) == "dear Ann, 31 January, 31 January"
    assert line.now == at(1, month=2)
    assert run.ended_at == at(31)


@pytest.mark.parametrize(
    ("expression", "count", "seconds"), [("30 6 * * *", 365, 6), ("0 */6 * * *", 1460, 20)]
)
def test_a_year_of_slots(engines, line, expression, count, seconds):
    """A year of slots takes seconds of processor time, and each run is at its own slot.

    One a day takes less than two on ours, four a day less than five; others are slower.
    """
    trigger = CronTrigger(expression, noted)
    engine = engines(workflows=[noted], triggers=[trigger])
    began = time.process_time()
    slots = line.advance(days=365)
    assert time.process_time() - began < seconds
    rows = engine.runs(status="succeeded", limit=None)
    assert len(slots) == count
    assert sorted(row.started_at for row in rows) == slots
    assert [row.started_at for row in rows] == [row.ended_at for row in rows]


def test_retries_wait_exponentially(engines, line):
    """Each retry of a policy comes at its own moment, at one, three and seven minutes."""

    @step
    @retry(wait=wait_exponential(multiplier=60, max=3600), stop=stop_after_attempt(4))
    def fetch() -> str:
        raise ConnectionError("down")

    fetching = Workflow("fetching", steps=[fetch])
    engine = engines(workflows=[fetching])
    run = engine.start(fetching)
    moments = line.advance(hours=1)
    assert moments == [at(1, 0, 1), at(1, 0, 3), at(1, 0, 7)]
    assert run.status == "failed"
    failed = [event.at for event in engine.history(run) if event.type == "step.failed"]
    assert failed == [at(1), *moments]


def test_a_breakers_life(engines, line):
    """It opens at the threshold, probes when it has cooled down, and closes on a success."""
    is_down = True
    api = CircuitBreaker("api", failure_threshold=2, reset_timeout=60)

    @step(breaker=api)
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(9))
    def ask() -> int:
        if is_down:
            raise ConnectionError("down")
        return 42

    asking = Workflow("asking", steps=[ask])
    engine = engines(workflows=[asking])
    run = engine.start(asking)
    breaker = engine.breaker("api")
    assert line.to_next() == at(1, 0, 0, 1)
    assert breaker.state == "open"
    assert breaker.until == at(1, 0, 1, 1)
    line.advance(breaker.until)
    assert breaker.state == "open", "the probe has failed: it cools down again"
    is_down = False
    line.advance(breaker.until)
    assert (breaker.state, run.result(timeout=0)) == ("closed", 42)
    types = [event.type.partition(".")[2] for event in breaker.history()]
    opened = ["opened", "half_opened", "probed"]
    assert types == ["failed", "failed", *opened, *opened, "closed"]


def test_an_approval_that_times_out(engines, line):
    """Nobody answers for 48 hours: the run fails then; an answer in time is taken."""

    @step
    def publish(approval: bool) -> str:
        return "published" if approval else "rejected"

    asking = Workflow(
        "asking", steps=[Signal("approval", bool, timeout=timedelta(hours=48)), publish]
    )
    engine = engines(workflows=[asking])
    late, timely = engine.start(asking), engine.start(asking)
    line.advance(hours=47)
    engine.signal(timely, "approval", True)
    assert line.advance(hours=2) == [at(3)]
    assert timely.result(timeout=0) == "published"
    assert late.status == "failed"
    assert late.ended_at == at(3)


def test_a_suspended_laptop(engines, line):
    """One jump over three days: what fell due happens once, all of it after the nap."""

    @step
    def rise(nap: datetime) -> str:
        return f"{nap:%H:%M}"

    napping = Workflow("napping", steps=[Timer("nap", timedelta(hours=1)), rise])
    engine = engines(
        workflows=[napping, noted], triggers=[CronTrigger("0 6 * * *", noted, name="six")]
    )
    run = engine.start(napping)
    assert line.jump(days=3) == at(4)
    assert (run.result(timeout=0), run.ended_at) == ("01:00", at(4))
    assert [row.started_at for row in engine.runs(noted)] == [at(4)]
    declined = engine.log.read("trigger:six")[-2:]
    assert [event.type for event in declined] == ["trigger.declined", "trigger.fired"]


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        # The clock skips from 02:00 to 03:00 on the 31st; the slot fires when the gap ends.
        ("2030-03-30 00:00", [(30, 1, 30), (31, 1, 0), (32, 0, 30)]),
        # 02:30 comes twice on the 27th; the slot fires the first time.
        ("2030-10-26 00:00", [(26, 0, 30), (27, 0, 30), (28, 1, 30)]),
    ],
)
def test_the_nights_of_daylight_saving(engines, start, hours):
    """A slot at 02:30 in Paris fires once in each night, also in the two that are not as others."""
    trigger = CronTrigger("30 2 * * *", noted, tz="Europe/Paris")
    with Timeline(start, engines=engines) as line:
        engine = engines(workflows=[noted], triggers=[trigger])
        moments = line.advance(days=3)
        assert len(engine.runs(status="succeeded")) == 3
    first = datetime.fromisoformat(start).replace(day=1, tzinfo=UTC)
    assert moments == [
        first + timedelta(days=day - 1, hours=hour, minutes=minute)
        for day, hour, minute in hours
    ]


def test_a_file_settles(engines, line, tmp_path):
    """A file dropped in starts its run when it has settled, a second later on the clock."""

    @step
    def read(path: Path) -> str:
        return path.read_text("utf-8")

    reading = Workflow("reading", steps=[read])
    trigger = FileTrigger(str(tmp_path / "*.txt"), reading, settle=1.0)
    engine = engines(workflows=[reading], triggers=[trigger])
    (tmp_path / "a.txt").write_text("hello", "utf-8")
    line.advance(seconds=3)
    (row,) = engine.runs()
    assert engine.get(row.id).result(timeout=0) == "hello"


def test_without_the_plugin():
    """Plain `freeze_time` and `tick`, `run_until_idle` and `next_due` do the same."""
    with freeze_time(BEGIN) as clock:
        engine = Engine("sqlite:///:memory:", workflows=[reminder])
        run = engine.start(reminder, name="Ann")
        engine.run_until_idle()
        assert engine.next_due() == at(31)
        clock.tick(timedelta(days=30))
        engine.run_until_idle()
        assert run.result(timeout=0) == "dear Ann, 31 January, 31 January"
        engine.close()


# How it moves.


def test_each_moment_is_visited_in_order(engines, line):
    """Two engines, one timeline: every due moment is met once, and all code sees that moment."""
    seen = []

    @step
    def look(slot: datetime) -> None:
        seen.append((slot, dt.datetime.now(UTC), time.time()))

    one, two = Workflow("one", steps=[look]), Workflow("two", steps=[look])
    engines(workflows=[one], triggers=[IntervalTrigger(600, one)])
    other = Engine("sqlite:///:memory:", workflows=[two], triggers=[IntervalTrigger(900, two)])
    assert line.add(line.add(other)) is other
    moments = line.advance(hours=1)
    minutes = [moment.minute for moment in moments]
    assert minutes == [10, 15, 20, 30, 40, 45, 50, 0]
    assert [slot for slot, _, _ in seen] == sorted(slot for slot, _, _ in seen)
    assert all(slot == now and slot.timestamp() == stamp for slot, now, stamp in seen)
    assert len(seen) == 10, "at 30 and at 60 minutes both engines had one"
    other.close()


def test_one_engine_wakes_another(line, tmp_path):
    """What one engine leaves for another on the same log is done before time moves on."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    first = line.add(Engine(url, workflows=[noted]))

    @step
    def order(wait: datetime) -> str:
        return first.start(noted).id

    ordering = Workflow("ordering", steps=[Timer("wait", 60), order])
    second = line.add(Engine(url, workflows=[ordering, noted]))
    second.start(ordering)
    line.advance(minutes=2)
    assert {row.ended_at for row in second.runs(status="succeeded")} == {at(1, 0, 1)}
    for engine in line.engines:
        engine.close()


def test_to_next_gives_the_moment_or_none(engines, line):
    """It moves to the next due moment and gives it; with nothing due it stays and gives None."""
    engine = engines(
        workflows=[noted], triggers=[AtTrigger(at(5), noted), AtTrigger(at(9), noted)]
    )
    assert (line.to_next(), line.now) == (at(5), at(5))
    assert (line.to_next(), line.now) == (at(9), at(9))
    assert (line.to_next(), line.now) == (None, at(9))
    assert len(engine.runs(status="succeeded")) == 2


def test_how_far_is_said_in_many_ways(line):
    """A timedelta, seconds, words or the moment to arrive at; none or two of them are refused."""
    line.advance(timedelta(hours=1))
    line.advance(1800)
    line.advance(minutes=29, seconds=59.5)
    line.jump(0.5)
    assert line.now == at(1, 2)
    line.advance(datetime.fromisoformat("2030-01-02T00:00:00+02:00"))
    assert line.now == at(1, 22)
    line.advance(0)
    for wrong in ({}, {"parsecs": 3}):
        with pytest.raises(TypeError):
            line.advance(**wrong)
    with pytest.raises(TypeError):
        line.jump(3, hours=1)
    with pytest.raises(ValueError, match="no time zone"):
        line.advance(datetime(2031, 1, 1))  # noqa: DTZ001


def test_it_begins_where_the_clock_is_frozen_already():
    """Inside another `freeze_time` it begins at that moment, and gives that clock back."""
    with freeze_time("2026-05-01 08:00") as outer:
        with Timeline() as line:
            assert line.now == datetime(2026, 5, 1, 8, tzinfo=UTC)
            line.jump(days=1)
            assert line.now == datetime(2026, 5, 2, 8, tzinfo=UTC)
        assert dt.datetime.now(UTC) == outer().replace(tzinfo=UTC)


# What it refuses.


def test_it_does_not_go_back(line):
    """A target in the past is refused, whichever way it is said, and the clock stays."""
    for move in (line.advance, line.jump):
        with pytest.raises(TimelineRefused, match="does not go back to 2029"):
            move(days=-1)
        with pytest.raises(TimelineRefused, match="does not go back"):
            move(at(1) - timedelta(microseconds=1))
    assert line.now == at(1)


def test_a_step_in_flight_keeps_it_from_moving(engines, line):
    """While a thread is in a step, each move is refused and names step, run and attempt."""
    line.patience = 0.02
    begun, go_on = threading.Event(), threading.Event()

    @step
    def dig() -> str:
        begun.set()
        assert go_on.wait(10)
        return "gold"

    digging = Workflow("digging", steps=[dig])
    engine = engines(workflows=[digging])
    with engine:
        run = engine.start(digging)
        assert begun.wait(10)
        for move in (lambda: line.advance(hours=1), line.to_next, lambda: line.jump(1)):
            with pytest.raises(TimelineRefused, match=f"step 'dig' of run {run.id}"):
                move()
        assert line.now == at(1)
        go_on.set()
        assert run.result(timeout=20) == "gold"
        line.patience = 5
        line.advance(hours=1)
        assert line.now == at(1, 1)


def test_a_step_does_not_move_its_own_time(engines, line):
    """A step that moves the timeline is in flight itself: it fails with that sentence."""

    @step
    def hurry() -> None:
        line.advance(hours=1)

    hurrying = Workflow("hurrying", steps=[hurry])
    engine = engines(workflows=[hurrying])
    run = engine.start(hurrying)
    line.advance(seconds=1)
    assert "step 'hurry'" in str(run.error)
    assert run.ended_at == at(1)


def test_a_second_freeze_inside_is_found(line):
    """A `freeze_time` begun inside hides the timeline's clock: moving says so."""
    with (
        freeze_time("2031-01-01"),
        pytest.raises(TimelineRefused, match="another freeze_time"),
    ):
        line.jump(hours=1)


def test_it_moves_only_inside_its_block():
    """Before it begins and after it has ended a timeline does not move."""
    line = Timeline()
    with pytest.raises(TimelineRefused, match="not begun"):
        line.jump(hours=1)
    with line:
        line.jump(hours=1)
    with pytest.raises(TimelineRefused, match="has ended"):
        line.jump(hours=1)


# Threads and libraries.


def test_an_open_engine_is_waited_for(engines, line):
    """Of an engine with threads each due moment is done before the clock moves to the next."""
    times = []

    @step
    @retry(wait=wait_fixed(3600), stop=stop_after_attempt(4))
    async def flaky() -> int:
        times.append(dt.datetime.now(UTC))
        await asyncio.sleep(0.001)
        if len(times) < 4:
            raise OSError("not yet")
        return len(times)

    trying = Workflow("trying", steps=[flaky])
    engine = engines(
        workflows=[trying, noted], triggers=[IntervalTrigger(timedelta(hours=2), noted)]
    )
    line.patience = 10
    with engine:
        run = engine.start(trying)
        moments = line.advance(hours=5)
        assert run.result(timeout=0) == 4
        assert moments == [at(1, hour) for hour in (1, 2, 3, 4)]
        assert times == [at(1, hour) for hour in range(4)]
        ended = {row.ended_at for row in engine.runs(noted, status="succeeded")}
        assert ended == {at(1, 2), at(1, 4)}


def test_all_threads_see_one_time(line):
    """Every clock of Python says the same on a bare thread, in a pool and in `to_thread`."""

    def clocks() -> tuple[Any, ...]:
        return dt.datetime.now(UTC), time.time(), time.localtime(), time.monotonic()

    line.jump(days=1)
    seen = []
    bare = threading.Thread(target=lambda: seen.append(clocks()))
    bare.start()
    bare.join()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        seen.append(pool.submit(clocks).result())
        seen += pool.map(lambda _: clocks(), [None])
    seen.append(asyncio.run(asyncio.to_thread(clocks)))
    assert seen == [clocks()] * 4
    assert seen[0][:2] == (at(2), at(2).timestamp())


def test_waits_of_libraries_stay_real(line):
    """Queues, conditions, futures, processes and loops time out although the clock stands."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    with pytest.raises(queue.Empty):
        queue.Queue().get(timeout=0.001)
    assert not threading.Event().wait(0.001)
    with pytest.raises(TimeoutError):
        next(concurrent.futures.as_completed([concurrent.futures.Future()], timeout=0.001))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", "import signal; signal.pause()"], timeout=0.01, check=False
        )

    async def waits() -> None:
        await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)

    asyncio.run(waits())
    with freeze_time(line.now, ignore=["asyncio"]):
        asyncio.run(waits())
    assert time.clock_gettime(time.CLOCK_MONOTONIC) - began < 10


def test_files_are_watched_while_time_stands(engines, line, tmp_path):
    """The watch of an open engine hears of a file although the clock stands still."""

    @step
    def read(path: Path) -> str:
        return path.read_text("utf-8")

    reading = Workflow("reading", steps=[read])
    trigger = FileTrigger(str(tmp_path / "*.txt"), reading, complete="close")
    engine = engines(workflows=[reading], triggers=[trigger])
    pause = threading.Event()
    with engine:
        for number in range(500):
            if number % 20 == 0:  # the first ones may come before the watch is ready
                (tmp_path / f"{number}.txt").write_text("hello", "utf-8")
            if engine.runs(status="succeeded"):
                break
            pause.wait(0.01)
        assert {row.started_at for row in engine.runs(status="succeeded")} == {at(1)}


def test_what_nobody_can_do_does_not_stop_it(engines, line, tmp_path):
    """A run whose workflow no engine here knows stays due; the others go on behind it."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    Engine(url, workflows=[noted]).start(noted)
    engine = engines(workflows=[reminder], url=url)
    run = engine.start(reminder, name="Ann")
    assert line.advance(days=31) == [at(31)]
    assert run.status == "succeeded"
