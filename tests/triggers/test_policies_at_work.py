"""Catch-up, overlap, jitter, pause and backfill: it happens, it is refused, it stays quiet."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from freezegun import freeze_time

from engine.doors import DoorShut
from engine.errors import DefinitionError
from engine.triggering import Fired
from engine.triggerview import TriggerView
from eventstore import clock, open_log
from eventstore.event import NewEvent
from eventstore.store import Append, Row, Write
from triggers import CronTrigger, IntervalTrigger, policies, signal
from triggers.policies import delay_of
from triggers.schedule import text_of
from triggers.start import Declined
from triggers.testing import PaperEngine, workflow

NIGHTLY = workflow("nightly")
MINUTE = 60 * clock.SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Compensating(PaperEngine):
    """An engine whose runs take their time to be cancelled."""

    def cancel(self, run: str, *, by: str, reason: str) -> None:
        """Begin a cancel; `end(run, "cancelled")` ends it."""
        del by
        self.cancelled.append(run)
        self.reasons = [*getattr(self, "reasons", []), reason]
        head = self.log.head(run)
        event = NewEvent("run.cancelling", "run", "running", "cancelling", "{}", clock.now_us())
        write = Write(run, "run", head.tip, (event,), Row(status="cancelling"))
        self.log.append(Append(clock.new_id(), (write,)))


@pytest.fixture
def slow() -> Iterator[Compensating]:
    """An engine whose runs compensate when they are cancelled."""
    log = open_log("sqlite:///:memory:")
    yield Compensating(log)
    log.close()


def slots(engine: PaperEngine) -> list[str]:
    """Give the times of day of the slots that started runs."""
    return [told["key"].partition("/")[2][11:16] for told in engine.started()]


def declined(engine: PaperEngine, trigger: Any) -> list[tuple[str, str, int]]:
    """Give reason, time of day and count of what was declined."""
    return [
        (told["reason"], told["key"][11:16], told.get("count", 1))
        for type_, told in engine.told(trigger)
        if type_ == "trigger.declined"
    ]


def runs(engine: PaperEngine) -> list[str]:
    """Give the ids of the runs started, in order."""
    return [told["run"] for told in engine.started()]


def hourly(**options: Any) -> CronTrigger:
    """Give a trigger of every full hour."""
    return CronTrigger("0 * * * *", NIGHTLY, name="hourly", **options)


# Catch-up.


def test_catchup_none_fires_what_is_on_time(engine: PaperEngine) -> None:
    """Sixty seconds late still counts; a microsecond more is missed, and told."""
    trigger = hourly(catchup="none")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 01:01:00")
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 02:01:00.000001")
        engine.poll(trigger, door)
    assert slots(engine) == ["01:00"]
    assert declined(engine, trigger) == [("missed", "02:00", 1)]


def test_catchup_none_after_a_downtime_fires_the_last_if_on_time(engine: PaperEngine) -> None:
    """Five hours away, back half a minute after the hour: the hour fires, four are missed."""
    trigger = hourly(catchup="none")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 05:00:30")
        engine.poll(trigger, door)
    assert slots(engine) == ["05:00"]
    assert declined(engine, trigger) == [("missed", "04:00", 4)]


def test_catchup_none_stays_quiet_on_a_clock_that_walks(engine: PaperEngine) -> None:
    """From due moment to due moment each slot is on time, and nothing is missed."""
    trigger = hourly(catchup="none", jitter=1800)
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        due = engine.poll(trigger, door)
        for _ in range(5):
            assert due is not None
            frozen.move_to(clock.from_us(due).replace(tzinfo=None))
            due = engine.poll(trigger, door)
    assert slots(engine) == ["01:00", "02:00", "03:00", "04:00", "05:00"]
    assert declined(engine, trigger) == []


def test_catchup_all_has_a_bound(engine: PaperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten slots, with a bound of four, the newest four fire in order and six are missed."""
    monkeypatch.setattr("triggers.policies.MOST", 4)
    monkeypatch.setitem(policies.KEEP, "all", 5)
    trigger = hourly(catchup="all")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 10:30")
        engine.poll(trigger, door)
        engine.poll(trigger, door)
    assert slots(engine) == ["07:00", "08:00", "09:00", "10:00"]
    assert declined(engine, trigger) == [("missed", "06:00", 6)]


