"""CronTrigger, IntervalTrigger, AtTrigger: they fire, they fire once, they refuse."""

import datetime
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from engine.errors import DefinitionError
from eventstore import clock
from triggers import AtTrigger, CronTrigger, Firing, IntervalTrigger
from triggers.testing import PaperEngine, workflow

UTC = datetime.UTC
NIGHTLY = workflow("nightly")
WITH_SLOT = workflow("nightly", "slot")


def hours(count: float) -> datetime.timedelta:
    """Give hours."""
    return datetime.timedelta(hours=count)


def slots(engine: PaperEngine) -> list[str]:
    """Give the slots that started runs."""
    return [told["key"].partition("/")[2] for told in engine.started()]


def declined(engine: PaperEngine, trigger: Any) -> list[dict[str, Any]]:
    """Give the data of what was declined."""
    return [told for type_, told in engine.told(trigger) if type_ == "trigger.declined"]


def test_cron_fires_at_its_slot_and_tells_the_next(engine: PaperEngine) -> None:
    """Nothing before, one run at half past six Paris time, the slot as its one input."""
    trigger = CronTrigger("30 6 * * *", WITH_SLOT, tz="Europe/Paris")
    with freeze_time("2026-01-01 05:00") as frozen:
        door = engine.door(trigger)
        due = engine.poll(trigger, door)
        assert due == clock.now_us() + 1800 * clock.SECOND
        assert engine.started() == []
        frozen.move_to("2026-01-01 05:30")
        assert engine.poll(trigger, door) == due + 24 * 3600 * clock.SECOND
        engine.poll(trigger, door)
        (started,) = engine.started()
    assert started["inputs"] == {"slot": "2026-01-01T05:30:00Z"}
    assert started["key"] == "cron:30 6 * * *:nightly/2026-01-01T05:30:00Z"
    assert started["cause"] == "trigger:cron:30 6 * * *:nightly@2"
    assert engine.log.head(f"trigger:{trigger.name}").due == due + 24 * 3600 * clock.SECOND


def test_cron_that_was_never_polled_counts_from_when_the_engine_was_made(
    engine: PaperEngine,
) -> None:
    """An engine made at five and first asked at seven has its half past six."""
    trigger = CronTrigger("30 6 * * *", NIGHTLY)
    with freeze_time("2026-01-01 05:00") as frozen:
        door = engine.door(trigger)
        frozen.tick(hours(2))
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-01T06:30:00Z"]
    assert engine.inputs() == [{}]


def test_after_a_downtime_the_latest_slot_fires(engine: PaperEngine) -> None:
    """Five days away: four slots are one decline with their count, the fifth fires."""
    with freeze_time("2026-01-01 00:00") as frozen:
        trigger = CronTrigger("30 6 * * *", NIGHTLY)
        engine.poll(trigger, engine.door(trigger))
        frozen.move_to("2026-01-05 12:00")
        trigger = CronTrigger("30 6 * * *", NIGHTLY)
        door = engine.door(trigger)
        engine.poll(trigger, door)
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-05T06:30:00Z"]
    (missed,) = declined(engine, trigger)
    assert (missed["reason"], missed["count"]) == ("missed", 4)
    assert missed["facts"]["slot"] == "2026-01-04T06:30:00Z"
    assert door.state().declined == 4


def test_with_catchup_all_every_slot_fires(engine: PaperEngine) -> None:
    """Five days away: five runs, in order, nothing declined."""
    with freeze_time("2026-01-01 00:00") as frozen:
        trigger = CronTrigger("30 6 * * *", NIGHTLY, catchup="all")
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-05 12:00")
        engine.poll(trigger, door)
    assert slots(engine) == [f"2026-01-0{day}T06:30:00Z" for day in range(1, 6)]
    assert declined(engine, trigger) == []


def test_no_slot_fires_twice_whatever_restarts(engine: PaperEngine) -> None:
    """Two daemons, each polled twice an hour and made anew every time: one run a slot."""
    with freeze_time("2026-01-01 00:00") as frozen:
        for _ in range(48):
            for _ in range(2):
                trigger = CronTrigger("0 * * * *", NIGHTLY)
                engine.poll(trigger, engine.door(trigger))
            frozen.tick(hours(0.5))
    assert len(slots(engine)) == len(set(slots(engine))) == 23
    assert declined(engine, trigger) == []


