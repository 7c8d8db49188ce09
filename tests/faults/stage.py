"""An application that suffers: its steps write down that they run, and files say what befalls them.

Copied as `app.py` beside the database; `wait`, `poison` and the like lie there too.
"""

import ctypes
import json
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

from playhead import Context, Engine, Signal, Timer, Workflow, step

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
    """Hold the interpreter's lock for some seconds the first time: nothing else of it moves."""
    note(ctx)
    if not (HERE / "clutched").exists():
        (HERE / "clutched").touch()
        ctypes.PyDLL(None).sleep(x)
    return os.getpid()


@step
def deadly(x: int, ctx: Context) -> int:
    """Die in the way that the file says."""
    note(ctx)
    ways = {
        "exit": lambda: os._exit(77),
        "segv": lambda: ctypes.string_at(0),
        "abort": os.abort,
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "memory": lambda: os.kill(os.getpid(), signal.SIGBUS),
    }
    if (HERE / "poison").exists():
        ways[(HERE / "poison").read_text()]()
    return x


story = Workflow("story", steps=[first, second, third])
light = Workflow("light", steps=[quick])
sleepy = Workflow("sleepy", steps=[sleep])
clutching = Workflow("clutching", steps=[clutch])
killer = Workflow("killer", steps=[deadly])
patient = Workflow("patient", steps=[Signal("go", int), step(lambda go: go, name="take")])
hour = Workflow(
    "hour",
    steps=[Timer("nap", timedelta(hours=1)), step(lambda nap: str(nap), name="wake")],  # noqa: PLW0108
)


def make(**options):
    """Give an engine on the database beside this file."""
    return Engine(
        f"sqlite:///{HERE / 'log.db'}",
        workflows=[story, light, sleepy, clutching, killer, patient, hour],
        **options,
    )
