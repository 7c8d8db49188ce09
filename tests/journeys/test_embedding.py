"""Embedding: the engine in a program of one's own, leaving nothing behind."""

import asyncio
import gc
import os
import shutil
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    Context,
    DefinitionError,
    Engine,
    IntervalTrigger,
    PlayheadError,
    RunFailed,
    StorageError,
    Timer,
    Workflow,
    step,
)
from tests.journeys.simple import double, simple


def files():
    """Give what stands behind the open file handles of this process."""
    gc.collect()
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue
    return sorted(name for name in found if not name.startswith("/proc/"))


def test_with_engine_runs_in_the_background(url):
    """Inside `with engine:` runs go on by themselves."""
    with Engine(url, workflows=[simple]) as engine:
        runs = [engine.start(simple, x=x) for x in range(20)]
        assert [run.result(timeout=20) for run in runs] == [x * 2 for x in range(20)]


def test_leaving_leaves_no_thread_and_no_file(url, tmp_path):
    """After `with engine:` the same threads and file handles are there as before."""

    @step
    async def nap(x: int) -> int:
        await asyncio.sleep(0)
        return x

    workflow = Workflow("w", steps=[double, nap])
    with Engine(f"sqlite:///{tmp_path / 'first.db'}", workflows=[workflow]) as engine:
        engine.start(workflow, x=1).result(timeout=20)
    threads, handles = set(threading.enumerate()), files()
    engine = Engine(url, workflows=[workflow], triggers=[])
    with engine:
        for x in range(10):
            engine.start(workflow, x=x).result(timeout=20)
    assert set(threading.enumerate()) <= threads
    assert files() == handles


def test_engine_run_leaves_no_thread(url):
    """`engine.run` leaves no thread, also when steps went side by side."""
    meeting = threading.Barrier(3, timeout=10)

    def meet(name):
        def work(x: int) -> int:
            meeting.wait()
            return x

        return step(work, name=name)

    workflow = Workflow("w", steps=[meet("a"), meet("b"), meet("c")])
    engine = Engine(url, workflows=[workflow])
    threads = set(threading.enumerate())
    assert engine.run(workflow, x=1) == {"a": 1, "b": 1, "c": 1}
    # On a server the one that keeps the worker's connection stays until the engine is closed.
    left = {thread for thread in threading.enumerate() if thread.name != "playhead-keeper"}
    assert left <= threads
    engine.close()
    assert set(threading.enumerate()) <= threads


def test_run_until_idle_leaves_no_thread(url):
    """`run_until_idle()` leaves no thread, async steps included."""

    @step
    async def nap(x: int) -> int:
        await asyncio.sleep(0)
        return x

    workflow = Workflow("w", steps=[nap])
    engine = Engine(url, workflows=[workflow])
    threads = set(threading.enumerate())
    engine.start(workflow, x=1)
    engine.run_until_idle()
    assert set(threading.enumerate()) <= threads


def test_the_constructor_opens_nothing(tmp_path):
    """Making an engine creates no file, opens none and starts no thread."""
    path = tmp_path / "deep" / "log.db"
    threads, handles = set(threading.enumerate()), files()
    Engine(f"sqlite:///{path}", workflows=[simple], triggers=[IntervalTrigger(1, simple)])
    Engine("sqlite:////nowhere/at/all/log.db", workflows=[simple])
    assert not path.exists()
    assert not path.parent.exists()
    assert set(threading.enumerate()) <= threads
    assert files() == handles


