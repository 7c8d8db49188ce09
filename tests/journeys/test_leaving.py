"""Leaving: whatever way a host goes, no thread, handle, watch or signal handler stays behind."""

import asyncio
import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from engine.aside import aside
from playhead import Context, CronTrigger, Engine, FileTrigger, Workflow, step
from tests.journeys.belongings import belongings


@step
def read(path: str) -> str:
    return Path(path).read_text()


@step
async def nap(read: str) -> str:
    await asyncio.sleep(0)
    return read.upper()


@step
def tick() -> None:
    pass


reading = Workflow("reading", steps=[read, nap])
ticking = Workflow("ticking", steps=[tick])


@pytest.fixture
def make(tmp_path):
    """Make engines in a file, with a watched folder and a clock; one has been left before."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()

    def made(name="log.db"):
        return Engine(
            f"sqlite:///{tmp_path / name}",
            workflows=[reading, ticking],
            triggers=[
                FileTrigger(f"{inbox}/**/*.txt", reading, settle=0),
                CronTrigger("0 0 1 1 *", ticking),
            ],
            grace=5,
        )

    with made("first.db"):  # what is loaded once for all is loaded now
        pass
    return made


def drop(tmp_path, name, until, engine):
    """Drop a file, and wait until its run has ended well."""
    (tmp_path / "inbox" / name).write_text("some words")
    key = f"file:{tmp_path}/inbox/**/*.txt:reading/{name}"
    return until(
        lambda: [
            row for row in engine.runs(status="succeeded") if (row.key or "").startswith(key)
        ]
    )


def test_leaving_leaves_nothing_behind(make, tmp_path, until):
    """Threads, handles, watches and handlers are as before; watches were there meanwhile."""
    before = belongings()
    with make() as engine:
        drop(tmp_path, "a.txt", until, engine)
        meanwhile = belongings()
    assert belongings() == before
    assert meanwhile["watches"] > before["watches"] == 0
    assert len(meanwhile["threads"]) > len(before["threads"])
    assert meanwhile["signals"] == before["signals"]
    assert meanwhile["wakeup"] == before["wakeup"]


def test_leaving_twice_in_a_row(make, tmp_path, until):
    """An engine that is entered again works again, and is left as clean."""
    before, engine = belongings(), make()
    for name in ("a.txt", "b.txt"):
        with engine:
            drop(tmp_path, name, until, engine)
        assert belongings() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_host_that_raises_leaves_nothing_behind(make, error):
    """The host's error goes through, and the engine is left as usual."""
    before = belongings()

    def host():
        with make() as engine:
            assert engine.is_open
            raise error

    with pytest.raises(error):
        host()
    assert belongings() == before


def test_a_host_that_is_interrupted_while_it_leaves(tmp_path, until):
    """Ctrl-C while a step in flight is waited for: it goes through, and nothing is left open."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work(ctx: Context) -> str:
        inside.set()
        gate.wait(20)
        return "done"

    workflow = Workflow("w", steps=[work])
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[workflow], grace=60)
    before = belongings()

    def interrupt():
        until(lambda: "drains" in engine.health().reason)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)

    def host():
        with engine:
            engine.start(workflow)
            assert inside.wait(10)
            interrupting.start()

    with pytest.raises(KeyboardInterrupt):
        host()
    interrupting.join()
    assert not engine.is_open
    assert [row.status for row in engine.runs()] == ["running"]
    left = set(belongings()["threads"]) - set(before["threads"])
    assert len(left) == 1, "the step's own, which cannot be stopped"
    gate.set()
    engine.close()
    assert engine.run(Workflow("other", steps=[tick])) is None
    engine.close()


def test_a_host_in_a_thread(make, tmp_path, until):
    """A thread of the host may hold the engine; when it has ended, nothing is left."""
    before, stop, ready = belongings(), threading.Event(), threading.Event()
    engine = make()

    def host():
        with engine:
            ready.set()
            stop.wait(20)

    thread = threading.Thread(target=host)
    thread.start()
    assert ready.wait(10)
    drop(tmp_path, "a.txt", until, engine)
    stop.set()
    thread.join()
    assert belongings() == before


# --- beside an event loop ------------------------------------------------------------------


def test_a_host_with_a_loop(make, tmp_path, until):
    """Inside the loop, too, nothing of the engine is left after `async with`; twice in a row."""
    before, engine = belongings(), make()

    async def main():
        empty = belongings()
        for number in range(2):
            async with engine:
                (tmp_path / f"given-{number}").write_text("x")
                run = engine.start(reading, path=str(tmp_path / f"given-{number}"))
                assert await run == "X"
            assert belongings() == empty

    asyncio.run(main())
    assert belongings() == before


def test_a_host_whose_task_is_cancelled(make):
    """A cancelled task leaves the engine as usual, and is cancelled."""
    before = belongings()

    async def host(entered):
        async with make():
            entered.set()
            await asyncio.Event().wait()

    async def main():
        entered = asyncio.Event()
        task = asyncio.create_task(host(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert belongings() == before


def test_a_host_that_runs_out_of_time(make):
    """`asyncio.timeout` around an engine ends it, and tells the time-out."""
    before = belongings()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), make():
                await asyncio.Event().wait()

    asyncio.run(main())
    assert belongings() == before


def test_a_task_cancelled_while_it_enters(make, monkeypatch):
    """An engine that opens while its task is cancelled is closed again."""
    before, engine = belongings(), make()
    opening, gate = threading.Event(), threading.Event()
    enter = engine.worker.enter

    def slow():
        opening.set()
        gate.wait(10)
        enter()

    async def main():
        monkeypatch.setattr(engine.worker, "enter", slow)
        task = asyncio.create_task(engine.__aenter__())
        while not opening.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not engine.is_open
    assert belongings() == before


def test_a_task_cancelled_while_it_leaves(tmp_path):
    """Who is cancelled while a step in flight is waited for waits no longer than it must."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(20)
        return "done"

    workflow = Workflow("w", steps=[work])
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[workflow], grace=60)

    async def host():
        async with engine:
            engine.start(workflow)
            while not inside.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.01)

    async def main():
        task = asyncio.create_task(host())
        while "drains" not in engine.health().reason:  # noqa: ASYNC110 - its state, not an event
            await asyncio.sleep(0.01)
        task.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await task

    try:
        asyncio.run(main())
    finally:
        gate.set()
    assert not engine.is_open


def test_an_engine_that_cannot_be_entered_says_so_in_a_loop(tmp_path):
    """What entering refuses is raised where it was awaited; nothing is left."""
    before = belongings()

    async def main():
        engine = Engine(f"sqlite:///{tmp_path}/missing/log.db", workflows=[ticking])
        with pytest.raises(Exception, match="missing"):
            async with engine:
                raise AssertionError("it cannot be entered")

    asyncio.run(main())
    assert belongings() == before


def test_what_is_called_aside_may_raise():
    """An error of the call is raised, also if its task was cancelled meanwhile."""
    gate = threading.Event()

    def call():
        gate.wait(10)
        raise LookupError("no")

    async def main():
        task = asyncio.create_task(aside(call, hurry=gate.set))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(LookupError):
            await task

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
    assert not [t for t in threading.enumerate() if t.name.startswith("playhead-aside")]
