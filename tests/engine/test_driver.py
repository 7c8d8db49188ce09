"""Turns that meet, fail or come late: the line, the flights and the slots stay right."""

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from engine import background
from engine.core import commands as c
from engine.driver import Driver
from engine.flights import Crew, Flight
from engine.repository import Hold
from engine.turn import Turn
from eventstore import Append, Tip, clock
from eventstore.errors import StorageBusy
from playhead import Engine, Workflow, step
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
