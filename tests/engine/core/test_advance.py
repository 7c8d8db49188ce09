"""What follows by itself: joins, skips, timers, starts, ends; given, when, then."""

from typing import Any

import pytest

from engine.core import breaker as breakers
from engine.core import commands as c
from engine.core.define import BreakerSpec, Definition, Delay, Edge, Node, Param, State
from tests.engine.core.bench import BOOM, NOW, SECOND, Bench, line, node, pipeline, publish

DELAY = Delay(us=60 * SECOND)


def started(name: str, source: str = "blocked") -> str:
    """Give the line of a start."""
    return f"step.started {name} {source}>running"


def succeeded(name: str) -> str:
    """Give the line of a success."""
    return f"step.succeeded {name} running>succeeded"


DONE = "run.succeeded run running>succeeded"
FAILED = "run.failed run running>failed"


# Joins.


def test_a_chain_goes_on_step_by_step() -> None:
    """A step starts in the append of its upstream's success; the last ends the run."""
    bench = Bench(pipeline(node("a"), node("b", "a"))).starts()
    bench.then(started("a"))
    bench.succeeds("a").then(succeeded("a"), started("b"))
    bench.succeeds("b").then(succeeded("b"), DONE)


def test_a_join_waits_for_all() -> None:
    """Two parallel steps start at once; what joins them starts after both."""
    bench = Bench(pipeline(node("a"), node("b"), node("c", "a", "b"))).starts()
    bench.then(started("a"), started("b"))
    bench.succeeds("b").then(succeeded("b"))
    bench.succeeds("a").then(succeeded("a"), started("c"))


def test_nothing_starts_without_a_free_slot() -> None:
    """With one slot the second of two parallel steps waits; asked again, nothing follows."""
    bench = Bench(pipeline(node("a"), node("b")))
    bench.free = 1
    bench.starts().then(started("a"))
    bench.goes_on().then()
    bench.free = 1
    bench.goes_on().then(started("b"))


def test_after_orders_and_no_more() -> None:
    """What stands after a skipped step runs."""
    bench = Bench(pipeline(node("a", when=()), node("b", after=("a",))))
    bench.whens = {"a": False}
    bench.starts().then("step.skipped a blocked>skipped", started("b"))


# Skips.


def test_a_false_when_skips_and_its_required_consumers_too() -> None:
    """The skip runs down the required edges to the end; the run succeeds with nothing."""
    bench = Bench(pipeline(node("a", when=()), node("b", "a"), node("c", "b")))
    bench.whens = {"a": False}
    bench.starts().then(
        "step.skipped a blocked>skipped",
        "step.skipped b blocked>skipped",
        "step.skipped c blocked>skipped",
        DONE,
    )
    assert bench.run.result is None


@pytest.mark.parametrize("edge", ["a?", "a!"])
def test_an_optional_or_outcome_edge_survives_a_skip(edge: str) -> None:
    """A default or an Outcome takes the place of a skipped upstream."""
    bench = Bench(pipeline(node("a", when=()), node("b", edge)))
    bench.whens = {"a": False}
    bench.starts().then("step.skipped a blocked>skipped", started("b"))


def test_a_true_when_leaves_no_event_of_its_own() -> None:
    """When the answer is yes the step starts, and nothing else is recorded."""
    bench = Bench(pipeline(node("a", when=())))
    bench.whens = {"a": True}
    bench.starts().then(started("a"))


def test_a_when_that_names_a_skipped_step_is_not_asked() -> None:
    """A `when` that requires a skipped step's value cannot be asked: the step is skipped."""
    when = (Param("a", "node"),)
    bench = Bench(pipeline(node("a", when=()), node("b", when=when)))
    bench.whens = {"a": False, "b": BOOM}
    bench.starts().then(
        "step.skipped a blocked>skipped", "step.skipped b blocked>skipped", DONE
    )


# Failures.


