# ruff: noqa: BLE001, T201 - it forks and prints for a living
"""What programs that let logs suffer share: children are forked, hurt, and looked after.

The children are forked before any log is opened, which is cheap and safe; each opens its own.
"""

import contextlib
import json
import os
import sys

from eventstore import open_log


def log_at(path):
    """Give a log on a file."""
    return open_log(f"sqlite:///{path}")


def forked(work, *args):
    """Fork a child that does some work and ends without a clean-up; give pid and its pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    code = 0
    try:
        work(writing, *args)
    except BaseException as error:
        os.write(writing, f"!{type(error).__name__}: {error}\n".encode())
        code = 1
    os._exit(code)


def said(reading):
    """Give the lines of a child until it ends."""
    with os.fdopen(reading) as pipe:
        return [line.strip() for line in pipe]


def acked(lines):
    """Count what a child said was done; an error of its own is one fault too many."""
    assert not [line for line in lines if line.startswith("!")], lines
    return len(lines)


def judged(path, tag, done):
    """Give acknowledged, stored, and the faults found."""
    log = log_at(path)
    stored = sum(head.id.startswith(f"{tag}-") for head in log.heads(kind="run"))
    found = list(log.verify())
    log.close()
    return [done, stored, found]


def play(scenes):
    """Play the scene that the command line names, on the database it names; print what it found."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(scenes[sys.argv[1]](sys.argv[2]), default=str))
