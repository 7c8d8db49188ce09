"""Turns that meet, fail or come late: the line, the flights and the slots stay right."""

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from freezegun import freeze_time

from engine import background
from engine.core import commands as c
from engine.core.run import StepState
from engine.driver import Driver
from engine.flights import Crew, Flight, Slot
from engine.repository import Hold
from engine.turn import Turn
from engine.worker import ASYNC_SLOTS
from eventstore import Append, NewEvent, Tip, clock
from eventstore.errors import StorageBusy
from playhead import Engine, Workflow, step
from tests.engine.hurting import break_down_once
from tests.playhead.served import wait_until

DONE = c.Value(raw=msgspec.Raw(b"null"))
performed: list[str] = []


@step
def one() -> None:
    performed.append("one")


@step
def two() -> None:
    performed.append("two")


@step(after=["one"])
def three() -> None:
    performed.append("three")


@step(after=["one"])
def four() -> None:
    performed.append("four")


fork = Workflow("fork", steps=[one, two, three, four])
single = Workflow("single", steps=[one])


class Desk(Driver):
    """A driver whose flights stay on the ground; one turn can be held before it is settled."""

    def __init__(self, engine: Engine, slots: int) -> None:
        super().__init__(engine.turns, Crew(slots, "desk"))
        engine.worker.drivers.add(self)
        self.flights: dict[str, Flight] = {}
        self.is_held = False
        self.taken, self.leave = threading.Event(), threading.Event()
        self.hold: Hold = engine.start_here(
            fork, {}, key=None, at=None, priority=0, tags=None, driver=self
        )

    def launch(self, flights: list[Flight]) -> None:
        self.flights |= {flight.step: flight for flight in flights}

    def settle(self, hold: Hold, turn: Turn) -> None:
        if self.is_held and not self.taken.is_set():
            self.taken.set()
            assert self.leave.wait(30)
        super().settle(hold, turn)


def success(flight: Flight) -> c.Command:
    return c.Succeed(flight.step, flight.visit, flight.attempt, DONE)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    performed.clear()
    made = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[fork, single])
    yield made
    made.close()


def test_the_later_of_two_turns_decides_whether_a_run_stands_in_line(engine: Engine) -> None:
    """A turn that owed nothing is settled late: the one after it owes starts, and stands in line.

    Else a run whose slots were taken would wait for ever, with nothing of it in flight.
    """
    desk = Desk(engine, slots=2)
    desk.is_held = True
    first = threading.Thread(target=desk.turn, args=(desk.hold,))
    second = threading.Thread(target=desk.turn, args=(desk.hold, success(desk.flights["one"])))
    first.start()
    assert desk.taken.wait(30)
    second.start()
    second.join(0.5)  # it may be kept waiting
    desk.leave.set()
    for thread in (first, second):
        thread.join(30)
    assert set(desk.hold.run.ready) == {"three", "four"}
    assert len(desk.hungry) == 1


def test_who_waited_for_a_run_whose_turn_broke_down_does_not_go_on_with_it(
    engine: Engine,
) -> None:
    """Its other attempts are given up: who held the run still would wait for them for ever."""
    desk = Desk(engine, slots=2)

    def break_down(hold: Hold, events: list[NewEvent]) -> None:
        raise RuntimeError("a fault of our own")

    engine.turns.tell, tell = break_down, engine.turns.tell  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        desk.turn(desk.hold, success(desk.flights["one"]))
    engine.turns.tell = tell  # type: ignore[method-assign]
    assert desk.turn(desk.hold, success(desk.flights["two"])) is None
    assert not desk.holds
    assert not desk.hungry


def test_a_turn_that_waited_while_its_run_was_let_go_of_begins_nothing(engine: Engine) -> None:
    """The worker stops meanwhile: what it lets go of is begun by others, not by both."""
    desk = Desk(engine, slots=2)
    lock = desk.hold.lock

    class Waited:
        """Somebody else has the lock, and lets go of the run."""

        def __enter__(self) -> None:
            desk.hold.lock = lock
            desk.stopping = True
            desk.release(desk.hold, "its worker shut down")
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    desk.hold.lock = Waited()  # type: ignore[assignment]
    turn = desk.turn(desk.hold, success(desk.flights["one"]), own=desk.flights["one"])
    assert turn is None or not turn.flights
    assert not desk.holds