def test_a_clock_put_back_fires_nothing_again(engine: PaperEngine) -> None:
    """Slots that have fired stay settled when the clock goes through them once more."""
    trigger = CronTrigger("0 * * * *", NIGHTLY)
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        for moment in ("01:10", "02:10", "00:40", "01:10", "02:10", "03:10"):
            frozen.move_to(f"2026-01-01 {moment}")
            engine.poll(trigger, door)
            other = CronTrigger("0 * * * *", NIGHTLY)
            engine.poll(other, engine.door(other))
    assert slots(engine) == [f"2026-01-01T0{hour}:00:00Z" for hour in (1, 2, 3)]


def test_a_new_revision_counts_from_now(engine: PaperEngine) -> None:
    """An edited schedule fires none of the slots it would have had before it was there."""
    with freeze_time("2026-01-01 00:00") as frozen:
        before = CronTrigger("0 6 * * *", NIGHTLY, name="report")
        engine.poll(before, engine.door(before))
        frozen.move_to("2026-01-01 12:00")
        after = CronTrigger("0 7 * * *", NIGHTLY, name="report")
        door = engine.door(after)
        assert engine.poll(after, door) == clock.now_us() + 19 * 3600 * clock.SECOND
        assert slots(engine) == []
        frozen.move_to("2026-01-02 07:00")
        engine.poll(after, door)
    assert slots(engine) == ["2026-01-02T07:00:00Z"]


def test_paused_slots_do_not_fire_later(engine: PaperEngine) -> None:
    """While paused nothing is due; after the resume the next slot is the next one to come."""
    trigger = CronTrigger("0 * * * *", NIGHTLY)
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        engine.door(trigger).pause()
        frozen.tick(hours(3))
        assert engine.poll(trigger, door) is None
        engine.door(trigger).resume()
        assert engine.poll(trigger, door) == clock.now_us() + 1800 * clock.SECOND
        frozen.tick(hours(0.5))
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-01T04:00:00Z"]
    (told,) = declined(engine, trigger)
    assert (told["reason"], told["count"]) == ("paused", 3)