def test_a_failure_for_good_fails_the_run_after_what_is_in_flight() -> None:
    """What runs beside ends and is recorded, nothing new starts, then the run fails."""
    bench = Bench(pipeline(node("a"), node("b"), node("c", "b"))).starts()
    bench.fails("a").then("step.failed a running>failed")
    bench.succeeds("b").then(succeeded("b"), FAILED)
    assert (bench.run.failing, bench.run.step("c").state) == ("a", "blocked")


def test_a_default_does_not_absorb_a_failure() -> None:
    """An optional edge from a failed step fails the run all the same."""
    bench = Bench(pipeline(node("a"), node("b", "a?"))).starts()
    bench.fails("a").then("step.failed a running>failed", FAILED)


def test_a_failure_that_all_consumers_take_as_an_outcome_is_survived() -> None:
    """The consumer starts, and the run succeeds."""
    bench = Bench(pipeline(node("a"), node("b", "a!"))).starts()
    bench.fails("a").then("step.failed a running>failed", started("b"))
    bench.succeeds("b").then(succeeded("b"), DONE)


def test_one_consumer_without_an_outcome_is_enough_to_fail() -> None:
    """Of two consumers one takes the plain value: the failure is not survived."""
    bench = Bench(pipeline(node("a"), node("b", "a!"), node("c", "a"))).starts()
    bench.fails("a").then("step.failed a running>failed", FAILED)


def test_a_failure_is_reported_with_its_attempts() -> None:
    """`run.failed` names the step and counts the attempts of the present budget."""
    bench = Bench(pipeline(node("a"))).starts()
    bench.fails("a", wait=0).then("step.failed a running>retrying", started("a", "retrying"))
    bench.fails("a").then("step.failed a running>failed", FAILED)
    data = bench.facts[-1].data
    assert (data.step, data.attempts, data.result) == ("a", 2, bench.run.failure)


# Retries and fallbacks.


def test_a_retry_waits_its_time() -> None:
    """A microsecond before its time nothing follows; at its time the step starts again."""
    bench = Bench(pipeline(node("a"))).starts()
    bench.fails("a", wait=SECOND).then("step.failed a running>retrying")
    bench.passes(0.999999).then()
    bench.passes(0.000001).then(started("a", "retrying"))


def test_a_fallback_answers_when_the_step_has_failed_for_good() -> None:
    """The fallback is one more attempt; its result is the step's."""
    bench = Bench(pipeline(node("a", fallback=()), node("b", "a"))).starts()
    bench.fails("a").then("step.failed a running>retrying", started("a", "retrying"))
    assert bench.run.steps["a"].fallback
    bench.succeeds("a").then(succeeded("a"), started("b"))


def test_a_fallback_that_fails_fails_the_step() -> None:
    """There is no fallback of a fallback, and no retry of it."""
    bench = Bench(pipeline(node("a", fallback=()))).starts()
    bench.fails("a")
    bench.fails("a", wait=SECOND).then("step.failed a running>failed", FAILED)


def test_a_step_that_waits_for_a_slot_holds_up_no_timer() -> None:
    """A lost step without a free slot waits; a timer is set all the same."""
    timer = Node("t", "timer", after=("b",), delay=DELAY)
    bench = Bench(pipeline(node("a"), node("b"), timer, node("c", after=("t",)))).starts()
    bench.free = 0
    bench.loses("a").then("step.lost a running>lost")
    bench.succeeds("b").then(succeeded("b"), "timer.set t ->pending")


# Signals and timers.


def test_a_timer_is_set_when_its_after_is_settled_and_fires_at_its_time() -> None:
    """It counts from the end of what it stands after; its consumer starts when it fires."""
    timer = Node("t", "timer", after=("a",), delay=DELAY)
    bench = Bench(pipeline(node("a"), timer, node("b", "t"))).starts()
    bench.now += 5 * SECOND
    bench.succeeds("a").then(succeeded("a"), "timer.set t ->pending")
    assert bench.run.timers == {"t": NOW + 65 * SECOND}
    bench.passes(59.9).then()
    bench.passes(0.1).then("timer.fired t pending>fired", started("b"))