def test_an_interval_has_the_same_policies(engine: PaperEngine) -> None:
    """Every hour from half past, three slots missed: with catchup="all" each of them runs."""
    trigger = IntervalTrigger(3600, NIGHTLY, catchup="all", overlap="wait", name="beat")
    assert trigger.hears == "nightly"
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 03:40")
        for started in (1, 2, 3):
            engine.poll(trigger, door)
            assert len(runs(engine)) == started
            engine.end(runs(engine)[-1])
    assert slots(engine) == ["01:30", "02:30", "03:30"]


# Overlap: skip.


def test_overlap_skip_passes_a_slot_over_while_a_run_lives(engine: PaperEngine) -> None:
    """The run of one o'clock lives on: two is declined, and three starts when it has ended."""
    trigger = hourly(overlap="skip")
    assert trigger.hears == "nightly"
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        for hour in (1, 2, 3):
            engine.poll(trigger, door)
            if hour == 3:
                engine.end(runs(engine)[0])
            frozen.move_to(f"2026-01-01 0{hour}:00:01")
            assert engine.poll(trigger, door) == clock.now_us() + HOUR - clock.SECOND
        state = door.state()
    assert slots(engine) == ["01:00", "03:00"]
    assert declined(engine, trigger) == [("overlap", "02:00", 1)]
    assert text_of(state.watermark) == "2026-01-01T03:00:00Z"


def test_overlap_skip_stays_quiet_between_slots(engine: PaperEngine) -> None:
    """The end of a run starts nothing: what was passed over is over."""
    trigger = hourly(overlap="skip")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 02:00")
        engine.poll(trigger, door)
        engine.end(runs(engine)[0])
        assert trigger.ended(door, clock.now_us()) == clock.now_us() + HOUR
    assert slots(engine) == ["01:00"]


def test_overlap_skip_tells_the_missed_ones_apart(engine: PaperEngine) -> None:
    """Three slots away with a run alive: two were missed, the one that would fire overlaps."""
    trigger = hourly(overlap="skip")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 04:00")
        engine.poll(trigger, door)
    assert declined(engine, trigger) == [("missed", "03:00", 2), ("overlap", "04:00", 1)]


# Overlap: wait.


def test_overlap_wait_puts_the_slot_off_to_the_end(engine: PaperEngine) -> None:
    """Slots of two, three and four wait, unwritten; at the end the latest fires."""
    trigger = hourly(overlap="wait")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        engine.poll(trigger, door)
        for hour in (2, 3, 4):
            frozen.move_to(f"2026-01-01 0{hour}:00")
            assert engine.poll(trigger, door) is None
        assert len(engine.told(trigger)) == 2  # armed, fired: the watermark waits
        frozen.move_to("2026-01-01 04:20")
        engine.end(runs(engine)[0])
        assert trigger.ended(door, clock.now_us()) == clock.now_us() + 40 * MINUTE
    assert slots(engine) == ["01:00", "04:00"]
    assert declined(engine, trigger) == [("missed", "03:00", 2)]


def test_overlap_wait_with_catchup_all_takes_each_in_its_turn(engine: PaperEngine) -> None:
    """Each slot starts after the end of the one before, also by another daemon."""
    trigger = hourly(overlap="wait", catchup="all")
    with freeze_time("2026-01-01 00:30") as frozen:
        engine.poll(trigger, engine.door(trigger))
        frozen.move_to("2026-01-01 03:30")
        for hour in (1, 2, 3):
            for _ in range(2):
                other = hourly(overlap="wait", catchup="all")
                due = engine.poll(other, engine.door(other))
            assert slots(engine) == [f"0{n}:00" for n in range(1, hour + 1)]
            engine.end(runs(engine)[-1])
        assert due == clock.now_us() + 30 * MINUTE
    assert declined(engine, trigger) == []