def test_an_attempt_given_up_before_it_began_is_not_performed(engine: Engine) -> None:
    """Its run was let go of while it waited for its thread; its slot is free again."""
    desk = Desk(engine, slots=2)
    desk.stopping = True
    desk.release(desk.hold, "its worker shut down")
    for name in ("one", "two"):
        desk.fly(desk.flights[name])
    assert performed == []
    assert desk.crew.free == 2


def test_a_suspect_that_starts_beside_what_follows_another_step_stays_alone(
    engine: Engine,
) -> None:
    """It has waited for its 10 s; the step beside it has the slot of the one that has ended."""
    with freeze_time("2030-01-01") as frozen:
        desk = Desk(engine, slots=3)
        desk.hold.run.steps["four"] = StepState(deaths=2)
        assert desk.crew.take(suspect=True) is None
        frozen.tick(timedelta(seconds=10))
        first = desk.flights["one"]
        following = desk.land(first, success(first))
        assert following is not None
        slots = {following.step: following.slot, "four": desk.flights["four"].slot}
        assert slots == {"three": Slot.THREAD, "four": Slot.ALONE}
        assert desk.crew.is_shut()


def test_a_worker_poked_while_it_asks_for_deaths_looks(engine: Engine) -> None:
    """What it is told in between is not forgotten: a freed slot would stay empty for 30 s."""
    desk = Desk(engine, slots=2)
    looker = background.Background(engine.worker, desk, lambda **_: None, 0.0)
    looker._is_news()
    looker._dirty = False

    def nobody_died() -> bool:
        looker.poke()
        return False

    engine.log.any_death = nobody_died  # type: ignore[method-assign]
    looker._is_news()
    assert looker._dirty


def test_a_deadline_that_the_log_does_not_take_is_recorded_later(tmp_path: Path) -> None:
    """The round fails; the next finds the attempt past its deadline still, and tells of it."""
    is_over = threading.Event()

    @step(timeout=timedelta(seconds=0.2))
    def slow() -> None:
        is_over.wait(30)

    late = Workflow("late", steps=[slow])
    with Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[late]) as engine:
        append = engine.log.append
        refused: list[str] = []

        def refuse(wanted: Append) -> list[Tip]:
            types = [event.type for write in wanted.writes for event in write.events]
            if "step.failed" in types and not refused:
                refused.append(wanted.id)
                raise StorageBusy("another program holds the database")
            return append(wanted)

        engine.log.append = refuse  # type: ignore[method-assign]
        run = engine.start(late)
        try:
            wait_until(lambda: run.status == "failed", "the deadline", 20)
        finally:
            is_over.set()
        assert refused


def test_an_async_attempt_whose_turn_breaks_down_gives_its_slot_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on a thread does; the program's log tells of it, and the run goes on."""
    monkeypatch.setattr(background, "ROUND", 0.1)  # twice one until the run is let go of

    @step
    async def swift() -> None:
        return None

    @step(after=["swift"])
    async def then() -> None:
        return None

    course = Workflow("course", steps=[swift, then])
    with Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[course]) as engine:
        break_down_once(engine)
        run = engine.start(course)
        wait_until(lambda: run.status == "succeeded", "the run", 20)
        driver = engine.live_driver()
        assert driver is not None
        wait_until(lambda: driver.crew.async_free == ASYNC_SLOTS, "the slots", 10)
    assert [r.exc_text for r in caplog.records if getattr(r, "action", "") == "flight_failed"]


def test_a_start_whose_answer_comes_late_is_nobody_elses(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log knows the run, its starter not yet: the worker does not let go of it meanwhile.

    It would claim it anew, and perform its step a second time beside the first.
    """
    monkeypatch.setattr(background, "ROUND", 0.05)
    with engine:
        append, owned = engine.log.append, engine.log.owned
        looks: list[str] = []

        def count(worker: str) -> Mapping[str, tuple[int, int | None]]:
            looks.append(worker)
            return owned(worker)

        def delay(wanted: Append) -> list[Tip]:
            tips = append(wanted)
            until = len(looks) + 4
            clock_runs_out = clock.real_seconds() + 20
            while wanted.writes[0].tip.version == 0 and len(looks) < until:
                assert clock.real_seconds() < clock_runs_out
                engine.poke()
                clock.real_sleep(0.01)
            return tips

        engine.log.append, engine.log.owned = delay, count  # type: ignore[method-assign]
        assert engine.start(single).result(timeout=20) is None
        engine.log.append = append  # type: ignore[method-assign]
        types = [event.type for event in engine.history(single_id(engine))]
    assert performed == ["one"]
    assert "step.lost" not in types


def single_id(engine: Engine) -> str:
    (run,) = engine.runs(workflow="single")
    return run.id