def test_the_earlier_of_two_timers_fires_first() -> None:
    """Both due at once, they fire in the order of their times."""
    late, early = Node("l", "timer", delay=DELAY), Node("e", "timer", delay=Delay(us=SECOND))
    bench = Bench(pipeline(late, early, node("a", after=("l", "e")))).starts()
    bench.passes(3600).then(
        "timer.fired e pending>fired", "timer.fired l pending>fired", started("a")
    )


def test_a_moment_in_the_past_is_due_at_once() -> None:
    """A timer that is set to a past moment fires in the same turn."""
    timer = Node("t", "timer", delay=Delay(at=1))
    bench = Bench(pipeline(timer, node("a", "t"))).starts()
    bench.then("timer.set t ->pending", "timer.fired t pending>fired", started("a"))


def test_a_delay_is_asked_once_and_recorded() -> None:
    """A function gives the time; it is in the event, and nothing is asked at the firing."""
    timer = Node("t", "timer", delay=Delay(params=()))
    bench = Bench(pipeline(timer, node("a", "t")))
    bench.delays = {"t": NOW + SECOND}
    bench.starts().then("timer.set t ->pending")
    bench.delays = {}
    bench.passes(1).then("timer.fired t pending>fired", started("a"))


def test_a_signal_without_a_deadline_is_awaited_in_silence() -> None:
    """Nothing is recorded for the wait; the signal starts what waits for it."""
    bench = Bench(pipeline(Node("s", "signal"), node("a", "s"))).starts().then()
    bench.does(c.TellSignal("s")).then("signal.received s pending>received", started("a"))


def test_a_signal_that_came_early_is_kept() -> None:
    """Told before its wait begins, it counts when the wait would begin."""
    bench = Bench(pipeline(node("a"), Node("s", "signal", after=("a",)), node("b", "s")))
    bench.starts().does(c.TellSignal("s")).then("signal.received s pending>received")
    bench.succeeds("a").then(succeeded("a"), started("b"))


def test_a_signal_in_time_cancels_its_deadline() -> None:
    """The deadline is cancelled in the same append."""
    bench = Bench(pipeline(Node("s", "signal", delay=DELAY), node("a", "s"))).starts()
    bench.then("timer.set s ->pending")
    bench.does(c.TellSignal("s")).then(
        "timer.cancelled s pending>cancelled",
        "signal.received s pending>received",
        started("a"),
    )
    bench.passes(3600).then()


def test_a_signal_that_times_out_fails_the_run() -> None:
    """Its consumer requires it: the run fails, and names the signal."""
    bench = Bench(pipeline(Node("s", "signal", delay=DELAY), node("a", "s"))).starts()
    bench.passes(60).then(
        "timer.fired s pending>fired", "signal.timed_out s pending>timed_out", FAILED
    )
    assert bench.run.failing == "s"


@pytest.mark.parametrize("edge", ["s?", "s!"])
def test_a_signal_that_times_out_may_meet_a_default_or_an_outcome(edge: str) -> None:
    """An optional parameter or an Outcome survives it."""
    bench = Bench(pipeline(Node("s", "signal", delay=DELAY), node("a", edge))).starts()
    bench.passes(60).then(
        "timer.fired s pending>fired", "signal.timed_out s pending>timed_out", started("a")
    )


def test_a_timer_that_no_open_step_waits_for_is_cancelled_with_the_run() -> None:
    """The run ends when its steps have settled."""
    bench = Bench(pipeline(node("a"), Node("t", "timer", delay=DELAY))).starts()
    bench.succeeds("a").then(succeeded("a"), "timer.cancelled t pending>cancelled", DONE)


