"""Joins at length: skips and failures through `after`, `when`, signals, timers, fallbacks."""

from datetime import datetime, timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    Context,
    Engine,
    Failure,
    Outcome,
    RunFailed,
    Signal,
    Timer,
    Workflow,
    step,
)
from tests.journeys.conftest import START


@step
def boom(x: int) -> int:
    raise ValueError(f"no {x}")


@step(when=lambda x: x > 10)
def large(x: int) -> int:
    return x


@step
def tolerant(boom: Outcome[int]) -> str:
    return boom.state


def driven(url, *steps, **inputs):
    workflow = Workflow("w", steps=list(steps))
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, **inputs)
    engine.run_until_idle()
    return engine, run


def test_after_beside_an_outcome_does_not_survive(url):
    """A failed step that one takes as `Outcome` while another stands `after` it fails the run."""

    @step(after=["boom"])
    def later(x: int) -> int:
        return x

    _, run = driven(url, boom, tolerant, later, x=1)
    assert run.status == "failed"


def test_when_beside_an_outcome_does_not_survive(url):
    """A failed step that one takes as `Outcome` while another's `when` names it fails the run."""

    @step(when=lambda boom: boom > 1)
    def later(x: int) -> int:
        return x

    _, run = driven(url, boom, tolerant, later, x=1)
    assert run.status == "failed"


def test_two_outcomes_survive(url):
    """When every consumer takes the failure as `Outcome`, the run succeeds."""

    @step
    def also(boom: Outcome[int], x: int) -> str:
        return boom.failure.message

    _, run = driven(url, boom, tolerant, also, x=4)
    assert run.result(timeout=1) == {"tolerant": "failed", "also": "no 4"}


def test_an_outcome_after_a_failed_fallback(url):
    """When the fallback fails too, the `Outcome` tells the fallback's failure."""

    @step
    def ask(x: int) -> int:
        raise OSError("down")

    @ask.fallback
    def offline(x: int) -> int:
        raise LookupError("empty")

    @step
    def tell(ask: Outcome[int]) -> str:
        return f"{ask.failure.type}: {ask.failure.message}"

    _, run = driven(url, ask, tell, x=1)
    assert run.result(timeout=1) == "LookupError: empty"


def test_the_failure_given_to_a_fallback_is_of_the_last_attempt(url, frozen):
    """A fallback that asks sees the last attempt's error and how many there were."""
    errors = [OSError("first"), OSError("second"), TimeoutError("third")]

    @step
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(3))
    def ask(x: int) -> str:
        raise errors.pop(0)

    @ask.fallback
    def offline(failure: Failure, ctx: Context, x: int) -> str:
        return f"{failure.type} {failure.message} {failure.attempts}"

    engine, run = driven(url, ask, x=1)
    for _ in range(2):
        frozen.tick(1)
        engine.run_until_idle()
    assert run.result(timeout=1) == "TimeoutError third 3"


def test_when_of_a_skipped_step_skips(url, events):
    """A `when` that needs a skipped step skips its step; with a default it is asked."""

    @step(when=lambda large: large > 0)
    def strict(x: int) -> int:
        return x

    @step(when=lambda large=None: large is None)
    def relaxed(x: int) -> str:
        return "asked"

    engine, run = driven(url, large, strict, relaxed, x=1)
    assert run.result(timeout=1) == {"strict": None, "relaxed": "asked"}
    assert ("step.skipped", "strict") in events(engine, run)


def test_a_skip_meets_a_required_and_an_optional_edge(url):
    """One required edge to a skipped step is enough to skip, whatever the other edges say."""

    @step
    def double(x: int) -> int:
        return x * 2

    @step
    def both(large: int, double: int = 0) -> int:
        return large + double

    @step
    def either(double: int, large: int = 0) -> int:
        return large + double

    _, run = driven(url, large, double, both, either, x=3)
    assert run.result(timeout=1) == {"both": None, "either": 6}


def test_a_skip_through_an_outcome_goes_no_further(url):
    """A consumer that takes a skipped step as `Outcome` runs."""

    @step
    def tell(large: Outcome[int]) -> str:
        return large.state

    @step
    def last(tell: str) -> str:
        return f"last {tell}"

    _, run = driven(url, large, tell, last, x=1)
    assert run.result(timeout=1) == "last skipped"


def test_a_timer_after_a_skipped_step_begins(url, frozen):
    """`after=` of a timer orders and no more: after a skipped step it begins."""

    @step
    def later(hold: datetime) -> str:
        return "later"

    engine, run = driven(url, large, Timer("hold", 5, after=["large"]), later, x=1)
    assert engine.next_due() == START + timedelta(seconds=5)
    frozen.tick(5)
    engine.run_until_idle()
    assert run.result(timeout=1) == "later"


def test_a_signal_that_times_out_with_one_strict_consumer(url, frozen):
    """A signal that times out fails the run when one of its consumers needs it."""

    @step
    def strict(go: int) -> int:
        return go

    @step
    def relaxed(go: int = 0) -> int:
        return go

    engine, run = driven(url, Signal("go", int, timeout=5), strict, relaxed)
    frozen.tick(5)
    engine.run_until_idle()
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="go"):
        run.result(timeout=1)


