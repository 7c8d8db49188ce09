"""The nights on which clocks are moved, and a plain reading of cron texts to hold ours against."""

import datetime
from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from eventstore import clock

MINUTE = 60 * clock.SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Three years in each zone, in which it has moved its clocks.
ZONES = {
    "Africa/Cairo": 2024,  # at midnight
    "America/New_York": 2025,
    "America/Sao_Paulo": 2017,  # at midnight; the last time in 2019
    "America/St_Johns": 2009,  # one minute after midnight, to the day before
    "Asia/Kolkata": 2024,  # never
    "Asia/Tehran": 2020,  # at midnight; the last time in 2022
    "Australia/Lord_Howe": 2025,  # by half an hour
    "Europe/Paris": 2025,
    "Pacific/Apia": 2010,  # 30 December 2011 never was
}


def us(*when: int, tz: str = "UTC", fold: int = 0) -> int:
    """Give a local time in microseconds."""
    return clock.to_us(datetime.datetime(*when, tzinfo=ZoneInfo(tz), fold=fold))  # type: ignore[misc,arg-type]


def local(slot: int, tz: str) -> datetime.datetime:
    """Give a slot as the zone's clocks show it."""
    return clock.from_us(slot).astimezone(ZoneInfo(tz))


def span(tz: str, years: int = 3) -> tuple[int, int]:
    """Give the first and the last moment of the years in which a zone is looked at."""
    return us(ZONES[tz], 1, 1), us(ZONES[tz] + years, 1, 1)


def offset(slot: int, tz: str) -> int:
    """Give by how much a zone's clocks are ahead of UTC, microseconds."""
    return us(*local(slot, tz).timetuple()[:6]) - slot


def moves(tz: str) -> list[int]:
    """Give the moments at which a zone's clocks are moved in its three years."""
    days = range(*span(tz), DAY)
    return [_move(day, tz) for day in days if offset(day, tz) != offset(day + DAY, tz)]


def _move(day: int, tz: str) -> int:
    before = offset(day, tz)
    hour = next(x for x in range(day, day + DAY, HOUR) if offset(x + HOUR, tz) != before)
    return next(x for x in range(hour, hour + 2 * HOUR, MINUTE) if offset(x, tz) != before)


MOVES = {tz: moves(tz) for tz in ZONES}


def odd_days(tz: str) -> set[datetime.date]:
    """Give the dates on which a zone's clocks are moved."""
    return {
        local(moment, tz).date() for move in MOVES[tz] for moment in (move - clock.SECOND, move)
    }


class Text(NamedTuple):
    """A cron text of five fields, and what each allows, read without any library."""

    text: str
    minutes: set[int]
    hours: set[int]
    days: set[int]
    weekdays: set[int]  # 0 is Sunday

    @property
    def is_fixed(self) -> bool:
        """Tell whether it means times of day."""
        minute, hour, *_ = self.text.split()
        return not minute.startswith("*") and not hour.startswith("*")

    def shows(self, wall: datetime.datetime) -> bool:
        """Tell whether a clock on a wall shows what the text asks for."""
        _, _, day, _, weekday = self.text.split()
        on_day, on_weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        any_day = day.startswith("*") or weekday.startswith("*")
        return (
            wall.second == 0
            and wall.minute in self.minutes
            and wall.hour in self.hours
            and ((on_day and on_weekday) if any_day else (on_day or on_weekday))
        )

    def expected(self, begin: int, end: int, tz: str, *, gap: str, fold: str) -> list[int]:
        """Give the slots in [begin, end], minute by minute, as the documentation has them."""
        doubles, shifts = fold == "both" or not self.is_fixed, gap == "shift" and self.is_fixed
        found = {
            slot
            for slot in range(begin, end + 1, MINUTE)
            if (shown := local(slot, tz)) and self.shows(shown) and (doubles or not shown.fold)
        }
        for move in MOVES[tz]:
            skipped = range(
                move + offset(move - MINUTE, tz), move + offset(move, tz), MINUTE
            )  # as the wall would have shown
            if (
                shifts
                and begin <= move <= end
                and any(self.shows(local(w, "UTC")) for w in skipped)
            ):
                found.add(move)
        return sorted(found)


def _field(
    low: int, high: int, numbers: Sequence[int] = ()
) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Make a field: a star, a step, a number, a list or a range; of these numbers."""
    number = st.sampled_from(numbers or range(low, high + 1))
    return st.one_of(
        st.just(("*", set(range(low, high + 1)))),
        st.integers(2, high).map(lambda n: (f"*/{n}", set(range(low, high + 1, n)))),
        number.map(lambda n: (str(n), {n})),
        st.sets(number, min_size=2, max_size=4).map(
            lambda ns: (",".join(map(str, sorted(ns))), ns)
        ),
        st.lists(number, min_size=2, max_size=2, unique=True)
        .map(sorted)
        .map(lambda ends: (f"{ends[0]}-{ends[1]}", set(range(ends[0], ends[1] + 1)))),
    )


@st.composite
def texts(draw: st.DrawFn, *, nightly: bool = False) -> Text:
    """Make a cron text; `nightly`: each day, and often in the hours when clocks are moved."""
    star = st.just(("*", set(range(1, 32))))
    minute, minutes = draw(_field(0, 59))
    hour, hours = draw(_field(0, 23, (0, 1, 2, 3, 22, 23) if nightly else ()))
    day, days = draw(star if nightly else _field(1, 31, range(1, 29)))
    weekday, weekdays = draw(
        st.just(("*", set(range(7)))) if nightly else _field(0, 7, range(7))
    )
    weekdays = {number % 7 for number in weekdays}  # cron counts 0 to 7, and 7 is Sunday too
    return Text(f"{minute} {hour} {day} * {weekday}", minutes, hours, days, weekdays)
