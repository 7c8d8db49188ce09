"""Steps whose workers died twice, in a crew that has other work: all of it is done."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from freezegun import freeze_time

from engine.testing import crash_after
from eventstore import clock
from playhead import Engine, Workflow, step
from tests.playhead.served import wait_until

SECONDS = 10.0  # real; each suspect is a moment's work
THREADS = 4


class Bench:
    """A workflow whose one step tells when it ran, and can be held."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ran: dict[int, tuple[float, float]] = {}  # number -> when, from and to
        self.begun: set[int] = set()
        self.held = threading.Event()

        @step
        def work(number: int, hold: bool) -> int:
            begun = clock.real_seconds()
            self.begun.add(number)
            if hold:
                self.held.wait(30)
            else:
                clock.real_sleep(0.05)
            self.ran[number] = begun, clock.real_seconds()
            return number

        self.workflow = Workflow("work", steps=[work])
        self.boss = self.engine()

    def engine(self) -> Engine:
        return Engine(self.url, workflows=[self.workflow], threads=THREADS)

    def start(self, number: int, priority: int = 0, *, hold: bool = False) -> str:
        return self.boss.start(self.workflow, number=number, hold=hold, priority=priority).id

    def suspect(self, number: int, priority: int = 0, *, hold: bool = False) -> str:
        """Start a run whose step two workers begin, and die; larger numbers go first."""
        run = self.start(number, priority, hold=hold)
        for _ in range(2):
            engine = self.engine()
            with crash_after(1, engine) as cut:
                engine.run_until_idle()
            assert cut.crashed
        return run

    def status(self, run: str) -> str:
        return self.boss.get(run).status


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(f"sqlite:///{tmp_path / 'log.db'}")
    yield made
    made.held.set()
    made.boss.close()


def all_succeed(bench: Bench, runs: list[str]) -> Callable[[], bool]:
    return lambda: all(bench.status(run) == "succeeded" for run in runs)


def test_suspects_beside_other_work_have_their_turns(bench: Bench) -> None:
    """Three suspects and nine others: all end, and no suspect ran beside anything."""
    suspects = [bench.suspect(number, priority=number) for number in range(3)]
    others = [bench.start(number, priority=9) for number in range(3, 12)]
    with bench.engine():
        wait_until(all_succeed(bench, [*suspects, *others]), "the runs", SECONDS)
    for one, two in combinations(sorted(bench.ran), 2):
        (begun, ended), (later, _) = sorted((bench.ran[one], bench.ran[two]))
        assert one > 2 or ended <= later, f"{one} began at {begun}, {two} at {later}"
    for run in suspects:
        lost = [e.data for e in bench.boss.history(run) if e.type == "step.lost"]
        assert [data["deaths"] for data in lost] == [1, 2]


def test_after_ten_seconds_a_suspect_keeps_nobody_from_work(bench: Bench) -> None:
    """A suspect that runs for long has the crew for itself for 10 s; then others are claimed."""
    with freeze_time("2030-01-01") as frozen:
        suspect = bench.suspect(0, priority=1, hold=True)
        others = [bench.start(number) for number in range(1, 2 * THREADS)]
        with bench.engine():
            wait_until(lambda: bench.begun, "the suspect", SECONDS)
            frozen.tick(timedelta(seconds=9))
            assert {bench.status(run) for run in others} == {"running"}
            assert bench.begun == {0}
            frozen.tick(timedelta(seconds=1))
            wait_until(all_succeed(bench, others), "the others", SECONDS)
            assert bench.status(suspect) == "running"
            bench.held.set()
            wait_until(all_succeed(bench, [suspect]), "the suspect", SECONDS)


def test_a_suspect_that_is_cancelled_keeps_nobody_waiting(bench: Bench) -> None:
    """It waited behind a long step, for which the crew was shut; others begin without it."""
    with freeze_time("2030-01-01"):
        suspect = bench.suspect(0)
        long = bench.start(1, priority=2, hold=True)
        with bench.engine():
            wait_until(lambda: bench.begun, "the long step", SECONDS)
            others = [bench.start(number) for number in range(2, 6)]
            bench.boss.cancel(suspect)
            wait_until(all_succeed(bench, others), "the others", SECONDS)
            assert bench.status(suspect) == "cancelled"
            assert bench.status(long) == "running"
            bench.held.set()
            wait_until(all_succeed(bench, [long]), "the long step", SECONDS)
