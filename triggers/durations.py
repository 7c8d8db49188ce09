"""Durations as users write them: seconds or a timedelta."""

import datetime
import math

from eventstore import clock
from triggers.errors import wrong


def microseconds(option: str, value: float | datetime.timedelta) -> int:
    """Give a duration in microseconds. *Pure.*

    Raises:
        DefinitionError: it is neither a number nor a timedelta, or not finite.
    """
    if isinstance(value, datetime.timedelta):
        return value // datetime.timedelta(microseconds=1)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise wrong(f"{option}={value!r} is to be a number of seconds or a timedelta")
    return round(value * clock.SECOND)
