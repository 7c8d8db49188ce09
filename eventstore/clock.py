"""Time and ids: the one door to both.

Laws of this file: wall time is read as `datetime.datetime.now(UTC)` through the module, at each
call, so that freezegun governs it in every thread; nothing else in the project reads a clock.
The real monotonic clock is read by `clock_gettime`, which freezegun leaves alone: it measures
patience (polls, grace, `result(timeout=)`), and never decides anything that is recorded.
"""

import datetime
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

UTC = datetime.UTC
SECOND = 1_000_000  # in microseconds, the unit of every recorded time
LAST = 253_402_300_799_999_999  # the last microsecond that a datetime can name, in year 9999
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
# In a tuple, where freezegun does not replace it; it may have been frozen already.
_REAL = tuple(kind for kind in datetime.datetime.__mro__ if kind.__module__ == "datetime")
_chance: random.Random = random.SystemRandom()


def now_us() -> int:
    """Give the wall time in microseconds since 1970-01-01 UTC, as freezegun lets us see it."""
    kind = datetime.datetime
    try:
        us = (kind.now(UTC) - _EPOCH) // _MICROSECOND
        is_over = kind is not _REAL[0] and _is_thawing(kind)
    except IndexError:
        is_over = True
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000 if is_over else us


def _is_thawing(kind: type[datetime.datetime]) -> bool:
    """Tell whether another thread is just leaving `freeze_time`: frozen time is over.

    freezegun empties its lists before it puts the real clock back. In between `now` raises
    IndexError, or takes the local time for UTC (freezegun #345).
    """
    frozen = getattr(kind, "_time_to_freeze", None)
    return frozen is not None and frozen() is None


def to_us(when: datetime.datetime) -> int:
    """Give an aware datetime in microseconds since 1970. *Pure.*

    Raises:
        ValueError: `when` has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"{when!r} has no time zone; write e.g. datetime(..., tzinfo=UTC)")
    return (when - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime.datetime:
    """Give microseconds since 1970 as an aware UTC datetime. *Pure.*"""
    return _EPOCH + us * _MICROSECOND


def real_seconds() -> float:
    """Give the real monotonic clock in seconds, frozen or not; for patience only."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def real_sleep(seconds: float) -> None:
    """Wait really; for polls between processes, never for anything recorded."""
    time.sleep(seconds)  # freezegun does not touch sleep


class Unfrozen:
    """What a library may take for its module `time` that must not stand still with the clock."""

    monotonic = staticmethod(real_seconds)
    sleep = staticmethod(real_sleep)


def new_id() -> str:
    """Give a new id: 26 lower-case letters and digits that sort roughly by time.

    Source: the ULID layout (48 bits of milliseconds, 80 of chance). Order never rests on it.
    """
    number = (now_us() // 1000) << 80 | _chance.getrandbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def made_at(id_: str) -> int:
    """Give when an id was made, in microseconds, to the millisecond; 0 for what is no id."""
    digits = [_CROCKFORD.find(digit) for digit in id_[:10]]
    if len(id_) != 26 or min(digits) < 0:
        return 0
    return sum(digit << 5 * place for place, digit in enumerate(reversed(digits))) * 1000


def new_chance(seed: str) -> random.Random:
    """Give a random source that is the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - reproducible on purpose, never a secret


def chance() -> float:
    """Give a number from 0 to 1 for jitter."""
    return _chance.random()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw ids and jitter from a seed, for simulations that must repeat."""
    global _chance  # noqa: PLW0603 - the one place that swaps the source of chance
    before, _chance = _chance, random.Random(seed)  # noqa: S311 - repeatable on purpose
    try:
        yield
    finally:
        _chance = before
