"""Retries: tenacity's policies lifted into durable waits, driven by the frozen clock."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
import tenacity
from tenacity import (
    retry,
    retry_if_exception_message,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    stop_before_delay,
    wait_chain,
    wait_combine,
    wait_exponential,
    wait_fixed,
    wait_incrementing,
    wait_none,
    wait_random,
)

from playhead import Context, DefinitionError, Engine, Outcome, RunFailed, Workflow, step
from tests.journeys.conftest import START


def attempts_at(url, frozen, made, limit=20, seconds=3600.0):
    """Run a failing step to its end; give the seconds at which each attempt started."""
    workflow = Workflow("w", steps=[made])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    for _ in range(limit):
        due = engine.next_due()
        if due is None:
            break
        assert (due - START).total_seconds() <= seconds
        frozen.move_to(due)
        engine.run_until_idle()
    starts = [e.at for e in engine.history(run) if e.type == "step.started"]
    return engine, run, [(at - START).total_seconds() for at in starts]


def failing(policy=None, **options):
    """Give a step that always fails, under a policy."""

    def work() -> int:
        raise OSError("down")

    return step(policy(work) if policy else work, **options)


def test_without_a_policy_there_is_one_attempt(url, frozen):
    """No `retry`: one attempt."""
    _, run, starts = attempts_at(url, frozen, failing())
    assert starts == [0]
    assert run.status == "failed"


SPELLINGS = {
    "over the decorator": lambda: failing(
        retry(stop=stop_after_attempt(3), wait=wait_fixed(2))
    ),
    "as an option": lambda: failing(
        retry=tenacity.Retrying(stop=stop_after_attempt(3), wait=wait_fixed(2))
    ),
    "both brackets": lambda: step()(
        retry(stop=stop_after_attempt(3), wait=wait_fixed(2))(failing().fn)
    ),
    "a copy": lambda: failing(
        retry=tenacity.Retrying(wait=wait_fixed(2)).copy(stop=stop_after_attempt(3))
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_policy_is_lifted_from_every_spelling(url, frozen, spelling):
    """A policy over the function, or as `retry=`, gives its attempts and waits."""
    _, run, starts = attempts_at(url, frozen, SPELLINGS[spelling]())
    assert starts == [0, 2, 4]
    assert run.status == "failed"
    assert [run.error is None] == [False]


def test_async_policies_are_lifted_too(url, frozen):
    """A tenacity decorator over an `async def` and `AsyncRetrying` are lifted."""

    @step
    @retry(stop=stop_after_attempt(2), wait=wait_fixed(3))
    async def work() -> int:
        raise OSError("down")

    @step(retry=tenacity.AsyncRetrying(stop=stop_after_attempt(2), wait=wait_fixed(3)))
    async def other() -> int:
        raise OSError("down")

    assert attempts_at(url, frozen, work)[2] == [0, 3]
    frozen.move_to(START)
    assert attempts_at("sqlite:///:memory:", frozen, other)[2] == [0, 3]


POLICIES = {
    "fixed": (
        {"wait": wait_fixed(timedelta(seconds=7)), "stop": stop_after_attempt(3)},
        [0, 7, 14],
    ),
    "exponential": (
        {"wait": wait_exponential(multiplier=1, max=5), "stop": stop_after_attempt(6)},
        [0, 1, 3, 7, 12, 17],
    ),
    "incrementing": (
        {"wait": wait_incrementing(start=1, increment=2), "stop": stop_after_attempt(4)},
        [0, 1, 4, 9],
    ),
    "chain": (
        {
            "wait": wait_chain(wait_fixed(1), wait_fixed(5), wait_fixed(10)),
            "stop": stop_after_attempt(5),
        },
        [0, 1, 6, 16, 26],
    ),
    "sum": ({"wait": wait_fixed(1) + wait_fixed(2), "stop": stop_after_attempt(2)}, [0, 3]),
    "combine": (
        {"wait": wait_combine(wait_fixed(1), wait_fixed(4)), "stop": stop_after_attempt(2)},
        [0, 5],
    ),
    "none": ({"wait": wait_none(), "stop": stop_after_attempt(3)}, [0, 0, 0]),
    "after delay": ({"wait": wait_fixed(10), "stop": stop_after_delay(25)}, [0, 10, 20, 30]),
    "before delay": ({"wait": wait_fixed(10), "stop": stop_before_delay(25)}, [0, 10, 20]),
    "any": (
        {"wait": wait_fixed(10), "stop": stop_any(stop_after_delay(15), stop_after_attempt(9))},
        [0, 10, 20],
    ),
    "or": (
        {"wait": wait_fixed(10), "stop": stop_after_delay(1000) | stop_after_attempt(2)},
        [0, 10],
    ),
    "function": (
        {
            "wait": lambda state: state.attempt_number,
            "stop": lambda state: state.attempt_number >= 3,
        },
        [0, 1, 3],
    ),
    "disabled": ({"wait": wait_fixed(1), "stop": stop_after_attempt(9), "enabled": False}, [0]),
    "another type": (
        {
            "wait": wait_fixed(1),
            "stop": stop_after_attempt(3),
            "retry": retry_if_exception_type(KeyError),
        },
        [0],
    ),
    "its base type": (
        {
            "wait": wait_fixed(1),
            "stop": stop_after_attempt(2),
            "retry": retry_if_exception_type(OSError),
        },
        [0, 1],
    ),
    "not this type": (
        {
            "wait": wait_fixed(1),
            "stop": stop_after_attempt(2),
            "retry": retry_if_not_exception_type(OSError),
        },
        [0],
    ),
    "a message": (
        {
            "wait": wait_fixed(1),
            "stop": stop_after_attempt(2),
            "retry": retry_if_exception_message(match="do"),
        },
        [0, 1],
    ),
    "alternatives": (
        {
            "wait": wait_fixed(1),
            "stop": stop_after_attempt(2),
            "retry": retry_if_exception_type(KeyError) | retry_if_exception_type(OSError),
        },
        [0, 1],
    ),
    "reraise": (
        {"wait": wait_fixed(1), "stop": stop_after_attempt(2), "reraise": True},
        [0, 1],
    ),
}


@pytest.mark.parametrize("kind", POLICIES)
def test_attempts_start_when_the_policy_says(url, frozen, kind):
    """Each attempt starts exactly when tenacity's stop, wait and conditions say."""
    options, expected = POLICIES[kind]
    _, run, starts = attempts_at(url, frozen, failing(retry(**options)))
    assert starts == expected
    with pytest.raises(RunFailed, match="down") as caught:
        run.result(timeout=1)
    assert caught.value.attempts == len(expected)


