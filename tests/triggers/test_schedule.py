"""Intervals: slots by division, counted from the arming."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from eventstore import clock
from triggers.schedule import Due, Interval

YEAR = 365 * 24 * 3600 * clock.SECOND


def counted(interval: Interval, after: int, upto: int, *, since: int, keep: int | None) -> Due:
    """Go through the slots in (after, upto] one by one."""
    slots = interval.slots(after, since=since)
    passed = list(itertools.takewhile(lambda slot: slot <= upto, slots))
    return Due(passed if keep is None else passed[-keep:], len(passed))


@given(
    every=st.integers(1, 1000),
    since=st.integers(0, 1000),
    after=st.integers(0, 3000),
    span=st.integers(-100, 3000),
    keep=st.sampled_from([None, 1, 2]),
)
def test_an_interval_divides_as_it_counts(
    every: int, since: int, after: int, span: int, keep: int | None
) -> None:
    """Division gives what going through the slots one by one gives."""
    interval = Interval(every)
    ask = {"since": since, "keep": keep}
    assert interval.due(after, after + span, **ask) == counted(
        interval, after, after + span, **ask
    )


def test_an_interval_first_fires_one_interval_after_the_arming() -> None:
    """Armed at 100, every 30: 130, 160, and never 100."""
    slots = Interval(30).slots(100, since=100)
    assert list(itertools.islice(slots, 3)) == [130, 160, 190]


def test_a_year_of_seconds_is_counted_at_once() -> None:
    """31,536,000 slots missed cost no more than two."""
    due = Interval(clock.SECOND).due(0, YEAR, since=0, keep=2)
    assert (due.many, due.slots) == (31_536_000, [YEAR - clock.SECOND, YEAR])
