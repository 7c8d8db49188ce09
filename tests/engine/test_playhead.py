"""The playhead: standing anywhere on a run's tape, reading what was there."""

import datetime
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.core import commands as c
from engine.core.define import BreakerSpec, Definition, Delay, Input, Node, Param
from engine.core.evolve import IllegalEvent
from engine.core.plan import Plan
from engine.history import HistoryEvent, history_event, inputs_of, run_row
from engine.playhead import Playhead
from engine.runview import Wait
from eventstore import Append, Event, Headline, NewEvent, Row, Write, clock, open_log
from eventstore.event import NEW
from tests.engine.core.bench import BOOM, NOW, SECOND, Bench, node, pipeline, publish

START = clock.from_us(NOW)


def tape(bench: Bench) -> list[Event]:
    """Give a bench's events as a log gives them."""
    return [
        Event(
            position=version + 100,
            stream="r1",
            version=version,
            type=fact.type,
            type_version=1,
            epoch=1,
            subject=fact.subject,
            source=fact.source,
            dest=fact.dest,
            data=msgspec.json.encode(fact.data).decode(),
            at=at,
            cause=fact.cause,
            append_id="x",
            hash=b"",
        )
        for version, (fact, at) in enumerate(bench.tape, 1)
    ]


def over(bench: Bench, **options: Any) -> Playhead:
    """Give a playhead over a bench's run."""
    return Playhead("r1", tape(bench), lambda _: bench.plan, **options)


def begun(bench: Bench, inputs: bytes = b"{}") -> Bench:
    """Start a bench's run with inputs."""
    value = c.Value(raw=msgspec.Raw(inputs))
    return bench.when(c.StartRun("w", "hash", value, key="k")).goes_on()


def two_steps() -> Bench:
    """Give a run of two steps, one second apart, that has ended."""
    definition = Definition(
        "w",
        inputs=(Input("path"), Input("depth", required=False)),
        nodes=(
            Node("a", params=(Param("path", "input"), Param("depth", "input", required=False))),
            Node("b", params=(Param("a", "node"), Param("client", "client"))),
        ),
    )
    bench = begun(Bench(definition), b'{"path":"x.txt"}')
    bench.now += SECOND
    bench.fails("a", wait=0)
    bench.now += SECOND
    bench.succeeds("a", b'{"words":3}')
    bench.now += SECOND
    return bench.succeeds("b", b'"done"')


TYPES = [
    "run.started", "step.started", "step.failed", "step.started", "step.succeeded",
    "step.started", "step.succeeded", "run.succeeded",
]  # fmt: skip


# Moving.


def test_a_new_playhead_stands_on_the_last_event() -> None:
    """Its state is the run's present one."""
    head = over(two_steps())
    assert (len(head), head.version, head.state.status) == (8, 8, "succeeded")
    assert head.event is not None
    assert head.event.type == "run.succeeded"


def test_it_walks_back_and_forth() -> None:
    """Each event once in each direction; at the ends it stays and says so."""
    head = over(two_steps())
    seen = [head.event.type if head.event else ""]
    while head.back():
        seen.append(head.event.type if head.event else "")
    assert seen == [*reversed(TYPES), ""]
    assert (head.version, head.back(), head.event, head.at) == (0, False, None, None)
    seen = []
    while head.forward():
        seen.append(head.event.type if head.event else "")
    assert seen == TYPES
    assert (head.forward(), head.version) == (False, 8)


def test_it_seeks_a_version() -> None:
    """From 0, before the first event, to the last."""
    head = over(two_steps())
    assert head.seek(5).state.steps["a"].state == "succeeded"
    assert head.seek(4).state.steps["a"].state == "running"
    assert head.seek(0).state.status == "\u2013"
    assert (head.state.steps, head.state.waits, head.state.inputs) == ({}, (), {})


@pytest.mark.parametrize("version", [-1, 9])
def test_a_version_out_of_range_is_refused(version: int) -> None:
    """The error names the range; the playhead stays where it is."""
    head = over(two_steps()).seek(3)
    with pytest.raises(ValueError, match="1 to 8"):
        head.seek(version)
    assert head.version == 3


