"""Reading back: history by the table of events, the playhead, derived rows rebuilt."""

import contextlib
import sqlite3
from datetime import datetime, timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    Engine,
    Playhead,
    PlayheadError,
    RunUnknown,
    Signal,
    Timer,
    Workflow,
    step,
)
from tests.journeys.conftest import START


@step
def ingest(path: str) -> str:
    return path.upper()


def story(url, frozen):
    """Run a workflow with a retry, a skip, a signal, a timer and a failure taken along."""
    left = [1]

    @step
    @retry(wait=wait_fixed(10), stop=stop_after_attempt(3))
    def enrich(ingest: str) -> dict:
        if left:
            left.pop()
            raise OSError("down")
        return {"n": 1}

    @step(when=lambda ingest: False)  # noqa: ARG005
    def translate(ingest: str) -> str:
        return ingest

    @step
    def finish(enrich: dict, approval: str, cooldown: datetime, translate: str = "") -> str:
        return f"{enrich['n']} {approval}"

    workflow = Workflow(
        "story",
        steps=[
            ingest, enrich, translate, Signal("approval", str),
            Timer("cooldown", 60, after=["enrich"]), finish,
        ],
    )  # fmt: skip
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, path="a.txt", key="k", tags={"t": "1"})
    engine.run_until_idle()
    frozen.tick(10)
    engine.run_until_idle()
    engine.pause(run)
    engine.resume(run)
    engine.signal(run, "approval", "yes")
    engine.run_until_idle()
    frozen.tick(60)
    engine.run_until_idle()
    assert run.result(timeout=1) == "1 yes"
    return engine, run


TABLE = {
    "run.started": {("–", "scheduled"), ("–", "running")},  # noqa: RUF001
    "run.due": {("scheduled", "running")},
    "run.succeeded": {("running", "succeeded")},
    "run.failed": {("running", "failed")},
    "run.paused": {("running", "paused")},
    "run.resumed": {("paused", "running")},
    "run.cancelled": {("cancelling", "cancelled")},
    "step.started": {(s, "running") for s in ("blocked", "retrying", "parked", "lost")},
    "step.succeeded": {("running", "succeeded")},
    "step.skipped": {("blocked", "skipped")},
    "step.failed": {("running", "retrying"), ("running", "failed")},
    "step.lost": {("running", "lost")},
    "step.cancelled": {("running", "cancelled")},
    "signal.received": {("pending", "received")},
    "signal.timed_out": {("pending", "timed_out")},
    "timer.set": {("–", "pending")},  # noqa: RUF001
    "timer.fired": {("pending", "fired")},
    "timer.cancelled": {("pending", "cancelled")},
}


def test_every_event_is_a_transition_of_the_table(url, frozen):
    """Each event has the type, subject, source and dest that the table of events says."""
    engine, run = story(url, frozen)
    history = engine.history(run)
    for event in history:
        assert event.type in TABLE, event
        assert (event.source, event.dest) in TABLE[event.type], event
        assert event.subject
    assert {e.subject for e in history if e.type.startswith("run.")} == {"run"}
    assert {e.subject for e in history if e.type.startswith("step.")} == {
        "ingest", "enrich", "translate", "finish",
    }  # fmt: skip


def test_versions_count_from_one_and_times_do_not_fall(url, frozen):
    """Versions are 1, 2, 3 …; times are aware UTC and in order; causes come before effects."""
    engine, run = story(url, frozen)
    history = engine.history(run)
    assert [e.version for e in history] == list(range(1, len(history) + 1))
    assert all(e.at.utcoffset() == timedelta(0) for e in history)
    assert [e.at for e in history] == sorted(e.at for e in history)
    assert history[0].at == START
    with pytest.raises(AttributeError):
        history[0].type = "other"


def test_the_data_of_events(url, frozen):
    """Starting, retrying, timers and results carry what the table says."""
    engine, run = story(url, frozen)
    by_type = {}
    for event in engine.history(run):
        by_type.setdefault(event.type, []).append(event)
    started = by_type["run.started"][0].data
    assert started["workflow"] == "story"
    assert started["inputs"] == {"path": "a.txt"}
    assert started["key"] == "k"
    assert started["tags"] == {"t": "1"}
    assert started["definition"]
    failed = by_type["step.failed"][0]
    assert failed.data["attempt"] == 1
    assert failed.data["error"]["type"] == "OSError"
    assert failed.data["due"]
    assert by_type["timer.set"][0].data["due"]
    assert by_type["step.skipped"][0].data["reason"]
    assert by_type["signal.received"][0].data["payload"] == "yes"
    outputs = {e.subject: e.data["output"] for e in by_type["step.succeeded"]}
    assert outputs == {"ingest": "A.TXT", "enrich": {"n": 1}, "finish": "1 yes"}


