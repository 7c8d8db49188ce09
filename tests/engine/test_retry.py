"""Tenacity's policies, asked and never run."""

import asyncio
import logging
import math
import threading
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from freezegun import freeze_time
from tenacity import Retrying, TryAgain, retry

from engine.calls import Verdict
from engine.errors import DefinitionError
from engine.retry import describe, is_endless, lift

SECOND = 1_000_000
NO = Verdict(retry=False)


def judge(policy: Any, attempt: int = 1, elapsed: int = 0, **outcome: Any) -> Verdict:
    """Ask a policy about a failed attempt, or about a result."""
    error = None if "result" in outcome else outcome.get("error", OSError("no"))
    result = outcome.get("result")
    return lift(policy).judge(attempt=attempt, elapsed=elapsed, error=error, result=result)


def test_a_failure_is_tried_again_until_the_policy_stops() -> None:
    """stop_after_attempt(3) gives attempts 1 and 2 another, and the 3rd none."""
    policy = Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(2))
    assert judge(policy, 2) == Verdict(retry=True, wait=2 * SECOND)
    assert judge(policy, 3) == NO


def test_waits_grow_as_the_policy_says() -> None:
    """wait_exponential(max=60) waits 1, 2, 4 ... and never more than 60 s."""
    policy = Retrying(wait=tenacity.wait_exponential(multiplier=1, max=60))
    assert [judge(policy, n).wait // SECOND for n in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]


def test_stop_after_delay_is_measured_by_what_is_handed_in() -> None:
    """100 s elapsed stop it, a microsecond less does not; no clock is read."""
    policy = Retrying(stop=tenacity.stop_after_delay(100), wait=tenacity.wait_fixed(1))
    with freeze_time("2020-01-01"):
        assert judge(policy, elapsed=100 * SECOND) == NO
        assert judge(policy, elapsed=100 * SECOND - 1).retry


def test_stop_before_delay_sees_the_wait() -> None:
    """The wait to come counts: at 95 s of 100 a wait of 5 s is one too many."""
    policy = Retrying(stop=tenacity.stop_before_delay(100), wait=tenacity.wait_fixed(5))
    assert judge(policy, elapsed=95 * SECOND) == NO
    assert judge(policy, elapsed=94 * SECOND).retry


def test_the_exception_decides() -> None:
    """retry_if_exception_type(OSError) lets a ValueError through."""
    policy = Retrying(
        retry=tenacity.retry_if_exception_type(OSError), wait=tenacity.wait_fixed(1)
    )
    assert judge(policy).retry
    assert judge(policy, error=ValueError()) == NO


def test_cancellation_is_never_tried_again() -> None:
    """The default condition retries Exception, not BaseException."""
    assert judge(Retrying(wait=tenacity.wait_fixed(1)), error=asyncio.CancelledError()) == NO


def test_try_again_is_tried_again_whatever_the_condition() -> None:
    """TryAgain skips the condition, not the stop."""
    policy = Retrying(
        retry=tenacity.retry_never,
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_fixed(1),
    )
    assert judge(policy, error=TryAgain()).retry
    assert judge(policy, 2, error=TryAgain()) == NO


def test_an_unfit_result_is_tried_again() -> None:
    """retry_if_result judges what was returned; a fit result stands."""
    policy = Retrying(
        retry=tenacity.retry_if_result(lambda found: not found),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_fixed(1),
    )
    assert judge(policy, result=[]).retry
    assert judge(policy, result=[1]) == NO


def test_giving_up_on_a_result_is_a_retry_error() -> None:
    """The last unfit result becomes an error that shows it, shortened."""
    policy = Retrying(retry=tenacity.retry_if_result(bool), stop=tenacity.stop_after_attempt(1))
    error = judge(policy, result="x" * 1000).give_up
    assert isinstance(error, tenacity.RetryError)
    assert type(error).__name__ == "RetryError"
    assert str(error).startswith("still unfit after 1 attempt: 'xxx")
    assert len(str(error)) < 260


def test_giving_up_on_an_error_leaves_the_error() -> None:
    """What was raised stands; nothing takes its place."""
    policy = Retrying(stop=tenacity.stop_after_attempt(1))
    assert judge(policy).give_up is None


def test_jitter_is_drawn_once_per_verdict() -> None:
    """The wait object is asked once, the stop sees that wait, and the verdict carries it."""
    asked: list[float] = []
    seen: list[float] = []

    def wait(state: tenacity.RetryCallState) -> float:
        asked.append(float(len(asked) + 1))
        return asked[-1]

    def stop(state: tenacity.RetryCallState) -> bool:
        seen.append(state.upcoming_sleep)
        return False

    assert judge(Retrying(wait=wait, stop=stop)).wait == SECOND
    assert (asked, seen) == ([1.0], [1.0])


def test_the_hooks_are_called_as_tenacity_calls_them() -> None:
    """`before` before, `after` after a failure, `before_sleep` only when there is another."""
    told: list[str] = []

    def tell(word: str) -> Any:
        return lambda state: told.append(f"{word} {state.attempt_number}")

    policy = lift(
        Retrying(
            stop=tenacity.stop_after_attempt(2),
            before=tell("before"),
            after=tell("after"),
            before_sleep=tell("sleep"),
        )
    )
    for attempt in (1, 2):
        policy.before(attempt)
        policy.judge(attempt=attempt, elapsed=0, error=OSError())
    assert told == ["before 1", "after 1", "sleep 1", "before 2", "after 2"]


def test_the_hooks_stay_quiet_after_a_success() -> None:
    """A result that stands calls neither `after` nor `before_sleep`."""
    told: list[Any] = []
    assert judge(Retrying(after=told.append, before_sleep=told.append), result=1) == NO
    assert told == []


def test_tenacitys_own_log_hooks_work(caplog: pytest.LogCaptureFixture) -> None:
    """before_sleep_log and after_log read the function and the times of the state."""
    log = logging.getLogger("policy")
    policy = Retrying(
        wait=tenacity.wait_fixed(1),
        after=tenacity.after_log(log, logging.WARNING),
        before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
    )

    def enrich() -> None: ...

    lift(policy, enrich).judge(attempt=1, elapsed=SECOND, error=OSError("no"))
    assert all("enrich" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 2


def test_a_disabled_policy_is_one_attempt() -> None:
    """`enabled=False` never tries again and calls no hook."""
    told: list[Any] = []
    policy = Retrying(enabled=False, wait=tenacity.wait_fixed(1), before=told.append)
    lift(policy).before(1)
    assert judge(policy) == NO
    assert (told, describe(policy)) == ([], "once")


def test_async_conditions_and_waits_are_asked() -> None:
    """A coroutine function as condition or wait is awaited, also where a loop runs."""

    async def condition(state: tenacity.RetryCallState) -> bool:
        await asyncio.sleep(0)
        return state.attempt_number < 3

    async def wait(state: tenacity.RetryCallState) -> float:
        return 4.0

    policy = tenacity.AsyncRetrying(retry=condition, wait=wait)
    assert judge(policy) == Verdict(retry=True, wait=4 * SECOND)

    async def inside() -> Verdict:
        return judge(policy, 3)

    assert asyncio.run(inside()) == NO


def test_an_async_condition_that_raises_raises() -> None:
    """What a condition raises reaches the asker, from the thread beside a loop too."""

    async def condition(state: tenacity.RetryCallState) -> bool:
        raise LookupError

    policy = tenacity.AsyncRetrying(retry=condition, wait=tenacity.wait_fixed(1))

    async def inside() -> None:
        judge(policy)

    for ask in (lambda: judge(policy), lambda: asyncio.run(inside())):
        with pytest.raises(LookupError):
            ask()
    assert not [t for t in threading.enumerate() if t.name == "playhead-policy"]


def test_conditions_may_be_plain_functions() -> None:
    """A callable that reads the state decides; the state carries outcome and attempt."""

    def condition(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return isinstance(state.outcome.exception(), OSError) and state.args == ()

    assert judge(Retrying(retry=condition, wait=tenacity.wait_fixed(1))).retry


def test_waits_that_no_clock_can_hold_are_cut() -> None:
    """Endless waits become a hundred years; a NaN is an error."""
    endless = judge(Retrying(wait=lambda _: math.inf))
    assert 100 * 365 * 86_400 * SECOND < endless.wait < 1 << 53
    assert judge(Retrying(wait=lambda _: -3.0)).wait == 0
    with pytest.raises(ValueError, match="NaN"):
        judge(Retrying(wait=lambda _: math.nan))


@pytest.mark.parametrize(
    "policy",
    [
        Retrying(),
        Retrying(wait=tenacity.wait_fixed(0)),
        Retrying(wait=tenacity.wait_none() + tenacity.wait_fixed(0)),
        Retrying(wait=tenacity.wait_chain(tenacity.wait_none())),
        Retrying(stop=tenacity.stop_all(tenacity.stop_never, tenacity.stop_after_attempt(1))),
    ],
    ids=describe,
)
def test_a_retry_that_never_stops_and_never_waits_is_endless(policy: Retrying) -> None:
    """Such a policy would spin for ever, spelled in whatever way."""
    assert is_endless(policy)


@pytest.mark.parametrize(
    "policy",
    [
        Retrying(wait=tenacity.wait_fixed(1)),
        Retrying(stop=tenacity.stop_after_attempt(1)),
        Retrying(stop=tenacity.stop_never | tenacity.stop_after_attempt(1)),
        Retrying(wait=lambda _: 0),
        Retrying(enabled=False),
        Retrying(retry=tenacity.retry_never),
    ],
    ids=describe,
)
def test_a_retry_that_stops_or_waits_is_not_endless(policy: Retrying) -> None:
    """What stops, waits, or may do so by a function of the user's, is let be."""
    assert not is_endless(policy)


def test_a_policy_is_described_in_stable_words() -> None:
    """Two policies alike have the same words; a setting changes them; no address is in them."""

    def policy(seconds: int) -> Retrying:
        return Retrying(
            stop=tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_exponential(max=60) + tenacity.wait_random(0, 1),
            retry=tenacity.retry_if_exception_type((OSError, ValueError))
            | tenacity.retry_if_exception_message(match="slow.*")
            | tenacity.retry_if_result(lambda found: not found),
        )

    assert describe(policy(100)) == describe(policy(100)) != describe(policy(200))
    assert "0x" not in describe(policy(100))
    assert "stop_after_attempt(max_attempt_number=5)" in describe(policy(100))
    assert "exception_types=[OSError, ValueError]" in describe(policy(100))


def test_objects_in_a_policy_are_described_by_their_class() -> None:
    """An event, or a callable object, has no words of its own but its class."""

    class Patient:
        def __call__(self, _: tenacity.RetryCallState) -> float:
            return 1.0

    policy = Retrying(stop=tenacity.stop_when_event_set(threading.Event()), wait=Patient())
    assert "stop_when_event_set(event=Event), wait=Patient" in describe(policy)


def test_only_tenacitys_policies_are_lifted() -> None:
    """Anything else is refused with an example."""
    with pytest.raises(DefinitionError, match="no tenacity policy"):
        lift(3)  # type: ignore[arg-type]


def test_settings_without_effect_are_let_be() -> None:
    """reraise, retry_error_cls and name change nothing."""
    policy = Retrying(
        reraise=True,
        retry_error_cls=type("Mine", (tenacity.RetryError,), {}),
        name="mine",
        stop=tenacity.stop_after_attempt(1),
    )
    assert judge(policy) == NO


def test_a_bare_retry_is_lifted_from_what_it_left() -> None:
    """`@retry` leaves its policy on the function; a duration may be a timedelta."""

    @retry(wait=tenacity.wait_fixed(timedelta(minutes=1)))
    def enrich() -> None: ...

    assert judge(enrich.retry).wait == 60 * SECOND
