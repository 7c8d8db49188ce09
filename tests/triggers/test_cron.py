"""Cron slots against a plain reading of the text, minute by minute, on ordinary and odd days."""

import datetime
import itertools
import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import clock
from tests.triggers.nights import DAY, HOUR, MINUTE, MOVES, ZONES, Text, span, texts, us
from triggers.cron import LAST_DAY, Cron
from triggers.schedule import text_of

YEAR = 365 * DAY
POLICIES = list(itertools.product(("shift", "skip"), ("first", "both")))
zones = st.sampled_from(sorted(ZONES))
policies = st.sampled_from(POLICIES)
NIGHTS = [(tz, move) for tz, found in MOVES.items() for move in found]


def slots(
    text: str, tz: str, begin: int, end: int, *, gap: str = "shift", fold: str = "first"
) -> list[int]:
    """Give the slots in [begin, end]."""
    cron = Cron(text, ZoneInfo(tz), gap=gap, fold=fold)
    return cron.due(begin - 1, end, since=0, keep=None).slots


@settings(max_examples=150)
@given(text=texts(nightly=True), night=st.sampled_from(NIGHTS), policy=policies)
def test_an_odd_night_is_as_the_page_has_it(
    text: Text, night: tuple[str, int], policy: tuple[str, str]
) -> None:
    """Around any move of any clock, the slots are those that a plain reading gives."""
    tz, move = night
    gap, fold = policy
    begin, end = move - 30 * HOUR, move + 30 * HOUR
    mine = slots(text.text, tz, begin, end, gap=gap, fold=fold)
    assert mine == text.expected(begin, end, tz, gap=gap, fold=fold)


