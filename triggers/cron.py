"""Cron slots: the instants that a cron text gives in a time zone, gaps and folds included. Pure.

A *wall time* is what the clock on the wall of the zone shows, counted as if it were UTC. A text
gives wall times, hour by hour; the zone turns each into no instant, one or two. cronsim reads the
text and matches the days; what the odd nights do to a time is decided here.

Laws of this file: slots grow strictly; where one looks from never changes what comes after.
"""

import bisect
import datetime
from collections import deque
from collections.abc import Iterator

from eventstore import clock
from triggers.schedule import Due

HOUR = 3600 * clock.SECOND
DAY = 24 * HOUR
GIVE_UP = 50 * 366  # days without a slot; 29 February on a given weekday comes within 40 years
LAST_DAY = clock.LAST // DAY - 40  # with room to look for the next month
SAMPLE = 1_577_836_800 * clock.SECOND  # 2020: a text without a slot in the years after is none


class Cron:
    """The slots of a cron text in a time zone.

    A *fixed* text has five fields, and neither its minute nor its hour begins with `*`: it means
    times of day. A time that the zone's clock skips fires when the gap ends (`gap="shift"`) or
    not at all ("skip"); one that comes twice fires the first time (`fold="first"`) or both.
    Every other text follows elapsed time: it fires whenever the clock shows what it asks for.

    Making one raises ValueError if the text is no cron text, or never comes.

    Source: https://github.com/cuu508/cronsim for what is fixed, as Debian's cron has it
    """

    def __init__(
        self, text: str, zone: datetime.tzinfo, *, gap: str = "shift", fold: str = "first"
    ) -> None:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - loaded when a schedule is

        try:
            self._calendar = CronSim(text, clock.from_us(0))
        except CronSimError as error:
            raise ValueError(str(error)) from None
        self.zone = zone
        self._hours = [hour * HOUR for hour in sorted(self._calendar.hours)]
        self._times = [  # of an hour
            (minute * 60 + second) * clock.SECOND
            for minute in sorted(self._calendar.minutes)
            for second in sorted(self._calendar.seconds)
        ]
        fields = text.split()
        self.is_fixed = len(fields) == 5 and not any(x.startswith("*") for x in fields[:2])
        self._shifts = self.is_fixed and gap == "shift"
        self._doubles = not self.is_fixed or fold == "both"
        if next(self.slots(SAMPLE, since=0), None) is None:
            raise ValueError("it never comes")

    def slots(self, after: int, *, since: int) -> Iterator[int]:
        """Give the slots later than `after`; where they were armed from does not matter."""
        del since
        for batch in self._batches(after):
            yield from batch

    def due(self, after: int, upto: int, *, since: int, keep: int | None) -> Due:
        """Give the slots in (after, upto]: hour by hour, so a year of minutes is counted soon."""
        del since
        kept: deque[int] = deque(maxlen=keep)
        count = 0
        for batch in self._batches(after):
            inside = batch[: bisect.bisect_right(batch, upto)]
            kept.extend(inside)
            count += len(inside)
            if len(inside) < len(batch):
                break
        return Due(list(kept), count)

    def _batches(self, after: int) -> Iterator[list[int]]:
        """Give the slots later than `after`, an hour's at a time, each list growing."""
        after = max(after, -1)  # before 1970 nothing comes
        if after >= LAST_DAY * DAY:
            return
        last = after
        held: list[int] = []  # what a later hour may still come before: second passes
        for hour in self._matching(self._begin(after)):
            first, end = self._instant(hour, fold=0), self._instant(hour + HOUR, fold=1)
            if not held and end - first == HOUR:  # an hour like most
                batch = [first + time for time in self._times]
                if batch[0] <= last:
                    del batch[: bisect.bisect_right(batch, last)]
            else:
                held += [slot for time in self._times for slot in self._shown(hour + time)]
                end = self._instant(hour + HOUR, fold=0)
                batch = sorted({slot for slot in held if last < slot < end})
                held = [slot for slot in held if slot >= end]
            if batch:
                last = batch[-1]
                yield batch
            elif hour - last > GIVE_UP * DAY:
                break

    def _begin(self, after: int) -> int:
        """Give the first wall time that may come later than `after`: the clock may go back."""
        return min(self._wall(after), self._wall(after + DAY) - DAY)

    def _matching(self, wall: int) -> Iterator[int]:
        """Give the hours that match, by their first wall time, from the hour of `wall` on."""
        for day in self._days(wall // DAY):
            for hour in self._hours:
                if day * DAY + hour + HOUR > wall:
                    yield day * DAY + hour

    def _days(self, day: int) -> Iterator[int]:
        """Give the days that match, from `day` on; they end with the calendar, or with hope."""
        calendar = self._calendar
        matched = day
        while day < LAST_DAY and day - matched <= GIVE_UP:
            date = clock.from_us(day * DAY).date()
            if date.month not in calendar.months:
                day += 32 - date.day  # into the next month, three days deep at most
                day -= clock.from_us(day * DAY).day - 1
                continue
            if calendar.match_day(date):
                matched = day
                yield day
            day += 1

    def _shown(self, wall: int) -> tuple[int, ...]:
        """Give the instants at which a wall time fires."""
        first, second = self._instant(wall, fold=0), self._instant(wall, fold=1)
        if first == second:
            return (first,)
        if first < second:
            return (first, second) if self._doubles else (first,)
        return (self._gap_end(second, first),) if self._shifts else ()

    def _gap_end(self, before: int, after: int) -> int:
        """Give the instant in (before, after] at which the zone's clock was put forward."""
        offset = self._wall(before) - before
        while after - before > clock.SECOND:
            middle = (before + after) // 2
            middle -= middle % clock.SECOND
            if self._wall(middle) - middle == offset:
                before = middle
            else:
                after = middle
        return after

    def _instant(self, wall: int, *, fold: int) -> int:
        """Give the instant of a wall time; in a gap, fold 0 is the later of two readings."""
        return clock.to_us(clock.from_us(wall).replace(tzinfo=self.zone, fold=fold))

    def _wall(self, instant: int) -> int:
        """Give what the wall shows at an instant."""
        shown = clock.from_us(instant).astimezone(self.zone)
        return clock.to_us(shown.replace(tzinfo=clock.UTC))
