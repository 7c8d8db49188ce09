"""Serve until told to stop: SIGTERM and SIGINT drain softly, a second one stops at once."""

import signal
import threading
from types import FrameType

from engine.errors import PlayheadError
from engine.host import Host

SIGNALS = (signal.SIGTERM, signal.SIGINT)
DRAINED, STOPPED = 0, 130  # exit codes


def serve(engine: Host) -> int:
    """Work until a signal comes; give the exit code (0 drained, 130 stopped by a second one).

    Raises:
        PlayheadError: not called in the main thread, where alone signals arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        raise PlayheadError(
            "serve() waits for signals, which come to the main thread only;"
            " in another thread use `with engine:`"
        )
    stop = threading.Event()
    hard = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            hard.set()
            engine.hurry()
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        with engine:
            while not stop.wait(0.5):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return STOPPED if hard.is_set() else DRAINED
