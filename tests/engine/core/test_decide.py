"""What commands mean for a run as it stands; given, when, then."""

import msgspec
import pytest

from engine.core import commands as c
from engine.core.define import BreakerSpec, Definition, Delay, Edge, Guard, Node, State
from engine.core.events import ErrorDoc
from tests.engine.core.bench import BOOM, NOTHING, NOW, SECOND, Bench, node, pipeline, publish

DONE = "run.succeeded run running>succeeded"
FAILED = "run.failed run running>failed"
SPEC = BreakerSpec("api", failure_threshold=1, reset_timeout=60 * SECOND)


def one() -> Bench:
    """Give a run whose one step is in flight."""
    return Bench(pipeline(node("a"))).starts()


def reviewing(**answers: bool | ErrorDoc) -> Bench:
    """Give the machine of the design in review."""
    bench = Bench(publish()).starts()
    bench.guards = answers
    return bench.succeeds("draft")


# Starting.


def test_a_run_starts_at_once_or_for_later() -> None:
    """Without a due time, or with one that has come, it runs; else it is scheduled."""
    bench = Bench(pipeline(node("a")))
    bench.when(c.StartRun("w", "hash", NOTHING, due=NOW)).then("run.started run ->running")
    bench = Bench(pipeline(node("a")))
    bench.when(c.StartRun("w", "hash", NOTHING, due=NOW + 1)).then(
        "run.started run ->scheduled"
    )


# Outcomes of attempts.


def test_a_result_is_recorded_once() -> None:
    """The same result again, or of another attempt or visit, means nothing."""
    bench = one()
    result = c.Succeed("a", 1, 1, NOTHING)
    bench.when(result).then("step.succeeded a running>succeeded")
    bench.when(result).then()
    bench.when(c.Succeed("a", 1, 2, NOTHING)).then()
    bench.when(c.Succeed("a", 2, 1, NOTHING)).then()


def test_a_late_result_of_a_retried_attempt_is_dropped() -> None:
    """While the second attempt runs, the first one's result and failure mean nothing."""
    bench = one()
    bench.fails("a", wait=0)
    bench.when(c.Succeed("a", 1, 1, NOTHING)).then()
    bench.when(c.Fail("a", 1, 1, BOOM)).then()
    bench.when(c.Lose("a", 1, 1, died=True)).then()
    bench.succeeds("a").then("step.succeeded a running>succeeded", DONE)


def test_a_result_after_the_end_is_dropped() -> None:
    """A run that has failed records no further result."""
    definition = pipeline(
        node("a"), Node("t", "timer", delay=Delay(params=())), node("b", after=("t",))
    )
    bench = Bench(definition)
    bench.delays = {"t": BOOM}
    bench.starts()
    bench.when(c.Succeed("a", 1, 1, NOTHING)).then()


def test_for_good_not_even_a_fallback_answers() -> None:
    """A failure for good passes the fallback by."""
    bench = Bench(pipeline(node("a", fallback=()))).starts()
    bench.fails("a", for_good=True).then("step.failed a running>failed", FAILED)


def test_a_failure_while_cancelling_is_not_retried() -> None:
    """What ends during a cancel ends for good."""
    bench = one()
    bench.does(c.CancelRun()).then("run.cancelling run running>cancelling")
    bench.fails("a", wait=SECOND).then(
        "step.failed a running>failed", "run.cancelled run cancelling>cancelled"
    )


# Breakers.


def test_a_failure_counts_in_the_append_that_records_it() -> None:
    """One that counts trips the breaker; one that does not leaves it alone."""
    bench = Bench(pipeline(node("a", breaker="api"), breaker=SPEC)).starts()
    bench.fails("a").then(
        "step.failed a running>failed",
        "breaker:api breaker.failed breaker closed>closed",
        "breaker:api breaker.opened breaker closed>open",
        FAILED,
    )
    bench = Bench(pipeline(node("a", breaker="api"), breaker=SPEC)).starts()
    bench.fails("a", counts=None).then("step.failed a running>failed", FAILED)


def test_a_fallback_does_not_count() -> None:
    """The failure of a fallback says nothing of the guarded service."""
    spec = BreakerSpec("api", failure_threshold=2, reset_timeout=60 * SECOND)
    bench = Bench(pipeline(node("a", breaker="api", fallback=()), breaker=spec)).starts()
    bench.fails("a")
    bench.fails("a").then("step.failed a running>failed", FAILED)
    assert bench.breakers["api"].failures == 1


