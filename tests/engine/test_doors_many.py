"""The door, many at once: volleys, keys known from the start, what declines in floods, ends."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from engine import triggerstream
from engine.doors import DoorFull, DoorShut, TriggerDoor
from engine.errors import ValueRefused
from engine.triggering import Fired, Firing
from eventstore import clock, open_log
from eventstore.errors import StorageError
from triggers.testing import PaperEngine


class Bell:
    """A trigger that fires when the test says so."""

    def __init__(
        self,
        name: str = "bell",
        kind: str = "file",
        revision: str = "r1",
        known: Sequence[str] = (),
    ) -> None:
        self.name, self.kind, self.workflow = name, kind, "documents"
        self._revision, self._known = revision, known

    def revision(self) -> str:
        return self._revision

    def known(self, before: str) -> Sequence[str]:
        assert before != self._revision
        return self._known


@pytest.fixture(params=["memory", "file"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PaperEngine]:
    """An engine on paper, its log in memory and on disk."""
    where = ":memory:" if request.param == "memory" else tmp_path / "log.db"
    log = open_log(f"sqlite:///{where}")
    yield PaperEngine(log)
    log.close()


def door_of(engine: PaperEngine, **options: Any) -> TriggerDoor:
    """Give a door such as another process would have."""
    return TriggerDoor(engine, Bell(**options))


def firing(key: str, at: int = 0, **facts: Any) -> Firing:
    """Give a firing of the bell."""
    return Firing("bell", key, at, facts)


def volley(*keys: str) -> list[tuple[Firing, dict[str, Any]]]:
    """Give firings with these keys, each with an input of the same name."""
    return [(firing(key), {"path": key}) for key in keys]


def told(engine: PaperEngine) -> list[str]:
    """Give the types of the bell's events."""
    return [type_ for type_, _ in engine.told(Bell())]


def test_a_volley_is_one_append(engine: PaperEngine) -> None:
    """Each firing has its event, its run and its cause; all of it is one append."""
    door = door_of(engine)
    door.state()
    appends = engine.log.counters.appends
    results = door.fire_many(volley("a", "b", "c"))
    assert engine.log.counters.appends == appends + 1
    started = engine.started()
    assert [(s["key"], s["cause"]) for s in started] == [
        ("bell/a", "trigger:bell@2"),
        ("bell/b", "trigger:bell@3"),
        ("bell/c", "trigger:bell@4"),
    ]
    assert results == [Fired(s["run"], duplicate=False) for s in started]
    assert told(engine) == ["trigger.armed"] + ["trigger.fired"] * 3
    assert door.found(["a", "c", "x"]) == {"a": results[0].run, "c": results[2].run}
    assert engine.begun_runs == [s["run"] for s in started]


def test_a_volley_says_what_is_not_new_and_what_is_refused(engine: PaperEngine) -> None:
    """Old keys, keys twice in one volley and refused inputs: the others start all the same."""
    engine.refuse = {"path": "bad"}
    door = door_of(engine)
    first = door.fire(firing("old"), {})
    old, new, bad, again = door.fire_many(volley("old", "new", "bad", "new"))
    assert old == Fired(first.run, duplicate=True)
    assert isinstance(bad, ValueRefused)
    assert isinstance(new, Fired)
    assert not new.duplicate
    assert again == Fired(new.run, duplicate=True)
    assert len(engine.started()) == 2
    assert door.found(["bad"]) == {}


def test_a_volley_of_nothing_new_writes_nothing(engine: PaperEngine) -> None:
    """Asked again for keys that count, the door reads and appends nothing."""
    door = door_of(engine)
    door.fire_many(volley("a", "b"))
    appends = engine.log.counters.appends
    assert all(result.duplicate for result in door.fire_many(volley("b", "a")))
    assert door.fire_many([]) == []
    assert engine.log.counters.appends == appends


def test_a_volley_that_was_overtaken_is_decided_again(engine: PaperEngine) -> None:
    """Another door fired one of its keys meanwhile: that one is a duplicate, the rest start."""
    one, two = door_of(engine), door_of(engine)
    one.state()
    two.state()
    (theirs,) = two.fire_many(volley("b"))
    mine = one.fire_many(volley("a", "b", "c"))
    assert [result.duplicate for result in mine] == [False, True, False]
    assert mine[1].run == theirs.run
    assert len(engine.started()) == 3


def test_a_limit_is_held_against_what_others_fired_meanwhile(engine: PaperEngine) -> None:
    """Two doors with room for two: what one has started takes the other's room."""
    one, two = door_of(engine), door_of(engine)
    for door in (one, two):
        door.state()
        assert door.live() == frozenset()
    (theirs,) = two.fire_many(volley("a"), limit=2)
    mine, full, again = one.fire_many(volley("b", "c", "a"), limit=2)
    assert isinstance(mine, Fired)
    assert isinstance(full, DoorFull)
    assert str(full) == "trigger 'bell' has 2 live runs; no more may live at once"
    assert again == Fired(theirs.run, duplicate=True)
    assert len(engine.started()) == 2
    assert one.found(["c"]) == {}, "it may fire later"


