"""What events make of a run: joins counted down, corrupt logs found, definitions exchanged."""

from typing import Any

import msgspec
import pytest

from engine.core import commands as c
from engine.core import joins as room
from engine.core.define import Delay, Node, Param
from engine.core.events import (
    NOT_YET,
    Fact,
    IllegalEvent,
    MachineMoved,
    RunEnded,
    StepSucceeded,
    TimerTold,
)
from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import (
    Run,
    attempt_id,
    display_status,
    idempotency_key,
    next_due,
)
from tests.engine.core.bench import NOW, SECOND, Bench, node, pipeline, publish


def chain() -> Bench:
    """Give a run of two steps, the first in flight."""
    return Bench(pipeline(node("a"), node("b", "a"))).starts()


# A corrupt log is found, not guessed at.


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_version_that_does_not_follow_is_refused(version: int) -> None:
    """A gap and a repetition both raise, and name the run."""
    bench = chain()  # stands at 2
    done = ("step.succeeded", "a", "running", "succeeded", StepSucceeded(attempt=1), NOW)
    with pytest.raises(IllegalEvent, match="r1 follows 2"):
        evolve(bench.run, bench.plan, version, *done)


@pytest.mark.parametrize(
    ("fact", "complaint"),
    [
        (Fact("step.exploded", "a", "running", "gone", RunEnded()), "unknown type"),
        (
            Fact("step.succeeded", "a", "running", "failed", StepSucceeded(attempt=1)),
            "no legal move",
        ),
        (
            Fact("step.succeeded", "b", "running", "succeeded", StepSucceeded(attempt=1)),
            "folded is blocked",
        ),
        (
            Fact("run.cancelled", "run", "cancelling", "cancelled", RunEnded()),
            "folded is running",
        ),
        (Fact("timer.fired", "t", "pending", "fired", TimerTold()), "folded is"),
        (Fact("timer.set", "t", "pending", "pending", TimerTold()), "no legal move"),
    ],
)
def test_an_event_that_cannot_follow_is_refused(fact: Fact, complaint: str) -> None:
    """An unknown type, a move no table has, a source that is not the folded state."""
    bench = chain()
    data = msgspec.json.encode(fact.data).decode()
    row = (fact.type, fact.subject, fact.source, fact.dest, data, NOW)
    with pytest.raises(IllegalEvent, match=complaint):
        evolve(bench.run, bench.plan, bench.run.version + 1, *row)


def test_a_move_that_the_machine_does_not_know_is_refused() -> None:
    """From a state it is not in, and along an edge that is not there."""
    bench = Bench(publish()).starts()
    data = msgspec.json.encode(MachineMoved(visit=1)).decode()
    for trigger, source, dest in [
        ("approve", "review", "release"),
        ("approve", "draft", "release"),
    ]:
        row = ("machine.moved", trigger, source, dest, data, NOW)
        with pytest.raises(IllegalEvent):
            evolve(bench.run, bench.plan, bench.run.version + 1, *row)


def test_a_timer_is_not_set_twice() -> None:
    """While it is pending a second `timer.set` raises."""
    timer = Node("t", "timer", delay=Delay(us=SECOND))
    bench = Bench(pipeline(timer, node("a", after=("t",)))).starts()
    with pytest.raises(IllegalEvent, match="of 't' says"):
        bench.fold(Fact("timer.set", "t", NOT_YET, "pending", TimerTold(due=NOW)))


# What the fold keeps.


def test_the_fold_keeps_where_a_result_is_not_the_result() -> None:
    """The version of the event, and nothing of the value."""
    bench = chain()
    bench.succeeds("a", b'"a very long text"')
    assert bench.run.outputs == {"a": 3}
    assert b"a very long text" not in msgspec.msgpack.encode(bench.run)


def test_a_run_is_the_same_through_bytes() -> None:
    """A snapshot of a run with every kind of debt reads back as it was."""
    bench = Bench(publish()).starts().succeeds("draft")
    bench.when(c.TellSignal("revise", key="k"))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(bench.run), type=Run)
    assert again == bench.run


def test_parked_and_paused_time_is_kept_apart() -> None:
    """The policy's clock leaves both out: they are in the fold."""
    bench = chain()
    bench.when(c.PauseRun())
    bench.now += 5 * SECOND
    bench.when(c.ResumeRun())
    assert bench.run.paused_total == 5 * SECOND
    assert bench.run.steps["a"].paused_before == 0


# What others ask of it.


def test_a_run_that_only_waits_is_shown_as_waiting() -> None:
    """`waiting` is derived: nothing runs, nothing is ready, nothing is to be answered."""
    bench = Bench(pipeline(Node("s", "signal"), node("a", "s"))).starts()
    assert (bench.run.status, display_status(bench.run)) == ("running", "waiting")
    bench.does(c.TellSignal("s"))
    assert display_status(bench.run) == "running"