def test_a_run_for_later_begins_at_its_time() -> None:
    """Scheduled, it does nothing until it is due."""
    bench = Bench(pipeline(node("a")))
    bench.starts(due=NOW + SECOND).then()
    assert bench.run.status == "scheduled"
    bench.passes(1).then("run.due run scheduled>running", started("a"))


# Breakers.

SPEC = BreakerSpec("api", failure_threshold=1, reset_timeout=60 * SECOND)
OPENED = (
    "breaker:api breaker.failed breaker closed>closed",
    "breaker:api breaker.opened breaker closed>open",
)
PROBES = (
    "breaker:api breaker.half_opened breaker open>half_open",
    "breaker:api breaker.probed breaker half_open>half_open",
)


def behind(on_open: str = "park", **options: Any) -> Bench:
    """Give a run whose step `b` meets a breaker that `a` has just opened."""
    guarded = node("b", "a!", breaker="api", on_open=on_open, **options)
    bench = Bench(pipeline(node("a", breaker="api"), guarded, breaker=SPEC)).starts()
    return bench.fails("a")


def test_behind_an_open_breaker_a_step_parks_and_spends_no_attempt() -> None:
    """The failure, the breaker's trip and the park are one append."""
    bench = behind().then(
        "step.failed a running>failed", *OPENED, "step.parked b blocked>parked"
    )
    assert bench.run.steps["b"].attempt == 0
    bench.goes_on().then()


def test_woken_at_its_time_a_parked_step_probes() -> None:
    """Before its time it stays parked; at its time it probes, and its success closes."""
    bench = behind()
    bench.woken = True
    bench.passes(59.9).then()
    bench.passes(0.1).then(*PROBES, started("b", "parked"))
    assert bench.run.steps["b"].idle == 60 * SECOND
    bench.succeeds("b").then(
        succeeded("b"), "breaker:api breaker.closed breaker half_open>closed", DONE
    )


def test_on_open_fail_begins_an_attempt_that_is_refused() -> None:
    """The attempt is spent, is no probe, and its failure does not count."""
    bench = behind("fail").then("step.failed a running>failed", *OPENED, started("b"))
    assert bench.run.steps["b"].refused
    bench.fails("b").then("step.failed b running>failed", FAILED)


def test_on_open_fallback_answers_at_once() -> None:
    """The first attempt is the fallback's, and its outcome does not count."""
    bench = behind("fallback", fallback=()).then(
        "step.failed a running>failed", *OPENED, started("b")
    )
    assert bench.run.steps["b"].fallback
    bench.succeeds("b").then(succeeded("b"), DONE)


def test_on_open_skip_skips() -> None:
    """The step is skipped, with the breaker as the reason."""
    bench = behind("skip").then(
        "step.failed a running>failed", *OPENED, "step.skipped b blocked>skipped", DONE
    )
    assert "api" in bench.run.steps["b"].reason


def test_on_open_skip_skips_a_step_that_was_lost() -> None:
    """A step whose worker died meets an open breaker when it is to run again."""
    step = node("b", breaker="api", on_open="skip")
    bench = Bench(pipeline(node("a", breaker="api"), step, node("c", "a!"), breaker=SPEC))
    bench.starts().fails("a")
    bench.loses("b").then("step.lost b running>lost", "step.skipped b lost>skipped")
    assert not bench.run.lost


def test_newcomers_park_behind_those_who_wait() -> None:
    """A closed breaker with a queue: a new step parks, unless it would not park at all."""
    bench = Bench(pipeline(node("a", breaker="api"), breaker=SPEC))
    bench.queued = frozenset({"api"})
    bench.starts().then("step.parked a blocked>parked")
    bench.woken = True
    bench.goes_on().then(started("a", "parked"))


def test_a_probe_that_is_lost_frees_its_place() -> None:
    """The dead worker's probe leaves its place to the next, in the append that says so."""
    bench = behind()
    bench.woken = True
    bench.passes(60)
    bench.loses("b").then(
        "step.lost b running>lost",
        "breaker:api breaker.half_opened breaker half_open>half_open",
        "breaker:api breaker.probed breaker half_open>half_open",
        started("b", "lost"),
    )