def test_the_playhead_stands_on_the_last_event(url, frozen):
    """A new playhead stands on the last event and shows the end."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    assert isinstance(head, Playhead)
    history = engine.history(run)
    assert len(head) == len(history)
    assert head.event.version == len(history)
    assert head.at == history[-1].at
    assert head.state.status == "succeeded"
    assert head.state.steps["finish"].output == "1 yes"
    assert head.state.waits == [] or not head.state.waits


def test_seek_by_number(url, frozen):
    """`seek(n)` stands after event n; `seek(0)` before the first."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    history = engine.history(run)
    for number in (1, 5, len(history), 3):
        head.seek(number)
        assert head.event == history[number - 1]
    head.seek(0)
    assert head.event is None
    head.forward()
    assert head.event.version == 1
    head.forward()
    assert head.event.version == 2
    head.back()
    assert head.event.version == 1
    head.back()
    assert head.event is None


def test_the_ends_of_the_tape(url, frozen):
    """Seeking beyond the tape is an error; forward at the end and back at the start stay."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    for number in (-1, len(head) + 1, 10_000):
        with pytest.raises((PlayheadError, ValueError, IndexError)):
            head.seek(number)
    head.seek(len(head))
    version = head.event.version
    with contextlib.suppress(PlayheadError, IndexError, StopIteration):
        head.forward()
    assert head.event.version == version


def test_seek_by_time(url, frozen):
    """`seek(datetime)` stands on the last event not later than it."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    history = engine.history(run)
    head.seek(START + timedelta(seconds=5))
    assert head.event == [e for e in history if e.at <= START + timedelta(seconds=5)][-1]
    assert head.state.steps["enrich"].state == "retrying"
    head.seek(START + timedelta(seconds=10))
    assert head.event.at == START + timedelta(seconds=10)
    head.seek(START - timedelta(seconds=1))
    assert head.event is None
    head.seek(START + timedelta(days=10))
    assert head.event == history[-1]
    with pytest.raises((PlayheadError, ValueError, TypeError)):
        head.seek(datetime(2030, 1, 1))  # noqa: DTZ001


def test_seek_where(url, frozen):
    """`seek_where` finds events by their fields."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    head.seek(0)
    head.seek_where(type="step.failed")
    assert (head.event.type, head.event.subject) == ("step.failed", "enrich")
    head.seek(0)
    head.seek_where(type="step.succeeded", subject="enrich")
    assert (head.event.type, head.event.subject) == ("step.succeeded", "enrich")


def test_the_state_at_each_point(url, frozen):
    """`.state` tells steps, attempts, inputs, outputs, errors and waits at any event."""
    engine, run = story(url, frozen)
    head = engine.playhead(run)
    head.seek(0)
    head.seek_where(type="step.failed")
    enrich = head.state.steps["enrich"]
    assert enrich.state == "retrying"
    assert enrich.attempts == 1
    assert enrich.inputs == {"ingest": "A.TXT"}
    assert "down" in str(enrich.error)
    assert head.state.steps["ingest"].state == "succeeded"
    assert head.state.steps["ingest"].inputs == {"path": "a.txt"}
    assert head.state.steps["ingest"].output == "A.TXT"
    assert head.state.status in ("running", "waiting")
    assert "approval" in str(head.state.waits)
    head.seek(len(head))
    assert head.state.steps["enrich"].attempts == 2
    assert head.state.steps["enrich"].output == {"n": 1}
    assert head.state.steps["translate"].state == "skipped"


def test_folding_forward_and_seeking_agree(url, frozen):
    """Walking to an event and jumping to it show the same."""
    engine, run = story(url, frozen)
    walking, jumping = engine.playhead(run), engine.playhead(run)
    walking.seek(0)

    def shown(head):
        state = head.state
        steps = {
            name: (s.state, s.attempts, s.inputs, s.output, str(s.error))
            for name, s in state.steps.items()
        }
        return state.status, state.state, steps, str(state.waits)

    for number in range(1, len(walking) + 1):
        walking.forward()
        jumping.seek(number)
        assert shown(walking) == shown(jumping)
    for number in range(len(walking) - 1, 0, -1):
        walking.back()
        jumping.seek(number)
        assert shown(walking) == shown(jumping)


def test_the_playhead_runs_no_user_code(file_url, frozen):
    """Replay calls nothing: an engine without workflows reads the same from the log."""
    engine, run = story(file_url, frozen)
    bare = Engine(file_url)
    head = bare.playhead(run.id)
    assert head.state.status == "succeeded"
    assert head.state.steps["finish"].output == "1 yes"
    assert [e.type for e in bare.history(run.id)] == [e.type for e in engine.history(run)]
    assert bare.get(run.id).result(timeout=1) == "1 yes"
    assert bare.runs()[0].workflow == "story"


def test_the_playhead_writes_nothing(file_url, frozen, tmp_path):
    """Looking leaves the log as it was."""
    engine, run = story(file_url, frozen)

    def count():
        db = sqlite3.connect(tmp_path / "log.db")
        try:
            return db.execute("SELECT count(*), max(position) FROM event").fetchone()
        finally:
            db.close()

    before = count()
    head = engine.playhead(run)
    for number in range(len(head) + 1):
        head.seek(number)
        _ = head.state
    assert count() == before


def test_the_state_of_a_machine_at_each_point(url, frozen):
    """A machine's state is shown at each event."""
    machine = Workflow(
        "m",
        states=["a", {"name": "b", "timeout": 60, "on_timeout": "late"}, "c"],
        transitions=[["next", "a", "b"], ["late", "b", "c"]],
        initial="a",
    )
    engine = Engine(url, workflows=[machine])
    run = engine.start(machine)
    engine.run_until_idle()
    engine.signal(run, "next")
    engine.run_until_idle()
    frozen.tick(60)
    engine.run_until_idle()
    head = engine.playhead(run)
    states = []
    for number in range(1, len(head) + 1):
        head.seek(number)
        if head.event.type == "machine.moved":
            states.append(head.state.state)
    assert states == ["a", "b", "c"]
    assert engine.runs()[0].state == "c"