def test_a_daemon_that_looked_too_early_starts_no_second_run(engine: PaperEngine) -> None:
    """Between its look and its firing another daemon was first: it sees that run, and waits."""
    options = {"overlap": "wait", "catchup": "all"}
    with freeze_time("2026-01-01 00:30") as frozen:
        first, second = hourly(**options), hourly(**options)
        door, other = engine.door(first), engine.door(second)
        engine.poll(first, door)
        engine.poll(second, other)
        frozen.move_to("2026-01-01 02:30")
        fire = second.start.fire

        def fire_too_late(*args: Any, **more: Any) -> Any:
            engine.poll(first, door)
            return fire(*args, **more)

        second.start.fire = fire_too_late  # type: ignore[method-assign]
        assert engine.poll(second, other) is None
    assert slots(engine) == ["01:00"]


def test_overlap_wait_goes_on_when_a_slot_starts_nothing(engine: PaperEngine) -> None:
    """A slot whose inputs are refused is declined, and the next one has its turn at once."""
    trigger = hourly(
        overlap="wait", catchup="all", input=lambda firing: {"n": 1 / (firing.at.hour - 1)}
    )
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 02:30")
        engine.poll(trigger, door)
    assert slots(engine) == ["02:00"]
    assert [reason[:20] for reason, *_ in declined(engine, trigger)] == ["input= failed: ZeroD"]


# Overlap: cancel.


def test_overlap_cancel_fires_when_the_run_has_ended(slow: Compensating) -> None:
    """At two the run of one is cancelled, once; the slot fires when compensation is done."""
    trigger = hourly(overlap="cancel")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = slow.door(trigger)
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 02:00")
        for _ in range(3):
            assert slow.poll(trigger, door) is None
        assert slow.cancelled == runs(slow)
        assert slots(slow) == ["01:00"]
        frozen.move_to("2026-01-01 02:10")
        slow.end(runs(slow)[0], "cancelled")
        assert trigger.ended(door, clock.now_us()) == clock.now_us() + 50 * MINUTE
    assert slots(slow) == ["01:00", "02:00"]
    assert slow.reasons == ["slot 2026-01-01T02:00:00Z of trigger 'hourly' has come"]
    assert declined(slow, trigger) == []


