"""Slots: cron texts against cronsim itself, the two odd nights, intervals by division."""

import datetime
import itertools
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from eventstore import clock
from triggers.schedule import Cron, Interval, between, text_of

UTC = datetime.UTC
YEAR = 365 * 24 * 3600 * clock.SECOND
ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe")
TEXTS = (
    "30 6 * * *", "30 1 * * *", "30 2 * * *", "*/20 1-3 * * *", "15 */6 * * 1-5", "0 0 1 * *",
    "0 12 * * 5L",
)  # fmt: skip


def us(*when: int, tz: str = "UTC", fold: int = 0) -> int:
    """Give a local time in microseconds."""
    return clock.to_us(datetime.datetime(*when, tzinfo=ZoneInfo(tz), fold=fold))  # type: ignore[misc,arg-type]


def texts(text: str, tz: str, after: int, upto: int) -> list[str]:
    """Give the slots of a cron text as texts."""
    cron = Cron(text, ZoneInfo(tz))
    return [text_of(slot) for slot in cron.due(after, upto, since=0, keep=None).slots]


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_year_of_slots_is_cronsims(text: str, tz: str) -> None:
    """Over a year, in zones with three kinds of summer time, the slots are cronsim's own."""
    begin = us(2026, 1, 1)
    theirs = itertools.takewhile(
        lambda slot: slot <= begin + YEAR,
        (
            clock.to_us(moment)
            for moment in CronSim(text, clock.from_us(begin).astimezone(ZoneInfo(tz)))
        ),
    )
    mine = Cron(text, ZoneInfo(tz)).due(begin, begin + YEAR, since=0, keep=None)
    assert mine.slots == list(theirs)
    assert mine.many == len(mine.slots) > 0
    assert mine.slots == sorted(set(mine.slots))


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("text", TEXTS)
def test_asked_piece_by_piece_the_slots_are_the_same(text: str, tz: str) -> None:
    """Polls at any moment, 7 hours and 13 minutes apart, give each slot of the year once."""
    begin, step = us(2026, 1, 1), (7 * 60 + 13) * 60 * clock.SECOND
    cron = Cron(text, ZoneInfo(tz))
    pieces = [
        slot
        for at in range(begin, begin + YEAR, step)
        for slot in cron.due(at, min(at + step, begin + YEAR), since=0, keep=None).slots
    ]
    assert pieces == cron.due(begin, begin + YEAR, since=0, keep=None).slots


def test_a_skipped_time_fires_when_the_gap_ends() -> None:
    """02:30 does not exist in Paris on 29 March 2026: 03:00 summer time is 01:00 UTC."""
    day = us(2026, 3, 29), us(2026, 3, 30)
    assert texts("30 2 * * *", "Europe/Paris", *day) == ["2026-03-29T01:00:00Z"]


def test_a_doubled_time_fires_the_first_time() -> None:
    """01:30 comes twice in New York on 1 November 2026: it fires at 05:30 UTC only."""
    day = us(2026, 11, 1), us(2026, 11, 2)
    assert texts("30 1 * * *", "America/New_York", *day) == ["2026-11-01T05:30:00Z"]


def test_between_the_two_the_first_is_not_given_again() -> None:
    """Asked in the second 01:15 of that night, 01:30 is over; the next is a day later."""
    second = us(2026, 11, 1, 1, 15, tz="America/New_York", fold=1)
    cron = Cron("30 1 * * *", ZoneInfo("America/New_York"))
    assert text_of(next(cron.slots(second, since=0))) == "2026-11-02T06:30:00Z"


def test_a_slot_lies_after_the_moment_asked_from() -> None:
    """The moment of a slot itself gives the next one; a microsecond before gives the slot."""
    slot, cron = us(2026, 1, 1, 6, 30), Cron("30 6 * * *", UTC)
    assert next(cron.slots(slot - 1, since=0)) == slot
    assert next(cron.slots(slot, since=0)) == us(2026, 1, 2, 6, 30)


def test_only_the_last_slots_are_kept_but_all_are_counted() -> None:
    """A minutely text over a day: 1440 slots, of which two are handed back."""
    begin = us(2026, 1, 1)
    due = Cron("* * * * *", UTC).due(begin, us(2026, 1, 2), since=0, keep=2)
    assert (due.many, [text_of(slot) for slot in due.slots]) == (
        1440,
        ["2026-01-01T23:59:00Z", "2026-01-02T00:00:00Z"],
    )


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
    assert interval.due(after, after + span, **ask) == between(
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


@pytest.mark.parametrize("text", ["", "nonsense", "61 * * * *", "* * * *", "0 0 30 2 *"])
def test_what_is_no_cron_text_is_refused(text: str) -> None:
    """A text that cron does not know, or that can never come, raises when it is made."""
    with pytest.raises(ValueError, match=r"\S"):
        Cron(text, UTC)
