# ruff: noqa: TID251 - every clock that user code may read is read here
"""What breaks under a frozen clock elsewhere does not break here: freezegun's pitfalls, one by one.

Most of it is asked twice: under `timeline`, and under plain `freeze_time`, which knows nothing of
us.
"""

import asyncio
import datetime as dt
import logging
import pickle
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import freezegun.api
import pytest
import sqlalchemy as sa
from freezegun import freeze_time
from sqlalchemy.pool import QueuePool
from tenacity import retry, stop_after_attempt, wait_fixed

from eventstore import clock
from playhead import (
    Context,
    Engine,
    FileTrigger,
    IntervalTrigger,
    Timer,
    Workflow,
    step,
)
from playhead.testing import Timeline, TimelineRefused, drop

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
ways = pytest.mark.parametrize("freeze", [Timeline, lambda: freeze_time(BEGIN)])


@step
def note() -> str:
    return "done"


@step
def read(path: Path) -> str:
    return path.read_text("utf-8")


noted = Workflow("noted", steps=[note])
reading = Workflow("reading", steps=[read])


def until(condition: Any, seconds: float = 60) -> Any:
    """Give the first true answer of a condition, asked until a deadline on the real clock."""
    pause = threading.Event()
    end = clock.real_seconds() + seconds
    while not (answer := condition()):
        assert clock.real_seconds() < end, "it did not come about"
        pause.wait(0.002)
    return answer


def real_seconds_of(work: Any) -> float:
    """Give the real seconds that a piece of work takes."""
    began = clock.real_seconds()
    work()
    return clock.real_seconds() - began


# Leaving frozen time.


