"""Slots: which moments a cron text, an interval or a single time gives. Pure arithmetic.

A slot is a UTC instant in microseconds. Nothing here knows what has fired.
"""

import datetime
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


def between(schedule: Schedule, after: int, upto: int, *, since: int, keep: int | None) -> Due:
    """Go through the slots in (after, upto] one by one."""
    kept: list[int] = []
    count = 0
    for slot in itertools.takewhile(
        lambda slot: slot <= upto, schedule.slots(after, since=since)
    ):
        count += 1
        kept.append(slot)
        if keep is not None and len(kept) > keep:
            del kept[0]
    return Due(kept, count)


class Cron:
    """The slots of a cron text in a time zone, as Debian's cron has them.

    Making one raises ValueError if the text is no cron text.

    A time of day that the clock skips fires when the gap ends; one that comes twice fires the
    first time. With `*` in minutes or hours the slots follow elapsed time.

    Source: https://github.com/cuu508/cronsim
    """

    def __init__(self, text: str, zone: datetime.tzinfo) -> None:
        self.text = text
        self.zone = zone
        self._from(0)

    def _from(self, after: int) -> Iterator[datetime.datetime]:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - loaded when a schedule is

        try:
            return CronSim(self.text, clock.from_us(after).astimezone(self.zone))
        except CronSimError as error:
            raise ValueError(str(error)) from None

    def slots(self, after: int, *, since: int) -> Iterator[int]:
        """Give the slots later than `after`; where they were armed from does not matter."""
        del since
        last = after
        for moment in self._from(after):
            slot = clock.to_us(moment)
            if slot > last:  # the second hour of a fold would give the first one's slots again
                last = slot
                yield slot

    def due(self, after: int, upto: int, *, since: int, keep: int | None) -> Due:
        """Give the slots in (after, upto]."""
        return between(self, after, upto, since=since, keep=keep)


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
