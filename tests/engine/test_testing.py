"""The kit for tests of workflows: rules by example, a cut-off process, a fold that is held."""

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from freezegun import freeze_time
from tenacity import retry, stop_after_attempt, wait_fixed

from engine.core.commands import CancelRun, Fail, StartRun, Succeed, TellSignal
from engine.core.events import ErrorDoc
from engine.errors import PlayheadError
from engine.testing import Crashed, assert_replays, crash_after, given, value
from playhead import CircuitBreaker, Context, Engine, Signal, Timer, Workflow, step

BOOM = ErrorDoc("OSError", "down")


@step
def draft(topic: str) -> str:
    return topic


def few_drafts(ctx: Context) -> bool:
    return ctx.visits("draft") < 2


publish = Workflow(
    "publish",
    steps=[draft],
    states=[
        "draft",
        {"name": "review", "timeout": 60, "on_timeout": "expire"},
        "published",
        {"name": "rejected", "outcome": "failed"},
    ],
    transitions=[
        ["done", "draft", "review"],
        {"trigger": "revise", "source": "review", "dest": "draft", "conditions": few_drafts},
        ["revise", "review", "rejected"],
        ["approve", "review", "published"],
        ["expire", "review", "rejected"],
    ],
    initial="draft",
)
IN_REVIEW = (
    'run.started run ->running {"inputs": {"topic": "x"}}',
    "machine.moved initial ->draft",
    "step.started draft blocked>running",
    'step.succeeded draft running>succeeded {"output": "x"}',
    "machine.moved done draft>review",
)
APPROVED = "machine.moved approve review>published"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'log.db'}"


# Rules.


def test_a_rule_is_given_when_then():
    """A machine in review that is approved moves and ends, in one turn."""
    rule = given(IN_REVIEW, publish)
    rule.when(TellSignal("approve")).then(APPROVED, "run.succeeded run running>succeeded")


def test_a_guard_is_asked():
    """The guard of the workflow itself decides: the first revision is drafted, the next is not."""
    started = "step.started draft succeeded>running"
    rule = given(IN_REVIEW, publish).when(TellSignal("revise"))
    kinds = [event.type for event in rule.events]
    assert kinds[-2:] == ["machine.moved", "step.started"], kinds
    assert rule.events[-1].dest == "running", started
    again = Succeed(
        "draft", 2, rule.engine.peek(rule.run_id).run.steps["draft"].attempt, value(1)
    )
    rule.when(again).when(TellSignal("revise"))
    assert [event.dest for event in rule.events][-2:] == ["rejected", "failed"]


def test_a_rule_may_refuse_or_say_nothing():
    """A signal that no edge takes is refused with the reason; a stale result changes nothing."""
    rule = given(IN_REVIEW, publish)
    rule.when(TellSignal("publish")).is_refused("does not take it")
    rule.when(Succeed("draft", 9, 9, value("late"))).then()
    with pytest.raises(AssertionError, match="was obeyed"):
        rule.is_refused()
    with pytest.raises(AssertionError, match="not 'weather'"):
        rule.when(TellSignal("publish")).is_refused("weather")


def test_a_difference_is_shown():
    """What was expected and what was recorded stand under one another, with the data."""
    rule = given(IN_REVIEW, publish).when(TellSignal("approve", value({"by": "ann"})))
    with pytest.raises(
        AssertionError, match=r"(?s)expected\n  nothing\nbut.*review>published.*ann"
    ):
        rule.then()
    with pytest.raises(AssertionError, match="expected"):
        rule.then(
            APPROVED + ' {"payload": {"by": "bob"}}', "run.succeeded run running>succeeded"
        )
    rule.then(APPROVED + ' {"payload": {"by": "ann"}}', "run.succeeded run running>succeeded")


def test_a_rule_of_a_breaker():
    """The failure that opens a breaker is recorded with the step's, in the breaker's stream."""

    @step(breaker=CircuitBreaker("api", failure_threshold=2, reset_timeout=60))
    @retry(wait=wait_fixed(5), stop=stop_after_attempt(3))
    def ask() -> int:
        return 1

    asking = Workflow("asking", steps=[ask])
    events = [
        "run.started run ->running",
        'step.started ask blocked>running {"breaker": "api"}',
        'breaker:api breaker.failed breaker closed>closed {"count": 1}',
    ]
    rule = given(events, asking).when(Fail("ask", 1, 1, BOOM, wait=5_000_000))
    rule.then(
        'step.failed ask running>retrying {"error": {"type": "OSError", "message": "down"}}',
        'breaker:api breaker.failed breaker closed>closed {"count": 2}',
        "breaker:api breaker.opened breaker closed>open",
    )


