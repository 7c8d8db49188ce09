"""Workflows and wishes for the tests of pruning."""

from engine.pruning import Wish
from eventstore import clock
from playhead import CircuitBreaker, Signal, Workflow, step


@step
def double(n: int) -> int:
    return n * 2


@step(breaker=CircuitBreaker("api", failure_threshold=1))
def boom(n: int) -> int:
    raise ValueError("no")


@step
def large(letter: str) -> str:
    return letter * 100_000


@step
def after(run: str) -> str:
    return run


@step
def take(go: str) -> str:
    return "gone"


@step
def tick() -> str:
    return "tick"


GOOD = Workflow("good", steps=[double])
BAD = Workflow("bad", steps=[boom])
LARGE = Workflow("large", steps=[large])
WAITS = Workflow("waits", steps=[Signal("go"), take])
AFTER = Workflow("after", steps=[after])
ALL = [GOOD, BAD, LARGE, WAITS, AFTER]


def older(days, **options):
    """Give a wish for what ended so many days ago."""
    return Wish(before=clock.now_us() - days * 24 * 3600 * clock.SECOND, **options)
