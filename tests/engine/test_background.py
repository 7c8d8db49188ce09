"""A worker on threads of its own: what it does not wait for."""

import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from engine import background
from engine.driver import Driver
from engine.flights import Crew
from eventstore import (
    NEW,
    Append,
    Event,
    Head,
    Headline,
    NewEvent,
    Row,
    Write,
    clock,
    open_log,
)
from eventstore.errors import StorageBusy
from playhead import Context, Engine, Workflow, step
from tests.engine.hurting import break_down_once
from tests.playhead.served import wait_until


@step
def nothing() -> None:
    return None


@step(after=["nothing"])
def second() -> None:
    return None


quick = Workflow("quick", steps=[nothing])
pair = Workflow("pair", steps=[nothing, second])


def test_a_freed_slot_is_filled_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 runs that wait for 2 slots: no look waits for the next slice, which would be 200 s."""
    monkeypatch.setattr(background, "SLICE", 1.0)  # seconds, of which there are 0.05
    url = f"sqlite:///{tmp_path / 'log.db'}"
    sender = Engine(url, workflows=[quick])
    for _ in range(400):
        sender.start(quick)
    sender.close()
    with Engine(url, workflows=[quick], threads=2) as engine:
        until = clock.real_seconds() + 60
        while clock.real_seconds() < until:
            if len(engine.runs(status="succeeded", limit=None)) == 400:
                break
            clock.real_sleep(0.05)
        else:
            done = len(engine.runs(status="succeeded", limit=None))
            raise AssertionError(f"{done} of 400 after 60 s")


def test_a_freed_slot_may_go_to_a_run_of_another_workflow(tmp_path: Path) -> None:
    """One slot: the run that waited for it goes on in the thread of the step that has ended."""
    is_over = threading.Event()

    @step
    def hold() -> None:
        is_over.wait(10)

    slow = Workflow("slow", steps=[hold])
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with Engine(url, workflows=[slow, quick], threads=1) as engine:
        first = engine.start(slow)
        waiting = [engine.start(quick), engine.start(slow), engine.start(quick)]
        is_over.set()
        for run in (first, *waiting):
            assert run.result(timeout=20) is None


@pytest.mark.parametrize("data", ["{}", '{"workflow":1}', "[]"])
def test_a_run_that_cannot_be_read_keeps_no_other_from_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: str
) -> None:
    """It is let go of with a line in the log; those that were claimed with it are done."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = open_log(url)
    told = NewEvent("run.started", "run", "", "running", data, 1)
    write = Write("spoilt", "run", NEW, (told,), Row("running", 1), Headline("quick"))
    log.append(Append("spoilt", (write,)))
    log.close()
    sender = Engine(url, workflows=[quick])
    ids = [sender.start(quick).id for _ in range(3)]
    sender.close()
    with Engine(url, workflows=[quick]) as engine:
        for run_id in ids:
            assert engine.get(run_id).result(timeout=20) is None
    lines = [line for line in caplog.records if getattr(line, "action", "") == "run_unreadable"]
    assert "spoilt" in lines[0].getMessage()
    log = open_log(url)
    assert log.read("spoilt")[0].data == data, "nothing was written to it"
    log.close()


@pytest.mark.slow
def test_a_run_that_is_due_and_for_others_is_not_asked_for_at_every_look(
    tmp_path: Path,
) -> None:
    """No workflow of this program: it rests, and works on as soon as there is something for it."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    other = Engine(url, workflows=[pair])
    foreign = other.start(pair)
    with Engine(url, workflows=[quick]) as engine:

        def rests() -> bool:
            before = engine.log.counters.statements
            clock.real_sleep(1.0)  # twenty looks, of which one asks
            return engine.log.counters.statements - before < 50

        wait_until(rests, "rest")
        assert engine.start(quick).result(timeout=20) is None
        wait_until(rests, "rest")
        assert foreign.status == "running"
    with other:
        wait_until(lambda: foreign.status == "succeeded", "the other's run")


@pytest.mark.slow
def test_what_a_failed_round_knew_of_is_found_by_a_later_one(tmp_path: Path) -> None:
    """No run can be loaded for some rounds, in which one held here ends: its step is asked to stop.

    What a round has noticed is noticed once; the look at everything comes every 30 s only.
    """
    url = f"sqlite:///{tmp_path / 'log.db'}"
    is_begun, is_over = threading.Event(), threading.Event()

    @step
    def work(ctx: Context) -> None:
        is_begun.set()
        while not ctx.cancelled and not is_over.is_set():
            clock.real_sleep(0.01)
        is_over.set()

    machine = Workflow(
        "machine", steps=[work], states=["work", "end"], initial="work",
        transitions=[["done", "work", "end"], ["stop", "work", "end"]],
    )  # fmt: skip
    other = Engine(url, workflows=[machine])
    try:
        with Engine(url, workflows=[machine]) as engine:
            run = engine.start(machine)
            assert is_begun.wait(10)
            with unreadable(engine) as asked:
                other.signal(run.id, "stop")
                wait_until(lambda: len(asked) > 2, "rounds that fail")
            wait_until(is_over.is_set, "word for the step", 20)
    finally:
        is_over.set()
        other.close()


@pytest.mark.slow
def test_a_run_claimed_by_a_round_that_failed_is_done_soon(tmp_path: Path) -> None:
    """It was claimed and could not be read: it is let go of and claimed again within seconds."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    sender = Engine(url, workflows=[quick])
    with Engine(url, workflows=[quick]) as engine:
        sender.start(quick).result(timeout=10)
        with unreadable(engine) as asked:
            run = sender.start(quick)
            wait_until(lambda: asked, "the claim")
        wait_until(lambda: run.status == "succeeded", "the run", 20)
    sender.close()


@pytest.mark.slow
def test_a_turn_that_breaks_down_strands_no_run_and_no_slot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of our own after an append: the run is let go of and begun again, its slot is free.

    Nobody is charged with a death, and the log of the program tells of it.
    """
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with Engine(url, workflows=[pair], threads=1) as engine:
        break_down_once(engine)
        runs = [engine.start(pair) for _ in range(3)]
        wait_until(lambda: all(run.status == "succeeded" for run in runs), "the runs")
        lost = [e for run in runs for e in engine.history(run) if e.type == "step.lost"]
    assert [(e.subject, e.data.get("deaths")) for e in lost] == [("second", None)]
    assert [r.exc_text for r in caplog.records if getattr(r, "action", "") == "flight_failed"]


def test_what_will_be_due_is_not_forgotten_while_the_alarm_is_set(tmp_path: Path) -> None:
    """The log was asked, then a run was told of: it would be begun up to a second late."""
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[quick])
    driver = Driver(engine.turns, Crew(1, "crew"))
    looker = background.Background(engine.worker, driver, lambda **_: None, 0.0)
    next_due = engine.log.next_due

    def answer_late(*, kinds: Collection[str], after: int | None = None) -> int | None:
        due = next_due(kinds=kinds, after=after)
        looker.expect(5)
        return due

    looker._due = None
    engine.log.next_due = answer_late  # type: ignore[method-assign]
    looker._set_alarm(None)
    assert looker._due == 5
    engine.close()


@contextlib.contextmanager
def unreadable(engine: Engine) -> Iterator[list[str]]:
    """Let no stream be loaded within the block; gives those that were to be."""
    asked: list[str] = []
    load = engine.log.load

    def refuse(stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        del after
        asked.append(stream)
        raise StorageBusy("another program holds the database")

    engine.log.load = refuse  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        engine.log.load = load  # type: ignore[method-assign]
