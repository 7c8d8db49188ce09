"""Durations as users write them: seconds or a timedelta."""

import datetime
import math

from eventstore import clock
from triggers.errors import wrong

LONGEST = 1_000_000 * 86_400  # seconds; 2,737 years: a calendar ends with year 9999


def microseconds(
    option: str, value: float | datetime.timedelta, *, least: float = -math.inf
) -> int:
    """Give a duration in microseconds. *Pure.*

    Raises:
        DefinitionError: it is neither a number nor a timedelta, longer than calendars go, or
            shorter than `least` seconds.
    """
    given = value
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise wrong(f"{option}={value!r} is to be a number of seconds or a timedelta")
    if abs(value) > LONGEST:
        raise wrong(f"{option}={value!r} is longer than any calendar")
    if value < least:
        raise wrong(f"{option}={given!r} is to be at least {least:g} seconds")
    return round(value * clock.SECOND)