def test_a_database_that_cannot_be_opened_is_a_clear_error(tmp_path):
    """A folder that is not there is a `StorageError` that names the path."""
    engine = Engine(f"sqlite:///{tmp_path}/missing/log.db", workflows=[simple])
    with pytest.raises(StorageError, match="missing"):
        engine.start(simple, x=1)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path):
    """A file that is no SQLite database is a `StorageError`, and is left as it was."""
    path = tmp_path / "log.db"
    path.write_bytes(b"this is not a database, but it is long enough to look" * 100)
    before = path.read_bytes()
    engine = Engine(f"sqlite:///{path}", workflows=[simple])
    with pytest.raises(StorageError, match=r"log\.db"):
        engine.start(simple, x=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", ["nonsense", "", "mysql://localhost/x", "oracle://x"])
def test_an_url_that_cannot_be_right(bad):
    """A url of no known kind is an error that says what is known."""
    with pytest.raises((PlayheadError, ValueError), match="sqlite"):
        Engine(bad, workflows=[simple]).start(simple, x=1)


def test_each_engine_in_memory_is_private():
    """Each engine on `sqlite:///:memory:` has a log of its own."""
    one = Engine("sqlite:///:memory:", workflows=[simple])
    two = Engine("sqlite:///:memory:", workflows=[simple])
    one.run(simple, x=1)
    assert len(one.runs()) == 1
    assert two.runs() == []


def test_memory_outlives_the_with_block():
    """What ran in memory can be read after leaving the engine."""
    engine = Engine("sqlite:///:memory:", workflows=[simple])
    with engine:
        run = engine.start(simple, x=1)
        run.result(timeout=20)
    assert run.status == "succeeded"
    assert len(engine.history(run)) > 2


def test_an_engine_can_be_entered_again(url):
    """An engine can be entered, left and entered again; what was started between runs."""
    engine = Engine(url, workflows=[simple])
    with engine:
        assert engine.start(simple, x=1).result(timeout=20) == 2
    run = engine.start(simple, x=2)
    assert run.status == "running"
    with engine:
        assert run.result(timeout=20) == 4


def test_two_engines_on_one_file(file_url):
    """Two engines in one process share the runs of one file; each step runs once."""
    calls = []
    lock = threading.Lock()

    @step
    def note(x: int) -> int:
        with lock:
            calls.append(x)
        return x

    @step
    def after(note: int) -> int:
        return note

    def workflow():
        return Workflow("w", steps=[note, after])

    one, two = (Engine(file_url, workflows=[w], threads=2) for w in (workflow(), workflow()))
    with one, two:
        runs = [engine.start("w", x=x) for x in range(40) for engine in ((one, two)[x % 2],)]
        assert [run.result(timeout=20) for run in runs] == list(range(40))
    assert sorted(calls) == list(range(40))


def test_two_workflows_of_one_name_are_refused(url):
    """Two different workflows of the same name in one engine are refused."""
    with pytest.raises(DefinitionError, match="simple"):
        Engine(url, workflows=[simple, Workflow("simple", steps=[step(lambda y: y, name="z")])])


def test_a_workflow_may_be_named_in_start(url):
    """`start` and `run` take a workflow or its name; a wrong name gives the near one."""
    engine = Engine(url, workflows=[simple])
    assert engine.run("simple", x=3) == 6
    with pytest.raises(PlayheadError, match="simple"):
        engine.start("simpel", x=3)


# --- async ---------------------------------------------------------------------------------


def test_async_with_and_await(url):
    """`async with engine:` and `await run` leave the loop free."""

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                if ticks > 5:
                    gate.set()
                await asyncio.sleep(0.005)

        engine = Engine(url, workflows=[slow])
        async with engine:
            ticking = asyncio.create_task(tick())
            run = engine.start(slow, x=3)
            result = await run
            ticking.cancel()
        return result, ticks

    gate = threading.Event()

    @step
    def wait(x: int) -> int:
        gate.wait(20)
        return x

    slow = Workflow("slow", steps=[wait])
    result, ticks = asyncio.run(main())
    assert result == 3
    assert ticks > 5


def test_await_of_a_failed_run_raises(url):
    """`await run` raises `RunFailed`."""

    @step
    def boom() -> int:
        raise ValueError("no")

    workflow = Workflow("w", steps=[boom])

    async def main():
        async with Engine(url, workflows=[workflow]) as engine:
            await engine.start(workflow)

    with pytest.raises(RunFailed, match="no"):
        asyncio.run(main())


def test_engine_run_inside_a_loop_raises_and_names_the_way(url):
    """Inside a running loop `engine.run` raises and names `await engine.start(...)`."""

    async def main():
        engine = Engine(url, workflows=[simple])
        with pytest.raises((PlayheadError, RuntimeError), match=r"await engine\.start"):
            engine.run(simple, x=1)
        assert engine.runs() == []

    asyncio.run(main())


def test_many_awaited_at_once(url):
    """Many runs can be awaited at once."""

    async def main():
        async with Engine(url, workflows=[simple]) as engine:
            runs = [engine.start(simple, x=x) for x in range(30)]
            return await asyncio.gather(*runs)

    assert asyncio.run(main()) == [x * 2 for x in range(30)]


# --- steps that misbehave ------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(1),
        RecursionError("deep"),
        MemoryError(),
        ExceptionGroup("many", [ValueError(1), KeyError(2)]),
        ValueError("lone \ud800 surrogate"),
        asyncio.CancelledError(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_no_exception_of_a_step_kills_the_engine(url, error):
    """Whatever a step raises is recorded as its failure; the engine goes on."""

    @step
    def boom() -> int:
        raise error

    workflow = Workflow("w", steps=[boom])
    engine = Engine(url, workflows=[workflow, simple])
    with engine:
        run = engine.start(workflow)
        with pytest.raises(RunFailed, match=type(error).__name__):
            run.result(timeout=15)
        assert engine.start(simple, x=1).result(timeout=15) == 2


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), StopIteration()], ids=repr)
def test_no_exception_of_an_async_step_kills_the_engine(url, error):
    """The same holds for async steps."""

    @step
    async def boom() -> int:
        raise error

    workflow = Workflow("w", steps=[boom])
    engine = Engine(url, workflows=[workflow, simple], grace=0.5)
    with engine:
        run = engine.start(workflow)
        with pytest.raises(RunFailed):
            run.result(timeout=20)
        assert engine.start(simple, x=1).result(timeout=20) == 2