def test_a_live_run_can_be_looked_at(url, frozen):
    """A playhead on a waiting run shows what it waits for."""
    workflow = Workflow(
        "w",
        steps=[Signal("go", timeout=50), Timer("hold", 20), step(lambda go, hold: 1, name="s")],  # noqa: ARG005
    )
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    state = engine.playhead(run).state
    assert state.status == "waiting"
    text = str(state.waits)
    assert "go" in text
    assert "hold" in text


def test_derived_rows_are_rebuilt(file_url, frozen, tmp_path):
    """With every snapshot and cursor deleted, another engine reads and goes on as before."""
    calls = []

    @step
    def work(x: int, work_before: int = 0) -> int:
        calls.append(x)
        return x

    @step
    def later(hold: datetime, work: int) -> int:
        return work + 1

    workflow = Workflow("w", steps=[work, Timer("hold", 60), later])
    engine = Engine(file_url, workflows=[workflow])
    run = engine.start(workflow, x=1)
    engine.run_until_idle()

    def shown(one):
        head = one.playhead(run.id)
        steps = {
            name: (s.state, s.attempts, s.inputs, s.output)
            for name, s in head.state.steps.items()
        }
        return head.state.status, steps, str(head.state.waits)

    before = shown(engine)
    db = sqlite3.connect(tmp_path / "log.db")
    tables = {
        name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }
    for table in ("snapshot", "cursor"):
        if table in tables:
            db.execute(f"DELETE FROM {table}")  # noqa: S608
    db.commit()
    db.close()
    other = Engine(file_url, workflows=[workflow])
    assert shown(other) == before
    assert other.next_due() == START + timedelta(seconds=60)
    frozen.tick(60)
    other.run_until_idle()
    assert other.get(run.id).result(timeout=1) == 2
    assert calls == [1]


@pytest.mark.parametrize("statement", [
    "UPDATE event SET data = '{}' WHERE position = 1",
    "DELETE FROM event WHERE position = 1",
    "INSERT OR REPLACE INTO event SELECT * FROM event WHERE position = 1",
])  # fmt: skip
def test_events_cannot_be_changed(file_url, frozen, tmp_path, statement):
    """The database itself refuses to change, delete or replace an event."""
    engine, run = story(file_url, frozen)
    before = [str(event) for event in engine.history(run)]
    db = sqlite3.connect(tmp_path / "log.db")
    try:
        with pytest.raises(sqlite3.DatabaseError):
            db.execute(statement)
        db.rollback()
    finally:
        db.close()
    assert [str(event) for event in Engine(file_url).history(run.id)] == before


def test_an_unknown_run_has_no_history(url):
    """History and playhead of a run that is not there are an error."""
    engine = Engine(url)
    with pytest.raises(RunUnknown):
        engine.history("nope")
    with pytest.raises(RunUnknown):
        engine.playhead("nope")


def test_a_long_history_is_read_quickly(file_url, frozen):
    """A machine of two thousand events is walked through in a moment."""

    @step
    def count(count: int = 0) -> int:
        return count + 1

    def enough(count: int) -> bool:
        return count >= 500

    machine = Workflow(
        "m",
        steps=[count],
        states=["count", "end"],
        transitions=[
            {"trigger": "done", "source": "count", "dest": "end", "conditions": enough},
            ["done", "count", "="],
        ],
        initial="count",
    )
    engine = Engine(file_url, workflows=[machine])
    run = engine.start(machine)
    engine.run_until_idle()
    assert run.result(timeout=1) == 500
    head = engine.playhead(run)
    assert len(head) > 1500
    for number in range(0, len(head), 100):
        head.seek(number)
    assert Engine(file_url, workflows=[machine]).get(run.id).result(timeout=1) == 500