def test_an_answer_that_is_the_callers_fault_closes_for_a_probe() -> None:
    """The step fails, yet its probe was a success."""
    bench = Bench(
        pipeline(node("a", breaker="api"), node("b", "a!", breaker="api"), breaker=SPEC)
    )
    bench.starts().fails("a")
    bench.woken = True
    bench.passes(60)
    bench.fails("b", counts=False).then(
        "step.failed b running>failed",
        "breaker:api breaker.closed breaker half_open>closed",
        FAILED,
    )


# Losses.


def test_a_lost_step_runs_again() -> None:
    """The loss and the next attempt are one append when a slot is free."""
    one().loses("a").then("step.lost a running>lost", "step.started a lost>running")


def test_work_that_must_never_run_twice_fails_when_it_is_lost() -> None:
    """With on_lost="fail" a lost attempt fails the step."""
    bench = Bench(pipeline(node("a", on_lost="fail"))).starts()
    bench.loses("a").then("step.failed a running>failed", FAILED)
    assert "never run twice" in bench.facts[0].data.error.message


def test_the_fifth_death_quarantines() -> None:
    """Two deaths make a suspect, three more as one park the run."""
    bench = one()
    for _ in range(4):
        bench.loses("a").then("step.lost a running>lost", "step.started a lost>running")
    bench.loses("a").then(
        "step.lost a running>lost",
        "step.quarantined a lost>quarantined",
        "run.parked run running>parked",
    )
    assert "5 times, 3 times alone" in bench.facts[-1].data.reason


def test_a_takeover_is_charged_to_nobody() -> None:
    """Ten losses to living workers leave no trace in the count."""
    bench = one()
    for _ in range(10):
        bench.loses("a", died=False)
    assert (bench.run.steps["a"].deaths, bench.run.steps["a"].state) == (0, "running")


def test_retry_frees_a_quarantined_step_with_the_count_at_nought() -> None:
    """The run goes on; one more death is the first."""
    bench = one()
    for _ in range(5):
        bench.loses("a")
    bench.does(c.RetryRun()).then(
        "run.retried run parked>running", "step.started a blocked>running"
    )
    bench.loses("a")
    assert bench.run.steps["a"].deaths == 1


def test_a_quarantine_while_paused_parks_the_run_when_it_is_resumed() -> None:
    """A paused run cannot be parked; resumed it is, and does not wait for ever."""
    bench = one()
    for _ in range(4):
        bench.loses("a")
    bench.when(c.PauseRun())
    bench.loses("a").then("step.lost a running>lost", "step.quarantined a lost>quarantined")
    bench.does(c.ResumeRun()).then(
        "run.resumed run paused>running", "run.parked run running>parked"
    )


# Answers of user code.


def test_a_when_that_raises_fails_the_step_without_retry() -> None:
    """It is one attempt, it needs no slot, and no fallback answers."""
    bench = Bench(pipeline(node("a", when=(), fallback=())))
    bench.whens = {"a": BOOM}
    bench.free = 0
    bench.starts().then(
        "step.started a blocked>running", "step.failed a running>failed", FAILED
    )


def test_an_answer_to_a_question_nobody_asks_means_nothing() -> None:
    """The step has started meanwhile, the timer is set, the trigger answered."""
    bench = one()
    bench.when(c.AnswerWhen("a")).then()
    bench.when(c.SetTimer("a", NOW)).then()
    bench.when(c.PullTrigger("done", 99)).then()


def test_a_delay_that_raises_fails_the_run_and_a_retry_asks_again() -> None:
    """Attempts in flight are cancelled with it, and begin anew with it."""
    timer = Node("t", "timer", delay=Delay(params=()))
    bench = Bench(pipeline(node("a"), timer, node("b", after=("t",))))
    bench.free = 0
    bench.delays = {"t": NOW + SECOND}
    bench.starts().then("timer.set t ->pending")
    later = Node("t", "timer", delay=Delay(params=()), after=("x",))
    bench = Bench(pipeline(node("x"), node("a"), later, node("b", after=("t",))))
    bench.delays = {"t": BOOM}
    bench.starts()
    bench.succeeds("x").then(
        "step.succeeded x running>succeeded", "step.cancelled a running>cancelled", FAILED
    )
    assert bench.run.failing == "t"
    bench.delays = {"t": NOW + SECOND}
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running",
        "timer.set t ->pending",
        "step.started a blocked>running",
    )