def test_an_exception_that_cannot_be_printed_is_recorded(url):
    """An exception whose `str` raises is a failure like others."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    @step
    def boom() -> int:
        raise Odd

    workflow = Workflow("w", steps=[boom])
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(RunFailed, match="Odd"):
        engine.run(workflow)


def test_the_traceback_is_recorded(url):
    """Type, message and traceback of a step's exception are in its event."""

    @step
    def boom() -> int:
        raise LookupError("gone")

    workflow = Workflow("w", steps=[boom])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    (failed,) = [e for e in engine.history(run) if e.type == "step.failed"]
    error = failed.data["error"]
    assert (error["type"], error["message"]) == ("LookupError", "gone")
    assert "test_embedding.py" in error["traceback"]
    assert "site-packages" not in error["traceback"]


def test_leaving_waits_for_a_step_in_flight(url):
    """Leaving `with engine:` lets the step in flight end and records it."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(0.3)
        return "ended"

    workflow = Workflow("w", steps=[work])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        assert inside.wait(10)
    assert (
        run.status == "succeeded" or [e.type for e in engine.history(run)][-1] != "step.started"
    )
    assert "step.succeeded" in [e.type for e in engine.history(run)]


def test_a_thread_that_does_not_return_is_named_in_a_warning(url, until, caplog):
    """After `grace` a thread that does not return is left and named; its run is released."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def stubborn() -> str:
        inside.set()
        gate.wait(30)
        return "late"

    workflow = Workflow("w", steps=[stubborn])
    engine = Engine(url, workflows=[workflow], grace=0.3)
    before = set(threading.enumerate())
    try:
        with engine:
            run = engine.start(workflow)
            assert inside.wait(10)
        assert any(
            "stubborn" in record.getMessage() and record.levelname == "WARNING"
            for record in caplog.records
        )
        left = set(threading.enumerate()) - before
        assert all(thread.daemon for thread in left)
        assert len(left) == 1
    finally:
        gate.set()
    until(lambda: set(threading.enumerate()) <= before)
    assert "step.succeeded" not in [e.type for e in engine.history(run)]


def test_more_runs_than_threads(url):
    """Runs beyond the number of threads wait for a slot and all end."""
    busy, most = [], []
    lock = threading.Lock()
    pause = threading.Event()

    @step
    def work(x: int) -> int:
        with lock:
            busy.append(x)
            most.append(len(busy))
        pause.wait(0.01)
        with lock:
            busy.remove(x)
        return x

    workflow = Workflow("w", steps=[work])
    with Engine(url, workflows=[workflow], threads=3) as engine:
        runs = [engine.start(workflow, x=x) for x in range(12)]
        assert [run.result(timeout=20) for run in runs] == list(range(12))
    assert max(most) <= 3


# --- the handed-in client ------------------------------------------------------------------