def test_a_crash_between_cancel_and_start_loses_no_slot(slow: Compensating) -> None:
    """The next daemon finds the slot unsettled: it waits for the same end, and fires."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = hourly(overlap="cancel")
        door = slow.door(trigger)
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 02:00")
        slow.poll(trigger, door)
        trigger = hourly(overlap="cancel")
        door = slow.door(trigger)
        assert slow.poll(trigger, door) is None
        slow.end(runs(slow)[0], "cancelled")
        slow.poll(trigger, door)
    assert slots(slow) == ["01:00", "02:00"]
    assert len(slow.cancelled) == 1


def test_overlap_cancel_where_nothing_lives_cancels_nothing(slow: Compensating) -> None:
    """Runs that have ended by themselves are left alone."""
    trigger = hourly(overlap="cancel")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = slow.door(trigger)
        for hour in (1, 2, 3):
            slow.poll(trigger, door)
            frozen.move_to(f"2026-01-01 0{hour}:00")
            slow.poll(trigger, door)
            slow.end(runs(slow)[-1])
    assert slots(slow) == ["01:00", "02:00", "03:00"]
    assert slow.cancelled == []


def test_a_slot_noticed_in_time_may_wait_for_the_end(slow: Compensating) -> None:
    """With catchup="none" ten minutes of compensation do not make it late."""
    trigger = hourly(overlap="cancel", catchup="none")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = slow.door(trigger)
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 01:00")
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 02:00")
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 02:10")
        slow.end(runs(slow)[0], "cancelled")
        slow.poll(trigger, door)
        frozen.move_to("2026-01-01 03:10")  # nobody looked at three: missed, nothing cancelled
        slow.poll(trigger, door)
    assert slots(slow) == ["01:00", "02:00"]
    assert declined(slow, trigger) == [("missed", "03:00", 1)]
    assert len(slow.cancelled) == 1


# Jitter.


def test_jitter_puts_a_slot_off_and_tells_its_moment(engine: PaperEngine) -> None:
    """Due is slot + delay; what fires is the slot itself, for every daemon alike."""
    trigger = hourly(jitter=datetime.timedelta(minutes=30))
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        slot = clock.now_us() + 30 * MINUTE
        moment = slot + delay_of("hourly", slot, 30 * MINUTE)
        assert slot < moment < slot + 30 * MINUTE
        assert engine.poll(trigger, door) == moment
        other = hourly(jitter=1800)
        assert engine.poll(other, engine.door(other)) == moment
        frozen.move_to(clock.from_us(moment - 1).replace(tzinfo=None))
        assert engine.poll(trigger, door) == moment
        assert slots(engine) == []
        frozen.tick(datetime.timedelta(microseconds=1))
        engine.poll(trigger, door)
        engine.poll(other, engine.door(other))
    (started,) = engine.started()
    assert started["key"] == "hourly/2026-01-01T01:00:00Z"
    fired = dict(engine.told(trigger))["trigger.fired"]
    assert fired["facts"] == {"slot": "2026-01-01T01:00:00Z"}
    assert fired["slot"] == slot


def test_jitter_wider_than_the_schedule_keeps_the_order(engine: PaperEngine) -> None:
    """Minutely slots with an hour of jitter: in order, each once, none before its moment."""
    trigger = CronTrigger("* * * * *", NIGHTLY, jitter=3600, catchup="all", name="dense")
    with freeze_time("2026-01-01 00:00") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        for _ in range(40):
            frozen.tick(datetime.timedelta(minutes=7))
            before = len(slots(engine))
            engine.poll(trigger, door)
            now = clock.now_us()
            for told in engine.started()[before:]:
                slot = clock.to_us(datetime.datetime.fromisoformat(told["key"][6:]))
                assert slot + delay_of("dense", slot, HOUR) <= now
    keys = [told["key"] for told in engine.started()]
    assert len(keys) > 200
    assert keys == sorted(set(keys))
    assert keys[0] == "dense/2026-01-01T00:01:00Z"
    assert declined(engine, trigger) == []


# Paused.


def test_slots_passed_while_paused_are_told_and_never_fire(engine: PaperEngine) -> None:
    """Three slots pass: one decline with their count; after the resume the next one fires."""
    trigger = hourly(catchup="all")
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        engine.door(trigger).pause()
        frozen.move_to("2026-01-01 03:30")
        for _ in range(3):
            assert engine.poll(trigger, door) is None
        assert declined(engine, trigger) == [("paused", "03:00", 3)]
        engine.door(trigger).resume()
        assert engine.poll(trigger, door) == clock.now_us() + 30 * MINUTE
        frozen.move_to("2026-01-01 04:00")
        engine.poll(trigger, door)
    assert slots(engine) == ["04:00"]


def test_a_slot_passed_while_paused_is_counted_once(engine: PaperEngine) -> None:
    """However often one looks before the count is written: one, then one more."""
    trigger = hourly()
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        door.pause()
        for hour in (1, 2):
            frozen.move_to(f"2026-01-01 0{hour}:30")
            for _ in range(3):
                engine.poll(trigger, door)
        door.flush(clock.now_us(), all_=True)
    assert declined(engine, trigger) == [("paused", "01:00", 1), ("paused", "02:00", 1)]


def test_a_resume_tells_what_had_gathered(engine: PaperEngine) -> None:
    """Minutely, paused for ten minutes: ten slots are told, the last of them at the resume."""
    trigger = CronTrigger("* * * * *", NIGHTLY, name="dense")
    with freeze_time("2026-01-01 00:00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        door.pause()
        for _ in range(10):
            frozen.tick(datetime.timedelta(minutes=1))
            engine.poll(trigger, door)
        door.resume()
    told = declined(engine, trigger)
    assert {reason for reason, *_ in told} == {"paused"}
    assert sum(many for *_, many in told) == 10
    assert len(told) < 6


def test_a_resume_from_elsewhere_loses_nothing_that_had_gathered(engine: PaperEngine) -> None:
    """As `playhead triggers resume` does: the door tells the rest later, once, and fires on."""
    trigger = CronTrigger("* * * * *", NIGHTLY, name="dense")
    with freeze_time("2026-01-01 00:00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        view = TriggerView(engine.log, "dense")
        assert view.pause(by="ann")
        for _ in range(10):
            frozen.tick(datetime.timedelta(minutes=1))
            engine.poll(trigger, door)
        assert view.resume(by="ann")
        for _ in range(3):
            frozen.tick(datetime.timedelta(minutes=1))
            engine.poll(trigger, door)
            door.flush(clock.now_us(), all_=True)
    told = declined(engine, trigger)
    assert {reason for reason, *_ in told} == {"paused"}
    assert sum(many for *_, many in told) == 10
    assert slots(engine) == ["00:11", "00:12", "00:13"]


def test_a_schedule_that_was_changed_while_paused_tells_nothing_yet(
    engine: PaperEngine,
) -> None:
    """Its slots count from its arming, and a paused trigger arms no new revision."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = hourly()
        door = engine.door(trigger)
        engine.poll(trigger, door)
        door.pause()
        changed = hourly(catchup="all")
        frozen.move_to("2026-01-01 03:30")
        assert engine.poll(changed, engine.door(changed)) is None
    assert declined(engine, trigger) == []