def test_a_signal_that_only_orders_and_times_out(url, frozen):
    """A signal that a step only stands after fails the run when it times out."""

    @step(after=["go"])
    def later(x: int) -> int:
        return x

    engine, run = driven(url, Signal("go", timeout=5), later, x=1)
    frozen.tick(5)
    engine.run_until_idle()
    assert run.status == "failed"


def test_a_retry_that_came_due_in_a_pause(url, frozen):
    """A retry that came due in a pause is made on resume, and the budget is as before."""
    calls = []

    @step
    @retry(wait=wait_fixed(10), stop=stop_after_attempt(2))
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) < 2:
            raise OSError("down")
        return x

    engine, run = driven(url, flaky, x=1)
    engine.pause(run)
    frozen.tick(100)
    engine.run_until_idle()
    assert calls == [1]
    engine.resume(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == 1


def test_a_run_cancelled_while_it_waits_for_a_retry_goes_on_when_retried(url, frozen):
    """A cancelled run whose step was waiting for a retry goes on after `retry`."""
    state = {"down": True}

    @step
    @retry(wait=wait_fixed(10), stop=stop_after_attempt(2))
    def flaky(x: int) -> int:
        if state["down"]:
            raise OSError("down")
        return x

    engine, run = driven(url, flaky, x=1)
    engine.cancel(run)
    engine.run_until_idle()
    assert run.status == "cancelled"
    assert engine.next_due() is None
    state["down"] = False
    engine.retry(run)
    for _ in range(3):
        engine.run_until_idle()
        if (due := engine.next_due()) is not None:
            frozen.move_to(due)
    assert run.result(timeout=1) == 1


def test_retry_of_a_failed_run_asks_the_step_before_the_fallback(url):
    """After `retry` a step whose fallback failed is tried itself again."""
    state = {"down": True}
    calls = []

    @step
    def ask(x: int) -> str:
        calls.append("ask")
        if state["down"]:
            raise OSError("down")
        return "online"

    @ask.fallback
    def offline(x: int) -> str:
        calls.append("offline")
        raise LookupError("empty")

    engine, run = driven(url, ask, x=1)
    assert run.status == "failed"
    state["down"] = False
    engine.retry(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == "online"
    assert calls == ["ask", "offline", "ask"]


def test_retry_runs_what_had_not_begun(url):
    """Steps that never started because another failed run after the `retry`."""
    state = {"down": True}

    @step
    def first(x: int) -> int:
        if state["down"]:
            raise OSError("down")
        return x

    @step(after=["first"])
    def second(x: int) -> int:
        return x + 1

    @step
    def third(first: int, second: int) -> int:
        return first + second

    engine, run = driven(url, first, second, third, x=1)
    assert run.status == "failed"
    state["down"] = False
    engine.retry(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == 3


def test_retry_of_a_run_with_a_taken_failure(url):
    """A failure that was taken as `Outcome` stands; only what failed the run is tried again."""
    state = {"down": True}
    calls = []

    @step
    def lost(x: int) -> int:
        calls.append("lost")
        raise OSError("gone")

    @step
    def taker(lost: Outcome[int]) -> str:
        calls.append("taker")
        return lost.state

    @step
    def fails(taker: str) -> str:
        calls.append("fails")
        if state["down"]:
            raise OSError("down")
        return taker

    engine, run = driven(url, lost, taker, fails, x=1)
    assert run.status == "failed"
    state["down"] = False
    engine.retry(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == "failed"
    assert calls.count("taker") == 1
    assert calls.count("fails") == 2


def test_a_step_that_only_a_when_names_still_runs(url):
    """A step that is named by `when` alone is no last step: the result is of the other."""

    @step
    def check(x: int) -> bool:
        return x > 5

    @step(when=lambda check: check)
    def act(x: int) -> str:
        return "acted"

    _, run = driven(url, check, act, x=6)
    assert run.result(timeout=1) == "acted"
    _, run = driven(url, check, act, x=1)
    assert run.result(timeout=1) is None


def test_a_step_that_only_after_names_is_no_last_step(url):
    """A step before an `after=` is no last step either."""

    @step
    def migrate(x: int) -> int:
        return x

    @step(after=["migrate"])
    def load(x: int) -> str:
        return "loaded"

    _, run = driven(url, migrate, load, x=1)
    assert run.result(timeout=1) == "loaded"


def test_when_sees_inputs_that_the_step_does_not_take(url):
    """An input that only `when` names is an input of the workflow."""

    @step(when=lambda force: force)
    def act(x: int) -> str:
        return "acted"

    _, run = driven(url, act, x=1, force=True)
    assert run.result(timeout=1) == "acted"
    _, run = driven(url, act, x=1, force=False)
    assert run.result(timeout=1) is None


def test_a_truthy_answer_is_yes(url):
    """`when` may answer with anything: what is true runs, what is false skips."""
    for answer, expected in [(1, "ran"), ("yes", "ran"), ([], None), (None, None), (0, None)]:
        made = step(lambda x: "ran", name="act", when=lambda x, answer=answer: answer)  # noqa: ARG005
        try:
            _, run = driven(url, made, x=1)
        except Exception as error:
            raise AssertionError(answer) from error
        assert run.result(timeout=1) == expected
