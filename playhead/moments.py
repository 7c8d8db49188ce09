"""Moments and distances as test authors write them for a timeline. Pure."""

import difflib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from engine.errors import PlayheadError
from eventstore import clock

UNITS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
HOW_FAR = (
    "say how far: one of `hours=1`, a timedelta, seconds or the aware datetime to arrive at"
)


class TimelineRefused(PlayheadError):
    """Time cannot be moved as asked; the message says why and what to do."""


def moment_of(start: Any) -> datetime:
    """Give where a timeline is to begin: an aware datetime, a date, or a text as of ISO 8601.

    Raises:
        TypeError: it is neither.
        ValueError: a text that is no moment, or a datetime without a time zone.
    """
    if isinstance(start, str):
        try:
            start = datetime.fromisoformat(start)
        except ValueError:
            raise ValueError(
                f"{start!r} is no moment; write e.g. '2026-03-28 12:00', which is in UTC"
            ) from None
        if start.tzinfo is None:
            start = start.replace(tzinfo=UTC)
    elif isinstance(start, date) and not isinstance(start, datetime):
        start = datetime(start.year, start.month, start.day, tzinfo=UTC)
    if not isinstance(start, datetime):
        raise TypeError(
            f"{start!r} is no moment; write e.g. '2026-03-28 12:00', which is in UTC,"
            " or an aware datetime"
        )
    return clock.from_us(clock.to_us(start))


def arrival(now: datetime, by: timedelta | datetime | float | None, parts: Any) -> datetime:
    """Give where a timeline is to arrive.

    Raises:
        TypeError: how far was not said, said twice, or in no unit of ours.
        ValueError: it is no number, or a datetime without a time zone.
        TimelineRefused: it lies in the past, or after the year 9999.
    """
    if (by is None) == (not parts):
        raise TypeError(HOW_FAR)
    if isinstance(by, datetime):
        us = clock.to_us(by)
    else:
        us = clock.to_us(now) + _microseconds(by, parts)
    if us > clock.LAST:
        raise TimelineRefused("time ends with the year 9999")
    if us < clock.to_us(now):
        there = clock.from_us(us).isoformat() if us > 0 else "before 1970"
        raise TimelineRefused(
            f"it is {now.isoformat()} and time does not go back to {there};"
            " begin earlier: @pytest.mark.timeline(start)"
        )
    return clock.from_us(us)


def _microseconds(by: timedelta | float | None, parts: dict[str, float]) -> int:
    """Give a distance; of any length."""
    for unit in parts:
        if unit not in UNITS:
            near = difflib.get_close_matches(unit, UNITS, 1)
            hint = f"did you mean {near[0]}=?" if near else f"they are {', '.join(UNITS)}"
            raise TypeError(f"{unit}= is no unit of time here; {hint}")
    if isinstance(by, bool) or not isinstance(by, timedelta | int | float | None):
        raise TypeError(f"{by!r} is no distance; {HOW_FAR}")
    try:
        if by is None:
            by = timedelta(**parts)
        elif not isinstance(by, timedelta):
            by = timedelta(seconds=by)
    except (ValueError, OverflowError) as error:
        said = ", ".join(f"{unit}={much!r}" for unit, much in parts.items()) or repr(by)
        if isinstance(error, OverflowError) and "infinity" not in str(error):
            raise TimelineRefused(f"time does not go as far as {said}") from None
        raise ValueError(f"{said} is no distance; {HOW_FAR}") from None
    return by // timedelta(microseconds=1)
