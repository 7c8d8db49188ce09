"""Our slots against cronsim's and croniter's: the same, but on the days when clocks are moved."""

import datetime
import itertools
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import clock
from tests.triggers.nights import DAY, ZONES, Text, local, odd_days, span, texts
from triggers.cron import Cron

EVERYBODYS = (
    "30 6 * * *", "0 0 * * *", "15 1,2,3 * * *", "*/20 2 * * *", "0 */6 * * *", "10 12 1,15 * *",
    "0 9 * * 1-5", "0 0 29 2 *", "59 23 31 12 *",
)  # fmt: skip
CRONSIMS = ("0 12 * * 5L", "0 12 L * *", "30 8 LW * *", "0 7 * * MON#1", "0 5 */2 * 1-5")
# Left out: cronsim 2.8 hangs at `0 */6 * * *` where a clock falls back from 00:01 to 23:01.
PLACES = sorted(set(ZONES) - {"America/St_Johns"})
zones = st.sampled_from(PLACES)


def cronsims(text: str, tz: str, begin: int) -> Iterator[int]:
    """Give cronsim's slots later than `begin`."""
    return map(clock.to_us, CronSim(text, local(begin, tz)))


def croniters(text: str, tz: str, begin: int) -> Iterator[int]:
    """Give croniter's slots later than `begin`."""
    return map(clock.to_us, croniter(text, local(begin, tz), ret_type=datetime.datetime))


def ordinary(slots: Iterable[int], tz: str, end: int) -> list[int]:
    """Give the slots up to `end` that lie on days on which no clock is moved."""
    odd = odd_days(tz)
    inside = itertools.takewhile(lambda slot: slot <= end, slots)
    return [slot for slot in inside if local(slot, tz).date() not in odd]


@pytest.mark.parametrize("tz", PLACES)
@pytest.mark.parametrize("text", EVERYBODYS + CRONSIMS)
def test_three_years_are_cronsims(text: str, tz: str) -> None:
    """Three years of slots are cronsim's, in each zone; on odd days the page tells."""
    begin, end = span(tz)
    mine = ordinary(Cron(text, ZoneInfo(tz)).slots(begin, since=0), tz, end)
    assert mine == ordinary(cronsims(text, tz, begin), tz, end)
    assert mine or text == "0 0 29 2 *"


@pytest.mark.parametrize("tz", PLACES)
@pytest.mark.parametrize("text", EVERYBODYS)
def test_three_years_are_croniters(text: str, tz: str) -> None:
    """Three years of slots are croniter's too."""
    begin, end = span(tz)
    mine = ordinary(Cron(text, ZoneInfo(tz)).slots(begin, since=0), tz, end)
    assert mine == ordinary(croniters(text, tz, begin), tz, end)


@settings(max_examples=100)
@given(text=texts(), tz=zones, data=st.data())
def test_any_text_is_cronsims_and_croniters(text: Text, tz: str, data: st.DataObject) -> None:
    """A text made at random, over 30 days or 300 slots anywhere in the three years.

    croniter takes a day and a weekday as one or the other where Debian's cron wants both.
    """
    first, last = span(tz)
    begin = data.draw(st.integers(first // DAY, last // DAY)) * DAY
    cron = Cron(text.text, ZoneInfo(tz))
    mine = list(itertools.islice(cron.slots(begin, since=0), 300))
    end = min(mine[-1], begin + 30 * DAY)
    expected = ordinary(mine, tz, end)
    assert expected == ordinary(cronsims(text.text, tz, begin), tz, end)
    *_, day, _, weekday = text.text.split()
    if "*" in (day, weekday):
        assert expected == ordinary(croniters(text.text, tz, begin), tz, end)


@pytest.mark.parametrize("tz", sorted(ZONES))
def test_odd_days_are_few(tz: str) -> None:
    """At most four days of a year are left out of the comparison."""
    assert len(odd_days(tz)) <= 12