def test_between_slots_the_log_is_left_alone(
    engine: PaperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that comes before the next slot asks nobody; one that has no slot neither."""
    trigger = hourly()
    once = CronTrigger("0 0 29 2 *", NIGHTLY, name="leap")
    with freeze_time("2026-01-01 00:30"):
        doors = [(one, engine.door(one)) for one in (trigger, once)]
        dues = [engine.poll(one, door) for one, door in doors]
        for _, door in doors:
            monkeypatch.setattr(door, "state", None)
        assert [engine.poll(one, door) for one, door in doors] == dues


def test_a_pause_without_a_slot_says_nothing(engine: PaperEngine) -> None:
    """Paused at half past, resumed before the hour: as if nothing had been."""
    trigger = hourly()
    with freeze_time("2026-01-01 00:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        door.pause()
        frozen.move_to("2026-01-01 00:40")
        engine.poll(trigger, door)
        door.resume()
        frozen.move_to("2026-01-01 01:00")
        engine.poll(trigger, door)
    assert slots(engine) == ["01:00"]
    assert declined(engine, trigger) == []


# Backfill.


def span(begin: str, end: str) -> tuple[int, int]:
    """Give two moments of 2026-01-01 in microseconds."""
    moments = (datetime.datetime.fromisoformat(f"2026-01-01T{m}+00:00") for m in (begin, end))
    first, last = map(clock.to_us, moments)
    return first, last


def test_a_backfill_fires_what_was_missed_and_what_was_before(engine: PaperEngine) -> None:
    """Both ends count; what has fired is a duplicate; the firing says where it is from."""
    trigger = hourly()
    with freeze_time("2026-01-01 02:30") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 05:30")
        engine.poll(trigger, door)
        state = door.state()
        assert declined(engine, trigger) == [("missed", "04:00", 2)]
        became = list(trigger.backfill(door, *span("01:00", "05:00")))
        again = list(trigger.backfill(door, *span("01:00", "05:00")))
        assert door.state().watermark == state.watermark
    assert [text_of(slot)[11:16] for slot, _ in became] == [
        "01:00", "02:00", "03:00", "04:00", "05:00",
    ]  # fmt: skip
    assert [isinstance(one, Fired) and one.duplicate for _, one in became] == [False] * 4 + [
        True
    ]
    assert all(isinstance(one, Fired) and one.duplicate for _, one in again)
    assert slots(engine) == ["05:00", "01:00", "02:00", "03:00", "04:00"]
    facts = [told["facts"] for type_, told in engine.told(trigger) if type_ == "trigger.fired"]
    assert facts[0] == {"slot": "2026-01-01T05:00:00Z"}
    assert facts[1] == {"slot": "2026-01-01T01:00:00Z", "origin": "backfill"}


def test_a_backfill_of_what_has_not_come_is_refused(engine: PaperEngine) -> None:
    """Up to now and no further, and not backwards; nothing is started, not even asked for."""
    trigger = hourly()
    with freeze_time("2026-01-01 02:30"):
        door = engine.door(trigger)
        with pytest.raises(DefinitionError, match=r"03:00:00Z has not come yet.*02:30:00Z"):
            trigger.backfill(door, *span("01:00", "03:00"))
        with pytest.raises(DefinitionError, match=r"03:00:00Z has not come yet"):
            trigger.backfill(door, *span("03:00", "02:30"))
        with pytest.raises(DefinitionError, match="lies after"):
            trigger.backfill(door, *span("02:00", "01:00"))
        assert list(trigger.backfill(door, *span("01:10", "01:50"))) == []
    assert slots(engine) == []


def test_a_backfill_takes_no_notice_of_policies(engine: PaperEngine) -> None:
    """Neither a run alive nor jitter holds it back; a paused trigger does."""
    trigger = hourly(overlap="skip", jitter=3000)
    with freeze_time("2026-01-01 03:00"):
        door = engine.door(trigger)
        engine.poll(trigger, door)
        assert len(list(trigger.backfill(door, *span("01:00", "03:00")))) == 3
        assert len(door.live()) == 3
        door.pause()
        with pytest.raises(DoorShut, match="paused"):
            list(trigger.backfill(door, *span("00:00", "00:00")))
    assert slots(engine) == ["01:00", "02:00", "03:00"]


def test_a_backfill_that_starts_nothing_is_told(engine: PaperEngine) -> None:
    """Refused inputs of an old slot are declined though it is settled; nothing else moves."""
    trigger = hourly(input=lambda firing: {"n": 1 / (firing.at.hour - 1)}, jitter=3000)
    with freeze_time("2026-01-01 01:00"):
        door = engine.door(trigger)
        engine.poll(trigger, door)
        watermark = door.state().watermark
        ((_, became),) = trigger.backfill(door, *span("01:00", "01:00"))
        assert isinstance(became, Declined)
        assert became.reason == "input= failed: ZeroDivisionError: division by zero"
        assert door.state().watermark == watermark
    assert declined(engine, trigger) == [(became.reason, "01:00", 1)]


def test_what_a_backfill_fired_is_not_missed_later(engine: PaperEngine) -> None:
    """Filled by hand while no daemon looked: the next look tells only what nobody fired."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = hourly()
        engine.poll(trigger, engine.door(trigger))
        frozen.move_to("2026-01-01 05:30")
        trigger = hourly()
        door = engine.door(trigger)
        assert len(list(trigger.backfill(door, *span("02:00", "05:00")))) == 4
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 06:00")
        engine.poll(trigger, door)
    assert slots(engine) == ["02:00", "03:00", "04:00", "05:00", "06:00"]
    assert [(reason, many) for reason, _, many in declined(engine, trigger)] == [("missed", 1)]


def test_a_backfill_is_cancelled_by_no_slot_of_its_own(slow: Compensating) -> None:
    """The slot that it has fired comes up again at the next look, and cancels nothing."""
    with freeze_time("2026-01-01 00:30") as frozen:
        trigger = hourly(overlap="cancel")
        slow.poll(trigger, slow.door(trigger))
        frozen.move_to("2026-01-01 01:30")
        door = slow.door(trigger)
        assert len(list(trigger.backfill(door, *span("01:00", "01:00")))) == 1
        assert slow.poll(trigger, door) == clock.now_us() + 30 * MINUTE
    assert slow.cancelled == []


def test_an_interval_is_backfilled_from_its_arming(engine: PaperEngine) -> None:
    """Its beat begins there: before that it has no slots."""
    trigger = IntervalTrigger(3600, NIGHTLY, name="beat")
    with freeze_time("2026-01-01 01:15") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        frozen.move_to("2026-01-01 03:30")
        found = [slot for slot, _ in trigger.backfill(door, *span("00:00", "03:30"))]
    assert [text_of(slot)[11:16] for slot in found] == ["02:15", "03:15"]


# What contradicts.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"overlap": "skip", "catchup": "all"}, "contradict each other.*write overlap='wait'"),
        ({"overlap": "wait", "catchup": "none"}, "contradict each other.*write overlap='skip'"),
        ({"overlap": "cancel", "catchup": "all"}, "contradict.*write catchup='latest'"),
        ({"overlap": "wiat"}, "overlap='wiat' is none of .* did you mean 'wait'"),
        ({"catchup": "last"}, "catchup='last' is none of .* did you mean 'latest'"),
        ({"catchup": None}, "catchup=None is none of"),
        ({"jitter": -1}, "jitter=-1 is to be nought or more"),
        ({"jitter": float("inf")}, "jitter=inf is to be a number of seconds"),
        ({"jitter": "1m"}, "jitter='1m' is to be a number of seconds"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], says: str) -> None:
    """Both recurring triggers refuse them alike, and say what to write instead."""
    for make in (hourly, lambda **more: IntervalTrigger(60, NIGHTLY, **more)):
        with pytest.raises(DefinitionError, match=says) as caught:
            make(**options)
        assert caught.value.where is not None
        assert caught.value.where.startswith("test_policies_at_work.py:")


