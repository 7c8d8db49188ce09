"""The application of the soak: a workflow of each kind, and triggers that start some of them."""

import asyncio
from datetime import timedelta
from pathlib import Path

from tenacity import retry, stop_after_attempt, wait_fixed

from eventstore import clock
from playhead import (
    CircuitBreaker,
    Context,
    Engine,
    FileTrigger,
    IntervalTrigger,
    RunTrigger,
    Signal,
    Timer,
    Workflow,
    step,
)

BEAT = 0.5  # seconds between two beats of the clock
LONG = 2.5  # seconds of the longest step
GRACE = 3.0  # seconds that what is in flight has after SIGTERM


@step
def quick(n: int) -> int:
    return n


@step
def one(n: int) -> int:
    clock.real_sleep(n % 5 * 0.03)
    return n


@step
def left(one: int) -> int:
    clock.real_sleep(0.05)
    return one


@step
def middle(one: int) -> int:
    return one


@step
async def right(one: int) -> int:
    await asyncio.sleep(0.08)
    return one


@step
def join(left: int, middle: int, right: int) -> int:
    return left + middle + right


@step
@retry(wait=wait_fixed(0.3), stop=stop_after_attempt(4))
def flaky(n: int, ctx: Context) -> int:
    if ctx.attempt % 3:
        raise ConnectionError("again")
    return n


@step
def after_flaky(flaky: int) -> int:
    return flaky


@step(after=["hold"])
def late(n: int) -> int:
    return n


@step
def take(go: int) -> int:
    return go


@step(breaker=CircuitBreaker("api", failure_threshold=3, reset_timeout=1.5))
def ask(n: int, down: Path) -> int:
    """Fail while a file lies there."""
    clock.real_sleep(0.01)
    if down.exists():
        raise ConnectionError("down")
    return n


@step
def long(n: int) -> int:
    clock.real_sleep(LONG)
    return n


@step
def bad(n: int) -> int:
    if n % 3 == 0:
        raise ValueError("no")
    return n


@step
def draft(n: int) -> int:
    clock.real_sleep(0.02)
    return n


@step
def check(n: int) -> int:
    clock.real_sleep(0.03)
    return n


@step
def endless(n: int, ctx: Context) -> int:
    while not ctx.cancelled:
        clock.real_sleep(0.05)
    return n


@step
def tell(run: str) -> str:
    return run


@step
def beat(slot: str) -> str:
    return slot


@step
def read(path: Path) -> str:
    return path.name


def is_early(ctx: Context) -> bool:
    return ctx.visits("draft") < 4


QUICK, BAD = Workflow("quick", steps=[quick]), Workflow("bad", steps=[bad])
GOOD, SORRY = Workflow("good", steps=[tell]), Workflow("sorry", steps=[tell])
BEATS, FILES = Workflow("beats", steps=[beat]), Workflow("files", steps=[read])
LOOP = Workflow(
    "loop",
    steps=[draft, check],
    states=["draft", "check", {"name": "wait", "timeout": 0.7, "on_timeout": "on"}, "end"],
    transitions=[
        ["done", "draft", "check"],
        {"trigger": "done", "source": "check", "dest": "draft", "conditions": is_early},
        ["done", "check", "wait"],
        ["on", "wait", "end"],
    ],
    initial="draft",
)
STOP = Workflow(
    "stop",
    steps=[endless],
    states=[{"name": "endless", "timeout": 0.8, "on_timeout": "on"}, "end"],
    transitions=[["done", "endless", "end"], ["on", "endless", "end"]],
    initial="endless",
)
WORKFLOWS = [
    QUICK,
    BAD,
    GOOD,
    SORRY,
    BEATS,
    FILES,
    LOOP,
    STOP,
    Workflow("fan", steps=[one, left, middle, right, join]),
    Workflow("flaky", steps=[flaky, after_flaky]),
    Workflow("timed", steps=[Timer("hold", timedelta(seconds=1.2)), late]),
    Workflow("signalled", steps=[Signal("go", int), take]),
    Workflow("guarded", steps=[ask]),
    Workflow("long", steps=[long]),
]
# What the sender starts: how often beside the others, and the seconds of work in one run.
SENT = {
    "quick": (6, 0.01),
    "fan": (5, 0.25),
    "flaky": (3, 0.02),
    "timed": (3, 0.01),
    "signalled": (3, 0.01),
    "guarded": (4, 0.02),
    "long": (1, LONG),
    "bad": (3, 0.01),
    "loop": (3, 0.25),
    "stop": (2, 0.8),
}
WAITS = 10.0  # seconds that a run waits by itself at most: timers, retries, the breaker, states


def reader(url: str) -> Engine:
    """Give an engine that starts, steers and reads, and has no triggers."""
    return Engine(url, workflows=WORKFLOWS)


def worker(url: str, folder: Path, lease: float, threads: int) -> Engine:
    """Give the engine of a daemon."""
    triggers = [
        FileTrigger(
            folder / "inbox/*.txt", FILES, settle=0, after=folder / "done", name="drops"
        ),
        IntervalTrigger(BEAT, BEATS, catchup="all", name="clock"),
        RunTrigger(QUICK, GOOD, name="good"),
        RunTrigger(BAD, SORRY, on="failed", name="sorry"),
    ]
    return Engine(
        url, workflows=WORKFLOWS, triggers=triggers, lease=lease, grace=GRACE, threads=threads
    )