def test_a_thread_that_reads_the_clock_while_it_thaws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread fails or sees a third time while another goes in and out of `freeze_time`."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # where local time taken for UTC would be seen
    time.tzset()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    is_over = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not is_over.is_set():
            try:
                us = clock.now_us()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                wrong.append(error)
                return
            real = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000
            if us != clock.to_us(BEGIN) and not real - 60_000_000 < us <= real:
                wrong.append(us)

    threads = [threading.Thread(target=look) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(30):
            with freeze_time(BEGIN):
                pass
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
        monkeypatch.undo()
        time.tzset()
    assert wrong == []


@pytest.mark.parametrize("lists", ["freeze_factories", "tz_offsets"])
def test_each_half_of_thawing(lists: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one of freezegun's lists empty and the other not, the clock gives the real time."""
    with freeze_time(BEGIN):
        assert clock.now_us() == clock.to_us(BEGIN)
        with monkeypatch.context() as patch:
            patch.setattr(freezegun.api, lists, [])
            real = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000
            assert real <= clock.now_us() < real + 60_000_000
        assert clock.now_us() == clock.to_us(BEGIN)


def test_an_open_engine_outlives_frozen_time(caplog: pytest.LogCaptureFixture) -> None:
    """An engine that is open before, while and after the clock is frozen works in all three."""
    engine = Engine("sqlite:///:memory:", workflows=[noted], triggers=[])
    with engine, caplog.at_level(logging.WARNING):
        for _ in range(5):
            before = engine.start(noted)
            assert before.result(timeout=10) == "done"
            with freeze_time(BEGIN) as frozen:
                during = engine.start(noted)
                frozen.tick(3600)
                assert during.result(timeout=10) == "done"
            after = engine.start(noted)
            assert after.result(timeout=10) == "done"
            assert during.started_at is not None
            assert during.started_at == BEGIN
            assert after.ended_at < BEGIN
    assert caplog.records == []


def test_a_freeze_that_was_never_ended_is_ended_and_told() -> None:
    """A `freeze_time` left on inside a timeline does not freeze the rest of the process."""
    line = Timeline()
    line.__enter__()
    freeze_time("2031-01-01").start()
    freeze_time("2032-01-01").start()
    assert dt.datetime.now(UTC).year == 2032
    with pytest.raises(TimelineRefused, match="write it as a `with`"):
        line.__exit__(None, None, None)
    assert not freezegun.api.freeze_factories
    assert type(dt.datetime.now(UTC)) is datetime
    assert time.time() < 1_890_000_000


def test_what_a_test_raised_is_not_hidden_by_a_freeze_it_left() -> None:
    """The error of the test itself is the one that is seen, and the outer freeze goes on."""

    def fails() -> None:
        with Timeline():
            freeze_time("2031-01-01").start()
            raise ZeroDivisionError

    with freeze_time(BEGIN):
        with pytest.raises(ZeroDivisionError):
            fails()
        assert dt.datetime.now(UTC) == BEGIN
    assert not freezegun.api.freeze_factories


# Values.


@ways
def test_a_frozen_datetime_is_a_datetime_for_good(freeze: Any, tmp_path: Path) -> None:
    """What a step returned while time was frozen is a real datetime afterwards, in all places."""
    url = f"sqlite:///{tmp_path / 'log.db'}"

    @step
    def stamp(ctx: Context) -> dict[str, datetime]:
        return {"now": dt.datetime.now(UTC), "clock": ctx.now()}

    @step
    def later(stamp: dict[str, datetime], wait: datetime) -> datetime:
        return stamp["now"] + (wait - stamp["clock"])

    stamping = Workflow("stamping", steps=[stamp, Timer("wait", 60), later])
    with freeze(), Engine(url, workflows=[stamping]) as engine:
        run = engine.start(stamping)
        until(lambda: run.status == "waiting")
        engine.close()
    with freeze_time(BEGIN + timedelta(hours=1)):
        engine.run_until_idle()
        inside = run.result(timeout=0)
    assert inside == run.result(timeout=0) == BEGIN + timedelta(minutes=1)
    events = engine.history(run)
    moments = [run.result(timeout=0), run.started_at, run.ended_at, engine.runs()[0].started_at]
    moments += [event.at for event in events]
    assert {type(moment) for moment in moments} == {datetime}
    assert all("freezegun" not in repr(event.resolved()) for event in events)
    assert b"freezegun" not in pickle.dumps(moments)
    assert pickle.loads(pickle.dumps(moments)) == moments  # noqa: S301 - our own
    engine.close()


def test_ids_are_new_on_a_clock_that_stands_or_goes_back() -> None:
    """Runs started at one frozen moment, and at an earlier one, have ids of their own, in order."""
    engine = Engine("sqlite:///:memory:", workflows=[noted])
    with freeze_time("2099-01-01") as frozen:
        ids = [engine.start(noted).id for _ in range(50)]
        frozen.move_to("1999-01-01")
        ids += [engine.start(noted).id for _ in range(50)]
        engine.run_until_idle()
    ids += [engine.start(noted).id for _ in range(50)]
    assert len(set(ids)) == 150
    with freeze_time("2099-01-01"):
        engine.run_until_idle()
    assert {row.status for row in engine.runs(limit=None)} == {"succeeded"}
    engine.close()


# Waits of libraries, which are real.


@ways
def test_a_pool_gives_up_in_real_time(freeze: Any, tmp_path: Path) -> None:
    """A user's pool of one connection refuses the second in real time and does not hang.

    Under `timeline` because its waits are real. Plain `freeze_time` stops its patience, as it does
    without us: there its own list of modules is to name the pool.
    """
    if freeze is not Timeline:
        real = ["sqlalchemy.pool", "sqlalchemy.util"]
        freeze = lambda: freeze_time(BEGIN, ignore=real)  # noqa: E731
    pool = sa.create_engine(
        f"sqlite:///{tmp_path / 'a.db'}", poolclass=QueuePool, pool_size=1, max_overflow=0,
        pool_timeout=0.05,
    )  # fmt: skip

    @step
    def select() -> int:
        with pool.connect() as first:
            with pytest.raises(sa.exc.TimeoutError):
                pool.connect()
            return first.execute(sa.text("SELECT 1")).scalar_one()

    selecting = Workflow("selecting", steps=[select])
    with freeze(), Engine("sqlite:///:memory:", workflows=[selecting]) as engine:
        run = engine.start(selecting)
        assert real_seconds_of(lambda: run.result(timeout=10)) < 5
        assert run.result(timeout=0) == 1
    pool.dispose()


def test_a_pool_does_not_recycle_because_time_was_moved(tmp_path: Path) -> None:
    """Years on the timeline are no age of a connection: `pool_recycle` keeps it."""
    opened = []
    pool = sa.create_engine(
        f"sqlite:///{tmp_path / 'a.db'}", poolclass=QueuePool, pool_recycle=60
    )
    sa.event.listen(pool, "connect", lambda *_: opened.append(1))
    with pool.connect():
        pass
    with Timeline() as line:
        for _ in range(3):
            line.jump(days=365)
            with pool.connect():
                pass
    with pool.connect():
        pass
    assert len(opened) == 1
    pool.dispose()


@ways
def test_a_step_that_waits_for_a_process(freeze: Any) -> None:
    """A subprocess's timeout in a step is real under `timeline`; elsewhere the child still ends."""
    forever = [sys.executable, "-c", "import signal; signal.pause()"]

    @step
    def wait() -> str:
        if freeze is Timeline:
            with pytest.raises(subprocess.TimeoutExpired):
                subprocess.run(forever, timeout=0.05, check=False)
        done = subprocess.run(
            [sys.executable, "-c", "import datetime as d; print(d.datetime.now().year)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    waiting = Workflow("waiting", steps=[wait])
    with freeze(), Engine("sqlite:///:memory:", workflows=[waiting]) as engine:
        year = engine.start(waiting).result(timeout=20)
    assert int(year) < 2030, "a child process has the real clock"


@ways
def test_async_steps_sleep_and_time_out_for_real(freeze: Any) -> None:
    """`asyncio.sleep` and `asyncio.timeout` end in a step whose clock stands, however it runs."""

    @step
    async def nap() -> str:
        await asyncio.sleep(0.005)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await asyncio.Event().wait()
        return dt.datetime.now(UTC).isoformat()

    napping = Workflow("napping", steps=[nap])
    with freeze():
        engine = Engine("sqlite:///:memory:", workflows=[napping])
        assert engine.run(napping) == BEGIN.isoformat()
        run = engine.start(napping)
        engine.run_until_idle()
        assert run.result(timeout=0) == BEGIN.isoformat()
        with engine:
            assert engine.start(napping).result(timeout=10) == BEGIN.isoformat()


@ways
def test_an_engine_in_a_users_own_loop(freeze: Any) -> None:
    """`async with engine:` and `await run` work in an asyncio program whose clock is frozen.

    Under plain `freeze_time` the user's own loop needs `real_asyncio=True`, with us or without.
    """
    if freeze is not Timeline:
        freeze = lambda: freeze_time(BEGIN, real_asyncio=True)  # noqa: E731

    async def main() -> str:
        async with Engine("sqlite:///:memory:", workflows=[noted]) as engine:
            await asyncio.sleep(0.001)
            return await asyncio.wait_for(engine.start(noted), 10)

    with freeze():
        assert asyncio.run(main()) == "done"


# Watched folders.


@ways
def test_a_file_moved_out_does_not_stop_the_watch(freeze: Any, tmp_path: Path) -> None:
    """Half a move holds nothing up: the next file starts its run, and closing ends every thread."""
    inbox, out = tmp_path / "in", tmp_path / "out"
    for folder in (inbox, out):
        folder.mkdir()
    trigger = FileTrigger(str(inbox / "*.txt"), reading, complete="close")
    before = set(threading.enumerate())
    with freeze():
        engine = Engine("sqlite:///:memory:", workflows=[reading], triggers=[trigger])
        with engine:

            def read_by_now() -> set[str]:
                rows = engine.runs(status="succeeded", limit=None)
                return {Path(row.inputs["path"]).name for row in rows}

            number = 0
            while not read_by_now():  # the first ones may come before the watch is ready
                number += 1
                drop(inbox / f"{number}.txt", "hello", by="write")
                threading.Event().wait(0.05)
            (inbox / f"{number}.txt").rename(out / "gone.txt")
            threading.Event().wait(0.01)
            drop(inbox / "last.txt", "hello", by="write")
            until(lambda: "last.txt" in read_by_now())
            began = clock.real_seconds()
        assert clock.real_seconds() - began < 9
    assert set(threading.enumerate()) - before == set()


@ways
@pytest.mark.parametrize("is_open", [True, False])
def test_a_file_settles_on_the_frozen_clock(
    freeze: AbstractContextManager[Any], is_open: bool, tmp_path: Path
) -> None:
    """A file starts its run when the clock has been moved by its settle time, not before."""
    trigger = FileTrigger(str(tmp_path / "*.txt"), reading, settle=60)
    with freeze() as frozen:
        engine = Engine("sqlite:///:memory:", workflows=[reading], triggers=[trigger])
        if is_open:
            engine.__enter__()
        drop(tmp_path / "a.txt", "hello")
        do = (lambda: until(lambda: engine.next_due() is not None)) if is_open else (
            engine.run_until_idle
        )  # fmt: skip
        do()
        assert engine.runs() == []
        move = frozen.tick if freeze is not Timeline else frozen.add(engine) and frozen.jump
        move(59)
        if not is_open:
            engine.run_until_idle()
        threading.Event().wait(0.02)
        assert engine.runs() == []
        move(1)
        if not is_open:
            engine.run_until_idle()
        (row,) = until(lambda: engine.runs(status="succeeded"))
        assert row.started_at == BEGIN + timedelta(minutes=1)
        engine.close()


# Plain freeze_time moves an open engine.


@pytest.mark.parametrize("move", ["tick", "move_to"])
def test_an_open_engine_follows_plain_freeze_time(move: str) -> None:
    """Timers, retries and slots of an engine with threads come as the clock is moved by hand."""
    times = []

    @step
    @retry(wait=wait_fixed(3600), stop=stop_after_attempt(3))
    def flaky(wait: datetime) -> int:
        times.append(dt.datetime.now(UTC))
        if len(times) < 3:
            raise OSError("not yet")
        return len(times)

    trying = Workflow("trying", steps=[Timer("wait", 3600), flaky])
    triggers = [IntervalTrigger(timedelta(hours=1), noted)]
    with freeze_time(BEGIN) as frozen:
        engine = Engine("sqlite:///:memory:", workflows=[trying, noted], triggers=triggers)
        with engine:
            run = engine.start(trying)
            for hour in (1, 2, 3):
                until(lambda: run.status == "waiting" and engine.next_due() is not None)
                moment = BEGIN + timedelta(hours=hour)
                frozen.tick(timedelta(hours=1)) if move == "tick" else frozen.move_to(moment)
                until(lambda hour=hour: len(times) == hour)
                until(lambda hour=hour: len(engine.runs(noted, status="succeeded")) == hour)
            assert run.result(timeout=10) == 3
    assert times == [BEGIN + timedelta(hours=hour) for hour in (1, 2, 3)]


def test_an_open_engine_bears_a_clock_set_back() -> None:
    """While it works, hours are taken back and given again: each slot fires once."""
    with freeze_time(BEGIN) as frozen:
        trigger = IntervalTrigger(timedelta(hours=1), noted)
        engine = Engine("sqlite:///:memory:", workflows=[noted], triggers=[trigger])
        with engine:
            until(lambda: engine.next_due() is not None)
            for hours in (1, -3, 5, -4, 2):
                frozen.tick(timedelta(hours=hours))
                assert engine.start(noted).result(timeout=10) == "done"
        frozen.move_to(BEGIN + timedelta(hours=4))
        engine.run_until_idle()
        keys = [row.key for row in engine.runs(limit=None) if row.key]
        assert len(keys) == len(set(keys))
        engine.close()


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_step_in_flight_outlives_a_leap(
    where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hours pass at once under a step, as in a suspended laptop: it is not begun a second time."""
    begun, go_on = threading.Event(), threading.Event()
    calls = []

    @step
    def dig() -> int:
        calls.append(1)
        begun.set()
        assert go_on.wait(20)
        return len(calls)

    digging = Workflow("digging", steps=[dig])
    url = "sqlite:///:memory:" if where == "memory" else f"sqlite:///{tmp_path / 'log.db'}"
    trigger = IntervalTrigger(timedelta(hours=1), noted)
    with freeze_time(BEGIN) as frozen:
        engine = Engine(url, workflows=[digging, noted], triggers=[trigger])
        with engine:
            run = engine.start(digging)
            assert begun.wait(10)
            for hour in (1, 2):
                frozen.tick(timedelta(hours=1))
                until(lambda hour=hour: len(engine.runs(noted, status="succeeded")) == hour)
            go_on.set()
            assert run.result(timeout=10) == 1
            types = [event.type for event in engine.history(run)]
    assert types == ["run.started", "step.started", "step.succeeded", "run.succeeded"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
