"""Serving ends when it is told to, at whatever moment the signal comes."""

import subprocess
import sys
import threading

import pytest

from playhead import Engine, PlayheadError

SCRIPT = """
import os, random, signal, threading
from playhead import Engine

engine = Engine("sqlite:///:memory:")
for _ in range(40):
    at = random.random() * 0.02
    threading.Timer(0.01 + at, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert engine.serve() in (0, 130)
print("served")
"""


def test_a_signal_at_any_moment_ends_it() -> None:
    """40 times served, 40 times a SIGTERM at a random moment: it always returns, and soon."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr


def test_another_thread_cannot_serve() -> None:
    """In a thread where no signal arrives `serve` is refused, and says what to do."""
    caught: list[BaseException] = []

    def serve() -> None:
        with pytest.raises(PlayheadError, match="with engine") as error:
            Engine("sqlite:///:memory:").serve()
        caught.append(error.value)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert len(caught) == 1
