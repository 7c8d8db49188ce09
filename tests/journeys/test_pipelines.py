"""Pipelines: edges by name, joins, conditions, failures that are taken, results."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    Context,
    Engine,
    Failure,
    Outcome,
    PlayheadError,
    RunFailed,
    Workflow,
    step,
)


@step
def double(x: int) -> int:
    return x * 2


@step
def triple(x: int) -> int:
    return x * 3


@step
def total(double: int, triple: int) -> int:
    return double + triple


@step
def boom(x: int) -> int:
    raise ValueError(f"no {x}")


def engine_of(url, *steps, name="w"):
    workflow = Workflow(name, steps=list(steps))
    return Engine(url, workflows=[workflow]), workflow


def finished(url, *steps, **inputs):
    """Run a workflow of these steps by hand; give the engine and the run."""
    engine, workflow = engine_of(url, *steps)
    run = engine.start(workflow, **inputs)
    engine.run_until_idle()
    return engine, run


def test_parameters_are_edges_and_free_names_are_inputs(url):
    """A parameter named like a step receives its output, any other is an input of the workflow."""
    engine, workflow = engine_of(url, total, triple, double)
    assert engine.run(workflow, x=5) == 25


def test_a_step_called_directly_is_the_plain_function():
    """Calling a step calls what stands under it, `fn` is the bare function, `name` its name."""
    assert double(4) == 8
    assert double.fn(4) == 8
    assert double.name == "double"


def test_a_step_serves_in_several_workflows(url):
    """The same step stands in two workflows of one engine."""
    one = Workflow("one", steps=[double])
    two = Workflow("two", steps=[double, triple])
    engine = Engine(url, workflows=[one, two])
    assert engine.run(one, x=1) == 2
    assert engine.run(two, x=1) == {"double": 2, "triple": 3}


def test_a_step_may_be_named_otherwise(url):
    """`name=` is the name by which edges find the step."""

    @step(name="page")
    def load_the_page(x: int) -> str:
        return f"page {x}"

    @step
    def shout(page: str) -> str:
        return page.upper()

    engine, workflow = engine_of(url, load_the_page, shout)
    assert engine.run(workflow, x=1) == "PAGE 1"


def test_several_last_steps_give_a_dict_by_name(url):
    """The result of a run with several last steps is a dict of their outputs by name."""
    engine, workflow = engine_of(url, double, triple)
    assert engine.run(workflow, x=2) == {"double": 4, "triple": 6}


def test_independent_steps_run_side_by_side(url):
    """Two steps that need nothing of each other are in flight at the same time."""
    meeting = threading.Barrier(2, timeout=10)

    @step
    def left(x: int) -> int:
        meeting.wait()
        return x

    @step
    def right(x: int) -> int:
        meeting.wait()
        return x

    @step
    def both(left: int, right: int) -> int:
        return left + right

    engine, workflow = engine_of(url, left, right, both)
    assert engine.run(workflow, x=1) == 2


def test_an_input_with_a_default_may_be_left_out(url):
    """An input whose parameter has a default need not be given."""

    @step
    def greet(name: str = "you") -> str:
        return f"hello {name}"

    engine, workflow = engine_of(url, greet)
    assert engine.run(workflow) == "hello you"
    assert engine.run(workflow, name="ann") == "hello ann"


def test_a_missing_input_is_refused_by_name(url):
    """A start without a required input raises, names the input and writes nothing."""
    engine, workflow = engine_of(url, double)
    with pytest.raises((PlayheadError, TypeError), match=r"\bx\b"):
        engine.start(workflow)
    assert engine.runs() == []


def test_an_unknown_input_is_refused_by_name(url):
    """A start with an input nobody takes raises, names it and writes nothing."""
    engine, workflow = engine_of(url, double)
    with pytest.raises((PlayheadError, TypeError), match="xx"):
        engine.start(workflow, x=1, xx=2)
    assert engine.runs() == []


def test_an_input_of_another_type_is_refused_at_the_start(url):
    """A start with an input that does not convert to the annotation raises and writes nothing."""
    engine, workflow = engine_of(url, double)
    with pytest.raises(PlayheadError, match="x"):
        engine.start(workflow, x="many")
    assert engine.runs() == []


def test_inputs_with_reserved_names_go_in_the_mapping(url):
    """Inputs called `key`, `at`, `priority` and `tags` are given in the mapping."""

    @step
    def tell(key: str, at: int, priority: str, tags: list[str]) -> str:
        return f"{key}/{at}/{priority}/{','.join(tags)}"

    engine, workflow = engine_of(url, tell)
    inputs = {"key": "k", "at": 7, "priority": "low", "tags": ["a", "b"]}
    assert engine.run(workflow, inputs) == "k/7/low/a,b"
    run = engine.start(workflow, inputs, key="start key")
    assert run.key == "start key"
    assert run.inputs == inputs


def test_a_workflow_not_given_to_the_engine_cannot_be_started_silently(url):
    """A workflow the engine does not have is refused, or runs; it is not lost."""
    engine, _ = engine_of(url, double)
    other = Workflow("other", steps=[triple])
    try:
        run = engine.start(other, x=1)
    except PlayheadError as error:
        assert "other" in str(error)  # noqa: PT017 - both answers are right
    else:
        engine.run_until_idle()
        assert run.result(timeout=1) == 3


# --- when, skipping ------------------------------------------------------------------------


def test_a_false_when_skips_the_step_and_gives_the_default(url, events):
    """A step whose `when` is false is skipped, and an optional consumer gets its default."""

    @step(when=lambda x: x > 10)
    def large(x: int) -> int:
        return x

    @step
    def tell(large: int | None = None) -> str:
        return f"large: {large}"

    engine, workflow = engine_of(url, large, tell)
    assert engine.run(workflow, x=1) == "large: None"
    assert engine.run(workflow, x=11) == "large: 11"
    run = engine.start(workflow, x=1)
    engine.run_until_idle()
    assert ("step.skipped", "large") in events(engine, run)
    assert ("step.started", "large") not in events(engine, run)


def test_skipping_goes_on_to_required_consumers(url, events):
    """A required consumer of a skipped step is skipped too, and so on down the line."""

    @step(when=lambda x: False)  # noqa: ARG005
    def never(x: int) -> int:
        return x

    @step
    def second(never: int) -> int:
        return never

    @step
    def third(second: int, x: int = 0) -> int:
        return second

    engine, run = finished(url, never, second, third, x=1)
    assert run.status == "succeeded"
    assert run.result(timeout=1) is None
    skipped = {subject for kind, subject in events(engine, run) if kind == "step.skipped"}
    assert skipped == {"never", "second", "third"}


def test_a_skipped_last_step_is_none_in_the_dict(url):
    """A skipped last step beside another gives None under its name."""

    @step(when=lambda x: False)  # noqa: ARG005
    def never(x: int) -> int:
        return x

    engine, workflow = engine_of(url, double, never)
    assert engine.run(workflow, x=2) == {"double": 4, "never": None}


def test_when_may_name_a_step_that_the_function_does_not_take(url):
    """`when` may name any step; the step then waits for it."""

    @step(when=lambda double: double > 10)
    def late(x: int) -> str:
        return f"late {x}"

    engine, workflow = engine_of(url, late, double)
    assert engine.run(workflow, x=6) == "late 6"
    assert engine.run(workflow, x=1) is None


def test_when_is_asked_once_at_the_join(url, frozen):
    """`when` is asked once, however often the step is then tried."""
    asked = []

    def willing(x):
        asked.append(x)
        return True

    @step(when=willing)
    @retry(wait=wait_fixed(5), stop=stop_after_attempt(3))
    def flaky(x: int, ctx: Context) -> int:
        if ctx.attempt < 3:
            raise OSError("not yet")
        return x

    engine, run = finished(url, flaky, x=1)
    for _ in range(2):
        frozen.tick(5)
        engine.run_until_idle()
    assert run.result(timeout=1) == 1
    assert asked == [1]


def test_a_when_that_raises_fails_the_step_without_retry(url):
    """A `when` that raises fails the step at once, whatever its retry policy, and so the run."""
    asked = []
    called = []

    def broken(x):
        asked.append(x)
        raise KeyError("gone")

    @step(when=broken)
    @retry(stop=stop_after_attempt(5))
    def work(x: int) -> int:
        called.append(x)
        return x

    _engine, run = finished(url, work, x=1)
    assert run.status == "failed"
    assert asked == [1]
    with pytest.raises(RunFailed, match="work"):
        run.result(timeout=1)
    assert called == []


def test_after_orders_and_hands_over_nothing(url):
    """`after=` waits for a step whose output nobody takes."""
    done = []

    @step
    def migrate(x: int) -> int:
        done.append("migrate")
        return x

    @step(after=["migrate"])
    def load(x: int) -> list:
        done.append("load")
        return list(done)

    engine, workflow = engine_of(url, load, migrate)
    assert engine.run(workflow, x=1) == ["migrate", "load"]


def test_what_stands_after_a_skipped_step_runs(url):
    """`after=` orders and no more: a skipped step does not hold up what stands after it."""

    @step(when=lambda x: False)  # noqa: ARG005
    def never(x: int) -> int:
        return x

    @step(after=[never])
    def later(x: int) -> int:
        return x + 1

    engine, workflow = engine_of(url, never, later)
    assert engine.run(workflow, x=1) == 2


def test_an_optional_edge_still_waits(url):
    """A step waits also for its optional upstream to be settled."""
    gate = threading.Event()

    @step
    def slow(x: int) -> int:
        gate.wait(0.2)
        return x + 100

    @step
    def taker(x: int, slow: int = 0) -> int:
        return slow

    engine, workflow = engine_of(url, slow, taker)
    assert engine.run(workflow, x=1) == 101


# --- failures ------------------------------------------------------------------------------


def test_a_failed_step_fails_the_run_and_starts_nothing_new(url, events):
    """A step that failed for good fails the run; its consumers never start."""

    @step
    def user(boom: int) -> int:
        return boom

    engine, run = finished(url, boom, user, x=1)
    assert run.status == "failed"
    assert ("step.started", "user") not in events(engine, run)
    assert events(engine, run)[-1] == ("run.failed", "run")


def test_a_default_never_absorbs_a_failure(url):
    """An optional parameter does not survive the failure of its step."""

    @step
    def tell(boom: int | None = None) -> str:
        return f"got {boom}"

    _, run = finished(url, boom, tell, x=1)
    assert run.status == "failed"


def test_run_failed_says_what_failed_and_how_to_replay(url):
    """`RunFailed` carries step, attempts, error and run id, and prints the replay command."""
    _engine, run = finished(url, boom, x=7)
    with pytest.raises(RunFailed) as caught:
        run.result(timeout=1)
    error = caught.value
    text = str(error)
    assert "boom" in text
    assert "ValueError" in text
    assert "no 7" in text
    assert run.id in text
    assert "playhead replay" in text
    assert error.run_id == run.id
    assert error.step == "boom"
    assert error.attempts == 1
    assert run.error is not None


def test_an_outcome_takes_a_failure(url):
    """A consumer that asks for `Outcome` receives the failure, and the run succeeds."""

    @step
    def tell(boom: Outcome[int]) -> dict:
        failure = boom.failure
        assert isinstance(failure, Failure)
        return {
            "state": boom.state,
            "ok": boom.ok,
            "step": failure.step,
            "attempts": failure.attempts,
            "type": failure.type,
            "message": failure.message,
            "traced": "ValueError" in failure.traceback and "boom" in failure.traceback,
            "aware": failure.at.tzinfo is not None,
        }

    _, run = finished(url, boom, tell, x=3)
    assert run.result(timeout=1) == {
        "state": "failed",
        "ok": False,
        "step": "boom",
        "attempts": 1,
        "type": "ValueError",
        "message": "no 3",
        "traced": True,
        "aware": True,
    }


def test_an_outcome_of_a_success_and_of_a_skip(url):
    """An `Outcome` is succeeded with its value, or skipped without one."""

    @step(when=lambda x: x > 1)
    def maybe(x: int) -> int:
        return x

    @step
    def tell(maybe: Outcome[int]) -> list:
        return [maybe.state, maybe.ok, maybe.value if maybe.ok else None]

    engine, workflow = engine_of(url, maybe, tell)
    assert engine.run(workflow, x=2) == ["succeeded", True, 2]
    assert engine.run(workflow, x=1) == ["skipped", False, None]


def test_unwrap_gives_the_value_or_raises(url):
    """`unwrap()` gives the value of a success and raises for a failure, failing the step."""

    @step
    def good(double: Outcome[int]) -> int:
        return double.unwrap()

    @step
    def bad(boom: Outcome[int]) -> int:
        return boom.unwrap()

    engine, workflow = engine_of(url, double, good)
    assert engine.run(workflow, x=2) == 4
    _, run = finished(url, boom, bad, x=2)
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="bad"):
        run.result(timeout=1)


def test_one_plain_consumer_is_enough_to_fail_the_run(url):
    """A failed step fails the run unless every consumer takes it as an `Outcome`."""

    @step
    def brave(boom: Outcome[int]) -> str:
        return boom.state

    @step
    def plain(boom: int) -> int:
        return boom

    _, run = finished(url, boom, brave, plain, x=1)
    assert run.status == "failed"


@pytest.mark.parametrize("kind", ["after", "when"])
def test_after_and_when_do_not_survive_a_failure(url, kind):
    """What only stands after a failed step, or names it in `when`, does not save the run."""
    if kind == "after":

        @step(after=["boom"])
        def later(x: int) -> int:
            return x

    else:

        @step(when=lambda boom: True)  # noqa: ARG005
        def later(x: int) -> int:
            return x

    _, run = finished(url, boom, later, x=1)
    assert run.status == "failed"


def test_what_is_in_flight_ends_and_is_recorded(url, until, events):
    """When a step fails for good, another in flight ends, is recorded, and has no successor."""
    failed = threading.Event()

    @step
    def fails(x: int) -> int:
        failed.set()
        raise ValueError("first")

    @step
    def slow(x: int, ctx: Context) -> int:
        assert failed.wait(10)
        until(lambda: ("step.failed", "fails") in events(engine, ctx.run_id))
        return x

    @step
    def after_slow(slow: int) -> int:
        return slow

    engine, workflow = engine_of(url, fails, slow, after_slow)
    with engine:
        run = engine.start(workflow, x=1)
        with pytest.raises(RunFailed):
            run.result(timeout=20)
    history = events(engine, run)
    assert ("step.succeeded", "slow") in history
    assert ("step.started", "after_slow") not in history
    assert history[-1] == ("run.failed", "run")


# --- fallback ------------------------------------------------------------------------------


def test_a_fallback_answers_for_a_failed_step(url):
    """A fallback gets the same inputs and, if it asks, the `Failure`; its answer is the output."""

    @step
    def online(double: int) -> str:
        raise ConnectionError("down")

    @online.fallback
    def offline(double: int, failure: Failure) -> str:
        return f"{double} {failure.step} {failure.type} {failure.attempts}"

    @step
    def tell(online: str) -> str:
        return online.upper()

    engine, run = finished(url, double, online, tell, x=2)
    assert run.result(timeout=1) == "4 ONLINE CONNECTIONERROR 1"
    started = [e for e in engine.history(run) if e.type == "step.started"]
    assert [e.subject for e in started] == ["double", "online", "online", "tell"]
    assert [bool(e.data.get("fallback")) for e in started] == [False, False, True, False]


def test_registering_a_fallback_gives_the_function_back():
    """`fallback(f)` registers f and returns f."""

    @step
    def online(x: int) -> int:
        raise ConnectionError

    def offline(x: int) -> int:
        return -x

    assert online.fallback(offline) is offline


def test_a_fallback_that_fails_fails_the_run(url):
    """When the fallback fails too, the step has failed for good."""

    @step
    def online(x: int) -> int:
        raise ConnectionError("down")

    @online.fallback
    def offline(x: int) -> int:
        raise LookupError("nothing here")

    _, run = finished(url, online, x=1)
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="nothing here"):
        run.result(timeout=1)


def test_a_fallback_is_not_asked_when_the_step_succeeds(url):
    """A step that succeeds leaves its fallback alone."""

    @step
    def online(x: int) -> int:
        return x

    @online.fallback
    def offline(x: int) -> int:
        raise AssertionError("asked")

    _, run = finished(url, online, x=1)
    assert run.result(timeout=1) == 1


# --- the context ---------------------------------------------------------------------------


def test_the_context_tells_where_the_step_is(url, frozen):
    """`Context` gives run, workflow, step, visit, attempt, key, clock, chance and a logger."""
    seen = {}

    @step
    def look(x: int, ctx: Context) -> int:
        seen.update(
            run_id=ctx.run_id, workflow=ctx.workflow, step=ctx.step, visit=ctx.visit,
            attempt=ctx.attempt, key=ctx.idempotency_key, now=ctx.now(), item=ctx.item,
            cancelled=ctx.cancelled, visits=ctx.visits("look"),
        )  # fmt: skip
        assert 0 <= ctx.random.random() < 1
        ctx.log.info("seen")
        ctx.progress(0.5, "half")
        return x

    _, run = finished(url, look, x=1)
    run.result(timeout=1)
    assert seen["run_id"] == run.id
    assert seen["workflow"] == "w"
    assert seen["step"] == "look"
    assert (seen["visit"], seen["attempt"]) == (1, 1)
    assert seen["key"] == f"{run.id}/look:1"
    assert seen["now"] == datetime(2030, 1, 1, tzinfo=UTC)
    assert seen["now"].utcoffset().total_seconds() == 0
    assert not seen["cancelled"]
    assert seen["item"] is None


def test_async_steps_run_like_others(url):
    """`async def` steps stand among plain ones, also side by side."""

    @step
    async def one(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @step
    async def two(x: int) -> int:
        await asyncio.sleep(0)
        return x + 2

    @step
    def both(one: int, two: int) -> int:
        return one * two

    engine, workflow = engine_of(url, one, two, both)
    assert engine.run(workflow, x=1) == 6
    run = engine.start(workflow, x=2)
    engine.run_until_idle()
    assert run.result(timeout=1) == 12
