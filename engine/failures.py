"""Failures of users' code as they are recorded, told from those of the log and from Ctrl-C."""

import threading
import traceback as tracebacks

from engine.core.events import ErrorDoc
from engine.errors import PlayheadError
from eventstore.errors import StorageCorrupt, StorageError

TRACEBACK_LIMIT = 16_384  # characters of a traceback that are recorded
_OURS = ("engine.perform", "engine.questions", "engine.failures", "engine.loops")


class StepTimeout(PlayheadError, TimeoutError):
    """An attempt took longer than its step's `timeout`."""


def error_doc(error: BaseException) -> ErrorDoc:
    """Give a user's exception as it is recorded: type, message, traceback without our frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _OURS:
        frames = frames.tb_next
    try:
        text = "".join(tracebacks.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001 - see above
        text = ""
    return ErrorDoc(type(error).__qualname__, _message(error), _clean(text[-TRACEBACK_LIMIT:]))


def in_short(error: BaseException) -> str:
    """Give an exception as a reason that is recorded: type and message."""
    return f"{type(error).__name__}: {_message(error)}"


def _message(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may do anything
        message = f"<no message: its __str__ raised {type(broken).__name__}>"
    return _clean(message)


def is_storage(error: BaseException) -> bool:
    """Tell a log that fails for now from what a user's code raised, or a value that is lost."""
    return isinstance(error, StorageError) and not isinstance(error, StorageCorrupt)


def is_interrupt(error: BaseException) -> bool:
    """Tell Ctrl-C in the caller's own thread from what a step raised."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def _clean(text: str) -> str:
    """Make any text fit for JSON: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
