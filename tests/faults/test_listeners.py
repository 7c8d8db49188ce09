"""Row 53: who only listens may raise as he likes; the run goes on, and the log lines say so."""

import asyncio
import logging
import threading

import pytest
from tenacity import retry, stop_after_attempt, wait_none

from playhead import Context, Engine, Workflow, step


class Broken(Exception):
    """What a listener raises."""


def broken(*_):
    raise Broken


@step
def work(ctx: Context) -> str:
    ctx.progress(0.5, "half way")
    return "done"


working = Workflow("working", steps=[work])


def actions(caplog):
    return [getattr(record, "action", None) for record in caplog.records]


@pytest.mark.parametrize("listens", ["observe", "observe_progress"])
@pytest.mark.parametrize("drives", ["run", "with"])
def test_a_listener_that_raises(url, caplog, listens, drives):
    """Told of events or of progress it raises: the run succeeds, the next listener hears all."""
    engine = Engine(url, workflows=[working])
    heard = []
    getattr(engine, listens)(broken)
    getattr(engine, listens)(lambda *told: heard.append(told))
    if drives == "run":
        assert engine.run(working) == "done"
    else:
        with engine:
            assert engine.start(working).result(timeout=50) == "done"
    assert heard
    assert set(actions(caplog)) == {"watcher_failed"}
    assert len(caplog.records) == len(heard)
    (row,) = engine.runs()
    assert [e.type for e in engine.history(row.id)].count("step.started") == 1


def test_a_listener_that_is_well_is_not_told_of(url, caplog):
    """Without a fault nothing is logged; one that has ended hears nothing."""
    engine = Engine(url, workflows=[working])
    heard = []
    end = engine.observe_progress(lambda *told: heard.append(told))
    engine.run(working)
    end()
    engine.run(working)
    assert len(heard) == 1
    assert actions(caplog) == []


@pytest.mark.parametrize("hook", ["before", "after", "before_sleep"])
def test_a_hook_of_a_policy_that_raises(url, caplog, hook):
    """A tenacity hook only hears: the attempts are those the policy says, whatever it raises."""
    tried = []

    @step
    @retry(stop=stop_after_attempt(3), wait=wait_none(), **{hook: broken})
    def flaky() -> str:
        tried.append(1)
        if len(tried) < 3:
            raise OSError("down")
        return "up"

    workflow = Workflow("w", steps=[flaky])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.result(timeout=1) == "up"
    assert len(tried) == 3
    assert set(actions(caplog)) == {"hook_failed"}
    failed = [e for e in engine.history(run) if e.type == "step.failed"]
    assert [e.data["error"]["type"] for e in failed] == ["OSError", "OSError"]


def test_an_async_hook_that_raises(url, caplog):
    """An awaited hook is the same."""

    async def raises(_state):
        raise Broken

    @step
    @retry(stop=stop_after_attempt(2), wait=wait_none(), after=raises)
    def down() -> None:
        raise OSError("down")

    workflow = Workflow("w", steps=[down])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.error.error_type == "OSError"
    assert actions(caplog) == ["hook_failed"] * 2


def test_who_awaits_in_a_loop_that_is_gone(url, caplog, until):
    """A loop closed under an `await run` costs its worker nothing: the next run is done too."""
    gate = threading.Event()

    @step
    def wait() -> str:
        assert gate.wait(20)
        return "done"

    workflow = Workflow("w", steps=[wait])
    with Engine(url, workflows=[workflow], threads=1) as engine:
        run = engine.start(workflow)
        loop = asyncio.new_event_loop()
        waiting = run._await()
        task = loop.create_task(waiting)
        loop.run_until_complete(asyncio.sleep(0.05))
        until(lambda: run.id in engine.listening._ended)
        loop.close()
        gate.set()
        assert run.result(timeout=50) == "done"
        assert engine.start(workflow).result(timeout=50) == "done"
        task._log_destroy_pending = False
    assert set(actions(caplog)) == {"watcher_failed"}


def test_a_log_handler_that_raises(url, capsys, monkeypatch):
    """A handler that raises in a step's own log line is told on stderr; the run succeeds."""

    class Handler(logging.Handler):
        def emit(self, record):
            try:
                broken()
            except Broken:
                self.handleError(record)

    @step
    def say(ctx: Context) -> str:
        ctx.log.warning("half way")
        return "done"

    workflow = Workflow("loud", steps=[say])
    logger, handler = logging.getLogger("playhead"), Handler()
    logger.addHandler(handler)
    monkeypatch.setattr(logger, "propagate", False)
    try:
        assert Engine(url, workflows=[workflow]).run(workflow) == "done"
    finally:
        logger.removeHandler(handler)
    assert "Broken" in capsys.readouterr().err
