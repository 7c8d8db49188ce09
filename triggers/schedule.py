"""Slots: what a schedule is, and the one that counts an interval. Pure arithmetic.

A slot is a UTC instant in microseconds. Nothing here knows what has fired.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from eventstore import clock


class Due(NamedTuple):
    """The slots of a span that has passed."""

    slots: list[int]  # the last two at most, or all that were asked for
    many: int  # how many there were


class Schedule(Protocol):
    """A rule that gives slots."""

    def slots(self, after: int, *, since: int) -> Iterator[int]:
        """Give the slots later than `after`, growing, perhaps without end.

        Args:
            after: microseconds.
            since: when the schedule was armed, microseconds.
        """

    def due(self, after: int, upto: int, *, since: int, keep: int | None) -> Due:
        """Give the slots in (after, upto]: how many, and the last `keep` (None: all)."""


class Interval:
    """Every so many microseconds, counted from the arming; the first one interval after it."""

    def __init__(self, every: int) -> None:
        self.every = every

    def slots(self, after: int, *, since: int) -> Iterator[int]:
        """Give the slots later than `after`."""
        return itertools.count(self._first(after, since), self.every)

    def due(self, after: int, upto: int, *, since: int, keep: int | None) -> Due:
        """Give the slots in (after, upto], by division."""
        first = self._first(after, since)
        count = max(0, (upto - first) // self.every + 1)
        from_ = 0 if keep is None else max(0, count - keep)
        return Due([first + n * self.every for n in range(from_, count)], count)

    def _first(self, after: int, since: int) -> int:
        return since + max(1, (after - since) // self.every + 1) * self.every


def text_of(slot: int) -> str:
    """Give a slot as the text that is its key: UTC, `2026-03-29T01:30:00Z`. *Pure.*"""
    return clock.from_us(slot).isoformat().replace("+00:00", "Z")
