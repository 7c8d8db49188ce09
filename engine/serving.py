"""Serve until told to stop: SIGTERM, SIGINT, SIGHUP drain softly, a second one stops at once.

Law of this file: a signal handler takes no lock. It runs in the main thread in the middle of
whatever that thread does; an `Event` that the thread is just waiting on would lock it for ever.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from engine.errors import PlayheadError
from engine.host import Host
from eventstore import clock

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DRAINED, STOPPED = 0, 130  # exit codes
LAST = 20.0  # real seconds beyond grace after which what hangs is left to hang
LAST_HURRIED = 5.0  # the same after a second signal
ECHO = 0.005  # real seconds: who stops a process and its group, as timeout(1) does, asks once
TORN = b"playhead: something hangs and is not waited for; the next worker does it again\n"


class Companion(Protocol):
    """What goes along with an engine that serves; told in the main thread, outside of handlers."""

    def opened(self) -> None:
        """Hear that the engine works."""

    def draining(self, is_hurried: Callable[[], bool]) -> None:
        """Hear that the engine, which still works, is about to drain; return soon."""


class _Asked:
    """How often somebody asked to stop."""

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        self.times = 0
        self._first = (0, float("-inf"))  # the signal, and when it came in real seconds

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            with contextlib.suppress(OSError, ValueError):
                if select.select([], [2], [], 0)[1]:  # a full pipe would hold it for ever
                    os.write(2, TORN)
            os._exit(STOPPED)
        if number == signal.SIGHUP and self.times:
            return  # a terminal that goes may say so twice, and means to hurry nobody
        now = clock.real_seconds()
        if not self.times:
            self._first = (number, now)
        elif number == self._first[0] and now - self._first[1] < ECHO:
            return
        self.times += 1
        if self.times > 1:
            self._engine.hurry()
        last = LAST_HURRIED if self.times > 1 else self._engine.grace + LAST
        signal.setitimer(signal.ITIMER_REAL, last)


def serve(engine: Host, companion: Companion | None = None) -> int:
    """Work until a signal comes; give the exit code (0 drained, 130 stopped by a second one).

    A trigger or a disk that hangs cannot hold the process: it ends with 130 in any case.

    Args:
        companion: hears when the engine is open, and when it is about to drain.

    Raises:
        PlayheadError: not called in the main thread, where alone signals arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        raise PlayheadError(
            "serve() waits for signals, which come to the main thread only;"
            " in another thread use `with engine:`"
        )
    asked = _Asked(engine)
    with _bell() as bell, _handled(asked), engine:
        if companion is not None:
            companion.opened()
        while not asked.times:
            select.select([bell], [], [], 1.0)
        if companion is not None:
            companion.draining(lambda: asked.times > 1)
    return STOPPED if asked.times > 1 else DRAINED


@contextmanager
def _bell() -> Iterator[int]:
    """Give a descriptor that becomes readable when a signal comes."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


@contextmanager
def _handled(asked: _Asked) -> Iterator[None]:
    """Handle the signals with `asked`, and as before afterwards; `nohup` stays what it says."""
    numbers = [*SIGNALS, signal.SIGALRM]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
