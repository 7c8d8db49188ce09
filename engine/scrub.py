"""Lines of loggers without secrets: a filter on the house's own loggers and on those of HTTP."""

import logging
import traceback
import weakref
from typing import Any

from engine.veil import Veil

_OTHERS = (
    "httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy",
    "httpcore.socks", "uvicorn.access", "uvicorn.error",
)  # fmt: skip
_OURS = ("playhead", "playhead.engine", "playhead.triggers", "playhead.notify")
_veils: "weakref.WeakSet[Veil]" = weakref.WeakSet()


class _Scrub(logging.Filter):
    """Veils each record before any handler sees it; there is one of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets."""
        for veil in list(_veils):
            _scrub(record, veil)
        return True


_scrubber = _Scrub()


def watch_loggers(veil: Veil, workflows: Any = ()) -> None:
    """Scrub the lines of the house's loggers, for as long as the veil is held.

    Args:
        veil: takes the secrets out.
        workflows: names whose steps log, each on a logger of its own.
    """
    _veils.add(veil)
    for name in (*_OURS, *_OTHERS, *(f"playhead.{one}" for one in workflows)):
        logger = logging.getLogger(name)
        if _scrubber not in logger.filters:
            logger.addFilter(_scrubber)


def _scrub(record: logging.LogRecord, veil: Veil) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # logging itself will say so, with what it was given
        message = f"{record.msg} {record.args}"
    clean = veil.words(message)
    if clean != message:
        record.msg, record.args = clean, ()
    if record.exc_info is not None and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        clean = veil.words(text)
        if clean != text:
            record.exc_info, record.exc_text = None, clean
    for name, value in list(record.__dict__.items()):
        if isinstance(value, str) and name not in ("msg", "exc_text"):
            clean = veil.words(value)
            if clean != value:
                record.__dict__[name] = clean
