"""Large values that no event refers to any more, found and deleted.

A value is put before the append that names it, so one that nobody names may be about to be named.
Each therefore remembers when it was last put (`Log.put_blob`), and stays for a day.
"""

import re
from collections.abc import Callable

from eventstore import clock
from eventstore.errors import StillCoded
from eventstore.store import Log

REST = 24 * 3600 * clock.SECOND  # a value that was put since stays, named or not
PAGE = 5000  # events looked at together
_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_CODED = '{"coded'  # an event whose names a codec hides begins so
_EVER = 2**63 - 1
UNKNOWN = "which large values are still in use cannot be read; none was deleted"

Told = Callable[[int, int], None]


def names_in(text: str) -> set[str]:
    """Give what may be names of blobs in a text. *Pure.*"""
    return set(_NAME.findall(text)) if len(text) >= 64 else set()


def sweep(log: Log, *, now: int, told: Told | None = None) -> tuple[int, int]:
    """Delete values that were put more than a day ago and that nothing names. *Reads the log.*

    Named is what stands in an event, in what a worker offers, or in another value that is named.

    Args:
        log: As its engines use it: with the codec, if it has one.
        now: The time by which a day is measured.
        told: Called now and then with the position reached, and the last one.

    Returns:
        How many values, and how many bytes.

    Raises:
        StillCoded: The events cannot be read without their codec; nothing was deleted.
    """
    before = now - REST
    idle = log.old_blobs(before=before)
    if not idle:
        return 0, 0
    named = {offer for worker in log.workers() for offer in worker.offers}
    position, last = 0, log.last_position()
    while page := log.read_all(after=position, limit=PAGE):
        for event in page:
            if event.data.startswith(_CODED):
                raise StillCoded(event.stream, event.version, UNKNOWN)
            named |= names_in(event.data)
        position = page[-1].position
        if told is not None:
            told(min(position, last), last)
    return log.drop_blobs(idle - _with_inner(log, named), before=before)


def _with_inner(log: Log, named: set[str]) -> set[str]:
    """Give names, and those that the values of these names hold in turn."""
    there = log.old_blobs(before=_EVER)
    seen: set[str] = set()
    while more := (named & there) - seen:
        seen |= more
        for name in more:
            named |= names_in(log.blob(name).decode("latin-1"))
    return named