def test_the_one_moment_of_a_paused_trigger_waits_for_the_resume(engine: PaperEngine) -> None:
    """It is not one of many: it fires once the trigger goes on, with its own moment as slot."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = AtTrigger(datetime.datetime(2026, 1, 1, 1, tzinfo=clock.UTC), NIGHTLY)
        door = engine.door(trigger)
        engine.poll(trigger, door)
        door.pause()
        frozen.tick(hours(3))
        engine.poll(trigger, door)
        assert slots(engine) == []
        door.resume()
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-01T01:00:00Z"]


def test_input_maps_the_firing(engine: PaperEngine) -> None:
    """`input=` sees trigger, key, the slot as aware datetime and the facts."""
    seen: list[Firing] = []

    def by_day(firing: Firing) -> dict[str, Any]:
        seen.append(firing)
        return {"day": str(firing.at.date()), "weight": 1}

    trigger = CronTrigger("0 6 * * *", workflow("report", "day", "weight"), input=by_day)
    trigger.check({"report": workflow("report", "day", "weight")})
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        frozen.tick(hours(7))
        engine.poll(trigger, door)
    assert engine.inputs() == [{"day": "2026-01-01", "weight": 1}]
    moment = datetime.datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert seen == [
        Firing("cron:0 6 * * *:report", "2026-01-01T06:00:00Z", moment, {"slot": moment})
    ]


def test_what_cannot_start_is_declined_and_the_next_slot_goes_on(engine: PaperEngine) -> None:
    """`input=` that raises, or inputs refused: an event with the reason, and no second try."""
    trigger = CronTrigger("0 * * * *", NIGHTLY, input=lambda firing: {"n": 1 / firing.at.hour})
    with freeze_time("2025-12-31 23:30") as frozen:
        door = engine.door(trigger)
        for _ in range(3):
            engine.poll(trigger, door)
            engine.poll(trigger, door)
            frozen.tick(hours(1))
        engine.refuse = {"n": 1 / 3}
        engine.poll(trigger, door)
        frozen.tick(hours(1))
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
    by_user, by_engine = declined(engine, trigger)
    assert by_user["reason"] == "input= failed: ZeroDivisionError: division by zero"
    assert by_user["facts"] == {"slot": "2026-01-01T00:00:00Z"}
    assert by_engine["reason"].startswith("ValueRefused: n=0.33")


def test_interval_fires_one_interval_after_the_arming(engine: PaperEngine) -> None:
    """Every 90 minutes from 00:10: 01:40, 03:10; a restart keeps the beat."""
    with freeze_time("2026-01-01 00:10") as frozen:
        trigger = IntervalTrigger(datetime.timedelta(minutes=90), WITH_SLOT)
        assert trigger.name == "interval:5400s:nightly"
        door = engine.door(trigger)
        assert engine.poll(trigger, door) == clock.now_us() + 5400 * clock.SECOND
        frozen.move_to("2026-01-01 01:40")
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 03:00")
        trigger = IntervalTrigger(5400, WITH_SLOT)
        door = engine.door(trigger)
        assert engine.poll(trigger, door) == clock.now_us() + 600 * clock.SECOND
        frozen.move_to("2026-01-01 08:00")
        engine.poll(trigger, door)
    assert slots(engine) == ["2026-01-01T01:40:00Z", "2026-01-01T07:40:00Z"]
    assert [told["count"] for told in declined(engine, trigger)] == [3]


def test_at_fires_once_for_ever(engine: PaperEngine) -> None:
    """Not before its moment, then once, also after a restart; then nothing is due."""
    when = datetime.datetime(2026, 1, 1, 7, tzinfo=ZoneInfo("Europe/Paris"))
    trigger = AtTrigger(when, WITH_SLOT)
    with freeze_time("2026-01-01 05:00") as frozen:
        door = engine.door(trigger)
        assert engine.poll(trigger, door) == clock.to_us(when)
        frozen.tick(hours(2))
        assert engine.poll(trigger, door) is None
        assert engine.poll(trigger, door) is None
        again = AtTrigger(when, WITH_SLOT)
        assert engine.poll(again, engine.door(again)) is None
    assert slots(engine) == ["2026-01-01T06:00:00Z"]
    assert engine.inputs() == [{"slot": "2026-01-01T06:00:00Z"}]


def test_a_past_moment_is_due_at_once(engine: PaperEngine) -> None:
    """As with delays: what is past when the trigger is armed fires then."""
    trigger = AtTrigger(datetime.datetime(2020, 1, 1, tzinfo=UTC), NIGHTLY)
    engine.poll(trigger, engine.door(trigger))
    assert slots(engine) == ["2020-01-01T00:00:00Z"]


def test_a_year_of_cron_under_a_frozen_clock(engine: PaperEngine) -> None:
    """Jumping from due time to due time, each of the 365 slots fires at its own time."""
    trigger = CronTrigger("30 6 * * *", NIGHTLY, tz="America/New_York")
    with freeze_time("2026-01-01 00:00") as frozen:
        door = engine.door(trigger)
        due = engine.poll(trigger, door)
        end = clock.now_us() + 365 * 24 * 3600 * clock.SECOND
        while due is not None and due <= end:
            frozen.move_to(clock.from_us(due).replace(tzinfo=None))
            due = engine.poll(trigger, door)
    assert len(slots(engine)) == 365
    assert declined(engine, trigger) == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CronTrigger("30 6 * * *", NIGHTLY, tz="Europe/Pariss"), "Europe/Paris'"),
        (lambda: CronTrigger("30 6 * * *", NIGHTLY, tz="/etc"), "no time zone"),
        (lambda: CronTrigger("30 6 * *", NIGHTLY), "no cron text"),
        (lambda: CronTrigger("never", NIGHTLY), "no cron text"),
        (lambda: CronTrigger("0 0 30 2 *", NIGHTLY), "no cron text"),
        (lambda: CronTrigger("0 0 */31 * MON#2", NIGHTLY), "it never comes"),
        (lambda: CronTrigger(30, NIGHTLY), "30 is no cron text; write"),  # type: ignore[arg-type]
        (lambda: CronTrigger("* * * * *", NIGHTLY, catchup="some"), "none of 'latest'"),
        (lambda: IntervalTrigger(0, NIGHTLY), "more than nought"),
        (lambda: IntervalTrigger(0.0001, NIGHTLY), "write 0.01 or more"),
        (lambda: IntervalTrigger(datetime.timedelta(-1), NIGHTLY), "more than nought"),
        (lambda: IntervalTrigger(float("nan"), NIGHTLY), "number of seconds"),
        (lambda: IntervalTrigger("1h", NIGHTLY), "number of seconds"),  # type: ignore[arg-type]
        (lambda: AtTrigger(datetime.datetime(2026, 1, 1), NIGHTLY), "time zone"),  # noqa: DTZ001
        (lambda: AtTrigger("2026-01-01", NIGHTLY), "time zone"),  # type: ignore[arg-type]
        (lambda: CronTrigger("* * * * *", workflow("w", "a", "b")), "wants a, b"),
        (lambda: CronTrigger("* * * * *", 7), "a workflow or the name"),
        (lambda: CronTrigger("* * * * *", NIGHTLY, name=""), "not empty"),
        (lambda: CronTrigger("* * * * *", NIGHTLY, input={}), "function of the firing"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_right_is_refused(make: Callable[[], Any], says: str) -> None:
    """The error says what is wrong and names the line at which the trigger was made."""
    with pytest.raises(DefinitionError, match=says) as caught:
        make()
    assert caught.value.where is not None
    assert caught.value.where.startswith("test_clocks.py:")


def test_check_holds_the_name_of_a_workflow_against_the_engine() -> None:
    """A name is looked up: a near miss is named, inputs that nothing fills are refused."""
    trigger = CronTrigger("* * * * *", "nightly")
    trigger.check({"nightly": NIGHTLY})
    with pytest.raises(DefinitionError, match="did you mean 'nightly_'"):
        trigger.check({"nightly_": NIGHTLY})
    with pytest.raises(DefinitionError, match="workflows="):
        trigger.check({})
    with pytest.raises(DefinitionError, match="wants a, b: say how"):
        trigger.check({"nightly": workflow("nightly", "a", "b")})


@pytest.mark.parametrize(
    ("takes", "gets"),
    [
        (workflow("w"), {}),
        (workflow("w", "day"), {"day": "2026-01-01T01:00:00Z"}),
        (workflow("w", "day", optional=("slot",)), {"day": "2026-01-01T01:00:00Z"}),
        (workflow("w", optional=("day",)), {"day": "2026-01-01T01:00:00Z"}),
        (workflow("w", optional=("a", "slot")), {"slot": "2026-01-01T01:00:00Z"}),
        (workflow("w", optional=("a", "b")), {}),
    ],
)
def test_the_obvious_input(engine: PaperEngine, takes: Any, gets: dict[str, str]) -> None:
    """One required input gets the slot, else the only one, else `slot` itself, else none."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = CronTrigger("0 * * * *", takes)
        door = engine.door(trigger)
        frozen.tick(hours(1))
        engine.poll(trigger, door)
    assert engine.inputs() == [gets]