def test_calls_carry_the_idempotency_key(url, server, frozen):
    """The handed-in client sends `Idempotency-Key`, from the second call on with `#n`."""
    server.answers["/flaky"] = [500, 200]

    @step
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(3))
    def ask(client: httpx.Client) -> int:
        client.get(server.url + "/one")
        client.post(server.url + "/two", json={"a": 1})
        client.get(server.url + "/flaky").raise_for_status()
        return 1

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    frozen.tick(1)
    engine.run_until_idle()
    assert run.result(timeout=1) == 1
    key = f"{run.id}/ask:1"
    seen = [(path, headers["Idempotency-Key"]) for path, headers, _ in server.seen]
    assert seen == [("/one", key), ("/two", f"{key}#2"), ("/flaky", f"{key}#3")] * 2


def test_the_async_client_carries_the_key_too(url, server):
    """An `httpx.AsyncClient` is handed in likewise."""

    @step
    async def ask(client: httpx.AsyncClient) -> dict:
        first = await client.get(server.url + "/a")
        await client.get(server.url + "/b")
        return first.json()

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow)["path"] == "/a"
    key = f"{engine.runs()[0].id}/ask:1"
    assert [h["Idempotency-Key"] for _, h, _ in server.seen] == [key, f"{key}#2"]


def test_a_key_given_by_hand_stays(url, server):
    """A header that the step sets itself is left alone."""

    @step
    def ask(client: httpx.Client) -> int:
        client.get(server.url + "/a", headers={"Idempotency-Key": "mine"})
        return 1

    workflow = Workflow("w", steps=[ask])
    Engine(url, workflows=[workflow]).run(workflow)
    assert server.seen[0][1]["Idempotency-Key"] == "mine"


def test_a_new_visit_changes_the_key(url, server):
    """A state entered again has a new key, a retry has not."""

    @step
    def ask(client: httpx.Client, ask: int = 0) -> int:
        client.get(server.url + "/")
        return ask + 1

    def enough(ask: int) -> bool:
        return ask >= 2

    machine = Workflow(
        "m",
        steps=[ask],
        states=["ask", "end"],
        transitions=[
            {"trigger": "done", "source": "ask", "dest": "end", "conditions": enough},
            ["done", "ask", "="],
        ],
        initial="ask",
    )
    engine = Engine(url, workflows=[machine])
    engine.run(machine)
    run = engine.runs()[0]
    assert [h["Idempotency-Key"] for _, h, _ in server.seen] == [
        f"{run.id}/ask:1",
        f"{run.id}/ask:2",
    ]


def test_the_client_leaves_no_connection_open(url, server):
    """After leaving the engine no socket to the server is open."""

    @step
    def ask(client: httpx.Client) -> int:
        return client.get(server.url + "/").status_code

    workflow = Workflow("w", steps=[ask])
    handles = [name for name in files() if name.startswith("socket:")]
    with Engine(url, workflows=[workflow]) as engine:
        assert engine.start(workflow).result(timeout=20) == 200
    assert len([n for n in files() if n.startswith("socket:")]) <= len(handles) + 1


def test_a_step_sees_that_it_was_progressing(url):
    """`ctx.progress` takes a fraction and a text and does no harm."""

    @step
    def work(ctx: Context) -> int:
        for part in range(5):
            ctx.progress(part / 5, f"part {part}")
        return 1

    workflow = Workflow("w", steps=[work])
    assert Engine(url, workflows=[workflow]).run(workflow) == 1


def test_many_sleeping_runs_cost_no_thread(file_url):
    """A hundred sleeping runs need no thread of their own."""

    @step
    def later(hold, x: int) -> int:
        return x

    workflow = Workflow("w", steps=[Timer("hold", 3600), later])
    with Engine(file_url, workflows=[workflow], threads=2) as engine:
        before = threading.active_count()
        for x in range(100):
            engine.start(workflow, x=x)
        assert threading.active_count() <= before + 2


def test_a_tidied_temporary_folder(file_url, monkeypatch):
    """An engine entered again after the temporary folder was tidied works and leaks nothing."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        monkeypatch.setattr(tempfile, "tempdir", base)
        engine = Engine(file_url, workflows=[simple])
        with engine:
            assert engine.start(simple, x=1).result(timeout=20) == 2
        for entry in Path(base).iterdir():
            shutil.rmtree(entry)
        with engine:
            assert engine.start(simple, x=2).result(timeout=20) == 4
        gc.collect()
