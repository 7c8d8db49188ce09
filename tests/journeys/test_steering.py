"""Steering runs: keys, start times, priority, tags, lists, cancel, pause, resume, retry."""

import asyncio
import contextlib
import threading
from datetime import datetime, timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    Context,
    Engine,
    KeyReused,
    PlayheadError,
    ResultTimeout,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunUnknown,
    Signal,
    Timer,
    Workflow,
    step,
)
from tests.journeys.conftest import START
from tests.journeys.simple import simple


@step
def later(hold: datetime, x: int) -> int:
    return x


sleeping = Workflow("sleeping", steps=[Timer("hold", 60), later])


# --- start ---------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_run(url, frozen):
    """A start with a key that was used gives the run of that key, also when it has ended."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1, key="a")
    assert engine.start(simple, x=1, key="a").id == run.id
    engine.run_until_idle()
    again = engine.start(simple, x=1, key="a")
    assert again.id == run.id
    assert again.result(timeout=1) == 2
    assert len(engine.runs()) == 1


def test_a_key_with_other_inputs_is_refused(url, frozen):
    """The same key with other inputs raises `KeyReused`."""
    engine = Engine(url, workflows=[simple])
    engine.start(simple, x=1, key="a")
    with pytest.raises(KeyReused, match="a"):
        engine.start(simple, x=2, key="a")
    assert len(engine.runs()) == 1


def test_a_key_belongs_to_its_workflow(url, frozen):
    """Two workflows may use the same key."""
    engine = Engine(url, workflows=[simple, sleeping])
    one = engine.start(simple, x=1, key="a")
    two = engine.start(sleeping, x=2, key="a")
    assert one.id != two.id


def test_the_same_input_in_another_order_is_the_same(url, frozen):
    """Inputs are compared by value, whatever their order."""

    @step
    def add(a: int, b: dict) -> int:
        return a

    workflow = Workflow("w", steps=[add])
    engine = Engine(url, workflows=[workflow])
    one = engine.start(workflow, a=1, b={"x": 1, "y": 2}, key="k")
    assert engine.start(workflow, {"b": {"y": 2, "x": 1}, "a": 1}, key="k").id == one.id


def test_many_threads_with_one_key_start_one_run(file_url):
    """Starts at the same time with one key give one run."""
    engine = Engine(file_url, workflows=[simple])
    ids, barrier = [], threading.Barrier(8)

    def start():
        barrier.wait()
        ids.append(engine.start(simple, x=1, key="k").id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert len(engine.runs()) == 1


def test_a_start_time_is_kept(url, frozen):
    """A run started with `at=` is scheduled, and starts exactly then."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1, at=START + timedelta(hours=1))
    engine.run_until_idle()
    assert run.status == "scheduled"
    assert engine.next_due() == START + timedelta(hours=1)
    frozen.tick(timedelta(hours=1) - timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.status == "scheduled"
    frozen.tick(timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.result(timeout=1) == 2
    history = [(e.type, e.source, e.dest) for e in engine.history(run)]
    assert history[0] == ("run.started", "–", "scheduled")  # noqa: RUF001
    assert history[1] == ("run.due", "scheduled", "running")


def test_a_start_time_in_the_past_is_now(url, frozen):
    """A past `at=` is due at once."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1, at=START - timedelta(hours=1))
    engine.run_until_idle()
    assert run.result(timeout=1) == 2


def test_a_naive_start_time_is_refused(url, frozen):
    """A datetime without a zone is refused and says so."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises((PlayheadError, ValueError)):
        engine.start(simple, x=1, at=datetime(2031, 1, 1))  # noqa: DTZ001
    assert engine.runs() == []


def test_a_scheduled_run_can_be_cancelled(url, frozen):
    """A scheduled run is cancelled before it has begun."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1, at=START + timedelta(hours=1))
    engine.cancel(run)
    engine.run_until_idle()
    assert run.status == "cancelled"
    assert engine.next_due() is None
    frozen.tick(7200)
    engine.run_until_idle()
    assert run.status == "cancelled"


def test_a_larger_priority_goes_first(url, frozen):
    """Runs that are ready go in the order of priority, larger first, then of their start."""
    order = []

    @step
    def note(x: int) -> None:
        order.append(x)

    workflow = Workflow("w", steps=[note])
    engine = Engine(url, workflows=[workflow])
    for x, priority in [(1, 0), (2, 5), (3, -1), (4, 10), (5, 5)]:
        engine.start(workflow, x=x, priority=priority)
    engine.run_until_idle()
    assert order == [4, 2, 5, 1, 3]


# --- runs ----------------------------------------------------------------------------------


def test_a_run_tells_about_itself(url, frozen):
    """A run has id, key, workflow, status, tags, inputs, times."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1, key="k", tags={"a": "b"})
    frozen.tick(5)
    engine.run_until_idle()
    assert (run.key, run.workflow, run.tags, run.inputs) == (
        "k",
        "simple",
        {"a": "b"},
        {"x": 1},
    )
    assert run.status == "succeeded"
    assert run.started_at == START
    assert run.ended_at == START + timedelta(seconds=5)
    assert run.error is None
    found = engine.get(run.id)
    assert found.id == run.id
    assert found.result(timeout=1) == 2


def test_get_of_an_unknown_run(url):
    """`get` of a run that is not there raises `RunUnknown`."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises(RunUnknown, match="nope"):
        engine.get("nope")


def test_runs_lists_newest_first_and_filters(url, frozen):
    """`runs()` gives frozen rows, newest first, by workflow, status, key, tags, since, limit."""
    engine = Engine(url, workflows=[simple, sleeping])
    ids = []
    for number in range(4):
        ids.append(
            engine.start(
                simple, x=number, key=f"k{number}", tags={"n": str(number), "kind": "simple"}
            ).id
        )
        frozen.tick(10)
    ids.append(engine.start(sleeping, x=9, tags={"kind": "slow"}).id)
    engine.run_until_idle()

    def listed(**filters):
        return [ids.index(row.id) for row in engine.runs(**filters)]

    assert listed() == [4, 3, 2, 1, 0]
    assert listed(workflow=simple) == [3, 2, 1, 0]
    assert listed(workflow="sleeping") == [4]
    assert listed(status="succeeded") == [3, 2, 1, 0]
    assert listed(status="waiting") == [4]
    assert listed(status=["waiting", "succeeded"]) == [4, 3, 2, 1, 0]
    assert listed(status="failed") == []
    assert listed(key="k2") == [2]
    assert listed(tags={"kind": "simple"}) == [3, 2, 1, 0]
    assert listed(tags={"kind": "simple", "n": "1"}) == [1]
    assert listed(tags={"kind": "simple", "n": "7"}) == []
    assert listed(since=START + timedelta(seconds=20)) == [4, 3, 2]
    assert listed(limit=2) == [4, 3]
    assert listed(limit=None) == [4, 3, 2, 1, 0]
    assert listed(workflow="unheard of") == []
    row = engine.runs(key="k1")[0]
    with pytest.raises(AttributeError):
        row.status = "other"


def test_rows_say_what_is_true(url, frozen):
    """A row has the names of a run: waiting is told, the error too."""

    @step
    def boom(x: int) -> int:
        raise ValueError("no luck")

    broken = Workflow("broken", steps=[boom])
    engine = Engine(url, workflows=[broken, sleeping])
    engine.start(broken, x=1)
    engine.start(sleeping, x=1)
    engine.run_until_idle()
    waiting, failed = engine.runs()
    assert (waiting.workflow, waiting.status, waiting.ended_at) == ("sleeping", "waiting", None)
    assert (failed.workflow, failed.status) == ("broken", "failed")
    assert failed.ended_at == START
    assert failed.started_at == START
    assert "no luck" in str(failed.error)


@pytest.mark.parametrize("tags", [{"a": 1}, {1: "a"}, ["a"], {"a": None}], ids=str)
def test_tags_are_text_to_text(url, tags):
    """Tags that are not text to text are refused, nothing written."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises((PlayheadError, TypeError, ValueError)):
        engine.start(simple, x=1, tags=tags)
    assert engine.runs() == []


def test_an_unknown_status_is_refused(url):
    """A status that does not exist is an error, not an empty list."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises((PlayheadError, ValueError), match="suceeded"):
        engine.runs(status="suceeded")


# --- results -------------------------------------------------------------------------------


def test_a_result_that_does_not_come_says_why(url, frozen):
    """`result(timeout=)` raises `ResultTimeout` and says that no worker is about."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1)
    with pytest.raises(ResultTimeout, match="worker") as caught:
        run.result(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert run.id in str(caught.value)


def test_a_result_that_waits_says_for_what(url, frozen, until):
    """The timeout of a run that waits says so."""
    workflow = Workflow("w", steps=[Signal("go"), step(lambda go: go, name="take")])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        until(lambda: run.status == "waiting")
        with pytest.raises(ResultTimeout, match=r"wait|go"):
            run.result(timeout=0.2)
        engine.signal(run, "go", 4)
        assert run.result(timeout=10) == 4


def test_engine_run_raises_what_went_wrong(url):
    """`engine.run` raises `RunFailed` with the step, the attempts and the recorded error."""

    @step
    @retry(stop=stop_after_attempt(2))
    def boom(x: int) -> int:
        raise ValueError("no luck")

    workflow = Workflow("w", steps=[boom])
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(RunFailed, match="no luck") as caught:
        engine.run(workflow, x=1)
    error = caught.value
    assert (error.step, error.attempts) == ("boom", 2)
    assert engine.get(error.run_id).status == "failed"
    assert "no luck" in str(error.error)
    assert f"playhead replay {error.run_id}" in str(error)


def test_engine_run_of_a_used_key_gives_its_result(url):
    """`engine.run` with a key that was used gives the result of that run."""
    calls = []

    @step
    def count(x: int) -> int:
        calls.append(x)
        return x

    workflow = Workflow("w", steps=[count])
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow, x=1, key="k") == 1
    assert engine.run(workflow, x=1, key="k") == 1
    assert calls == [1]


# --- cancel --------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled(url, frozen, events):
    """Cancel is durable at once: the timer is cancelled, nothing more starts."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=1)
    engine.run_until_idle()
    engine.cancel(run)
    engine.run_until_idle()
    assert run.status == "cancelled"
    assert events(engine, run)[-1] == ("run.cancelled", "run")
    assert engine.next_due() is None
    with pytest.raises(RunCancelled):
        run.result(timeout=1)
    frozen.tick(3600)
    engine.run_until_idle()
    assert ("step.started", "later") not in events(engine, run)


def test_cancel_of_an_ended_run_is_an_error(url):
    """An ended run cannot be cancelled, paused or resumed; nothing is written."""
    engine = Engine(url, workflows=[simple])
    engine.run(simple, x=1)
    run = engine.get(engine.runs()[0].id)
    count = len(engine.history(run))
    for act in (engine.cancel, engine.pause, engine.resume):
        with pytest.raises(PlayheadError):
            act(run)
    with pytest.raises(RunEnded):
        engine.cancel(run)
    assert len(engine.history(run)) == count


def test_cancelling_twice_is_once(url, frozen, events):
    """A second cancel adds nothing, or is refused."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=1)
    engine.run_until_idle()
    engine.cancel(run.id)
    with contextlib.suppress(RunEnded):
        engine.cancel(run.id)
    engine.run_until_idle()
    kinds = [kind for kind, _ in events(engine, run)]
    assert kinds.count("run.cancelling") <= 1
    assert kinds.count("run.cancelled") == 1


def test_a_running_step_is_asked_and_waited_for(url, until, events):
    """A sync step in flight sees `Context.cancelled` and is waited for; then the run ends."""
    inside = threading.Event()
    seen = []

    @step
    def work(ctx: Context) -> str:
        inside.set()
        until(lambda: ctx.cancelled, what="the request")
        seen.append(engine.get(ctx.run_id).status)
        return "stopped"

    @step
    def after(work: str) -> str:
        return work

    workflow = Workflow("w", steps=[work, after])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        assert inside.wait(10)
        engine.cancel(run)
        with pytest.raises(RunCancelled):
            run.result(timeout=15)
    assert seen == ["cancelling"]
    assert ("step.started", "after") not in events(engine, run)


def test_an_async_step_is_cancelled(url, until):
    """An async step in flight is cancelled where it awaits."""
    inside, ended = threading.Event(), []

    @step
    async def hang() -> None:
        inside.set()
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    workflow = Workflow("w", steps=[hang])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        assert inside.wait(10)
        engine.cancel(run)
        with pytest.raises(RunCancelled):
            run.result(timeout=10)
    assert ended == [1]


# --- pause ---------------------------------------------------------------------------------


def test_a_paused_run_keeps_its_due_times(url, frozen):
    """A timer due in a pause fires on resume; a paused run does not count for `next_due()`."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=7)
    engine.run_until_idle()
    engine.pause(run)
    assert run.status == "paused"
    assert engine.next_due() is None
    frozen.tick(10)
    engine.run_until_idle()
    engine.resume(run)
    assert engine.next_due() == START + timedelta(seconds=60)
    engine.pause(run)
    frozen.tick(100)
    engine.run_until_idle()
    assert run.status == "paused"
    engine.resume(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == 7


def test_a_run_paused_before_it_begins_starts_nothing(url, frozen, events):
    """A run paused before a worker took it starts nothing until resumed."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1)
    engine.pause(run)
    engine.run_until_idle()
    assert run.status == "paused"
    assert ("step.started", "double") not in events(engine, run)
    engine.resume(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == 2


def test_pause_lets_what_is_in_flight_end(url, until, events):
    """The step in flight ends and is recorded; the next does not start before the resume."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work(x: int) -> int:
        inside.set()
        gate.wait(20)
        return x

    @step
    def after(work: int) -> int:
        return work + 1

    workflow = Workflow("w", steps=[work, after])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow, x=1)
        assert inside.wait(10)
        engine.pause(run)
        gate.set()
        until(lambda: ("step.succeeded", "work") in events(engine, run))
        assert run.status == "paused"
        assert ("step.started", "after") not in events(engine, run)
        engine.resume(run)
        assert run.result(timeout=10) == 2


def test_a_signal_to_a_paused_run_is_kept(url, frozen):
    """A paused run keeps the signal it is sent, and takes it on resume."""

    @step
    def take(go: int) -> int:
        return go

    workflow = Workflow("w", steps=[Signal("go", int), take])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    engine.pause(run)
    engine.signal(run, "go", 5)
    engine.run_until_idle()
    assert run.status == "paused"
    engine.resume(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == 5


def test_a_paused_run_can_be_cancelled(url, frozen):
    """A paused run is cancelled without a resume."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=1)
    engine.run_until_idle()
    engine.pause(run)
    engine.cancel(run)
    engine.run_until_idle()
    assert run.status == "cancelled"


def test_resuming_what_is_not_paused_changes_nothing(url, frozen):
    """A resume of a run that is not paused is refused or does nothing; nothing is written."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=1)
    engine.run_until_idle()
    count = len(engine.history(run))
    with contextlib.suppress(PlayheadError):
        engine.resume(run)
    assert run.status == "waiting"
    assert len(engine.history(run)) == count


# --- retry ---------------------------------------------------------------------------------


def test_retry_goes_on_with_a_fresh_budget_and_keeps_what_succeeded(url, frozen):
    """`retry`: failed steps get a fresh budget, succeeded ones stand."""
    calls = {"first": 0, "second": 0}
    state = {"down": True}

    @step
    def first(x: int) -> int:
        calls["first"] += 1
        return x

    @step
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(2))
    def second(first: int, ctx: Context) -> str:
        calls["second"] += 1
        if state["down"]:
            raise OSError("down")
        return f"{first} {ctx.idempotency_key}"

    workflow = Workflow("w", steps=[first, second])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, x=1)
    engine.run_until_idle()
    frozen.tick(1)
    engine.run_until_idle()
    assert run.status == "failed"
    engine.retry(run)
    assert run.status != "failed"
    assert run.ended_at is None
    engine.run_until_idle()
    assert calls == {"first": 1, "second": 3}
    assert run.status == "waiting", "the budget is fresh: one more attempt"
    state["down"] = False
    frozen.tick(1)
    engine.run_until_idle()
    assert run.result(timeout=1) == f"1 {run.id}/second:1"
    assert calls == {"first": 1, "second": 4}
    types = [e.type for e in engine.history(run)]
    assert types.count("run.failed") == 1
    assert types.count("run.retried") == 1
    assert types[-1] == "run.succeeded"


def test_a_cancelled_run_can_be_retried(url, frozen):
    """A cancelled run goes on after `retry`: its timer begins again or goes on."""
    engine = Engine(url, workflows=[sleeping])
    run = engine.start(sleeping, x=3)
    engine.run_until_idle()
    engine.cancel(run)
    engine.run_until_idle()
    engine.retry(run)
    engine.run_until_idle()
    assert run.status == "waiting"
    frozen.tick(60)
    engine.run_until_idle()
    assert run.result(timeout=1) == 3


def test_retry_after_a_signal_timed_out_waits_again(url, frozen):
    """A run that failed by a signal's timeout waits for the signal again after `retry`."""

    @step
    def take(go: int) -> int:
        return go

    workflow = Workflow("w", steps=[Signal("go", int, timeout=10), take])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    frozen.tick(10)
    engine.run_until_idle()
    assert run.status == "failed"
    engine.retry(run)
    engine.run_until_idle()
    assert run.status == "waiting"
    engine.signal(run, "go", 2)
    engine.run_until_idle()
    assert run.result(timeout=1) == 2


@pytest.mark.parametrize("state", ["succeeded", "waiting"])
def test_a_run_that_did_not_fail_cannot_be_retried(url, frozen, state):
    """`retry` of a succeeded or a live run is refused, nothing written."""
    workflow = simple if state == "succeeded" else sleeping
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, x=1)
    engine.run_until_idle()
    assert run.status == state
    count = len(engine.history(run))
    with pytest.raises(PlayheadError):
        engine.retry(run)
    assert len(engine.history(run)) == count


def test_steering_an_unknown_run(url):
    """Every command on a run that is not there raises `RunUnknown`."""
    engine = Engine(url, workflows=[simple])
    for act in (
        engine.cancel, engine.pause, engine.resume, engine.retry, engine.history,
        engine.playhead, engine.get,
    ):  # fmt: skip
        with pytest.raises(RunUnknown):
            act("no-such-run")