# Machines.


def test_a_machine_enters_its_first_state_and_works_there() -> None:
    """Entering is an event, the work starts in the same append."""
    Bench(publish()).starts().then("machine.moved initial ->draft", started("draft"))


def test_done_leaves_the_state_and_the_next_waits_with_a_deadline() -> None:
    """The success of the work, the move and the new state's timeout are one append."""
    bench = Bench(publish()).starts().succeeds("draft")
    bench.then(
        succeeded("draft"), "machine.moved done draft>review", "timer.set review ->pending"
    )


def test_a_states_timeout_pulls_its_trigger() -> None:
    """After two days the draft is rejected, and the run has failed."""
    bench = Bench(publish()).starts().succeeds("draft")
    bench.passes(172_799).then()
    bench.passes(1).then(
        "timer.fired review pending>fired", "machine.moved expire review>rejected", FAILED
    )


def test_error_moves_and_without_an_edge_fails_the_run() -> None:
    """A failed draft is rejected by the machine's own edge."""
    Bench(publish()).starts().fails("draft").then(
        "step.failed draft running>failed", "machine.moved error draft>rejected", FAILED
    )


def test_a_machines_result_is_its_latest_output() -> None:
    """The run ends in the final state with the version of the last step's output."""
    bench = Bench(publish()).starts().succeeds("draft")
    bench.does(c.TellSignal("approve"))
    bench.succeeds("release").then(
        succeeded("release"), "machine.moved done release>published", DONE
    )
    assert bench.run.result == bench.run.outputs["release"]


def test_what_was_done_before_a_timeout_came_is_answered_first() -> None:
    """Work that succeeds in a state whose deadline has passed leaves by `done`."""
    definition = publish()
    states = list(definition.states)
    states[0] = type(states[0])("draft", timeout=DELAY, on_timeout="error")
    bench = Bench(type(definition)(**{**_fields(definition), "states": tuple(states)})).starts()
    bench.now += 120 * SECOND
    bench.succeeds("draft").then(
        succeeded("draft"),
        "timer.cancelled draft pending>cancelled",
        "machine.moved done draft>review",
        "timer.set review ->pending",
    )


def _fields(definition: object) -> dict[str, object]:
    return {name: getattr(definition, name) for name in definition.__struct_fields__}  # type: ignore[attr-defined]


def going_round() -> Bench:
    """Give a machine whose state is entered again whenever its work is skipped."""
    definition = Definition(
        "m",
        nodes=(node("a", breaker="api", on_open="skip"),),
        breakers=(SPEC,),
        states=(State("a"), State("end")),
        edges=(Edge("done", "a", "a"), Edge("go", "a", "end")),
        initial="a",
    )
    return Bench(definition)


def test_a_machine_that_goes_round_without_work_is_parked() -> None:
    """1,000 moves at one moment that bring no work: a person is asked, the turn ends."""
    bench = going_round()
    bench.fold(*breakers.steer(bench.breakers["api"], "trip", by="ann"))
    bench.starts()
    assert line(bench.facts[-1]) == "run.parked run running>parked"
    assert bench.run.visits["a"] == 1_001
    assert "1000 times in a row" in bench.facts[-1].data.reason
    bench.fold(*breakers.steer(bench.breakers["api"], "reset", by="ann"))
    bench.does(c.RetryRun()).then("run.retried run parked>running", started("a"))


def test_a_machine_that_works_may_go_round_for_ever() -> None:
    """Agents are loops: 3,000 visits with work at one moment are ordinary."""
    bench = going_round()
    bench.free = 3_001
    bench.starts()
    for _ in range(3_000):
        bench.succeeds("a")
    assert (bench.run.status, bench.run.visits["a"]) == ("running", 3_001)