# Signals to a pipeline.


def signalled() -> Bench:
    """Give a run that waits for a signal."""
    return Bench(pipeline(Node("s", "signal"), node("a", "s"))).starts()


def test_the_first_signal_counts_and_a_second_is_recorded_as_refused() -> None:
    """It is no error to the sender."""
    bench = signalled().does(c.TellSignal("s"))
    bench.does(c.TellSignal("s")).then("signal.refused s received>received")
    assert bench.refusal is None


def test_a_key_makes_a_signal_count_once() -> None:
    """The same key again means nothing and leaves no event."""
    bench = signalled().does(c.TellSignal("s", key="k"))
    bench.when(c.TellSignal("s", key="k")).then()
    assert bench.refusal is None


def test_a_signal_that_no_pipeline_knows_is_refused_and_not_written() -> None:
    """There is no `Signal` of that name, or it is a step's."""
    signalled().when(c.TellSignal("x")).is_refused("signal").then()
    signalled().when(c.TellSignal("a")).is_refused("signal").then()


def test_an_ended_or_ending_run_takes_no_signal() -> None:
    """It is an error, and nothing is written."""
    bench = signalled().does(c.TellSignal("s"))
    bench.succeeds("a")
    bench.when(c.TellSignal("s")).is_refused("ended").then()
    bench = one()
    bench.when(c.CancelRun()).when(c.TellSignal("s")).is_refused("ended").then()


# Signals to a machine.


def test_where_no_guard_is_to_be_asked_the_signal_moves_at_once() -> None:
    """The deadline is cancelled, the move made, the sender's append does it."""
    bench = reviewing()
    bench.when(c.TellSignal("approve", key="k")).then(
        "timer.cancelled review pending>cancelled", "machine.moved approve review>release"
    )
    bench.when(c.TellSignal("approve", key="k")).then()


@pytest.mark.parametrize("name", ["done", "release", "nonsense"])
def test_a_signal_that_the_state_does_not_take_is_refused_and_recorded(name: str) -> None:
    """The state stays, the sender hears of it, `signal.refused` is in the log."""
    reviewing().when(c.TellSignal(name)).is_refused("signal").then(
        f"signal.refused {name} review>review"
    )


def test_invalid_triggers_may_be_ignored() -> None:
    """The refusal is recorded, and is no error to the sender."""
    definition = msgspec.structs.replace(publish(), ignore_invalid_triggers=True)
    bench = Bench(definition).starts()
    bench.when(c.TellSignal("approve")).then("signal.refused approve draft>draft")
    assert bench.refusal is None


def test_where_a_guard_must_be_asked_the_signal_is_kept_for_a_worker() -> None:
    """It is recorded; then the guard's yes takes the first edge, its no the second."""
    bench = reviewing(few_drafts=True)
    bench.when(c.TellSignal("revise")).then("signal.received revise review>review")
    bench.goes_on().then(
        "timer.cancelled review pending>cancelled",
        "machine.moved revise review>draft",
        "step.started draft blocked>running",
    )
    assert (bench.run.visits["draft"], bench.run.steps["draft"].visit) == (2, 2)
    bench = reviewing(few_drafts=False)
    bench.does(c.TellSignal("revise")).then(
        "signal.received revise review>review",
        "timer.cancelled review pending>cancelled",
        "machine.moved revise review>rejected",
        FAILED,
    )


def test_behind_an_unanswered_signal_the_next_waits_its_turn() -> None:
    """Answered in order: after the first has moved the run, the second is refused."""
    bench = reviewing(few_drafts=True)
    bench.when(c.TellSignal("revise")).when(c.TellSignal("approve"))
    bench.then("signal.received approve review>review")
    bench.goes_on()
    assert bench.run.place == "draft"
    assert "signal.refused approve draft>draft" in [
        f"{f.type} {f.subject} {f.source}>{f.dest}" for f in bench.facts
    ]


def test_a_guard_that_raises_fails_the_run_and_retry_asks_again() -> None:
    """The failure names the guard; the signal is still there to be answered."""
    bench = reviewing(few_drafts=BOOM)
    bench.does(c.TellSignal("revise")).then("signal.received revise review>review", FAILED)
    assert "few_drafts" in bench.facts[-1].data.error.message
    bench.guards = {"few_drafts": True}
    bench.does(c.RetryRun())
    assert bench.run.place == "draft"


