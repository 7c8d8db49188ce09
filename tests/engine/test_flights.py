"""The crew's slots: suspects have it for themselves, and keep nobody from work for long."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from engine.flights import Crew, Slot

ISOLATION = timedelta(seconds=10)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def frozen() -> Iterator[FrozenDateTimeFactory]:
    with freeze_time("2030-01-01") as moving:
        yield moving


def test_a_suspect_has_an_empty_crew_for_its_first_ten_seconds(
    frozen: FrozenDateTimeFactory,
) -> None:
    """Nothing starts beside it for 10 s; then others do, while it still runs."""
    crew = Crew(4, "crew", async_slots=2)
    assert crew.take(suspect=True) is Slot.ALONE
    assert crew.is_shut()
    frozen.tick(ISOLATION - MOMENT)
    assert crew.take() is crew.take(is_async=True) is None
    assert crew.room()[0] == 0
    frozen.tick(MOMENT)
    assert crew.room() == (3, None)
    assert crew.take() is Slot.THREAD


def test_a_suspect_that_ends_opens_the_crew_at_once(frozen: FrozenDateTimeFactory) -> None:
    """Its slot is free again, and so are the others."""
    crew = Crew(2, "crew")
    slot = crew.take(suspect=True)
    assert slot is Slot.ALONE
    crew.give_back(slot)
    assert crew.take() is crew.take() is Slot.THREAD
    assert crew.take() is None


def test_a_suspect_waits_for_the_others_and_nothing_else_starts(
    frozen: FrozenDateTimeFactory,
) -> None:
    """While it waits no slot is given, whatever is free; then it has the crew for itself."""
    crew = Crew(4, "crew", async_slots=2)
    thread, loop = crew.take(), crew.take(is_async=True)
    assert thread is Slot.THREAD
    assert loop is Slot.ASYNC
    assert crew.take(suspect=True) is None
    assert crew.take() is crew.take(is_async=True) is None
    crew.give_back(thread)
    assert crew.take(suspect=True) is None, "the one on the loop runs still"
    crew.give_back(loop)
    assert crew.take(suspect=True) is Slot.ALONE


def test_a_long_step_keeps_a_suspect_waiting_for_ten_seconds_at_most(
    frozen: FrozenDateTimeFactory,
) -> None:
    """The crew is not shut for as long as a step may last: the suspect starts beside it."""
    crew = Crew(4, "crew")
    assert crew.take() is Slot.THREAD
    for _ in range(10):
        assert crew.take(suspect=True) is None
        assert crew.is_shut()
        frozen.tick(ISOLATION / 10)
    assert not crew.is_shut()
    assert crew.take(suspect=True) is Slot.ALONE
    assert crew.is_shut()


def test_a_suspect_waits_for_another_and_others_do_not(frozen: FrozenDateTimeFactory) -> None:
    """One suspect at a time, so that a death is of the one that caused it; others go on."""
    crew = Crew(4, "crew")
    first = crew.take(suspect=True)
    assert first is Slot.ALONE
    frozen.tick(ISOLATION)
    assert crew.take(suspect=True) is None
    assert crew.take() is Slot.THREAD, "the second keeps nobody waiting"
    crew.give_back(first)
    assert crew.take(suspect=True) is None, "now it waits for the one that has begun"
    assert crew.take() is None


def test_suspects_that_are_gone_keep_nobody_waiting(frozen: FrozenDateTimeFactory) -> None:
    """One that waited and was cancelled, or lost to another worker, opens the crew; it tells."""
    crew = Crew(2, "crew")
    freed: list[bool] = []
    crew.on_free = lambda: freed.append(True)
    assert crew.take() is Slot.THREAD
    assert crew.take(suspect=True) is None
    crew.no_suspect_waits()
    crew.no_suspect_waits()
    assert freed == [True]
    assert crew.take() is Slot.THREAD


def test_a_clock_put_back_does_not_shut_the_crew(frozen: FrozenDateTimeFactory) -> None:
    """An hour back: neither who waits nor who runs alone keeps the crew for that hour."""
    crew = Crew(2, "crew")
    assert crew.take(suspect=True) is Slot.ALONE
    frozen.tick(timedelta(hours=-1))
    assert crew.take() is Slot.THREAD
    crew = Crew(2, "crew")
    assert crew.take() is Slot.THREAD
    assert crew.take(suspect=True) is None
    frozen.tick(timedelta(hours=-1))
    assert not crew.is_shut()
    assert crew.take(suspect=True) is None
    frozen.tick(ISOLATION)
    assert crew.take(suspect=True) is Slot.ALONE


def test_what_follows_a_suspect_is_no_suspect(frozen: FrozenDateTimeFactory) -> None:
    """The next step goes on in its slot, which is then one like the others."""
    crew = Crew(2, "crew")
    assert crew.take(suspect=True) is Slot.ALONE
    slot = crew.mingle()
    assert slot is Slot.THREAD
    assert crew.take() is Slot.THREAD
    crew.give_back(slot)
    assert crew.free == 1
