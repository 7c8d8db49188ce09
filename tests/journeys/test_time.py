"""Time: freezegun alone drives timers, triggers and the engine on its background threads."""

import asyncio
import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    AtTrigger,
    ClockStandsStill,
    Context,
    CronTrigger,
    DefinitionError,
    Engine,
    IntervalTrigger,
    PlayheadError,
    Timer,
    Workflow,
    step,
)
from tests.journeys.conftest import START


@step
def later(hold: datetime, x: int) -> int:
    return x


@step
def stamp(slot: datetime) -> str:
    return slot.isoformat()


@step
def bare() -> int:
    return 1


stamped = Workflow("stamped", steps=[stamp])
plain = Workflow("plain", steps=[bare])


def sleeping(delay):
    return Workflow("sleeping", steps=[Timer("hold", delay), later])


def walk(engine, frozen, until):
    """Walk the frozen clock through every due moment up to a time."""
    engine.run_until_idle()
    while (due := engine.next_due()) is not None and due <= until:
        frozen.move_to(due)
        engine.run_until_idle()
    frozen.move_to(until)
    engine.run_until_idle()


def test_thirty_days_pass_in_milliseconds(url, frozen):
    """A 30-day timer fires exactly 30 days later, on the frozen clock."""
    workflow = sleeping(timedelta(days=30))
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, x=1)
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(days=30)
    frozen.tick(timedelta(days=29, hours=23))
    engine.run_until_idle()
    assert run.status == "waiting"
    frozen.tick(timedelta(hours=1))
    engine.run_until_idle()
    assert run.result(timeout=1) == 1
    assert run.ended_at == START + timedelta(days=30)


def test_next_due_is_later_than_now_after_running_until_idle(url, frozen):
    """After `run_until_idle()` the next due time is later than now, or None."""
    steps = [Timer("hold", 5), later]
    workflow = Workflow("sleeping", steps=steps)

    @step
    @retry(wait=wait_fixed(3), stop=stop_after_attempt(4))
    def flaky() -> int:
        raise OSError

    broken = Workflow("broken", steps=[flaky])
    engine = Engine(
        url, workflows=[workflow, broken, plain], triggers=[IntervalTrigger(7, plain)]
    )
    engine.start(workflow, x=1)
    engine.start(broken)
    for _ in range(20):
        engine.run_until_idle()
        due = engine.next_due()
        assert due > datetime.now(UTC)  # noqa: TID251
        assert due.utcoffset() == timedelta(0)
        frozen.move_to(due)


def test_nothing_is_due_where_nothing_waits(url, frozen):
    """`next_due()` of an engine without runs or triggers is None."""
    engine = Engine(url, workflows=[plain])
    assert engine.next_due() is None
    engine.run_until_idle()
    assert engine.next_due() is None


def test_run_until_idle_uses_the_callers_thread(url, frozen):
    """`run_until_idle()` runs steps in the caller's thread, in the same order each time."""
    orders = []
    for _ in range(2):
        order, threads = [], set()

        def note(name, order=order, threads=threads):
            def work() -> int:
                order.append(name)
                threads.add(threading.current_thread())
                return 1

            return step(work, name=name)

        workflow = Workflow("w", steps=[note(name) for name in "dacb"])
        engine = Engine("sqlite:///:memory:", workflows=[workflow])
        for _ in range(3):
            engine.start(workflow)
        engine.run_until_idle()
        orders.append(order)
        assert threads == {threading.current_thread()}
    assert orders[0] == orders[1]
    assert len(orders[0]) == 12


def test_the_context_reads_the_frozen_clock(url, frozen):
    """`Context.now()` is the frozen time, and events carry it."""
    seen = []

    @step
    def look(ctx: Context) -> None:
        seen.append(ctx.now())

    workflow = Workflow("w", steps=[look])
    engine = Engine(url, workflows=[workflow])
    frozen.move_to("2031-05-06T07:08:09.123456+00:00")
    run = engine.start(workflow)
    engine.run_until_idle()
    moment = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    assert seen == [moment]
    assert {e.at for e in engine.history(run)} == {moment}


def test_engine_run_on_a_frozen_clock_with_only_a_timer_left(url, frozen):
    """`engine.run` raises `ClockStandsStill` with the due time; the run is still there."""
    workflow = sleeping(3600)
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(ClockStandsStill, match="2030-01-01.01:00:00"):  # noqa: RUF043
        engine.run(workflow, x=1, key="k")
    run = engine.start(workflow, x=1, key="k")
    assert run.status == "waiting"
    frozen.tick(3600)
    assert engine.run(workflow, x=1, key="k") == 1


