"""Jitter, the look at a schedule and catch-up: each slot settles once, in order, and is told."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import clock
from triggers.policies import KEEP, MOST, Passed, delay_of, judge, look
from triggers.schedule import Interval

HOUR = 3600 * clock.SECOND


def looked(
    watermark: int, now: int, *, every: int, jitter: int = 0, keep: int = 100
) -> tuple[Passed, Callable[[int], int]]:
    """Look at an interval armed at nought; give also the delays."""

    def delay(slot: int) -> int:
        return delay_of("mine", slot, jitter)

    found = look(
        Interval(every), watermark, now, since=0, keep=keep, jitter=jitter, delay=delay
    )
    return found, delay


# Jitter.


@given(slot=st.integers(0, clock.LAST), jitter=st.integers(1, 10 * HOUR))
def test_a_delay_is_below_the_jitter_and_always_the_same(slot: int, jitter: int) -> None:
    """From nought up to the jitter, the same for the same name and slot."""
    delay = delay_of("cron:0 0 * * *:nightly", slot, jitter)
    assert 0 <= delay < jitter
    assert delay == delay_of("cron:0 0 * * *:nightly", slot, jitter)


def test_delays_are_spread() -> None:
    """A hundred triggers of one slot fall into each tenth of the jitter; so do its slots."""
    by_name = {delay_of(f"t{n}", 0, 10 * HOUR) // HOUR for n in range(100)}
    by_slot = {delay_of("t", n * HOUR, 10 * HOUR) // HOUR for n in range(100)}
    assert by_name == by_slot == set(range(10))


def test_without_jitter_there_is_no_delay() -> None:
    """A jitter of nought delays nothing."""
    assert {delay_of("t", slot, 0) for slot in range(100)} == {0}


def test_the_delay_of_a_slot_is_frozen() -> None:
    """Logs outlive versions: what two daemons of two versions work out must be one."""
    assert delay_of("nightly", 1_767_225_600_000_000, 600 * clock.SECOND) == 488_512_935


# The look.


def test_a_slot_that_waits_is_not_due_before_its_delay_is_over() -> None:
    """One microsecond before, it is the next one due; at its moment it has passed."""
    slot = HOUR
    moment = slot + looked(0, 0, every=HOUR, jitter=HOUR)[1](slot)
    assert moment > slot
    assert looked(0, moment - 1, every=HOUR, jitter=HOUR)[0] == Passed([], 0, moment)
    assert looked(0, moment, every=HOUR, jitter=HOUR)[0].slots == [slot]


@given(
    every=st.integers(1, 50),
    jitter=st.one_of(st.just(0), st.integers(1, 300)),
    looks=st.lists(st.integers(0, 1000), min_size=1, max_size=20).map(sorted),
)
def test_each_slot_settles_once_in_order_and_on_time(
    every: int, jitter: int, looks: list[int]
) -> None:
    """Whenever one looks, what has passed is what is due, in order; `due` is the next moment."""
    watermark, settled = 0, []
    for now in looks:
        found, delay = looked(watermark, now, every=every, jitter=jitter, keep=2000)
        assert found.many == len(found.slots)
        assert all(slot + delay(slot) <= now for slot in found.slots)
        assert found.due is not None
        assert found.due > now
        following = (found.slots[-1] if found.slots else watermark) // every * every + every
        assert found.due == following + delay(following)
        settled += found.slots
        watermark = max([watermark, *found.slots])
    assert settled == [every * n for n in range(1, len(settled) + 1)]


def test_only_the_newest_are_kept_but_all_are_counted() -> None:
    """Ten hours with a jitter of three: seven or more have passed, two are handed back."""
    whole, _ = looked(0, 10 * HOUR, every=HOUR, jitter=3 * HOUR)
    kept, _ = looked(0, 10 * HOUR, every=HOUR, jitter=3 * HOUR, keep=2)
    assert whole.many >= 7
    assert (kept.slots, kept.many, kept.due) == (whole.slots[-2:], whole.many, whole.due)


def test_a_clock_put_back_finds_nothing() -> None:
    """Before the watermark nothing has passed, and the next slot lies behind it."""
    found, _ = looked(5 * HOUR, 2 * HOUR, every=HOUR)
    assert found == Passed([], 0, 6 * HOUR)


# Catch-up.


def on_time(slot: int) -> bool:
    """Take every slot to have been noticed in time."""
    del slot
    return True


@pytest.mark.parametrize(
    ("catchup", "is_on_time", "fires", "missed", "count"),
    [
        ("latest", False, [9], 8, 7),
        ("none", True, [9], 8, 7),
        ("none", False, [], 9, 8),
        ("all", False, [8, 9], 7, 6),  # as if two were the most
    ],
)
def test_of_eight_slots(
    monkeypatch: pytest.MonkeyPatch,
    catchup: str,
    is_on_time: bool,
    fires: list[int],
    missed: int,
    count: int,
) -> None:
    """What fires is the newest; what is missed is counted, by the newest of it."""
    monkeypatch.setattr("triggers.policies.MOST", 2)
    verdict = judge(catchup, Passed([6, 7, 8, 9], 8, None), lambda _: is_on_time)
    assert verdict == (fires, missed, count)


@pytest.mark.parametrize("catchup", ["latest", "none", "all"])
def test_of_one_slot_on_time_nothing_is_missed(catchup: str) -> None:
    """The ordinary case says nothing but that it fires."""
    assert judge(catchup, Passed([9], 1, None), on_time) == ([9], None, 0)


@given(catchup=st.sampled_from(sorted(KEEP)), many=st.integers(1, 3 * MOST), late=st.booleans())
def test_each_slot_fires_or_is_missed(catchup: str, many: int, late: bool) -> None:
    """Of however many slots, the ones that fire are the newest, and the rest is counted."""
    slots = list(range(max(0, many - KEEP[catchup]), many))
    fires, missed, count = judge(catchup, Passed(slots, many, None), lambda _: not late)
    assert len(fires) + count == many
    assert fires == list(range(many - len(fires), many))
    assert missed == (count - 1 if count else None)
    assert len(fires) <= MOST