def test_a_rule_begins_with_the_first_event():
    """Given nothing, a start is a rule as well: the first step begins in the same turn."""
    hello = Workflow("hello", steps=[draft])
    rule = given([], hello).when(StartRun("hello", hello.hash, value({"topic": "x"})))
    rule.then("run.started run ->running", "step.started draft blocked>running")
    rule.when(CancelRun()).then("run.cancelling run running>cancelling")


def test_a_recorded_history_is_given(url):
    """The history of a real run, large values and breakers too, is a beginning for rules."""

    @step(breaker=CircuitBreaker("api", failure_threshold=1, reset_timeout=60))
    @retry(wait=wait_fixed(5), stop=stop_after_attempt(3))
    def ask(text: str) -> str:
        raise OSError(text[:5])

    asking = Workflow("asking", steps=[ask])
    with freeze_time("2030-01-01"):
        engine = Engine(url, workflows=[asking])
        run = engine.start(asking, text="x" * 100_000)
        engine.run_until_idle()
        told = engine.history(run) + engine.breaker("api").history()
        engine.close()
        rule = given(told, asking).when(CancelRun(reason="enough"))
    assert [event.type for event in rule.events][-1] == "run.cancelled"
    assert rule.run_id == run.id


@pytest.mark.parametrize(
    "line", ["", "step.started draft", "started draft a>b", "no.such draft a>b"]
)
def test_a_line_that_is_no_event_is_refused(line):
    """A line without type, subject or move, and an unknown type, are refused in words."""
    with pytest.raises(ValueError, match=r"no event|no type of event"):
        given([line], publish)


# A process that is cut off.


def pipeline(calls):
    """Make a pipeline of three steps that say when they are called, and a wait in between."""

    @step
    def one() -> int:
        calls.append("one")
        return 1

    @step
    @retry(wait=wait_fixed(60), stop=stop_after_attempt(3))
    def two(one: int) -> int:
        calls.append("two")
        if calls.count("two") == 1:
            raise OSError("not yet")
        return one + 1

    @step
    def three(two: int, rest: datetime) -> int:
        calls.append("three")
        return two + 1

    return Workflow("three", steps=[one, two, Timer("rest", 30, after=["one"]), three])


def work(engine, clock):
    """Let an engine do all there is to do, now and later."""
    engine.run_until_idle()
    while (due := engine.next_due()) is not None:
        clock.tick(max(due - engine_now(clock), timedelta(0)))
        engine.run_until_idle()


def engine_now(clock):
    """Give the frozen time as aware."""
    return clock().replace(tzinfo=UTC)


@pytest.mark.parametrize("performed", [False, True])
def test_every_place_between_two_commits(tmp_path, performed):
    """Wherever the process is cut off, another one brings the run to the same end."""
    cuts = 0
    for n in itertools.count(0 if performed else 1):
        calls = []
        workflow = pipeline(calls)
        url = f"sqlite:///{tmp_path / f'{n}.db'}"
        with freeze_time("2030-01-01") as clock:
            engine = Engine(url, workflows=[workflow])
            run_id = engine.start(workflow, key="k").id
            with crash_after(n, engine, performed=performed) as cut:
                work(engine, clock)
            before = list(calls)
            again = Engine(url, workflows=[workflow])
            work(again, clock)
            run = again.get(run_id)
            assert run.result(timeout=0) == 3
            assert_replays(run)
            again.close()
            engine.close()
        assert len(calls) - len(set(calls)) <= 2, "the retry, and one attempt that was lost"
        assert calls[: len(before)] == before
        if not cut.crashed:
            break
        cuts += 1
    assert cuts >= 4


def test_nothing_is_written_after_the_cut(url):
    """From the cut on the engine writes nothing, whatever it tries; the commits before stand."""
    calls = []
    workflow = pipeline(calls)
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    before = len(engine.history(run))
    with crash_after(1, engine) as cut:
        engine.run_until_idle()
    assert cut.crashed
    after = engine.history(run)
    assert len(after) > before
    for write in (
        lambda: engine.start(workflow),
        engine.run_until_idle,
        lambda: engine.cancel(run),
    ):
        with pytest.raises(Crashed):
            write()
    assert engine.history(run) == after
    assert calls == [], "its step had been recorded as started, and was not called"


