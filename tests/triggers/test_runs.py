"""RunTrigger and signals as starts, with the real engine: one firing, one consequence."""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from freezegun import freeze_time

from engine.triggering import Firing as Letter
from engine.triggering import Message
from eventstore import clock
from playhead import (
    AtTrigger,
    DefinitionError,
    Engine,
    FileTrigger,
    Firing,
    IntervalTrigger,
    RunTrigger,
    Signal,
    Workflow,
    signal,
    step,
)


@step
def divide(number: int) -> float:
    return 100 / number


@step
def note(run: str) -> str:
    return f"after {run}"


@step
def mourn(run: str, why: str) -> str:
    return f"{run}: {why}"


@step
def publish(approval: dict[str, Any]) -> str:
    return f"published by {approval['by']}"


dividing = Workflow("dividing", steps=[divide])
noting = Workflow("noting", steps=[note])
mourning = Workflow("mourning", steps=[mourn])
publishing = Workflow("publishing", steps=[Signal("approval", dict), publish])


def told(engine: Engine, trigger: str) -> list[tuple[str, dict[str, Any]]]:
    """Give type and data of every event of a trigger."""
    events = engine.log.read(f"trigger:{trigger}")
    return [(event.type, msgspec.json.decode(event.data)) for event in events]


def test_a_run_that_succeeded_starts_another() -> None:
    """Once for each end; the follower's cause leads to the firing, the firing's to the end."""
    trigger = RunTrigger(dividing, noting)
    engine = Engine("sqlite:///:memory:", workflows=[dividing, noting], triggers=[trigger])
    first = engine.start(dividing, number=4)
    engine.start(dividing, number=0)
    engine.run_until_idle()
    engine.run_until_idle()
    (follower,) = engine.runs(noting)
    assert engine.get(follower.id).result() == f"after {first.id}"
    assert engine.history(follower.id)[0].cause == f"trigger:{trigger.name}@2"
    fired = engine.log.read(f"trigger:{trigger.name}")[1]
    last = engine.history(first.id)[-1]
    assert fired.cause == f"{first.id}@{last.version}"
    assert told(engine, trigger.name)[1][1]["facts"] == {
        "run": first.id, "workflow": "dividing", "status": "succeeded", "result": 25.0,
    }  # fmt: skip


def test_a_run_that_failed_starts_another() -> None:
    """The error is among the facts; a second failure after a retry is an end of its own."""
    seen: list[Firing] = []

    def inputs(firing: Firing) -> dict[str, Any]:
        seen.append(firing)
        return {"run": firing.facts["run"], "why": firing.facts["error"]["message"]}

    trigger = RunTrigger("dividing", mourning, on="failed", input=inputs)
    engine = Engine("sqlite:///:memory:", workflows=[dividing, mourning], triggers=[trigger])
    failing = engine.start(dividing, number=0)
    engine.run_until_idle()
    engine.retry(failing)
    engine.run_until_idle()
    results = [engine.get(row.id).result() for row in engine.runs(mourning)]
    assert results == [f"{failing.id}: division by zero"] * 2
    assert {firing.facts["error"]["type"] for firing in seen} == {"ZeroDivisionError"}
    assert {firing.facts["error"]["step"] for firing in seen} == {"divide"}
    assert all(firing.at.tzinfo is UTC for firing in seen)


def test_ends_before_the_trigger_do_not_count(tmp_path: Path) -> None:
    """It counts from when its engine was made; after a restart it goes on where it was."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with freeze_time("2026-01-01") as frozen:
        before = Engine(url, workflows=[dividing])
        before.run(dividing, number=1)
        before.close()
        frozen.tick(timedelta(seconds=1))
        engine = Engine(
            url, workflows=[dividing, noting], triggers=[RunTrigger(dividing, noting)]
        )
        engine.run(dividing, number=2)
        engine.run_until_idle()
        assert len(engine.runs(noting)) == 1
        engine.close()
        while_down = Engine(url, workflows=[dividing])
        while_down.run(dividing, number=3)
        while_down.close()
        again = Engine(
            url, workflows=[dividing, noting], triggers=[RunTrigger(dividing, noting)]
        )
        again.run_until_idle()
        assert len(again.runs(noting)) == 2
        again.close()


def test_two_daemons_follow_a_run_once(tmp_path: Path) -> None:
    """Both hear of the end; one of them starts the follower."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    engines = [
        Engine(url, workflows=[dividing, noting], triggers=[RunTrigger(dividing, noting)])
        for _ in range(2)
    ]
    with engines[0], engines[1]:
        runs = [engines[n % 2].start(dividing, number=n + 1) for n in range(10)]
        for run in runs:
            run.result(timeout=60)
        ends = {run.id for run in runs}
        deadline = clock.real_seconds() + 60
        while (
            len(engines[0].runs(noting, status="succeeded")) < 10
            and clock.real_seconds() < deadline
        ):
            clock.real_sleep(0.02)
    rows = engines[0].runs(noting)
    assert sorted(row.inputs["run"] for row in rows) == sorted(ends)
    for engine in engines:
        engine.close()


