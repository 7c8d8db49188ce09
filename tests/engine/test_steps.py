"""Steps, signals and timers: what stands under `@step` stays itself, with its options."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_fixed,
    wait_none,
)

from engine.context import Context
from engine.errors import DefinitionError
from engine.outcome import Failure, NoValue, Outcome
from engine.steps import Signal, Step, Timer, step
from engine.workflow import Workflow


def double(number: int) -> int:
    """Double a number."""
    return number * 2


def test_a_step_is_called_like_its_function() -> None:
    """`@step` bare or with options gives a callable that calls what stands under it."""
    assert step(double)(3) == 6
    assert step(timeout=3)(double)(number=4) == 8


def test_a_step_keeps_the_looks_of_its_function() -> None:
    """Name, docstring and the bare function can be read from a step."""
    doubled = step(double)
    assert (doubled.name, doubled.__doc__, doubled.fn) == ("double", "Double a number.", double)
    assert repr(doubled) == "<step 'double'>"


def test_name_renames_a_step() -> None:
    """`name=` is the step's name; a lambda can be a step by it."""
    assert step(name="twice")(double).name == "twice"
    assert step(name="thrice")(lambda number: number * 3)(2) == 6


def test_step_stands_over_functions_only() -> None:
    """What cannot be called is refused."""
    with pytest.raises(DefinitionError, match="over a function"):
        step(3)  # type: ignore[call-overload]


def test_a_retry_under_a_step_is_lifted() -> None:
    """`@step` over `@retry` keeps the policy apart: `.fn` is the bare function inside."""

    def enrich(path: str) -> str:
        return path

    wrapped = retry(stop=stop_after_attempt(3), wait=wait_fixed(1))(enrich)
    lifted = step(wrapped)
    assert lifted.fn is enrich
    assert lifted.retry is wrapped.retry
    assert lifted.policy is not None
    assert lifted.policy.judge(attempt=1, elapsed=0, error=OSError()).wait == 1_000_000


def test_calling_a_step_runs_the_retry_under_it() -> None:
    """In a unit test the step is what stands under `@step`: tenacity retries as ever."""
    calls: list[int] = []

    @step
    @retry(stop=stop_after_attempt(3), wait=wait_none())
    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError
        return len(calls)

    assert flaky() == 3


def test_a_policy_is_given_as_an_option_too() -> None:
    """`step(retry=Retrying(...))` and an AsyncRetrying do the same as the decorator."""
    for policy in (Retrying(stop=stop_after_attempt(2)), AsyncRetrying(wait=wait_fixed(2))):
        assert step(retry=policy)(double).fn is double
        assert step(retry=policy)(double).policy is not None


def test_two_policies_are_refused() -> None:
    """A step with `@retry` and `retry=` would have two masters."""
    with pytest.raises(DefinitionError, match="two policies"):
        step(retry=Retrying(wait=wait_fixed(1)))(retry(wait=wait_fixed(1))(double))


