"""The door: exactly once, also for several processes, and never while shut."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from engine.doors import DoorShut, TriggerDoor
from engine.errors import ValueRefused
from engine.triggering import Firing
from eventstore import clock, open_log
from triggers.testing import PaperEngine


class Bell:
    """A trigger that fires when the test says so."""

    def __init__(self, name: str = "bell", kind: str = "file", revision: str = "r1") -> None:
        self.name, self.kind, self.workflow = name, kind, "documents"
        self._revision = revision

    def revision(self) -> str:
        return self._revision


@pytest.fixture(params=["memory", "file"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A log, in memory and on disk."""
    where = ":memory:" if request.param == "memory" else tmp_path / "log.db"
    log = open_log(f"sqlite:///{where}")
    yield log
    log.close()


def firing(key: str = "k", at: int = 0, **facts: Any) -> Firing:
    """Give a firing of the bell."""
    return Firing("bell", key, at, facts)


def door_of(engine: PaperEngine, **options: Any) -> TriggerDoor:
    """Give a door such as another process would have."""
    return TriggerDoor(engine, Bell(**options))


def test_a_firing_starts_one_run_in_one_append(log: Any) -> None:
    """Firing, key and start share an append; the run's cause and key point back."""
    engine = PaperEngine(log)
    door = door_of(engine)
    door.state()
    commits = log.counters.appends
    fired = door.fire(firing("a.txt", path="/in/a.txt"), {"path": "/in/a.txt"}, due=77)
    assert log.counters.appends == commits + 1
    assert not fired.duplicate
    (started,) = engine.started()
    assert started == {
        "workflow": "documents",
        "inputs": {"path": "/in/a.txt"},
        "key": "bell/a.txt",
        "cause": "trigger:bell@2",
        "run": fired.run,
    }
    assert engine.begun_runs == [fired.run]
    assert log.find("trigger:bell", "a.txt") == fired.run
    told = engine.told(Bell())
    assert told[1] == (
        "trigger.fired",
        {"key": "a.txt", "facts": {"path": "/in/a.txt"}, "run": fired.run},
    )
    events = log.read("trigger:bell")
    assert events[1].append_id == log.read(fired.run)[0].append_id
    assert [(e.subject, e.source, e.dest) for e in events] == [
        ("trigger", "–", "armed"),  # noqa: RUF001
        ("trigger", "armed", "armed"),
    ]
    head = log.head("trigger:bell")
    assert (head.kind, head.name, head.status, head.due) == ("trigger", "bell", "armed", 77)


def test_a_key_counts_once_for_ever(log: Any) -> None:
    """Again at the same door, at a new one and after a new revision: the first run is named."""
    engine = PaperEngine(log)
    door = door_of(engine)
    first = door.fire(firing(), {})
    for again in (door, door_of(engine), door_of(engine, revision="r2")):
        fired = again.fire(firing(), {"other": 1})
        assert (fired.run, fired.duplicate) == (first.run, True)
    assert len(engine.started()) == 1


def test_a_stale_door_reads_again(log: Any) -> None:
    """Who was overtaken by another process reads, decides again and appends."""
    engine = PaperEngine(log)
    one, two = door_of(engine), door_of(engine)
    one.state()
    two.state()
    one.fire(firing("a"), {})
    one.fire(firing("b"), {})
    assert not two.fire(firing("c"), {}).duplicate
    assert not one.fire(firing("d"), {}).duplicate
    assert [told["key"] for told in engine.started()] == [f"bell/{k}" for k in "abcd"]
    assert one.state().fired == two.state().fired == 4