def test_two_alike_bear_the_same_name() -> None:
    """The engine can tell duplicates by their names; options of another kind make none."""
    assert CronTrigger("0 6 * * *", NIGHTLY).name == CronTrigger("0 6 * * *", "nightly").name
    assert CronTrigger("0 6 * * *", NIGHTLY, name="mine").name == "mine"
    assert CronTrigger("0 6 * * *", NIGHTLY).revision() != (
        CronTrigger("0 6 * * *", NIGHTLY, tz="Europe/Paris").revision()
    )


def test_one_trigger_serves_two_engines(engine: PaperEngine) -> None:
    """What is remembered belongs to the door, so a second log has its own firings."""
    from eventstore import open_log  # noqa: PLC0415

    other = PaperEngine(open_log("sqlite:///:memory:"))
    trigger = CronTrigger("0 * * * *", NIGHTLY)
    with freeze_time("2026-01-01 00:30") as frozen:
        doors = [(one, one.door(trigger)) for one in (engine, other)]
        for _ in range(3):
            for one, door in doors:
                one.poll(trigger, door)
            frozen.tick(hours(1))
    assert slots(engine) == slots(other) == ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
    other.log.close()


def test_opening_and_closing_leave_no_thread(engine: PaperEngine) -> None:
    """Clocks need no background: the engine's own clock wakes them."""
    import threading  # noqa: PLC0415

    before = threading.active_count()
    trigger = CronTrigger("0 * * * *", NIGHTLY)
    trigger.open(engine.door(trigger))
    assert threading.active_count() == before
    trigger.close()