def test_a_decorator_between_step_and_retry_is_refused() -> None:
    """A policy that would run inside the step is told, not run."""
    from functools import wraps  # noqa: PLC0415

    inner = retry(wait=wait_fixed(1), stop=stop_after_attempt(2))(double)

    @wraps(inner)
    def noisy(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    with pytest.raises(DefinitionError, match="directly over @retry"):
        step(noisy)


def test_another_decorator_under_step_stays() -> None:
    """A decorator without a policy is part of the step."""
    from functools import wraps  # noqa: PLC0415

    @wraps(double)
    def noisy(number: int) -> int:
        return double(number) + 1

    assert step(noisy).fn is noisy
    assert step(noisy)(1) == 3


@pytest.mark.parametrize("option", ["each", "concurrency", "tolerate", "join", "compensate"])
def test_options_of_later_versions_are_refused(option: str) -> None:
    """An option that this version does not have says so, and where it was asked."""
    with pytest.raises(DefinitionError, match=rf"step\({option}=.*test_steps.py:\d+"):
        step(**{option: "x"})(double)


def test_a_callback_instead_of_an_error_is_refused() -> None:
    """`retry_error_callback` would answer outside the log."""
    policy = Retrying(stop=stop_after_attempt(1), retry_error_callback=repr)
    with pytest.raises(DefinitionError, match="write a fallback"):
        step(retry=policy)(double)


def test_a_sleep_of_ones_own_is_refused() -> None:
    """`sleep=` is never called, so it is refused."""
    with pytest.raises(DefinitionError, match="sleep="):
        step(retry=Retrying(sleep=print))(double)


def test_fallback_gives_its_function_back() -> None:
    """`@enrich.fallback` registers and returns the function as it is."""
    doubled = step(double)

    @doubled.fallback
    def offline(number: int) -> int:
        return number

    assert offline(3) == 3
    assert doubled.answer is offline


def test_a_step_has_one_fallback() -> None:
    """A second fallback is refused."""
    doubled = step(double)
    doubled.fallback(lambda number: number)
    with pytest.raises(DefinitionError, match="has a fallback already"):
        doubled.fallback(lambda number: number)


def test_a_fallback_after_the_workflow_is_refused() -> None:
    """A workflow that was built would not know of a later fallback."""
    doubled = step(double)
    Workflow("w", steps=[doubled])
    with pytest.raises(DefinitionError, match="before the workflow is built"):
        doubled.fallback(lambda number: number)


def test_after_takes_names_and_steps() -> None:
    """`after=` is one or several, by name or by the thing itself."""
    doubled, cooldown = step(double), Timer("cooldown", 5)
    assert step(after="double")(double).after == ("double",)
    assert step(after=[doubled, cooldown])(double).after == ("double", "cooldown")
    assert Signal("approval", after=doubled).after == ("double",)


def test_after_refuses_what_has_no_name() -> None:
    """A number is nothing to wait for."""
    with pytest.raises(DefinitionError, match="after="):
        step(after=[3])(double)  # type: ignore[list-item]


def test_signals_and_timers_keep_what_they_were_given() -> None:
    """Their attributes are those of the call, and the line it stands on."""
    signal = Signal("approval", dict, timeout=timedelta(hours=48), after=["draft"])
    assert (signal.name, signal.type, signal.timeout) == ("approval", dict, timedelta(hours=48))
    assert signal.after == ("draft",)
    assert "test_steps.py:" in signal.where
    assert Timer("cooldown", 300).delay == 300


def test_a_context_knows_its_attempt() -> None:
    """The idempotency key is run/step[item]:visit, whatever the attempt."""
    first = Context(run_id="r1", workflow="w", step="score", item=3, attempt=1)
    second = Context(run_id="r1", workflow="w", step="score", item=3, attempt=2)
    assert first.idempotency_key == second.idempotency_key == "r1/score[3]:1"


def test_a_contexts_chance_is_the_same_for_the_same_attempt() -> None:
    """Another attempt draws other numbers; the same one the same."""

    def draw(attempt: int) -> float:
        return Context(run_id="r", step="s", attempt=attempt).random.random()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_context_asks_the_engine() -> None:
    """`cancelled`, `progress` and `visits` go to what the engine handed in."""
    told: list[Any] = []
    context = Context(
        cancelled=lambda: True,
        progress=lambda fraction, text: told.append((fraction, text)),
        visits=lambda state: {"draft": 4}[state],
    )
    context.progress(0.5, "half")
    assert (context.cancelled, context.visits("draft")) == (True, 4)
    assert told == [(0.5, "half")]


def test_a_context_by_itself_is_quiet() -> None:
    """A unit test may make one: nothing is cancelled, nobody listens."""
    context = Context()
    context.progress(1.0)
    assert (context.cancelled, context.visits("any")) == (False, 0)
    assert context.now().utcoffset() == timedelta(0)


def test_a_contexts_log_names_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Records carry run, workflow, step and attempt, and the caller's own extra."""
    context = Context(run_id="r1", workflow="w", step="enrich", attempt=2)
    context.log.warning("slow", extra={"url": "u"})
    record = caplog.records[0]
    got = [getattr(record, n) for n in ("name", "run_id", "step", "attempt", "url")]
    assert got == ["playhead.w", "r1", "enrich", 2, "u"]


def test_an_outcome_unwraps_to_its_value() -> None:
    """A success gives the value, None too."""
    assert Outcome("succeeded", 3).unwrap() == 3
    assert Outcome("succeeded").unwrap() is None
    assert Outcome("succeeded", 3).ok


def test_an_outcome_without_value_refuses_to_unwrap() -> None:
    """A failure says of what; a skipped step that it was skipped."""
    failure = Failure(step="enrich", attempts=5, type="ConnectTimeout", message="slow")
    with pytest.raises(NoValue, match="'enrich' failed after 5 attempts: ConnectTimeout: slow"):
        Outcome[int]("failed", failure=failure).unwrap()
    with pytest.raises(NoValue, match="skipped"):
        Outcome[int]("skipped").unwrap()
    assert not Outcome("failed", failure=failure).ok


def test_a_step_over_a_retried_coroutine_is_lifted() -> None:
    """An async function under `@retry` gives its bare coroutine function."""

    @retry(retry=retry_if_exception_type(OSError), stop=stop_after_attempt(2))
    async def fetch(path: str) -> str:
        return path

    fetched: Step[..., Any] = step(fetch)
    assert fetched.fn is fetch.__wrapped__
    assert fetched.signature().is_async


def test_a_method_can_be_a_step() -> None:
    """A bound method's `self` is no parameter."""

    class Office:
        def sign(self, letter: str) -> str:
            return letter + "!"

    signed = step(Office().sign)
    assert [p.name for p in signed.signature().parameters] == ["letter"]
    assert signed("dear") == "dear!"


def test_a_line_is_named_for_each_step() -> None:
    """`where` is the source line of the function."""
    where: Callable[[Any], str] = lambda one: one.where.rpartition("/")[2]  # noqa: E731
    assert where(step(double)) == f"test_steps.py:{double.__code__.co_firstlineno}"