def test_a_shut_door_fires_no_volley(engine: PaperEngine) -> None:
    """Paused: nothing of it is written; what is known already is named all the same."""
    door = door_of(engine)
    (first,) = door.fire_many(volley("a"))
    door.pause()
    with pytest.raises(DoorShut):
        door.fire_many(volley("b"))
    assert door.fire_many(volley("a")) == [Fired(first.run, duplicate=True)]


def test_keys_known_from_the_start_never_fire(engine: PaperEngine) -> None:
    """They count with the arming, in one append; asked for only then."""
    door = door_of(engine, known=["a", "b"])
    appends = engine.log.counters.appends
    assert door.state().state == "armed"
    assert engine.log.counters.appends == appends + 1
    assert door.fire(firing("a"), {}) == Fired(door.stream, duplicate=True)
    assert not door.fire(firing("c"), {}).duplicate
    again = door_of(engine, known=["d"])
    assert again.state().fired == 1
    assert again.found(["d"]) == {}, "it is armed already"


@pytest.mark.parametrize(
    "arm",
    [
        lambda door: door.decline(firing("x"), "why"),
        lambda door: door.pause(),
        lambda door: door.fire(firing("x"), {}),
    ],
)
def test_who_arms_it_first_does_not_matter_to_what_is_known(
    engine: PaperEngine, arm: Callable[[TriggerDoor], None]
) -> None:
    """A decline, a pause, a firing: each arms the trigger, and the keys count with that."""
    door = door_of(engine, known=["a"])
    arm(door)
    assert door.found(["a"]) == {"a": door.stream}


def test_what_came_before_a_failure_is_not_known_after_it(engine: PaperEngine) -> None:
    """Armed again the trigger goes on where it stood: what it had not fired yet may still fire."""
    door = door_of(engine, known=["a"])
    door.state()
    door.fail("no such thing")
    after = door_of(engine, known=["a", "b"])
    assert after.state().state == "armed"
    assert after.fire(firing("a"), {}).duplicate
    assert not after.fire(firing("b"), {}).duplicate


def test_a_new_revision_knows_anew(engine: PaperEngine) -> None:
    """What is there when a changed trigger is armed counts, what had fired before included."""
    fired = door_of(engine).fire(firing("a"), {})
    new = door_of(engine, revision="r2", known=["a", "b"])
    new.state()
    assert new.found(["a", "b"]) == {"a": fired.run, "b": new.stream}


def test_a_slot_aside_neither_asks_nor_moves_the_watermark(engine: PaperEngine) -> None:
    """A slot long past is fired by itself, once; the clock goes on where it stood."""
    door = door_of(engine, kind="cron")
    watermark = door.state().watermark
    late = firing("old", watermark - 1)
    assert door.fire(late, {}) == Fired("", duplicate=True)
    assert not door.fire(late, {}, aside=True).duplicate
    assert door.fire(late, {}, aside=True).duplicate
    assert door.state().watermark == watermark


def test_what_declines_in_floods_is_said_ever_more_rarely(engine: PaperEngine) -> None:
    """At once, then after one minute with the count, then after two; a quiet reason is news."""
    door = door_of(engine)
    with freeze_time("2026-01-01") as frozen:
        for n in range(1000):
            door.decline(firing(f"k{n}"), "duplicate", repeats=True)
        assert door.state().declined == 1
        frozen.tick(timedelta(seconds=60))
        door.flush(clock.now_us())
        assert door.state().declined == 1000
        last = engine.told(Bell())[-1][1]
        assert (last["count"], last["key"]) == (999, "k999")
        assert last["facts"]["keys"] == [f"k{n}" for n in range(1, 21)]
        door.decline(firing("x"), "duplicate", repeats=True)
        frozen.tick(timedelta(seconds=60))
        door.flush(clock.now_us())
        assert door.state().declined == 1000  # two minutes this time
        frozen.tick(timedelta(seconds=60))
        door.flush(clock.now_us())
        assert door.state().declined == 1001
        frozen.tick(timedelta(hours=1))
        door.flush(clock.now_us())
        door.decline(firing("y"), "duplicate", repeats=True)
        assert door.state().declined == 1002


def test_a_flood_of_reasons_is_bounded_too(engine: PaperEngine) -> None:
    """The 33rd reason at one time is said once, and those behind it are counted together."""
    door = door_of(engine)
    for n in range(100):
        door.decline(firing(f"k{n}"), f"no {n}", repeats=True)
    assert door.state().declined == 33
    door.flush(clock.now_us(), all_=True)
    last = engine.told(Bell())[-1][1]
    assert (last["reason"], last["count"]) == ("various reasons", 67)