@pytest.mark.parametrize("overlap", ["skip", "wait", "cancel"])
def test_a_signal_has_no_runs_to_overlap(overlap: str) -> None:
    """A trigger that tells a run starts none."""
    with pytest.raises(DefinitionError, match="leave overlap= out"):
        CronTrigger("0 * * * *", signal("go", to=str), overlap=overlap)


@pytest.mark.parametrize(
    ("option", "says"),
    [({"gap": "skp"}, "did you mean 'skip'"), ({"fold": "twice"}, "is none of")],
)
def test_gap_and_fold_are_words(option: dict[str, str], says: str) -> None:
    """A word that there is not is refused."""
    with pytest.raises(DefinitionError, match=says):
        hourly(**option)


def test_a_policy_belongs_to_the_revision() -> None:
    """Each option that changes slots or what becomes of them makes another revision."""
    options: list[dict[str, Any]] = [
        {}, {"catchup": "all"}, {"overlap": "wait"}, {"jitter": 5}, {"gap": "skip"},
        {"fold": "both"}, {"tz": "Europe/Paris"},
    ]  # fmt: skip
    assert len({hourly(**option).revision() for option in options}) == len(options)
    assert hourly(overlap="allow", jitter=0, gap="shift", fold="first").revision() == (
        '{"catchup":"latest","expression":"0 * * * *","kind":"cron","tz":"UTC",'
        '"workflow":"nightly"}'
    )
    assert hourly().hears is None
