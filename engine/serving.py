"""Serve until told to stop: SIGTERM and SIGINT drain softly, a second one stops at once."""

import signal
import threading
from types import FrameType

from engine.host import Host

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(engine: Host) -> int:
    """Work until a signal comes; give the exit code (0 drained, 130 stopped by a second one)."""
    stop = threading.Event()
    hard = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            hard.set()
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        with engine:
            while not stop.wait(0.5):
                pass
            closer = threading.Thread(target=engine.close, name="playhead-close", daemon=True)
            closer.start()
            while closer.is_alive():
                closer.join(0.05)
                if hard.is_set():
                    return 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