def test_engine_run_waits_for_a_short_timer_on_the_real_clock(url):
    """On the real clock `engine.run` waits for the timer and gives the result."""
    workflow = sleeping(0.2)
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow, x=4) == 4


def test_a_suspended_laptop_wakes_to_everything_due(url, frozen):
    """After a jump over many due times everything due happens, nothing twice."""
    attempts = []

    @step
    @retry(wait=wait_fixed(600), stop=stop_after_attempt(3))
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError
        return 3

    broken = Workflow("broken", steps=[flaky])
    workflow = sleeping(60)
    engine = Engine(url, workflows=[broken, workflow])
    one, two = engine.start(broken), engine.start(workflow, x=1)
    engine.run_until_idle()
    frozen.tick(timedelta(days=3))
    engine.run_until_idle()
    assert two.status == "succeeded"
    assert len(attempts) == 2, "the second wait begins when the attempt has failed"
    frozen.tick(600)
    engine.run_until_idle()
    assert one.result(timeout=1) == 3


def test_a_clock_set_back_does_nothing_twice(url, frozen):
    """After the clock goes back, waits end at their recorded times; nothing is repeated."""
    workflow = sleeping(100)
    engine = Engine(url, workflows=[workflow, plain])
    run = engine.start(workflow, x=1)
    engine.run_until_idle()
    frozen.move_to(START - timedelta(hours=1))
    engine.run_until_idle()
    assert engine.run(plain) == 1
    assert run.status == "waiting"
    frozen.move_to(START + timedelta(seconds=100))
    engine.run_until_idle()
    assert run.result(timeout=1) == 1
    assert [e.version for e in engine.history(run)] == list(
        range(1, len(engine.history(run)) + 1)
    )


# --- triggers ------------------------------------------------------------------------------


def test_an_interval_fires_again_and_again(url, frozen):
    """`IntervalTrigger` starts a run at each interval, each with its slot."""
    engine = Engine(
        url, workflows=[stamped], triggers=[IntervalTrigger(timedelta(minutes=10), stamped)]
    )
    walk(engine, frozen, START + timedelta(minutes=35))
    runs = list(reversed(engine.runs()))
    assert {run.status for run in runs} == {"succeeded"}
    slots = [datetime.fromisoformat(run.inputs["slot"]) for run in runs]
    assert len(slots) in (3, 4)
    assert all(b - a == timedelta(minutes=10) for a, b in itertools.pairwise(slots))
    assert [run.started_at for run in runs] == slots


def test_a_cron_slot_in_its_zone(url, frozen):
    """`CronTrigger` fires at the wall-clock time of its zone, summer and winter."""
    trigger = CronTrigger("30 6 * * *", stamped, tz="Europe/Paris")
    engine = Engine(url, workflows=[stamped], triggers=[trigger])
    engine.run_until_idle()
    assert engine.next_due() == datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    frozen.move_to(engine.next_due())
    engine.run_until_idle()
    assert len(engine.runs()) == 1
    assert engine.next_due() == datetime(2030, 1, 2, 5, 30, tzinfo=UTC)
    frozen.move_to(datetime(2030, 7, 1, 4, 0, tzinfo=UTC))
    engine.run_until_idle()
    assert engine.next_due() == datetime(2030, 7, 1, 4, 30, tzinfo=UTC)


def test_at_fires_once(url, frozen):
    """`AtTrigger` fires once at its moment."""
    moment = START + timedelta(days=2)
    engine = Engine(url, workflows=[plain], triggers=[AtTrigger(moment, plain)])
    engine.run_until_idle()
    assert engine.next_due() == moment
    frozen.move_to(moment)
    engine.run_until_idle()
    engine.run_until_idle()
    assert len(engine.runs()) == 1
    assert engine.next_due() is None


def test_at_fires_once_over_restarts(file_url, frozen):
    """A moment that passed while nothing ran fires at the next start, once for all engines."""
    moment = START + timedelta(days=2)

    def engine():
        return Engine(file_url, workflows=[plain], triggers=[AtTrigger(moment, plain)])

    engine().run_until_idle()
    frozen.move_to(moment + timedelta(hours=5))
    for _ in range(3):
        engine().run_until_idle()
    assert len(engine().runs()) == 1
    assert engine().runs()[0].status == "succeeded"


def test_two_engines_fire_a_slot_once(file_url, frozen):
    """Two engines with the same trigger start one run for each slot."""
    engines = [
        Engine(file_url, workflows=[plain], triggers=[IntervalTrigger(60, plain)])
        for _ in range(2)
    ]
    for _ in range(5):
        for engine in engines:
            engine.run_until_idle()
        frozen.tick(60)
    started = [run.started_at for run in engines[0].runs()]
    assert len(started) == len(set(started))