def two_states(**options: object) -> Definition:
    """Make a machine whose first state works, takes `go`, and has a deadline of a minute."""
    fields: dict[str, object] = {
        "nodes": (node("work"),),
        "states": (
            State("work", timeout=Delay(us=60 * SECOND), on_timeout="late"),
            State("next"),
            State("over"),
        ),
        "edges": (
            Edge("go", "work", "next"),
            Edge("late", "work", "over", conditions=("g",)),
            Edge("end", "next", "over"),
        ),
        "guards": (Guard("g"),),
        "initial": "work",
    }
    return Definition("m", **{**fields, **options})  # type: ignore[arg-type]


def test_a_signal_that_leaves_a_state_in_flight_wins() -> None:
    """The attempt is cancelled, and its late result dropped."""
    bench = Bench(two_states()).starts()
    bench.does(c.TellSignal("go")).then(
        "timer.cancelled work pending>cancelled",
        "step.cancelled work running>cancelled",
        "machine.moved go work>next",
    )
    bench.when(c.Succeed("work", 1, 1, NOTHING)).then()


def test_a_deferred_signal_waits_for_a_state_that_takes_it() -> None:
    """It is recorded, holds nobody up, and is answered on entry of the state."""
    bench = Bench(two_states(defer=("end",))).starts()
    bench.does(c.TellSignal("end")).then("signal.received end work>work")
    assert (bench.run.inbox, bench.run.deferred) == ({}, {bench.run.version: "end"})
    bench.does(c.TellSignal("go")).then(
        "timer.cancelled work pending>cancelled",
        "step.cancelled work running>cancelled",
        "machine.moved go work>next",
        "machine.moved end next>over",
        DONE,
    )


def test_a_deadline_that_no_guard_lets_pass_leaves_the_work_alone() -> None:
    """The trigger is refused with its reason, and what runs goes on."""
    bench = Bench(two_states()).starts()
    bench.guards = {"g": False}
    bench.passes(60).then("timer.fired work pending>fired", "signal.refused late work>work")
    assert "work" in bench.run.running


def test_a_raising_guard_of_a_deadline_loses_neither_the_deadline_nor_the_work() -> None:
    """The attempt is cancelled with the run; retried, the guard is asked, then work goes on."""
    bench = Bench(two_states()).starts()
    bench.guards = {"g": BOOM}
    bench.passes(60).then(
        "timer.fired work pending>fired", "step.cancelled work running>cancelled", FAILED
    )
    bench.guards = {"g": False}
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running",
        "signal.refused late work>work",
        "step.started work blocked>running",
    )


def test_a_result_behind_an_unanswered_deadline_waits_its_turn() -> None:
    """Both triggers are owed: the deadline is answered first, the result is not lost."""
    edges = (*two_states().edges, Edge("done", "work", "next"))
    bench = Bench(two_states(edges=edges)).starts()
    bench.guards = {"g": False}
    bench.now += 60 * SECOND
    bench.fold(*[f for f in [_fired(bench)] if f])  # by an append that could not ask the guard
    bench.succeeds("work").then(
        "step.succeeded work running>succeeded",
        "signal.refused late work>work",
        "machine.moved done work>next",
    )


def _fired(bench: Bench) -> object:
    from engine.core.advance import advance  # noqa: PLC0415 - one fact of it, not all

    found = advance(bench.run, bench.plan, bench.world())
    assert isinstance(found, list)
    return found[0]


# Steering.


def test_cancel_asks_what_is_in_flight_and_ends_when_it_has_ended() -> None:
    """Durable at once; the end waits for the attempt; asked again it means nothing."""
    bench = one()
    bench.does(c.CancelRun(by="ann")).then("run.cancelling run running>cancelling")
    bench.when(c.CancelRun()).then()
    bench.does(c.Cease("a", 1, 1)).then(
        "step.cancelled a running>cancelled", "run.cancelled run cancelling>cancelled"
    )
    bench.when(c.CancelRun()).then()
    assert bench.refusal is None


def test_a_result_that_comes_while_cancelling_is_kept() -> None:
    """The step succeeded; nothing that follows is started; retry goes on from there."""
    bench = Bench(pipeline(node("a"), node("b", "a"))).starts()
    bench.when(c.CancelRun())
    bench.succeeds("a").then(
        "step.succeeded a running>succeeded", "run.cancelled run cancelling>cancelled"
    )
    bench.does(c.RetryRun()).then(
        "run.retried run cancelled>running", "step.started b blocked>running"
    )


