"""A step in flight hears of what others ask of its run."""

import asyncio
import datetime as dt
import threading

import pytest

from eventstore import clock
from playhead import Context, Engine, Timer, Workflow, step

PATIENCE = 60.0  # real seconds


def wait_until(condition):
    """Wait for a condition, at most `PATIENCE`."""
    end = clock.real_seconds() + PATIENCE
    while not condition():
        assert clock.real_seconds() < end, "it did not come to pass in time"
        clock.real_sleep(0.01)


def flows(begun, heard):
    """Give a workflow whose step polls, and one whose step awaits."""

    @step
    def poll(context: Context) -> str:
        begun.set()
        end = clock.real_seconds() + PATIENCE
        while not context.cancelled and clock.real_seconds() < end:
            clock.real_sleep(0.01)
        heard.append(context.cancelled)
        return "over"

    @step
    async def doze() -> str:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            heard.append(True)
            raise
        return "over"

    return Workflow("polls", steps=[poll]), Workflow("dozes", steps=[doze])


@pytest.mark.parametrize("name", ["polls", "dozes"])
def test_a_cancel_of_another_engine_reaches_the_step(tmp_path, name):
    """A step in flight is asked to stop by a cancel that another engine on the file sends."""
    begun, heard = threading.Event(), []
    url = f"sqlite:///{tmp_path / 'log.db'}"
    other = Engine(url)
    with Engine(url, workflows=flows(begun, heard)) as engine:
        run = engine.start(name)
        assert begun.wait(PATIENCE)
        other.cancel(run.id)
        wait_until(lambda: heard)
        wait_until(lambda: run.status == "cancelled")
    other.close()
    assert heard == [True]


def test_a_cancel_reaches_a_step_in_the_callers_thread(tmp_path):
    """`run_until_idle` is in the step when another thread cancels: the step hears of it."""
    begun, heard = threading.Event(), []
    url = f"sqlite:///{tmp_path / 'log.db'}"
    engine, other = Engine(url, workflows=flows(begun, heard)), Engine(url)
    run = engine.start("polls")

    def cancel():
        assert begun.wait(PATIENCE)
        other.cancel(run.id)

    thread = threading.Thread(target=cancel)
    thread.start()
    engine.run_until_idle()
    thread.join()
    assert heard == [True]
    engine.run_until_idle()
    assert run.status == "cancelled"
    engine.close()
    other.close()


def test_a_signal_of_another_engine_stops_the_work_of_the_state(tmp_path):
    """A signal that leaves a state ends the attempt of its step, whoever sent it."""
    begun, heard = threading.Event(), []
    _, dozes = flows(begun, heard)
    machine = Workflow(
        "machine",
        steps=[step(name="doze")(dozes.code.works["doze"].main.fn)],
        states=["doze", "out"],
        transitions=[["skip", "doze", "out"]],
        initial="doze",
    )
    url = f"sqlite:///{tmp_path / 'log.db'}"
    other = Engine(url)
    with Engine(url, workflows=[machine]) as engine:
        run = engine.start(machine)
        assert begun.wait(PATIENCE)
        other.signal(run.id, "skip")
        wait_until(lambda: heard)
        wait_until(lambda: run.status == "succeeded")
    other.close()


def test_a_delay_without_bounds_fails_its_run_alone(url):
    """A delay function that gives a moment after year 9999 fails its run, and no other."""
    endless = Workflow(
        "endless",
        steps=[
            Timer("t", lambda x: dt.timedelta(x * 10**8)),
            step(name="s", after=["t"])(lambda x: x),
        ],
    )
    plain = Workflow("plain", steps=[step(name="p")(lambda x: x)])
    engine = Engine(url, workflows=[endless, plain])
    lost, fine = engine.start(endless, x=1), engine.start(plain, x=2)
    engine.run_until_idle()
    assert (lost.status, fine.result(timeout=1)) == ("failed", 2)
    assert engine.next_due() is None
    engine.close()


def test_an_await_can_be_cancelled_though_nobody_works(tmp_path):
    """`await run` without a worker ends when it is cancelled, and leaves no thread behind."""
    workflow = Workflow("plain", steps=[step(name="p")(lambda x: x)])
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[workflow])
    run = engine.start(workflow, x=1)

    async def impatient():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(run, 0.2)

    asyncio.run(asyncio.wait_for(impatient(), PATIENCE))
    engine.close()