def test_many_at_once_fire_once(log: Any) -> None:
    """4 doors, 40 keys, all at the same time: 40 runs, and each door names the same ones."""
    engine = PaperEngine(log)
    keys = [f"k{n}" for n in range(40)]
    seen: list[dict[str, str]] = []

    def fire_all() -> None:
        door = door_of(engine)
        seen.append({key: door.fire(firing(key), {}).run for key in keys})

    threads = [threading.Thread(target=fire_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(engine.started()) == 40
    assert len(seen) == 4
    assert all(one == seen[0] for one in seen)


def test_a_refused_start_writes_nothing(log: Any) -> None:
    """Inputs that the workflow does not take raise, and the key stays free."""
    engine = PaperEngine(log)
    engine.refuse = {"path": "bad"}
    door = door_of(engine)
    with pytest.raises(ValueRefused):
        door.fire(firing(), {"path": "bad"})
    assert log.find("trigger:bell", "k") is None
    assert not door.fire(firing(), {"path": "good"}).duplicate


def test_a_start_key_that_is_taken_is_adopted(log: Any) -> None:
    """If somebody has started a run under the start key, the firing counts for that run."""
    engine = PaperEngine(log)
    other = TriggerDoor(engine, Bell(name="other"))
    door = door_of(engine)
    door.state()
    taken = engine.prepare_start("documents", {}, key="bell/k", cause=None)
    other.state()
    log.append(_append(taken))
    fired = door.fire(firing(), {})
    assert (fired.run, fired.duplicate) == (taken.run, True)
    assert log.find("trigger:bell", "k") == taken.run
    assert [type_ for type_, _ in engine.told(Bell())] == ["trigger.armed", "trigger.fired"]
    assert len(engine.started()) == 1


def _append(prepared: Any) -> Any:
    from eventstore import Append  # noqa: PLC0415

    return Append(clock.new_id(), (prepared.write,), prepared.inbox)


def test_a_paused_trigger_starts_nothing(log: Any) -> None:
    """Paused by another process: the door finds out at the append, and says so."""
    engine = PaperEngine(log)
    door, other = door_of(engine), door_of(engine)
    door.state()
    assert other.pause(by="ann")
    assert not other.pause(by="ann")
    with pytest.raises(DoorShut, match="paused"):
        door.fire(firing(), {})
    assert log.head("trigger:bell").due is None
    assert door.resume(by="ann")
    assert engine.pokes.is_set()
    assert not door.fire(firing(), {}).duplicate


def test_a_trigger_that_another_process_resumed_fires_at_once(log: Any) -> None:
    """Who was refused last, and wrote nothing since, asks the log again before it refuses."""
    engine = PaperEngine(log)
    door, other = door_of(engine), door_of(engine)
    door.fire(firing("before"), {})
    other.pause(by="ann")
    for key in "abc":
        with pytest.raises(DoorShut, match="paused"):
            door.fire(firing(key), {})
        door.decline(firing(key), "paused", repeats=True)
    other.resume(by="ann")
    assert not door.fire(firing("after"), {}).duplicate


def test_the_revision_armed_last_is_the_one_that_fires(log: Any) -> None:
    """A daemon with the older definition stands down; it does not arm its own again."""
    engine = PaperEngine(log)
    old, new = door_of(engine, revision="r1"), door_of(engine, revision="r2")
    old.state()
    new.state()
    assert not old.state().is_open("r1")
    with pytest.raises(DoorShut, match="replaced"):
        old.fire(firing(), {})
    assert not new.fire(firing(), {}).duplicate
    assert [type_ for type_, _ in engine.told(Bell())].count("trigger.armed") == 2


def test_a_new_revision_of_a_paused_trigger_waits_for_the_resume(log: Any) -> None:
    """It is armed when the trigger has been resumed, and counts from then."""
    engine = PaperEngine(log)
    with freeze_time("2026-01-01") as frozen:
        door_of(engine).pause()
        new = door_of(engine, revision="r2")
        assert new.state().state == "paused"
        frozen.tick(timedelta(hours=1))
        new.resume()
        assert new.state().is_open("r2")
        assert new.state().watermark == clock.now_us()


def test_declines_are_coalesced(log: Any) -> None:
    """The same again writes nothing, at another door neither; another key does."""
    engine = PaperEngine(log)
    door = door_of(engine)
    for _ in range(3):
        door.decline(firing("a", path="/x"), "bad input")
    door_of(engine).decline(firing("a"), "bad input")
    door.decline(firing("b", count=4), "bad input")
    told = engine.told(Bell())[1:]
    assert told == [
        ("trigger.declined", {"reason": "bad input", "key": "a", "facts": {"path": "/x"}}),
        (
            "trigger.declined",
            {"reason": "bad input", "key": "b", "count": 4, "facts": {"count": 4}},
        ),
    ]
    assert door.state().declined == 5
    assert log.find("trigger:bell", "a") is None


def test_an_overtaken_clock_does_not_fire_an_older_slot(log: Any) -> None:
    """A slot before the watermark that another process has moved starts nothing."""
    engine = PaperEngine(log)
    with freeze_time("2026-01-01"):
        one, two = door_of(engine, kind="cron"), door_of(engine, kind="cron")
        now = clock.now_us()
        two.state()
        assert not one.fire(firing("s2", now + 20), {}).duplicate
        late = two.fire(firing("s1", now + 10), {})
    assert (late.run, late.duplicate) == ("", True)
    assert len(engine.started()) == 1


def test_slots_count_from_when_the_engine_was_made(log: Any) -> None:
    """A door that is first used an hour later is armed from the moment it was made."""
    with freeze_time("2026-01-01") as frozen:
        door = door_of(PaperEngine(log))
        made = clock.now_us()
        frozen.tick(timedelta(hours=1))
        assert door.state().watermark == made
    with freeze_time("2020-01-01"):  # the clock was put back: never armed ahead of it
        assert door_of(PaperEngine(log), name="other").state().watermark <= clock.now_us()


def test_facts_are_kept_as_json(log: Any) -> None:
    """Datetimes, freezegun's too, are written as text in UTC."""
    engine = PaperEngine(log)
    with freeze_time("2026-01-01"):
        now = datetime.now(UTC)  # noqa: TID251 - the frozen one, on purpose
        door_of(engine).fire(firing(slot=clock.from_us(0), noticed=now), {})
    _, told = engine.told(Bell())[1]
    assert told["facts"] == {"slot": "1970-01-01T00:00:00Z", "noticed": "2026-01-01T00:00:00Z"}
