"""Ctrl-C where no command is at work: the process ends at once, in a word and with its exit code.

Until a command begins there are only imports, and after it only Python's own end: nothing to let
go of, and a `KeyboardInterrupt` in the middle of either is a traceback, or is swallowed.
"""

import os
import signal

CODE = 130


def end_at_once() -> None:
    """Let Ctrl-C end the process; where it is ignored (a job in the background) it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def are_raised() -> bool:
    """Let Ctrl-C be raised as `KeyboardInterrupt` again; False: it was not to `end_at_once`."""
    if signal.getsignal(signal.SIGINT) is not _end:
        return False
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return True


def _end(_number: int, _frame: object) -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(CODE)