def test_a_machine_with_a_deferred_signal_waits_all_the_same() -> None:
    """What is kept for a later state is not to be answered now."""
    definition = msgspec.structs.replace(publish(), defer=("done",))
    bench = Bench(definition).starts().succeeds("draft")
    bench.does(c.TellSignal("done"))
    assert display_status(bench.run) == "waiting"


def test_the_next_due_time_is_the_earliest_of_timers_and_retries() -> None:
    """Paused, parked and ended runs have none."""
    timer = Node("t", "timer", delay=Delay(us=9 * SECOND))
    bench = Bench(pipeline(node("a"), timer, node("b", after=("t",)))).starts()
    assert next_due(bench.run) == NOW + 9 * SECOND
    bench.fails("a", wait=SECOND)
    assert next_due(bench.run) == NOW + SECOND
    bench.when(c.PauseRun())
    assert next_due(bench.run) is None


def test_the_idempotency_key_follows_visit_and_branch_not_attempt() -> None:
    """Retries keep it; each attempt has an id of its own."""
    run = Run("r1")
    assert idempotency_key(run, "score[3]", 2) == "r1/score[3]:2"
    run.branch = 1
    assert idempotency_key(run, "score[3]", 2) == "r1~2/score[3]:2"
    bench = chain()
    first = attempt_id(bench.run, "a", bench.run.steps["a"])
    bench.fails("a", wait=0)
    assert attempt_id(bench.run, "a", bench.run.steps["a"]) != first


# Another definition.


def redefined(bench: Bench, *nodes: Node) -> Bench:
    """Go on under another definition."""
    bench.plan = Plan(pipeline(*nodes))
    return bench.does(c.RedefineRun(bench.plan.hash))


def test_a_step_added_behind_what_has_run_runs() -> None:
    """The run goes on with it, and ends when it has settled."""
    bench = redefined(chain(), node("a"), node("b", "a"), node("c", "a"))
    bench.succeeds("a").then(
        "step.succeeded a running>succeeded",
        "step.started b blocked>running",
        "step.started c blocked>running",
    )
    bench.succeeds("c").succeeds("b")
    assert bench.run.status == "succeeded"


def test_a_step_that_is_gone_before_it_ran_is_not_waited_for() -> None:
    """The run ends without it."""
    bench = redefined(chain(), node("a")).succeeds("a")
    assert bench.run.status == "succeeded"


def test_an_edge_added_to_what_is_settled_already_is_settled() -> None:
    """The new step starts at once."""
    bench = chain().succeeds("a")
    redefined(bench, node("a"), node("b", "a"), node("c", "a")).then(
        "run.redefined run running>running", "step.started c blocked>running"
    )


def test_a_signal_that_came_early_still_waits_for_its_turn() -> None:
    """Under the other definition, too, it counts when what it stands after is settled."""
    nodes = (node("a"), Node("s", "signal", after=("a",)), node("b", "s"))
    bench = Bench(pipeline(*nodes)).starts().does(c.TellSignal("s"))
    redefined(bench, *nodes, node("c", "s")).then("run.redefined run running>running")
    bench.succeeds("a").then(
        "step.succeeded a running>succeeded",
        "step.started b blocked>running",
        "step.started c blocked>running",
    )


def test_a_failure_in_between_is_done_again_before_what_follows() -> None:
    """Redefined while a failed run still has an attempt in flight, then retried."""
    nodes = (node("a"), node("x"), node("b", "a"))
    bench = Bench(pipeline(*nodes)).starts()
    bench.fails("a").then("step.failed a running>failed")
    redefined(bench, *nodes, node("y"))
    bench.succeeds("x")
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running",
        "step.started y blocked>running",
        "step.started a blocked>running",
    )
    bench.succeeds("a").succeeds("b").succeeds("y")
    assert bench.run.status == "succeeded"


def test_joins_are_worked_out_in_one_pass(monkeypatch: Any) -> None:
    """Working the joins out again looks at each edge once: 500 steps, 499 edges."""
    nodes = [node("n0"), *(node(f"n{i}", f"n{i - 1}") for i in range(1, 500))]
    bench = Bench(pipeline(*nodes)).starts()
    asked = 0
    real = room._is_settled

    def counted(*args: Any) -> bool:
        nonlocal asked
        asked += 1
        return real(*args)

    monkeypatch.setattr(room, "_is_settled", counted)
    redefined(bench, *nodes)
    assert asked == 499


def test_parameters_of_a_plan_are_upstreams_once() -> None:
    """A node that names another as parameter, in `when` and in `after` waits for it once."""
    both = Node("b", params=(Param("a", "node"),), when=(Param("a", "node"),), after=("a",))
    plan = Plan(pipeline(node("a"), both))
    assert plan.upstreams["b"] == ("a",)