def test_the_input_of_a_firing_may_be_mapped(url, frozen):
    """`input=` maps a firing to the workflow's inputs; `Firing.at` is the slot itself."""

    @step
    def take(when: datetime, trigger: str) -> str:
        return f"{when.isoformat()} {trigger}"

    workflow = Workflow("w", steps=[take])
    trigger = IntervalTrigger(
        60, workflow, name="tick", input=lambda f: {"when": f.at, "trigger": f.trigger}
    )
    engine = Engine(url, workflows=[workflow], triggers=[trigger])
    engine.run_until_idle()
    due = engine.next_due() or START
    frozen.move_to(due + timedelta(seconds=1))
    engine.run_until_idle()
    row = engine.runs()[-1]
    assert engine.get(row.id).result(timeout=1).endswith(" tick")
    assert row.key.startswith("tick/")


@pytest.mark.parametrize(
    "make",
    [
        lambda: CronTrigger("61 6 * * *", plain),
        lambda: CronTrigger("often", plain),
        lambda: CronTrigger("0 6 * * *", plain, tz="Mars/Olympus"),
        lambda: IntervalTrigger(0, plain),
        lambda: IntervalTrigger(-5, plain),
        lambda: IntervalTrigger(float("nan"), plain),
        lambda: AtTrigger(datetime(2031, 1, 1), plain),  # noqa: DTZ001
    ],
)
def test_a_trigger_that_cannot_be_right_is_refused(url, make):
    """A wrong expression, zone, interval or naive moment is refused when the trigger is made."""
    with pytest.raises((PlayheadError, ValueError)):
        Engine(url, workflows=[plain], triggers=[make()])


def test_two_triggers_alike_are_refused(url):
    """Two triggers of the same name are refused; `name=` tells them apart."""
    with pytest.raises(DefinitionError, match="name"):
        Engine(
            url,
            workflows=[plain],
            triggers=[IntervalTrigger(5, plain), IntervalTrigger(5, plain)],
        )
    Engine(
        url,
        workflows=[plain],
        triggers=[IntervalTrigger(5, plain), IntervalTrigger(5, plain, name="other")],
    )


# --- in the background ---------------------------------------------------------------------


def test_the_background_engine_lives_on_the_frozen_clock(url, frozen, until):
    """With `with engine:` a tick of the frozen clock wakes the timer; without it, nothing."""
    workflow = sleeping(timedelta(days=30))
    engine = Engine(url, workflows=[workflow, plain])
    with engine:
        run = engine.start(workflow, x=1)
        until(lambda: run.status == "waiting")
        assert engine.start(plain).result(timeout=10) == 1
        assert run.status == "waiting"
        frozen.tick(timedelta(days=30))
        assert run.result(timeout=10) == 1
    assert run.ended_at == START + timedelta(days=30)


def test_the_background_engine_retries_on_the_frozen_clock(url, frozen, until):
    """Retries of the background engine come with the ticks of the frozen clock."""
    attempts = []

    @step
    @retry(wait=wait_fixed(3600), stop=stop_after_attempt(3))
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError
        return 3

    workflow = Workflow("w", steps=[flaky])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow)
        for count in (1, 2):
            until(lambda count=count: len(attempts) == count and run.status == "waiting")
            frozen.tick(3600)
        assert run.result(timeout=10) == 3


def test_the_background_engine_fires_triggers_on_the_frozen_clock(url, frozen, until):
    """Intervals fire in the background as the frozen clock ticks."""
    engine = Engine(url, workflows=[plain], triggers=[IntervalTrigger(3600, plain)])
    with engine:
        until(lambda: engine.next_due() is not None)
        before = len(engine.runs())
        frozen.tick(3600)
        until(lambda: len(engine.runs(status="succeeded")) == before + 1)


def test_an_async_step_sleeps_in_real_time_under_a_frozen_clock(url, frozen):
    """The engine's own loop reads the real clock: frozen time does not hang an async step."""

    @step
    async def nap() -> str:
        await asyncio.sleep(0.05)
        return "awake"

    workflow = Workflow("w", steps=[nap])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.result(timeout=1) == "awake"
    with engine:
        assert engine.start(workflow).result(timeout=10) == "awake"


def test_result_waits_in_real_time(url, frozen):
    """`result(timeout=)` is real time: on a frozen clock it still ends."""
    workflow = sleeping(60)
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow, x=1)
        with pytest.raises(TimeoutError):
            run.result(timeout=0.2)