def test_a_paused_follower_passes_over_what_ends() -> None:
    """Ends while it is paused never fire; what ends after the resume does."""
    trigger = RunTrigger(dividing, noting)
    engine = Engine("sqlite:///:memory:", workflows=[dividing, noting], triggers=[trigger])
    engine.run_until_idle()
    door = engine.doorways.doors[trigger.name]
    door.pause()
    engine.start(dividing, number=1)
    engine.run_until_idle()
    door.resume()
    engine.run_until_idle()
    assert engine.runs(noting) == []
    engine.start(dividing, number=2)
    engine.run_until_idle()
    assert len(engine.runs(noting)) == 1
    reasons = [data["reason"] for type_, data in told(engine, trigger.name) if "reason" in data]
    assert reasons == ["paused"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RunTrigger(dividing, noting, on="suceeded"), "did you mean 'succeeded'"),
        (lambda: RunTrigger(dividing, dividing), "for ever"),
        (lambda: RunTrigger(7, noting), "follows a workflow"),
        (lambda: RunTrigger(dividing, mourning), "wants run, why"),
    ],
)
def test_what_cannot_be_right_is_refused(make: Any, says: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(DefinitionError, match=says):
        make()


# Signals.


def test_a_firing_sends_a_signal_in_one_append(tmp_path: Path) -> None:
    """The firing and the signal share an append, and the signal's cause is the firing."""
    start = AtTrigger(
        datetime(2026, 1, 2, tzinfo=UTC),
        signal("approval", to=lambda _: "p1", workflow=publishing),
        input=lambda firing: {"by": f"the clock of {firing.at:%d %B}"},
    )
    engine = Engine(
        f"sqlite:///{tmp_path / 'log.db'}", workflows=[publishing], triggers=[start]
    )
    with freeze_time("2026-01-01") as frozen:
        run = engine.start(publishing, key="p1")
        engine.run_until_idle()
        assert run.status == "waiting"
        frozen.tick(timedelta(days=1))
        engine.run_until_idle()
        engine.run_until_idle()
    assert run.result() == "published by the clock of 02 January"
    (received,) = [e for e in engine.history(run) if e.type == "signal.received"]
    fired = engine.log.read(f"trigger:{start.name}")[-1]
    assert fired.type == "trigger.fired"
    assert received.cause == f"trigger:{start.name}@{fired.version}"
    events = {e.version: e.append_id for e in engine.log.read(run.id)}
    assert events[received.version] == fired.append_id
    assert msgspec.json.decode(fired.data)["signal"] == "approval"
    engine.close()


def test_a_signal_names_its_own_firing_though_another_was_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overtaken by another daemon's firing between reading and appending: the cause is right."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    when = datetime(2026, 1, 1, tzinfo=UTC)
    start = signal("approval", to=lambda firing: firing.facts["run"])
    one, two = (
        Engine(url, workflows=[publishing], triggers=[AtTrigger(when, start, name="desk")])
        for _ in range(2)
    )
    mine, theirs = one.start(publishing), one.start(publishing)
    doors = [engine.doorways.doors["desk"] for engine in (one, two)]
    for door in doors:
        door.state()
    append = one.log.append

    def overtaken(what: Any) -> Any:
        monkeypatch.setattr(one.log, "append", append)
        doors[1].tell(Letter("desk", "theirs", 0, {}), Message("approval", {}, theirs.id))
        return append(what)

    monkeypatch.setattr(one.log, "append", overtaken)
    doors[0].tell(Letter("desk", "mine", 0, {}), Message("approval", {"by": "me"}, mine.id))
    fired = {
        msgspec.json.decode(event.data)["key"]: f"trigger:desk@{event.version}"
        for event in one.log.read("trigger:desk")
        if event.type == "trigger.fired"
    }
    causes = {
        key: event.cause
        for key, run in (("mine", mine), ("theirs", theirs))
        for event in one.history(run)
        if event.type == "signal.received"
    }
    assert causes == fired
    for engine in (one, two):
        engine.close()


def test_a_file_signals_the_run_it_names(tmp_path: Path) -> None:
    """`to=` may give a run's id; the payload is the obvious fact unless `input=` makes one."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    collecting = Workflow("collecting", steps=[Signal("file", str), keep])
    trigger = FileTrigger(
        inbox / "*.txt", signal("file", to=lambda f: Path(f.facts["path"]).stem), settle=0
    )
    engine = Engine("sqlite:///:memory:", workflows=[collecting], triggers=[trigger])
    run = engine.start(collecting)
    (inbox / f"{run.id}.txt").write_text("x")
    engine.run_until_idle()
    assert run.result() == str(inbox / f"{run.id}.txt")


@step
def keep(file: str) -> str:
    return file


def test_a_signal_that_cannot_be_sent_is_declined(tmp_path: Path) -> None:
    """No such run, an ended run, a payload of another type: each says why, and nothing is lost."""
    engine = Engine("sqlite:///:memory:", workflows=[publishing])
    done = engine.start(publishing)
    engine.signal(done, "approval", {"by": "ann"})
    engine.run_until_idle()
    live = engine.start(publishing)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    cases = {
        "nobody": (lambda _: "nobody", lambda _: {}),
        "ended": (lambda _: done.id, lambda _: {}),
        "typed": (lambda _: live.id, lambda _: 7),
        "raises": (lambda firing: firing.facts["none"], lambda _: {}),
        "empty": (lambda _: None, lambda _: {}),
    }
    triggers = [
        AtTrigger(when, signal("approval", to=to), input=payload, name=name)
        for name, (to, payload) in cases.items()
    ]
    signalling = Engine("sqlite:///:memory:", workflows=[publishing], triggers=triggers)
    signalling.log = engine.log
    signalling._build()
    signalling.run_until_idle()
    reasons = {name: told(signalling, name)[-1][1]["reason"] for name in cases}
    assert "RunUnknown" in reasons["nobody"]
    assert "RunEnded" in reasons["ended"]
    assert "ValueRefused" in reasons["typed"]
    assert "KeyError" in reasons["raises"]
    assert "TypeError" in reasons["empty"]
    assert engine.get(live.id).status in ("running", "waiting")


def test_a_refused_signal_is_declined_in_the_same_append() -> None:
    """A machine whose state does not take it: `signal.refused` and `trigger.declined` are one."""
    door = Workflow(
        "door",
        states=["shut", "open"],
        transitions=[["unlock", "shut", "open"]],
        initial="shut",
    )
    trigger = IntervalTrigger(60, signal("knock", to=lambda _: run.id), name="knocking")
    with freeze_time("2026-01-01") as frozen:
        engine = Engine("sqlite:///:memory:", workflows=[door], triggers=[trigger])
        run = engine.start(door)
        engine.run_until_idle()
        frozen.tick(timedelta(seconds=60))
        engine.run_until_idle()
        engine.run_until_idle()
    (refused,) = [e for e in engine.log.read(run.id) if e.type == "signal.refused"]
    (declined,) = [
        e for e in engine.log.read("trigger:knocking") if e.type == "trigger.declined"
    ]
    assert refused.append_id == declined.append_id
    assert "signal 'knock' was refused" in msgspec.json.decode(declined.data)["reason"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: signal("", to=str), "a signal's name is a text"),
        (lambda: signal("go", to="run"), "to= is a function of the firing"),  # type: ignore[arg-type]
        (lambda: signal("go", to=str, workflow=7), "workflow= is a workflow"),
    ],
)
def test_a_signal_that_cannot_be_right_is_refused(make: Any, says: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(DefinitionError, match=says):
        make()


def test_an_end_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    """Its outcome is gone with its blob: it fires without it, and those behind it as usual."""

    @step
    def write() -> str:
        return "x" * 100_000

    writing = Workflow("writing", steps=[write])
    path = tmp_path / "log.db"
    writer = Engine(f"sqlite:///{path}", workflows=[writing])
    writer.run(writing)
    writer.close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM blob WHERE length(content) > 90000")
    follower = Engine(
        f"sqlite:///{path}",
        workflows=[writing, noting],
        triggers=[RunTrigger(writing, noting, name="again")],
    )
    follower.doorways.doors["again"]._made = 0  # as if it had been armed before
    follower.start("writing")
    follower.run_until_idle()
    facts = [
        data["facts"] for type_, data in told(follower, "again") if type_ == "trigger.fired"
    ]
    assert ["unreadable" in fact for fact in facts] == [True, False]
    assert len(follower.runs(noting, status="succeeded")) == 2
    follower.close()


def test_another_workflow_of_that_name_is_refused() -> None:
    """A trigger's workflow is the engine's: as alike as to have one definition, or named."""

    def made(*, loud: bool) -> Workflow:
        @step
        def say(slot: str) -> str:
            return slot

        @step
        def shout(say: str) -> str:
            return say.upper()

        return Workflow("saying", steps=[say, shout] if loud else [say])

    def engine_for(start: Any) -> Engine:
        trigger = IntervalTrigger(60, start)
        return Engine("sqlite:///:memory:", workflows=[made(loud=False)], triggers=[trigger])

    with pytest.raises(DefinitionError, match="another workflow 'saying'"):
        engine_for(made(loud=True))
    assert engine_for(made(loud=False)).triggers
    assert engine_for("saying").triggers