def test_a_wait_ends_at_its_due_time_and_not_before(url, frozen):
    """Nothing happens a microsecond before a retry is due; it happens at the moment itself."""
    workflow = Workflow(
        "w", steps=[failing(retry(wait=wait_fixed(10), stop=stop_after_attempt(2)))]
    )
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "waiting"
    assert engine.next_due() == START + timedelta(seconds=10)
    frozen.tick(timedelta(seconds=10) - timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.status == "waiting"
    assert len(engine.history(run)) == 3
    frozen.tick(timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.status == "failed"
    assert engine.next_due() is None


def test_a_retry_survives_the_engine(file_url, frozen):
    """Another engine on the same log makes the next attempt, numbered and keyed as it should."""
    seen = []

    @step
    @retry(wait=wait_fixed(10), stop=stop_after_attempt(3))
    def work(ctx: Context) -> str:
        seen.append((ctx.attempt, ctx.idempotency_key))
        if ctx.attempt < 3:
            raise OSError("down")
        return "up"

    workflow = Workflow("w", steps=[work])
    first = Engine(file_url, workflows=[workflow])
    run = first.start(workflow)
    first.run_until_idle()
    frozen.tick(10)
    second = Engine(file_url, workflows=[workflow])
    second.run_until_idle()
    frozen.tick(10)
    third = Engine(file_url, workflows=[workflow])
    third.run_until_idle()
    key = f"{run.id}/work:1"
    assert seen == [(1, key), (2, key), (3, key)]
    assert third.get(run.id).result(timeout=1) == "up"


def test_a_success_ends_the_retries(url, frozen):
    """The first attempt that succeeds is the step's output; every failed one is recorded."""
    left = [1, 2]

    @step
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(5))
    def work() -> str:
        if left:
            left.pop()
            raise OSError("down")
        return "up"

    engine, run, starts = attempts_at(url, frozen, work)
    assert starts == [0, 1, 2]
    assert run.result(timeout=1) == "up"
    failed = [e for e in engine.history(run) if e.type == "step.failed"]
    assert [e.data["attempt"] for e in failed] == [1, 2]
    assert [e.dest for e in failed] == ["retrying", "retrying"]


def test_jitter_is_drawn_once_and_recorded(file_url, frozen):
    """A random wait is drawn once: every engine that looks sees the same due time."""
    made = failing(retry(wait=wait_random(1, 100), stop=stop_after_attempt(2)))
    workflow = Workflow("w", steps=[made])
    engine = Engine(file_url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    due = engine.next_due()
    assert START + timedelta(seconds=1) <= due <= START + timedelta(seconds=100)
    for _ in range(3):
        other = Engine(file_url, workflows=[workflow])
        other.run_until_idle()
        assert other.next_due() == due
    frozen.move_to(due)
    engine.run_until_idle()
    assert run.status == "failed"


def test_the_delay_is_measured_from_the_first_start(url, frozen):
    """`stop_after_delay` counts from the step's first start, not from the run's."""

    @step
    @retry(wait=wait_fixed(100), stop=stop_after_attempt(2))
    def before() -> int:
        if (datetime.now(UTC) - START) < timedelta(seconds=50):  # noqa: TID251
            raise OSError
        return 1

    @step
    @retry(wait=wait_fixed(10), stop=stop_after_delay(15))
    def work(before: int) -> int:
        raise OSError("down")

    workflow = Workflow("w", steps=[before, work])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    for _ in range(6):
        engine.run_until_idle()
        if (due := engine.next_due()) is None:
            break
        frozen.move_to(due)
    starts = [
        e.at for e in engine.history(run) if (e.type, e.subject) == ("step.started", "work")
    ]
    assert [(at - START).total_seconds() for at in starts] == [100, 110, 120]


def test_paused_time_is_left_out_of_the_delay(url, frozen):
    """`stop_after_delay` does not count the time in which the run was paused."""
    made = failing(retry(wait=wait_fixed(10), stop=stop_after_delay(25)))
    workflow = Workflow("w", steps=[made])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    engine.pause(run)
    engine.run_until_idle()
    assert engine.next_due() is None
    frozen.tick(1000)
    engine.run_until_idle()
    assert run.status == "paused"
    engine.resume(run)
    engine.run_until_idle()
    starts = [e.at for e in engine.history(run) if e.type == "step.started"]
    assert len(starts) == 2
    assert run.status == "waiting", "1000 s of pause are no delay"


def test_a_result_may_be_judged(url, frozen):
    """`retry_if_result` judges a result before it is recorded; a good one ends it."""
    results = [None, None, "good"]

    @step
    @retry(
        wait=wait_fixed(1),
        stop=stop_after_attempt(5),
        retry=retry_if_result(lambda r: r is None),
    )
    def work() -> str | None:
        return results.pop(0)

    engine, run, starts = attempts_at(url, frozen, work)
    assert starts == [0, 1, 2]
    assert run.result(timeout=1) == "good"
    assert [e.type for e in engine.history(run)].count("step.succeeded") == 1


def test_giving_up_on_results_is_a_retry_error(url, frozen):
    """When the policy gives up on results, the failure is a `RetryError` with the result."""

    @step
    @retry(
        wait=wait_fixed(1),
        stop=stop_after_attempt(2),
        retry=retry_if_result(lambda r: True),  # noqa: ARG005
    )
    def work() -> str:
        return "still cold " + "x" * 5000

    @step
    def tell(work: Outcome[str]) -> list:
        return [work.failure.type, work.failure.attempts, work.failure.message]

    workflow = Workflow("w", steps=[work, tell])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    frozen.tick(1)
    engine.run_until_idle()
    kind, attempts, message = run.result(timeout=1)
    assert kind == "RetryError"
    assert attempts == 2
    assert "still cold" in message
    assert len(message) < 2000


def test_an_exception_is_no_result(url, frozen):
    """Under `retry_if_result` alone an exception is not retried, as in tenacity."""

    @step
    @retry(
        wait=wait_fixed(1),
        stop=stop_after_attempt(4),
        retry=retry_if_result(lambda r: True),  # noqa: ARG005
    )
    def work() -> str:
        raise OSError("down")

    assert attempts_at(url, frozen, work)[2] == [0]


def test_the_hooks_are_called(url, frozen):
    """`before`, `after` and `before_sleep` are called as tenacity calls them."""
    calls = []

    @step
    @retry(
        wait=wait_fixed(2),
        stop=stop_after_attempt(3),
        before=lambda s: calls.append(("before", s.attempt_number)),
        after=lambda s: calls.append(("after", s.attempt_number)),
        before_sleep=lambda s: calls.append(("sleep", s.attempt_number, s.next_action.sleep)),
    )
    def work() -> str:
        if len([c for c in calls if c[0] == "before"]) < 3:
            raise OSError("down")
        return "up"

    _, run, _ = attempts_at(url, frozen, work)
    assert run.result(timeout=1) == "up"
    assert calls == [
        ("before", 1), ("after", 1), ("sleep", 1, 2.0),
        ("before", 2), ("after", 2), ("sleep", 2, 2.0),
        ("before", 3),
    ]  # fmt: skip


def test_the_policy_sees_the_exception_itself(url, frozen):
    """Stop, wait and retry functions see the exception and the count of the attempt."""
    seen = []

    def waits(state):
        seen.append((state.attempt_number, type(state.outcome.exception()), state.fn.__name__))
        return 1.0

    @step
    @retry(wait=waits, stop=stop_after_attempt(2))
    def work() -> str:
        raise LookupError("x")

    attempts_at(url, frozen, work)
    assert seen[0] == (1, LookupError, "work")


@pytest.mark.parametrize(
    "options",
    [{"retry_error_callback": lambda state: 1}, {"sleep": lambda seconds: None}],  # noqa: ARG005
    ids=["retry_error_callback", "sleep"],
)
def test_what_cannot_be_lifted_is_refused(options):
    """`retry_error_callback` and `sleep=` are refused, with the word to write a fallback."""
    with pytest.raises(DefinitionError, match="fallback"):
        Workflow("w", steps=[failing(retry(stop=stop_after_attempt(2), **options))])


def test_a_retry_that_never_stops_and_never_waits_is_refused():
    """A bare `@retry` would spin for ever, and is refused."""
    with pytest.raises(DefinitionError, match="work"):
        Workflow("w", steps=[failing(retry)])


def test_a_retry_that_never_stops_but_waits_is_fine(url, frozen):
    """A policy that waits may go on without end."""
    _, run, starts = attempts_at(url, frozen, failing(retry(wait=wait_fixed(1))), limit=7)
    assert len(starts) == 8
    assert run.status == "waiting"


def test_a_policy_that_raises_fails_the_step(url, frozen):
    """A wait function that raises fails the run and says so; the engine goes on."""

    def broken(state):
        raise ZeroDivisionError("policy")

    _engine, run, starts = attempts_at(
        url, frozen, failing(retry(wait=broken, stop=stop_after_attempt(3)))
    )
    assert starts == [0]
    assert run.status == "failed"
    with pytest.raises(RunFailed, match=r"policy|ZeroDivision"):
        run.result(timeout=1)


# --- timeouts ------------------------------------------------------------------------------


def test_in_the_callers_thread_a_timeout_is_judged_on_return(url, frozen):
    """A step that returns after its timeout has failed; its late result is dropped."""

    @step(timeout=30)
    def slow() -> str:
        frozen.tick(31)
        return "late"

    workflow = Workflow("w", steps=[slow])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "failed"
    assert "late" not in str([e.data.get("output") for e in engine.history(run)])
    with pytest.raises(RunFailed, match=r"[Tt]ime"):
        run.result(timeout=1)


def test_a_step_within_its_timeout_succeeds(url, frozen):
    """A step that takes less than its timeout is left alone."""

    @step(timeout=timedelta(seconds=30))
    def quick() -> str:
        frozen.tick(29)
        return "in time"

    workflow = Workflow("w", steps=[quick])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.result(timeout=1) == "in time"


def test_a_timeout_is_for_one_attempt_and_is_retried(url, frozen):
    """A timeout is a failure like others: the policy retries it, with a new timeout."""
    takes = [31, 31, 1]

    @step(timeout=30)
    @retry(
        wait=wait_fixed(1),
        stop=stop_after_attempt(3),
        retry=retry_if_exception_type(TimeoutError),
    )
    def slow() -> str:
        frozen.tick(takes.pop(0))
        return "done"

    _, run, starts = attempts_at(url, frozen, slow)
    assert starts == [0, 32, 64]
    assert run.result(timeout=1) == "done"


def test_an_async_step_is_cancelled_at_its_timeout(url):
    """An async step is cancelled when its timeout has passed."""
    ended = []

    @step(timeout=0.2)
    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    workflow = Workflow("w", steps=[hang])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        with pytest.raises(RunFailed, match=r"[Tt]ime"):
            run.result(timeout=10)
    assert ended == ["cancelled"]


def test_a_thread_past_its_timeout_loses_its_result(url, until):
    """A thread cannot be cancelled: the step fails in time and its late result is dropped."""
    gate, returned = threading.Event(), threading.Event()

    @step(timeout=0.2)
    def hang() -> str:
        gate.wait(20)
        returned.set()
        return "late"

    workflow = Workflow("w", steps=[hang])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        try:
            with pytest.raises(RunFailed, match=r"[Tt]ime"):
                run.result(timeout=10)
            before = [e.type for e in engine.history(run)]
        finally:
            gate.set()
        assert returned.wait(10)
    assert [e.type for e in engine.history(run)][: len(before)] == before
    assert run.status == "failed"
    assert all(e.data.get("output") != "late" for e in engine.history(run))


def test_the_slot_of_a_late_thread_stays_taken(url, until, events):
    """With one thread, nothing else starts until the late one has returned."""
    gate, hung = threading.Event(), threading.Event()

    @step(timeout=0.2)
    def hang() -> str:
        hung.set()
        gate.wait(20)
        return "late"

    @step
    def quick(x: int) -> int:
        return x

    first = Workflow("first", steps=[hang])
    second = Workflow("second", steps=[quick])
    engine = Engine(url, workflows=[first, second], threads=1)
    with engine:
        run = engine.start(first)
        try:
            assert hung.wait(10)
            until(lambda: run.status == "failed", what="the timeout")
            other = engine.start(second, x=1)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
            assert ("step.started", "quick") not in events(engine, other)
        finally:
            gate.set()
        assert other.result(timeout=10) == 1
