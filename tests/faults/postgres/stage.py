"""An application on the PostgreSQL that suffers: its steps write down that they run.

Copied as `app.py`; the file `url` beside it names the database, `hang` keeps a step busy.
"""

import json
import os
import threading
from pathlib import Path

from playhead import Context, Engine, Workflow, step

HERE = Path(__file__).parent


def note(ctx):
    """Write down that an attempt runs: one line, appended whole."""
    line = json.dumps([ctx.step, ctx.run_id, os.getpid()])
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
            threading.Event().wait(0.02)
    return first * 10


story = Workflow("story", steps=[first, second])


def make(url=None, **options):
    """Give an engine on the database that the file `url` names."""
    return Engine(url or (HERE / "url").read_text(), workflows=[story], **options)
