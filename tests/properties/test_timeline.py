"""One long advance and many short ones leave the same history."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import retry, stop_after_attempt, wait_exponential

from playhead import CircuitBreaker, CronTrigger, Engine, IntervalTrigger, Timer, Workflow, step
from playhead.testing import Engines, Timeline

HOURS = 6
START = datetime(2030, 3, 31, 0, tzinfo=UTC)  # at 01:00 the clocks of Paris go forward


def history(
    cuts: list[int], failures: int, every: int, rest: int, policy: dict[str, Any]
) -> list[Any]:
    """Give all that happened in six hours, walked in steps that end at these seconds."""
    tries = [0]
    api = CircuitBreaker("api", failure_threshold=2, reset_timeout=900)

    @step(breaker=api)
    @retry(wait=wait_exponential(multiplier=60, max=3000), stop=stop_after_attempt(4))
    def ask(slot: datetime) -> int:
        tries[0] += 1
        if tries[0] <= failures:
            raise OSError("down")
        return tries[0]

    @step
    def later(ask: int, rest: datetime) -> int:
        return ask

    asking = Workflow(
        "asking", steps=[ask, Timer("rest", timedelta(seconds=rest), after=["ask"]), later]
    )
    triggers = [
        CronTrigger("*/40 1-3 * * *", asking, tz="Europe/Paris", **policy),
        IntervalTrigger(every, asking),
    ]
    with Engines() as engines, Timeline(START, engines=engines) as line:
        engine: Engine = engines(workflows=[asking], triggers=triggers)
        moments = []
        for cut in sorted({*cuts, HOURS * 3600}):
            moments += line.advance(START + timedelta(seconds=cut))
        names = {row.id: row.key for row in engine.runs(limit=None)}
        told = [
            (
                names.get(event.stream, event.stream),
                event.type,
                event.subject,
                event.dest,
                event.at,
            )
            for event in engine.log.read_all(limit=100_000)
        ]
    return [moments, told]


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, HOURS * 3600), max_size=12),
    failures=st.integers(0, 9),
    every=st.integers(600, 7200),
    rest=st.integers(1, 7200),
    policy=st.fixed_dictionaries(
        {
            "overlap": st.sampled_from(["allow", "skip", "wait", "cancel"]),
            "jitter": st.sampled_from([0, 300]),
        }
    ),
)
def test_any_partition_gives_the_same_history(
    cuts: list[int], failures: int, every: int, rest: int, policy: dict[str, Any]
) -> None:
    """Timers, retries, a breaker's cool-down and slots do not feel where an advance ends."""
    once = history([], failures, every, rest, policy)
    assert history(cuts, failures, every, rest, policy) == once
