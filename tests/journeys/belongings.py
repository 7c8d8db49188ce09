"""What this process holds: threads, file handles, inotify watches, signal handlers."""

import gc
import os
import signal
import threading
from pathlib import Path

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def belongings():
    """Give what this process holds: threads, handles, inotify watches, signal handlers."""
    gc.collect()
    handles, watches = [], 0
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            handles.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
            lines = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()
        except OSError:
            continue
        watches += sum(line.startswith("inotify wd") for line in lines)
    return {
        "threads": sorted(str(thread) for thread in threading.enumerate()),
        "handles": sorted(name for name in handles if not name.startswith("/proc/")),
        "watches": watches,
        "signals": [signal.getsignal(number) for number in NUMBERS],
        "wakeup": signal.set_wakeup_fd(signal.set_wakeup_fd(-1)),
    }