def test_a_dead_engine_can_be_closed(url):
    """Also `engine.run` is cut; closing what is dead writes nothing, and does not raise."""
    workflow = pipeline([])
    engine = Engine(url, workflows=[workflow])
    with crash_after(1, engine) as cut:
        engine.run(workflow)
    assert cut.crashed
    engine.close()
    again = Engine(url, workflows=[workflow])
    assert [row.id for row in again.log.workers()] == [engine.worker.id]
    again.run_until_idle()
    assert again.runs()[0].status == "waiting"
    again.close()


def test_with_performed_the_step_has_run(url):
    """Instead of the next commit: the step has been called, and its result is lost."""
    calls = []
    workflow = pipeline(calls)
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    with crash_after(1, engine, performed=True):
        engine.run_until_idle()
    assert calls == ["one"]
    assert engine.history(run)[-1].type == "step.started"


def test_a_cut_that_does_not_come_leaves_the_engine_whole(url):
    """If the block ends before the nth commit, the engine works on as if nothing had been."""
    workflow = Workflow("w", steps=[draft])
    engine = Engine(url, workflows=[workflow])
    with crash_after(99, engine) as cut:
        assert engine.run(workflow, topic="x") == "x"
    assert not cut.crashed
    assert engine.run(workflow, topic="y") == "y"
    assert "append" not in vars(engine.log)
    engine.close()


def test_a_cut_asks_for_a_file_and_for_the_callers_thread(url):
    """In memory nothing would be left; an engine with threads cannot be cut; n begins at one."""
    with pytest.raises(PlayheadError, match="a log in memory dies"):
        crash_after(1, Engine("sqlite:///:memory:"))
    engine = Engine(url, workflows=[publish])
    with engine, pytest.raises(PlayheadError, match="caller's thread"):
        crash_after(1, engine)
    with pytest.raises(ValueError, match="n=0"):
        crash_after(0, engine)


def test_an_error_of_the_test_is_not_swallowed(url):
    """Only the cut itself ends in silence; what the test raises comes out."""
    engine = Engine(url, workflows=[publish])
    with pytest.raises(ZeroDivisionError), crash_after(5, engine):
        raise ZeroDivisionError
    engine.close()


# The fold.


def test_a_fold_is_held_against_every_prefix():
    """Runs of every kind, ended and waiting, replay: retries, timers, signals, machines."""
    asking = Workflow("asking", steps=[Signal("yes", bool, timeout=60)])
    calls = []
    three = pipeline(calls)
    with freeze_time("2030-01-01") as clock:
        engine = Engine("sqlite:///:memory:", workflows=[publish, three, asking])
        runs = [engine.start(three), engine.start(asking), engine.start(publish, topic="x")]
        engine.run_until_idle()
        for run in runs:
            assert_replays(run)
        engine.signal(runs[2], "revise")
        work(engine, clock)
        for run in runs:
            assert_replays(run)
        assert {run.status for run in runs} == {"succeeded", "failed"}
        engine.close()


def test_a_fold_that_forgets_is_found(monkeypatch):
    """A field that a snapshot would lose, or that the engine has otherwise, is named."""
    engine = Engine("sqlite:///:memory:", workflows=[publish])
    run = engine.start(publish, topic="x")
    engine.run_until_idle()
    assert_replays(run)
    peek = engine.peek

    def wrong(run_id):
        hold = peek(run_id)
        hold.run.visits = {"draft": 7}
        return hold

    monkeypatch.setattr(engine, "peek", wrong)
    with pytest.raises(AssertionError, match=r"engine loads it: visits is .*7"):
        assert_replays(run)
    monkeypatch.undo()
    fold = msgspec.json.Decoder(type(peek(run.id).run)).decode

    def forgetful(raw):
        folded = fold(raw)
        folded.outputs = {}
        return folded

    monkeypatch.setattr("engine.testing.fold._decode", forgetful)
    with pytest.raises(AssertionError, match=r"step\.succeeded of 'draft'.*outputs is {}"):
        assert_replays(run)