@settings(max_examples=60)
@given(text=texts(), tz=zones, policy=policies, data=st.data())
def test_any_text_is_read_as_it_stands(
    text: Text, tz: str, policy: tuple[str, str], data: st.DataObject
) -> None:
    """Over any five days of the years, with days and weekdays, likewise."""
    first, last = span(tz)
    begin = data.draw(st.integers(first // MINUTE, last // MINUTE)) * MINUTE
    end, (gap, fold) = begin + 5 * DAY, policy
    mine = slots(text.text, tz, begin, end, gap=gap, fold=fold)
    assert mine == text.expected(begin, end, tz, gap=gap, fold=fold)


@settings(max_examples=150)
@given(text=texts(nightly=True), night=st.sampled_from(NIGHTS), policy=policies, data=st.data())
def test_no_look_loses_a_slot(
    text: Text, night: tuple[str, int], policy: tuple[str, str], data: st.DataObject
) -> None:
    """Looked at in any pieces, a span gives each slot once, growing, and counts them right."""
    tz, move = night
    begin, end = move - 30 * HOUR, move + 30 * HOUR
    cron = Cron(text.text, ZoneInfo(tz), gap=policy[0], fold=policy[1])
    whole = cron.due(begin, end, since=0, keep=None)
    assert whole.slots == sorted(set(whole.slots))
    assert whole.many == len(whole.slots)
    kept = cron.due(begin, end, since=0, keep=2)
    assert (kept.slots, kept.many) == (whole.slots[-2:], whole.many)
    looks = data.draw(st.lists(st.integers(begin, end), max_size=6).map(sorted))
    pieces = [
        slot
        for after, upto in itertools.pairwise([begin, *looks, end])
        for slot in cron.due(after, upto, since=0, keep=None).slots
    ]
    assert pieces == whole.slots
    for after in looks:
        rest = itertools.takewhile(lambda slot: slot <= end, cron.slots(after, since=0))
        assert list(rest) == [slot for slot in whole.slots if slot > after]


@pytest.mark.parametrize("tz", sorted(ZONES))
@pytest.mark.parametrize(
    "text", ["30 6 * * *", "0,30 0-3 * * *", "*/20 1-3 * * *", "0 0 1 * 1"]
)
def test_three_years_piece_by_piece(text: str, tz: str) -> None:
    """Looks 7 hours and 13 minutes apart give each slot of three years once."""
    begin, end = span(tz)
    cron = Cron(text, ZoneInfo(tz), fold="both")
    pieces = [
        slot
        for at in range(begin, end, 433 * MINUTE)
        for slot in cron.due(at, min(at + 433 * MINUTE, end), since=0, keep=None).slots
    ]
    assert pieces == cron.due(begin, end, since=0, keep=None).slots


def test_between_the_two_passes_the_second_is_still_to_come() -> None:
    """Half past one comes twice in New York: from 01:45, 01:00 and 01:30 come once more."""
    first = us(2026, 11, 1, 1, 45, tz="America/New_York")
    both = Cron("0,30 1 * * *", ZoneInfo("America/New_York"), fold="both")
    assert [text_of(slot) for slot in itertools.islice(both.slots(first, since=0), 3)] == [
        "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:00:00Z",
    ]  # fmt: skip
    once = Cron("0,30 1 * * *", ZoneInfo("America/New_York"))
    assert text_of(next(once.slots(first, since=0))) == "2026-11-02T06:00:00Z"


def test_in_the_second_pass_the_first_is_not_given_again() -> None:
    """Asked in the second 01:15 of that night, 01:30 is over; the next is a day later."""
    second = us(2026, 11, 1, 1, 15, tz="America/New_York", fold=1)
    cron = Cron("30 1 * * *", ZoneInfo("America/New_York"))
    assert text_of(next(cron.slots(second, since=0))) == "2026-11-02T06:30:00Z"


def test_a_fold_may_reach_into_the_day_before() -> None:
    """In St. John's a minute after midnight became 23:01 once more: 23:30 is still to come."""
    midnight = us(2009, 11, 1, 0, 0, 30, tz="America/St_Johns")
    both = Cron("30 23 * * *", ZoneInfo("America/St_Johns"), fold="both")
    assert next(both.slots(midnight, since=0)) == us(
        2009, 10, 31, 23, 30, tz="America/St_Johns", fold=1
    )
    once = Cron("30 23 * * *", ZoneInfo("America/St_Johns"))
    assert next(once.slots(midnight, since=0)) == us(2009, 11, 1, 23, 30, tz="America/St_Johns")


def test_both_passes_keep_their_order() -> None:
    """01:00, 01:30, 01:00 again, 01:30 again: as the clock shows them, not by name."""
    tz = "America/New_York"
    night = us(2026, 11, 1, tz=tz), us(2026, 11, 1, 12, tz=tz)
    assert [text_of(slot)[11:16] for slot in slots("0,30 1 * * *", tz, *night, fold="both")] == [
        "05:00", "05:30", "06:00", "06:30",
    ]  # fmt: skip


def test_seconds_follow_elapsed_time() -> None:
    """A text of six fields is never fixed: in the second hour it fires again, in a gap not."""
    cron = Cron("0 30 1 * * *", ZoneInfo("America/New_York"))
    assert not cron.is_fixed
    tz = "America/New_York"
    found = slots("0 30 1 * * *", tz, us(2026, 11, 1, tz=tz), us(2026, 11, 1, 12, tz=tz))
    assert [text_of(slot)[11:16] for slot in found] == ["05:30", "06:30"]
    gap = us(2026, 3, 8, tz=tz), us(2026, 3, 8, 12, tz=tz)
    assert slots("0 30 2 * * *", tz, *gap) == []


def test_a_slot_lies_after_the_moment_asked_from() -> None:
    """The moment of a slot itself gives the next one; a microsecond before gives the slot."""
    slot, cron = us(2026, 1, 1, 6, 30), Cron("30 6 * * *", datetime.UTC)
    assert next(cron.slots(slot - 1, since=0)) == slot
    assert next(cron.slots(slot, since=0)) == us(2026, 1, 2, 6, 30)


def test_only_the_last_slots_are_kept_but_all_are_counted() -> None:
    """A minutely text over a day: 1440 slots, of which two are handed back."""
    begin = us(2026, 1, 1)
    due = Cron("* * * * *", datetime.UTC).due(begin, us(2026, 1, 2), since=0, keep=2)
    assert (due.many, [text_of(slot) for slot in due.slots]) == (
        1440,
        ["2026-01-01T23:59:00Z", "2026-01-02T00:00:00Z"],
    )


def test_a_year_of_minutes_is_counted_day_by_day() -> None:
    """525,600 slots missed in Paris: the two hours that are not the same cancel out."""
    begin = us(2026, 1, 1)
    cron = Cron("* * * * *", ZoneInfo("Europe/Paris"))
    assert cron.due(begin, begin + YEAR, since=0, keep=2).many == 525_600
    fixed = Cron("0-59 0-23 * * *", ZoneInfo("Europe/Paris"))
    assert fixed.due(begin, begin + YEAR, since=0, keep=2).many == 525_600 - 60


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("", "shift"),
        ("nonsense", "shift"),
        ("61 * * * *", "shift"),
        ("* * * *", "shift"),
        ("0 0 30 2 *", "shift"),
        ("0 0 31 2,4,6 *", "shift"),
        ("0 0 */31 * MON#2", "shift"),  # the 1st is never a second Monday
        ("30 2 * 3 0L", "skip"),  # in Paris the last Sunday of March has no 02:30
    ],
)
def test_what_is_no_cron_text_is_refused(text: str, gap: str) -> None:
    """A text that cron does not know, or that never comes, raises when it is made, and soon."""
    began = time.process_time()
    with pytest.raises(ValueError, match=r"\S"):
        Cron(text, ZoneInfo("Europe/Paris"), gap=gap)
    assert time.process_time() - began < 0.2


def test_rare_days_and_the_end_of_the_calendar_come_to_an_end() -> None:
    """A leap day that is a Monday is found 28 years ahead; after the year 9999 there is none."""
    leap = Cron("0 0 */28 2 1", ZoneInfo("Europe/Paris"))  # the 1st and the 29th, on Mondays
    found = leap.due(us(2024, 3, 1), us(2060, 1, 1), since=0, keep=None).slots
    assert us(2044, 2, 29, tz="Europe/Paris") in found
    last = Cron("0 12 * * *", datetime.UTC)
    assert list(last.slots(LAST_DAY * DAY - 2 * DAY, since=0)) == [
        LAST_DAY * DAY - DAY - 12 * HOUR,
        LAST_DAY * DAY - 12 * HOUR,
    ]
    assert list(last.slots(clock.LAST, since=0)) == []
    assert next(last.slots(-(10**17), since=0)) == 12 * HOUR
