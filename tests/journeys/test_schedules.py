"""Schedules on the real engine: overlaps with real runs, two daemons, a clock that is put back."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from playhead import CronTrigger, Engine, IntervalTrigger, Signal, Timer, Workflow, step
from tests.journeys.conftest import START


@step
def begin() -> str:
    return "begun"


@step
def finish(rest: datetime) -> str:
    return "done"


@step
def approve(go: str) -> str:
    return "approved"


quick = Workflow("quick", steps=[begin])
long = Workflow(
    "long", steps=[begin, Timer("rest", timedelta(minutes=150), after=["begin"]), finish]
)
held = Workflow("held", steps=[begin, Signal("go", after=["begin"]), approve])


def engine_of(url, workflow, **options):
    trigger = CronTrigger("0 * * * *", workflow, name="hourly", **options)
    return Engine(url, workflows=[workflow], triggers=[trigger])


def walk(engine, frozen, until):
    """Go from due moment to due moment."""
    engine.run_until_idle()
    while (due := engine.next_due()) is not None and due <= until:
        frozen.move_to(due)
        engine.run_until_idle()
    frozen.move_to(until)
    engine.run_until_idle()


def told(engine, name="hourly"):
    """Give the lives of the runs, oldest first: slot, begin and end, each as time of day."""
    rows = sorted(engine.runs(limit=None), key=lambda row: row.started_at)
    return [
        (
            row.key[-9:-4],
            f"{row.started_at:%H:%M}",
            f"{row.ended_at:%H:%M}" if row.ended_at else None,
            row.status,
        )
        for row in rows
    ]


def declined(engine, name="hourly"):
    """Give reason, slot and count of what the trigger declined."""
    found = [
        json.loads(e.data)
        for e in engine.log.read(f"trigger:{name}")
        if e.type == "trigger.declined"
    ]
    return [(one["reason"], one["key"][-9:-4], one.get("count", 1)) for one in found]


def at(hour, minute=0, day=1):
    return datetime(2030, 1, day, hour, minute, tzinfo=UTC)


def test_a_slot_that_waits_starts_at_the_end_of_the_run(url, frozen):
    """A run takes two and a half hours: the slots of two and three wait, the latest starts."""
    engine = engine_of(url, long, overlap="wait")
    walk(engine, frozen, at(6, 5))
    assert told(engine) == [
        ("01:00", "01:00", "03:30", "succeeded"),
        ("03:00", "03:30", "06:00", "succeeded"),
        ("06:00", "06:00", None, "waiting"),
    ]
    assert declined(engine) == [("missed", "02:00", 1), ("missed", "05:00", 2)]


def test_slots_that_wait_for_each_other_all_start(url, frozen):
    """With catchup="all" each starts at the end of the one before, however late."""
    engine = engine_of(url, long, overlap="wait", catchup="all")
    walk(engine, frozen, at(6, 5))
    assert told(engine) == [
        ("01:00", "01:00", "03:30", "succeeded"),
        ("02:00", "03:30", "06:00", "succeeded"),
        ("03:00", "06:00", None, "waiting"),
    ]
    assert declined(engine) == []


def test_a_slot_is_passed_over_while_a_run_lives(url, frozen):
    """With overlap="skip" two and three are declined, and four starts on time."""
    engine = engine_of(url, long, overlap="skip")
    walk(engine, frozen, at(4, 5))
    assert [row[:2] for row in told(engine)] == [("01:00", "01:00"), ("04:00", "04:00")]
    assert declined(engine) == [("overlap", "02:00", 1), ("overlap", "03:00", 1)]


def test_a_slot_cancels_the_run_before_it_and_starts_when_it_has_ended(url, frozen):
    """With overlap="cancel" the run before has ended in the log before the next one begins."""
    engine = engine_of(url, held, overlap="cancel")
    walk(engine, frozen, at(2, 5))
    assert [(slot, status) for slot, _, _, status in told(engine)] == [
        ("01:00", "cancelled"),
        ("02:00", "waiting"),
    ]
    first, second = sorted(engine.runs(), key=lambda row: row.key)
    assert first.ended_at <= second.started_at
    positions = {(e.stream, e.type): e.position for e in engine.log.read_all(limit=1000)}
    assert positions[first.id, "run.cancelled"] < positions[second.id, "run.started"]
    assert declined(engine) == []


def test_overlaps_are_allowed_by_default(url, frozen):
    """Two runs side by side; nothing is declined."""
    engine = engine_of(url, long)
    walk(engine, frozen, at(2, 5))
    assert [row[3] for row in told(engine)] == ["waiting", "waiting"]
    assert declined(engine) == []


@pytest.mark.parametrize(
    "options", [{}, {"catchup": "all", "jitter": 1200}, {"overlap": "wait"}]
)
def test_two_daemons_and_a_clock_put_back_fire_no_slot_twice(file_url, frozen, options):
    """Two engines on one file, one restarted each hour; the clock goes back three hours."""
    first = engine_of(file_url, quick, **options)
    for hour, minute in [
        (0, 30),
        (1, 30),
        (2, 30),
        (0, 10),
        (1, 30),
        (2, 40),
        (3, 30),
        (4, 30),
    ]:
        frozen.move_to(at(hour, minute))
        second = engine_of(file_url, quick, **options)
        second.run_until_idle()
        first.run_until_idle()
        second.run_until_idle()
    assert [slot for slot, *_ in told(first)] == ["01:00", "02:00", "03:00", "04:00"]
    assert declined(first) == []


def test_a_suspended_laptop_is_one_jump(url, frozen):
    """Three days away with catchup="none": all is missed but the slot it woke up on."""
    engine = engine_of(url, quick, catchup="none")
    walk(engine, frozen, at(2, 30))
    frozen.move_to(at(5, 0, day=4))
    engine.run_until_idle()
    assert [slot for slot, *_ in told(engine)] == ["01:00", "02:00", "05:00"]
    assert declined(engine) == [("missed", "04:00", 74)]


def test_the_next_due_moment_counts_the_delay_in(url, frozen):
    """`next_due()` is the moment of the slot and its delay; the run knows the slot."""
    engine = engine_of(url, quick, jitter=timedelta(minutes=20))
    engine.run_until_idle()
    due = engine.next_due()
    assert at(1) < due < at(1, 20)
    walk(engine, frozen, at(1, 30))
    (row,) = engine.runs()
    assert (row.key[-9:-4], row.started_at) == ("01:00", due)


def test_a_paused_trigger_does_not_count_for_the_next_due_moment(url, frozen):
    """At once, though its slot was known before; resumed before that slot, it counts again."""
    engine = engine_of(url, quick)
    every = IntervalTrigger(timedelta(hours=5), quick, name="rare")
    both = Engine(url, workflows=[quick], triggers=[*engine.triggers.values(), every])
    both.run_until_idle()
    assert both.next_due() == START + timedelta(hours=1)
    both.trigger("hourly").pause()
    assert both.next_due() == START + timedelta(hours=5)
    both.trigger("rare").pause()
    assert both.next_due() is None
    both.run_until_idle()
    assert both.next_due() is None
    both.trigger("hourly").resume()
    both.run_until_idle()
    assert both.next_due() == START + timedelta(hours=1)


def test_a_paused_schedule_tells_what_it_let_pass(url, frozen):
    """Slots that pass are declined and nothing is due; after the resume the next one fires."""
    engine = engine_of(url, quick)
    walk(engine, frozen, at(0, 30))
    engine.doorways.doors["hourly"].pause()
    frozen.move_to(at(3, 30))
    engine.run_until_idle()
    assert engine.next_due() is None
    assert declined(engine) == [("paused", "03:00", 3)]
    engine.doorways.doors["hourly"].resume()
    walk(engine, frozen, at(4, 30))
    assert [slot for slot, *_ in told(engine)] == ["04:00"]


def test_a_question_from_a_newer_definition_changes_nothing(file_url, frozen):
    """Who only asks, pauses or resumes arms no revision: the daemon with the older one goes on."""
    engine, newer = engine_of(file_url, quick), engine_of(file_url, quick, overlap="skip")
    walk(engine, frozen, at(0, 30))
    view = newer.trigger("hourly")
    assert (view.state.fired, len(list(view.events()))) == (0, 1)
    assert view.pause(by="ann")
    assert view.resume(by="ann")
    walk(engine, frozen, at(1, 30))
    assert [slot for slot, *_ in told(engine)] == ["01:00"]


def test_a_slot_waits_on_the_engines_threads(file_url, until):
    """On the real clock: a second run starts soon after a signal has ended the first."""
    waiting = Workflow("waiting", steps=[Signal("go"), approve])
    trigger = IntervalTrigger(0.2, waiting, overlap="wait", name="beat")
    engine = Engine(file_url, workflows=[waiting], triggers=[trigger])
    with engine:
        (first,) = until(lambda: engine.runs(status="waiting"))
        until(lambda: datetime.now(UTC) > first.started_at + timedelta(seconds=0.5))  # noqa: TID251
        assert len(engine.runs()) == 1
        engine.signal(first.id, "go", "yes")
        until(lambda: len(engine.runs()) == 2)
    assert engine.get(first.id).status == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize(
    "policies",
    [
        {"overlap": "skip"},
        {"overlap": "wait"},
        {"overlap": "wait", "catchup": "all"},
        {"overlap": "cancel"},
        {"overlap": "allow", "catchup": "all", "jitter": 0.3},
    ],
    ids=str,
)
def test_two_daemons_at_once(file_url, until, policies):
    """Two open engines on one file, ten slots a second: no slot twice, no overlap."""
    pause = threading.Event()

    @step
    def work() -> str:
        pause.wait(0.15)
        return "done"

    busy = Workflow("busy", steps=[work])

    def daemon():
        trigger = IntervalTrigger(0.1, busy, name="beat", **policies)
        return Engine(file_url, workflows=[busy], triggers=[trigger])

    first, second = daemon(), daemon()
    with first, second:
        until(lambda: len(first.runs(status=["succeeded", "cancelled"], limit=None)) >= 15)
    rows = sorted(first.runs(limit=None), key=lambda row: row.started_at)
    keys = [row.key for row in rows]
    assert len(keys) == len(set(keys))
    if policies["overlap"] != "allow":
        ended = [row for row in rows if row.ended_at is not None]
        assert all(a.ended_at <= b.started_at for a, b in itertools.pairwise(ended))