def test_what_is_no_place_is_refused() -> None:
    """Text, True, a datetime without zone."""
    head = over(two_steps())
    for wrong in ("3", True, 1.0):
        with pytest.raises(TypeError):
            head.seek(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no time zone"):
        head.seek(datetime.datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
    with pytest.raises(TypeError, match="type or a subject"):
        head.seek_where()


def test_it_seeks_a_moment() -> None:
    """The last event recorded up to it; before the first one version 0."""
    head = over(two_steps())
    moments = [(-1, 0), (0, 2), (0.5, 2), (1, 4), (2, 6), (9999, 8)]
    for seconds, version in moments:
        assert head.seek(START + timedelta(seconds=seconds)).version == version
    elsewhere = datetime.timezone(timedelta(hours=9))
    assert head.seek((START + timedelta(seconds=1)).astimezone(elsewhere)).version == 4
    assert head.at == START + timedelta(seconds=1)


def test_it_seeks_what_happened() -> None:
    """The next of a type or subject; after the last one it begins anew; none: it stays."""
    head = over(two_steps())
    assert head.seek_where(type="step.started")
    assert head.version == 2
    assert head.seek_where(type="step.started", subject="b")
    assert head.version == 6
    assert head.seek_where(type="step.started")
    assert head.version == 2
    assert head.seek_where(type="run.failed") is False
    assert head.version == 2


# Looking.


def test_a_step_shows_what_it_was_given_and_gave() -> None:
    """Inputs by parameter, what the engine handed in left out; output and error decoded."""
    head = over(two_steps())
    a, b = head.state.steps["a"], head.state.steps["b"]
    assert (a.inputs, a.output, a.attempts, a.error) == (
        {"path": "x.txt"},
        {"words": 3},
        2,
        None,
    )
    assert (b.inputs, b.output, b.visit) == ({"a": {"words": 3}}, "done", 1)
    head.seek(3)
    a, b = head.state.steps["a"], head.state.steps["b"]
    assert (a.state, a.output, a.error) == ("retrying", None, BOOM)
    assert (b.state, b.inputs, b.attempts) == ("blocked", {}, 0)
    assert head.state.inputs == {"path": "x.txt"}


def test_an_outcome_is_shown_with_its_state() -> None:
    """Of a failure, of a skip, of a success; a default shows as absent."""
    step = Node(
        "z",
        params=(
            Param("a", "node", outcome=True),
            Param("b", "node", outcome=True),
            Param("c", "node", outcome=True),
            Param("b2", "node", required=False),
        ),
    )
    bench = Bench(pipeline(node("a"), node("b", when=()), node("b2", when=()), node("c"), step))
    bench.whens = {"b": False, "b2": False}
    begun(bench).fails("a")
    bench.succeeds("c", b"7")
    assert over(bench).state.steps["z"].inputs == {
        "a": {"state": "failed"},
        "b": {"state": "skipped"},
        "c": {"state": "succeeded", "value": 7},
    }


def test_a_view_stays_as_it_is_when_the_cursor_moves() -> None:
    """What was looked at keeps showing its own version."""
    head = over(two_steps()).seek(4)
    view = head.state
    assert view.steps["a"].state == "running"
    head.seek(8)
    assert head.state.status == "succeeded"
    again = head.seek(4).state
    for shown in (view, again):
        assert (shown.version, shown.status) == (4, "running")
        assert shown.steps["a"].state == "running"
        assert shown.steps["a"].output is None


def test_the_fold_keeps_the_state_of_every_version() -> None:
    """Walking back, forth and jumping show at each version what folding from zero shows."""
    bench = two_steps()
    straight = []
    for version in range(9):
        fresh = over(bench).seek(version)
        straight.append(msgspec.msgpack.encode(fresh.fold()))
    head = over(bench)
    for version in [8, 7, 6, 5, 4, 3, 2, 1, 0, 5, 2, 8, 1]:
        assert msgspec.msgpack.encode(head.seek(version).fold()) == straight[version]


def test_what_is_waited_for_is_listed() -> None:
    """Timers, signals, retries and breakers; with a due time, the earliest first."""
    spec = BreakerSpec("api", failure_threshold=1)
    bench = Bench(
        pipeline(
            node("r", breaker="api"),
            Node("t", "timer", delay=Delay(us=60 * SECOND)),
            Node("s", "signal", delay=Delay(us=30 * SECOND)),
            Node("u", "signal"),
            node("p", "t?", "s?", "u?"),
            node("q", after=("first",), breaker="api"),
            node("first"),
            breaker=spec,
        )
    )
    begun(bench).fails("r", wait=5 * SECOND)
    bench.succeeds("first")
    head = over(bench)
    assert head.state.waits == (
        Wait(kind="retry", name="r", due=START + timedelta(seconds=5)),
        Wait(kind="signal", name="s", due=START + timedelta(seconds=30)),
        Wait(kind="timer", name="t", due=START + timedelta(seconds=60)),
        Wait(kind="signal", name="u"),
        Wait(kind="breaker", name="q", breaker="api"),
    )
    assert head.state.status == "waiting"


def test_a_run_for_later_waits_for_its_start() -> None:
    """Its due time is shown until it has begun."""
    bench = Bench(pipeline(node("a")))
    bench.starts(due=NOW + SECOND)
    head = over(bench)
    assert head.state.waits == (
        Wait(kind="start", name="run", due=START + timedelta(seconds=1)),
    )
    bench.passes(1)
    assert over(bench).state.waits == ()


def test_a_machine_shows_its_state_and_what_it_takes() -> None:
    """State, visit, deadline, the signals of the state, and which payload a step was given."""
    definition = msgspec.structs.replace(
        publish(),
        nodes=(
            Node(
                "draft",
                params=(
                    Param("revise", "payload", required=False),
                    Param("draft", "node", required=False),
                ),
            ),
            node("release"),
        ),
    )
    bench = begun(Bench(definition)).succeeds("draft", b'"first"')
    head = over(bench)
    assert (head.state.state, head.state.status) == ("review", "waiting")
    assert [(wait.kind, wait.name) for wait in head.state.waits] == [
        ("timeout", "review"), ("signal", "revise"), ("signal", "approve"), ("signal", "reject"),
    ]  # fmt: skip
    bench.does(c.TellSignal("revise", value=c.Value(raw=msgspec.Raw(b'{"by":"ann"}'))))
    bench.succeeds("draft", b'"second"')
    draft = over(bench).state.steps["draft"]
    assert (draft.visit, draft.output) == (2, "second")
    assert draft.inputs == {"revise": {"by": "ann"}, "draft": "first"}
    head = over(bench)
    assert head.seek(4).state.steps["draft"].inputs == {}


def test_a_run_that_was_redefined_shows_each_part_by_its_definition() -> None:
    """Before the event the old steps, after it the new; no code is needed for either."""
    old, new = Plan(pipeline(node("a"))), Plan(pipeline(node("a"), node("b", "a")))
    bench = Bench(old.definition)
    bench.when(c.StartRun("w", old.hash, c.NULL)).goes_on()
    bench.plan = new
    bench.does(c.RedefineRun(new.hash))
    bench.succeeds("a", b"1")
    plans = {old.hash: old, new.hash: new}
    head = Playhead("r1", tape(bench), plans.__getitem__)
    assert list(head.state.steps) == ["a", "b"]
    assert list(head.seek(2).state.steps) == ["a"]
    assert head.seek(3).state.definition == new.hash


def test_a_damaged_tape_is_found_when_it_is_folded() -> None:
    """The events can still be read; the state raises, and names the event."""
    events = tape(two_steps())
    events[4] = msgspec.structs.replace(events[4], source="parked")
    head = Playhead("r1", events, lambda _: Plan(two_steps().plan.definition))
    assert head.event is not None
    assert head.seek(4).state.status == "running"
    with pytest.raises(IllegalEvent, match="event 5"):
        _ = head.seek(8).state
    assert head.seek(4).state.status == "running"


def test_a_tape_that_does_not_begin_with_the_start_is_refused() -> None:
    """There is no definition to fold it by."""
    events = [msgspec.structs.replace(tape(two_steps())[1], version=1)]
    with pytest.raises(ValueError, match="begin with"):
        _ = Playhead("r1", events, lambda _: Plan(pipeline())).state


# How much it costs.


def long_run(loops: int) -> Bench:
    """Give a machine that has drafted and been revised again and again: 7 events a loop."""
    bench = begun(Bench(publish()))
    bench.free = loops
    for _ in range(loops):
        bench.succeeds("draft", b"1").does(c.TellSignal("revise"))
    return bench


def test_walking_back_does_not_fold_from_zero_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over 7,000 events each step back folds at most 32 events on average."""
    import engine.playhead as room  # noqa: PLC0415 - patched here only

    head = over(long_run(1000))
    assert len(head) > 6_000
    _ = head.state
    folded = 0
    real = room.evolve

    def counted(*args: Any) -> None:
        nonlocal folded
        folded += 1
        real(*args)

    monkeypatch.setattr(room, "evolve", counted)
    steps = 0
    while head.back():
        assert head.state.version == head.version
        steps += 1
    assert folded / steps <= 40


# Rows.


def test_an_event_is_a_frozen_row() -> None:
    """The names of the design, data decoded, the moment aware."""
    row = history_event(tape(two_steps())[4])
    assert (row.version, row.type, row.subject) == (5, "step.succeeded", "a")
    assert (row.source, row.dest, row.position, row.stream) == (
        "running",
        "succeeded",
        105,
        "r1",
    )
    assert row.data["output"] == row.value("output") == {"words": 3}
    assert (row.at, row.cause) == (START + timedelta(seconds=2), None)
    assert row == history_event(tape(two_steps())[4])
    with pytest.raises(AttributeError):
        row.version = 9  # type: ignore[misc]
    with pytest.raises(KeyError, match="carries no 'payload'"):
        row.value("payload")


def large() -> tuple[Any, HistoryEvent]:
    """Give a log, and an event in it whose output lies in a blob."""
    log = open_log("memory://")
    sha256 = log.put_blob(b'["a","large","list"]')
    event = msgspec.structs.replace(
        tape(two_steps())[4], data=f'{{"attempt":1,"output_blob":"{sha256}"}}'
    )
    return log, history_event(event, log)


def test_a_large_value_is_fetched_when_it_is_asked_for() -> None:
    """The row carries its hash, `value` the value, `resolved` all data."""
    _, row = large()
    assert "output" not in row.data
    assert row.value("output") == ["a", "large", "list"]
    assert row.resolved() == {"attempt": 1, "output": ["a", "large", "list"]}


def test_a_playhead_shows_large_values_too() -> None:
    """An output in a blob is read from the log when it is looked at."""
    bench = begun(Bench(pipeline(node("a"), node("b", "a"))))
    log = open_log("memory://")
    sha256 = log.put_blob(b'"large"')
    bench.does(c.Succeed("a", 1, 1, c.Value(blob=sha256)))
    assert over(bench, blobs=log).state.steps["b"].inputs == {"a": "large"}
    with pytest.raises(LookupError, match="without its log"):
        _ = over(bench).state.steps["a"].output


def test_a_run_in_a_list_is_a_frozen_row() -> None:
    """Its name, status, state, tags, inputs, error and times, from row and first event."""
    log = open_log("memory://")
    first = tape(two_steps())[0]
    event = NewEvent(first.type, "run", first.source, first.dest, first.data, first.at)
    label = (
        f'{{"state":"review","error":{{"type":"Boom"}},"started":{NOW},"ended":{NOW + SECOND}}}'
    )
    log.append(
        Append(
            "x",
            (
                Write(
                    "r1", "run", NEW, (event,), Row(status="failed", label=label),
                    Headline(name="w", key="k", tags={"team": "red"}),
                ),
            ),
        )
    )  # fmt: skip
    head, events = log.load("r1")
    row = run_row(head, events[0], log)
    assert (row.id, row.key, row.workflow, row.status, row.state) == (
        "r1", "k", "w", "failed", "review",
    )  # fmt: skip
    assert (row.tags, row.inputs, row.error) == (
        {"team": "red"}, {"path": "x.txt"}, {"type": "Boom"},
    )  # fmt: skip
    assert (row.started_at, row.ended_at) == (START, START + timedelta(seconds=1))


def test_inputs_in_a_blob_and_no_inputs_at_all() -> None:
    """Large inputs are read from the log; a run without any has {}."""
    log = open_log("memory://")
    sha256 = log.put_blob(b'{"path":"far"}')
    first = tape(two_steps())[0]
    data = f'{{"workflow":"w","definition":"d","inputs_blob":"{sha256}"}}'
    assert inputs_of(msgspec.structs.replace(first, data=data), log) == {"path": "far"}
    bare = msgspec.structs.replace(first, data='{"workflow":"w","definition":"d"}')
    assert inputs_of(bare) == {}