def test_an_ended_run_is_not_steered() -> None:
    """Cancel, pause, resume and retry of a run that succeeded are refused."""
    bench = one().succeeds("a")
    for command in (c.CancelRun(), c.PauseRun(), c.ResumeRun(), c.RetryRun()):
        bench.when(command).is_refused("ended").then()


def test_paused_a_run_starts_nothing_and_records_what_ends() -> None:
    """Due times stay: what came due in the pause starts on resume."""
    bench = Bench(pipeline(node("a"), node("b", "a"), node("r"))).starts()
    bench.fails("r", wait=SECOND)
    bench.does(c.PauseRun()).then("run.paused run running>paused")
    bench.succeeds("a").then("step.succeeded a running>succeeded")
    bench.passes(60).then()
    bench.does(c.ResumeRun()).then(
        "run.resumed run paused>running",
        "step.started r retrying>running",
        "step.started b blocked>running",
    )
    assert bench.run.paused_total == 60 * SECOND


def test_pausing_twice_or_resuming_what_runs_means_nothing() -> None:
    """No event, no refusal; a cancelling run is refused."""
    bench = one()
    bench.when(c.ResumeRun()).then()
    bench.when(c.PauseRun()).when(c.PauseRun()).then()
    assert bench.refusal is None
    bench.when(c.CancelRun()).when(c.PauseRun()).is_refused("state")
    bench.when(c.ResumeRun()).is_refused("state")


def test_a_paused_run_that_was_for_later_is_for_later_again() -> None:
    """Resumed before its time it is scheduled, and begins at its time."""
    bench = Bench(pipeline(node("a")))
    bench.starts(due=NOW + SECOND).does(c.PauseRun())
    bench.does(c.ResumeRun()).then("run.resumed run paused>scheduled")
    bench.passes(1).then("run.due run scheduled>running", "step.started a blocked>running")


def test_retry_gives_what_failed_a_fresh_budget_and_leaves_what_stands() -> None:
    """Only the failed step runs again; its attempts count on, its budget begins anew."""
    bench = Bench(pipeline(node("a"), node("b", "a"))).starts().succeeds("a")
    bench.fails("b")
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running", "step.started b blocked>running"
    )
    step = bench.run.steps["b"]
    assert (step.attempt, step.base) == (2, 1)
    bench.succeeds("b").then("step.succeeded b running>succeeded", DONE)


def test_a_survived_failure_stands_when_the_run_is_retried() -> None:
    """What a consumer took as an Outcome is not done again."""
    bench = Bench(pipeline(node("a"), node("b", "a!"))).starts()
    bench.fails("a")
    bench.fails("b")
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running", "step.started b blocked>running"
    )


def test_retry_waits_anew_for_a_signal_that_timed_out() -> None:
    """Its deadline is dated anew."""
    bench = Bench(
        pipeline(Node("s", "signal", delay=Delay(us=SECOND)), node("a", "s"))
    ).starts()
    bench.passes(1)
    bench.does(c.RetryRun()).then("run.retried run failed>running", "timer.set s ->pending")
    bench.does(c.TellSignal("s"))
    assert bench.run.steps["a"].state == "running"


def test_a_live_run_is_not_retried() -> None:
    """Only a failed, cancelled or parked run goes on."""
    one().when(c.RetryRun()).is_refused("state").then()


def test_a_machine_retried_does_the_work_of_its_state_anew() -> None:
    """The state stays, the visit too, the budget is fresh."""
    definition = msgspec.structs.replace(
        publish(), edges=tuple(e for e in publish().edges if e.trigger != "error")
    )
    bench = Bench(definition).starts()
    bench.fails("draft").then("step.failed draft running>failed", FAILED)
    bench.does(c.RetryRun()).then(
        "run.retried run failed>running", "step.started draft blocked>running"
    )


def test_parking_sets_aside_what_runs_and_nothing_else() -> None:
    """A paused run is not parked."""
    bench = one().when(c.ParkRun("no code")).then("run.parked run running>parked")
    bench.when(c.ParkRun("again")).then()
    one().when(c.PauseRun()).when(c.ParkRun("no code")).then()


def test_another_definition_is_noted_once() -> None:
    """The same hash again means nothing; the status stays."""
    bench = one().when(c.RedefineRun("new")).then("run.redefined run running>running")
    bench.when(c.RedefineRun("new")).then()
    assert bench.run.definition == "new"
