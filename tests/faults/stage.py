"""An application that suffers: its steps write down that they run, and files say what befalls them.

Copied as `app.py` into a folder where `hang`, `poison` and the like lie too. The database is a
file beside it, or the one that the file `url` names.
"""

import ctypes
import json
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

from playhead import CircuitBreaker, Context, Engine, Signal, Timer, Workflow, step

HERE = Path(__file__).parent


def note(ctx):
    """Write down that an attempt runs: one line, appended whole."""
    line = json.dumps([ctx.step, ctx.run_id, ctx.attempt, ctx.idempotency_key, os.getpid()])
    file = os.open(HERE / "notes.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, line.encode() + b"\n")
    os.close(file)


@step
def first(x: int, ctx: Context) -> int:
    note(ctx)
    return x + 1


@step
def second(first: int, ctx: Context) -> int:
    note(ctx)
    if (HERE / "hang").exists():
        (HERE / "hanging").touch()
        while (HERE / "hang").exists():
            threading.Event().wait(0.01)
    return first * 10


@step
def third(second: int, ctx: Context) -> int:
    note(ctx)
    return second + 5


@step
def quick(x: int, ctx: Context) -> int:
    note(ctx)
    return x


@step
def sleep(x: float, ctx: Context) -> int:
    note(ctx)
    time.sleep(x)  # noqa: TID251 - the step that takes its time
    return os.getpid()


@step
def clutch(x: int, ctx: Context) -> int:
    """Hold the interpreter's lock the first time, until somebody writes to a pipe."""
    note(ctx)
    if not (HERE / "clutched").exists():
        os.mkfifo(HERE / "pipe")
        (HERE / "clutched").touch()
        ctypes.PyDLL(None).open(os.fsencode(HERE / "pipe"), os.O_RDONLY)
    return os.getpid()


def drink():
    """Die in the way that the file says, if it is there; by default with 77."""
    ways = {
        "": lambda: os._exit(77),
        "segv": lambda: ctypes.string_at(0),
        "abort": os.abort,
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "memory": lambda: os.kill(os.getpid(), signal.SIGBUS),
    }
    if (HERE / "poison").exists():
        ways[(HERE / "poison").read_text()]()


@step
def deadly(x: int, ctx: Context) -> int:
    note(ctx)
    drink()
    return x


@step(on_lost="fail")
def once(x: int, ctx: Context) -> int:
    note(ctx)
    drink()
    return x


@step(breaker=CircuitBreaker("api", failure_threshold=2, reset_timeout=1.0))
def ask(x: int, ctx: Context) -> int:
    note(ctx)
    drink()
    if (HERE / "down").exists():
        raise ConnectionError("down")
    return x


story = Workflow("story", steps=[first, second, third])
light = Workflow("light", steps=[quick])
sleepy = Workflow("sleepy", steps=[sleep])
clutching = Workflow("clutching", steps=[clutch])
killer = Workflow("killer", steps=[deadly])
fragile = Workflow("fragile", steps=[once])
guarded = Workflow("guarded", steps=[ask])
patient = Workflow("patient", steps=[Signal("go", int), step(lambda go: go, name="take")])
hour = Workflow(
    "hour",
    steps=[Timer("nap", timedelta(hours=1)), step(lambda nap: str(nap), name="wake")],  # noqa: PLW0108
)


WORKFLOWS = [story, light, sleepy, clutching, killer, fragile, guarded, patient, hour]


def make(url=None, **options):
    """Give an engine on a database, by default the one that belongs to this folder."""
    named = HERE / "url"
    here = named.read_text() if named.exists() else f"sqlite:///{HERE / 'log.db'}"
    return Engine(url or here, workflows=WORKFLOWS, **options)
