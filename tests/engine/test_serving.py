"""Serving ends when it is told to, at whatever moment the signal comes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from engine.serving import serve
from eventstore import clock
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
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=200, check=False
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


class Diary:
    """A companion that writes down what it hears, and how the engine was then."""

    def __init__(self, engine: Engine, *numbers: int, pause: float = 0.0) -> None:
        self.engine, self.numbers, self.pause = engine, numbers, pause
        self.pages: list[tuple[str, bool, bool]] = []

    def opened(self) -> None:
        """Write it down, and ask to stop."""
        self.pages.append(("opened", self.engine.is_open, False))
        for number in self.numbers:
            os.kill(os.getpid(), number)
            clock.real_sleep(self.pause)

    def draining(self, is_hurried: Callable[[], bool]) -> None:
        """Write it down."""
        self.pages.append(("draining", self.engine.is_open, is_hurried()))


@pytest.mark.parametrize(
    ("numbers", "pause", "code", "is_hurried"),
    [
        ((signal.SIGTERM,), 0, 0, False),
        ((signal.SIGINT, signal.SIGTERM), 0, 130, True),
        ((signal.SIGTERM, signal.SIGTERM), 0.1, 130, True),
        ((signal.SIGTERM, signal.SIGTERM), 0, 0, False),  # to the process and to its group
    ],
)
def test_a_companion_hears_of_each_turn(
    numbers: tuple[int, ...], pause: float, code: int, *, is_hurried: bool
) -> None:
    """It hears that the engine is open, then, while it still is, that it drains; and how soon."""
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(number) for number in watched]
    engine = Engine("sqlite:///:memory:")
    diary = Diary(engine, *numbers, pause=pause)
    assert serve(engine, diary) == code
    assert diary.pages == [("opened", True, False), ("draining", True, is_hurried)]
    assert not engine.is_open
    assert [signal.getsignal(number) for number in watched] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_companion_that_cannot_come_along() -> None:
    """Its error is raised when the engine has been left, and no signal is waited for."""

    class Refuses(Diary):
        def opened(self) -> None:
            raise PlayheadError("the port is gone")

    engine = Engine("sqlite:///:memory:")
    with pytest.raises(PlayheadError, match="the port is gone"):
        serve(engine, Refuses(engine))
    assert not engine.is_open