def test_what_was_gathered_is_said_at_the_end(engine: PaperEngine) -> None:
    """A door that closes says what it has counted; with nothing counted it is silent."""
    door = door_of(engine)
    for n in range(3):
        door.decline(firing(f"k{n}"), "full", repeats=True)
    door.flush(clock.now_us(), all_=True)
    door.flush(clock.now_us(), all_=True)
    assert [data.get("count", 1) for _, data in engine.told(Bell())[1:]] == [1, 2]


def test_live_runs_are_those_that_have_not_ended(engine: PaperEngine) -> None:
    """Known from the log at first; then also those that another process starts."""
    door, other = door_of(engine), door_of(engine)
    a, b = (fired.run for fired in door.fire_many(volley("a", "b")))
    TriggerDoor(engine, Bell(name="bell2")).fire(firing("z"), {})
    assert door.live() == door_of(engine).live() == {a, b}
    c = other.fire(firing("c"), {}).run
    door.state()
    assert door.live() == {a, b, c}
    engine.end(a)
    engine.end(b, "failed")
    assert door.live() == {c}
    assert door.statuses([a, b, c, "none"]) == {a: "succeeded", b: "failed", c: "running"}


def test_ends_of_runs_are_given_once_they_are_new(engine: PaperEngine) -> None:
    """Ends from before the arming are not; each is given until its slot is settled."""
    door_of(engine, name="early").fire(firing("e"), {})
    engine.end(engine.begun_runs[0])
    engine.log.last_position()
    door = door_of(engine, kind="run")
    types = ["run.succeeded"]
    door.state()
    a, b = (f.run for f in door_of(engine, name="early").fire_many(volley("a", "b")))
    engine.end(a)
    engine.end(b, "failed")
    door.heard_end()
    ends = door.endings("documents", types, limit=9)
    assert [end.run for end in ends if end.run != engine.begun_runs[0]] == [a]
    (end,) = ends[-1:]
    door.heard_end()
    assert door.endings("documents", types, limit=9) == ends
    letter = Firing("bell", "k", end.at, {}, f"{end.run}@{end.version}", slot=end.position)
    door.fire(letter, {})
    (event,) = [e for e in engine.log.read("trigger:bell") if e.type == "trigger.fired"]
    assert event.cause == f"{a}@2"
    assert door.endings("documents", types, limit=9) == []


def test_ends_are_given_to_the_last_though_nobody_else_wrote(
    engine: PaperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the log promises moves with the commits of others: ours are heard of, once for all."""
    door = door_of(engine, kind="run")
    monkeypatch.setattr(engine.log, "changed", lambda: 7)
    types = ["run.succeeded"]
    assert door.endings("documents", types, limit=9) == []
    for fired in door_of(engine, name="early").fire_many(volley("a", "b", "c")):
        assert isinstance(fired, Fired)
        engine.end(fired.run)
    door.heard_end()
    given = 0
    while ends := door.endings("documents", types, limit=2):
        given += len(ends)
        for end in ends:
            door.decline(Firing("bell", end.run, end.at, {}, slot=end.position), "why")
    assert given == 3


def test_a_trigger_that_failed_goes_on_where_it_stood(engine: PaperEngine) -> None:
    """It is recorded once; armed again, its watermark is the one it had."""
    door = door_of(engine, kind="cron")
    watermark = door.state().watermark
    door.fire(firing("s", watermark + 10), {})
    door.fail("OSError: no")
    door.fail("OSError: no")
    assert told(engine)[-1] == "trigger.failed"
    assert told(engine).count("trigger.failed") == 1
    state = door.state()
    assert (state.state, state.watermark) == ("armed", watermark + 10)


def test_a_long_past_is_folded_once(
    engine: PaperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new door begins with a copy of the fold; without copies it comes to the same."""
    monkeypatch.setattr(triggerstream, "SNAPSHOT_EVERY", 5)
    door = door_of(engine)
    for key in "abcdefghij":
        door.fire(firing(key), {})
    door.decline(firing("x"), "bad input")
    monkeypatch.setattr(engine.log, "load", Spy(engine.log.load))
    late = door_of(engine)
    runs = late.live()
    state = late.state()
    assert engine.log.load.afters[0] == 10
    assert (state.fired, state.declined, len(runs)) == (10, 1, 10)
    assert state == door.state()
    engine.log.drop_derived()
    assert door_of(engine).state() == state


def test_a_copy_that_cannot_be_kept_loses_nothing(
    engine: PaperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The firing was appended before: it counts, and the copy is tried again with the next."""

    def refuse(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(triggerstream, "SNAPSHOT_EVERY", 2)
    monkeypatch.setattr(engine.log, "put_snapshot", refuse)
    door = door_of(engine)
    assert not any(door.fire(firing(key), {}).duplicate for key in "abc")
    assert door_of(engine).state().fired == 3


class Spy:
    """A log's `load` that notes from where it was asked."""

    def __init__(self, load: Callable[..., Any]) -> None:
        self._load = load
        self.afters: list[int] = []

    def __call__(self, stream: str, *, after: int = 0) -> Any:
        self.afters.append(after)
        return self._load(stream, after=after)
