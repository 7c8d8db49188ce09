"""Signals and timers of a pipeline: waiting, early, late, optional, after others."""

import contextlib
import dataclasses
from datetime import datetime, timedelta

import pytest

from playhead import (
    Context,
    Engine,
    Outcome,
    PlayheadError,
    RunEnded,
    RunFailed,
    RunUnknown,
    Signal,
    Timer,
    Workflow,
    step,
)
from tests.journeys.conftest import START


@dataclasses.dataclass
class Approval:
    by: str
    level: int = 1


@step
def prepare(x: int) -> int:
    return x


@step
def publish(prepare: int, approval: Approval) -> str:
    return f"{prepare} by {approval.by} ({approval.level})"


def approving(**options):
    return Workflow("w", steps=[prepare, Signal("approval", Approval, **options), publish])


def started(url, workflow, **inputs):
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, **inputs)
    engine.run_until_idle()
    return engine, run


def test_a_signal_is_awaited_and_hands_over_its_payload(url, frozen):
    """The run waits for the signal; the parameter of its name receives the payload, converted."""
    engine, run = started(url, approving(), x=1)
    assert run.status == "waiting"
    engine.signal(run.id, "approval", {"by": "ann"})
    engine.run_until_idle()
    assert run.result(timeout=1) == "1 by ann (1)"


def test_a_payload_may_be_an_object(url, frozen):
    """A payload given as the declared class passes too."""
    engine, run = started(url, approving(), x=1)
    engine.signal(run, "approval", Approval("bob", 3))
    engine.run_until_idle()
    assert run.result(timeout=1) == "1 by bob (3)"


def test_an_early_signal_is_kept(url, frozen):
    """A signal sent before its `Signal` waits is kept from the start of the run on."""
    workflow = Workflow(
        "w", steps=[prepare, Signal("approval", Approval, after=["prepare"]), publish]
    )
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, x=2)
    engine.signal(run, "approval", {"by": "early"})
    engine.run_until_idle()
    assert run.result(timeout=1) == "2 by early (1)"


def test_the_first_signal_counts_and_a_further_one_is_recorded(url, frozen, events):
    """A second signal of the name is recorded as refused and is no error to the sender."""

    @step(name="publish", after=["pause"])
    def publish_late(prepare: int, approval: Approval) -> str:
        return approval.by

    slow = Workflow(
        "w", steps=[prepare, Signal("approval", Approval), Timer("pause", 60), publish_late]
    )
    engine, run = started(url, slow, x=1)
    engine.signal(run, "approval", {"by": "first"})
    engine.signal(run, "approval", {"by": "second"})
    engine.run_until_idle()
    kinds = events(engine, run)
    assert ("signal.refused", "approval") in kinds
    assert kinds.count(("signal.received", "approval")) == 1
    frozen.tick(60)
    engine.run_until_idle()
    assert run.result(timeout=1) == "first"


def test_a_payload_that_does_not_convert_is_refused_at_the_sender(url, frozen):
    """A wrong payload raises at the sender and nothing is written; the right one goes on."""
    engine, run = started(url, approving(), x=1)
    count = len(engine.history(run))
    for payload in ({"by": 3}, {}, None, "ann", {"by": "ann", "level": "high"}):
        with pytest.raises(PlayheadError, match="approval"):
            engine.signal(run, "approval", payload)
    assert len(engine.history(run)) == count
    engine.signal(run, "approval", {"by": "ann"})
    engine.run_until_idle()
    assert run.status == "succeeded"


def test_a_signal_nobody_declared_is_refused(url, frozen):
    """A signal of a name that the pipeline does not know is an error at the sender."""
    engine, run = started(url, approving(), x=1)
    with pytest.raises(PlayheadError, match="aproval"):
        engine.signal(run, "aproval", {"by": "ann"})
    assert run.status == "waiting"


def test_a_signal_without_a_type_takes_any_payload(url, frozen):
    """A `Signal` without a type hands over plain JSON, also None."""

    @step
    def take(go) -> list:
        return [go]

    workflow = Workflow("w", steps=[Signal("go"), take])
    for payload in (None, 1, {"a": [1]}, "text"):
        engine, run = started(url, workflow)
        engine.signal(run, "go", payload)
        engine.run_until_idle()
        assert run.result(timeout=1) == [payload]


def test_a_keyed_signal_counts_once(url, frozen, events):
    """The same key of a signal is recorded once."""
    engine, run = started(url, approving(), x=1)
    engine.signal(run, "approval", {"by": "ann"}, key="k")
    engine.signal(run, "approval", {"by": "ann"}, key="k")
    assert [k for k in events(engine, run) if k[0].startswith("signal.")] == [
        ("signal.received", "approval")
    ]


def test_an_ended_run_takes_no_signal(url, frozen):
    """A signal to an ended run raises and writes nothing."""
    engine, run = started(url, approving(), x=1)
    engine.signal(run, "approval", {"by": "ann"})
    engine.run_until_idle()
    count = len(engine.history(run))
    with pytest.raises(RunEnded, match="succeeded"):
        engine.signal(run, "approval", {"by": "bob"})
    assert len(engine.history(run)) == count


def test_a_signal_to_an_unknown_run(url, frozen):
    """A signal to a run that is not there raises `RunUnknown` and names it."""
    engine = Engine(url, workflows=[approving()])
    with pytest.raises(RunUnknown, match="nowhere"):
        engine.signal("nowhere", "approval")


def test_a_signal_that_times_out_fails_the_run(url, frozen, events):
    """A `Signal` whose timeout passes is a failure of the run, exactly when due."""
    engine, run = started(url, approving(timeout=timedelta(hours=48)), x=1)
    assert engine.next_due() == START + timedelta(hours=48)
    frozen.tick(timedelta(hours=48) - timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.status == "waiting"
    frozen.tick(timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.status == "failed"
    assert ("signal.timed_out", "approval") in events(engine, run)
    with pytest.raises(RunFailed, match="approval"):
        run.result(timeout=1)


def test_a_signal_in_time_stops_the_timeout(url, frozen):
    """A received signal leaves no timeout behind."""
    engine, run = started(url, approving(timeout=100), x=1)
    engine.signal(run, "approval", {"by": "ann"})
    engine.run_until_idle()
    assert run.status == "succeeded"
    assert engine.next_due() is None


def test_an_optional_parameter_survives_the_timeout(url, frozen):
    """A consumer with a default gets it when the signal times out."""

    @step
    def take(x: int, approval: Approval | None = None) -> str:
        return f"{x} {approval}"

    workflow = Workflow("w", steps=[Signal("approval", Approval, timeout=10), take])
    engine, run = started(url, workflow, x=1)
    frozen.tick(10)
    engine.run_until_idle()
    assert run.result(timeout=1) == "1 None"


def test_an_outcome_parameter_sees_the_timeout(url, frozen):
    """A consumer that asks for an `Outcome` sees that the signal did not come."""

    @step
    def take(approval: Outcome[Approval]) -> list:
        return [approval.ok, approval.state]

    workflow = Workflow("w", steps=[Signal("approval", Approval, timeout=10), take])
    engine, run = started(url, workflow)
    frozen.tick(10)
    engine.run_until_idle()
    ok, state = run.result(timeout=1)
    assert ok is False
    assert state in ("failed", "skipped")
    engine, run = started(url, workflow)
    engine.signal(run, "approval", {"by": "ann"})
    engine.run_until_idle()
    assert run.result(timeout=1) == [True, "succeeded"]


def test_a_late_signal_is_refused_in_writing(url, frozen, events):
    """A signal after its timeout, in a run that goes on, does not count."""

    @step
    def take(approval: Approval | None = None) -> str:
        return str(approval)

    workflow = Workflow(
        "w", steps=[Signal("approval", Approval, timeout=10), take, Timer("hold", 100)]
    )
    engine, run = started(url, workflow)
    frozen.tick(10)
    engine.run_until_idle()
    with contextlib.suppress(PlayheadError):
        engine.signal(run, "approval", {"by": "late"})
    assert ("signal.received", "approval") not in events(engine, run)


def test_a_timer_delivers_its_due_time(url, frozen):
    """A parameter named like a timer receives the due time, aware."""

    @step
    def later(cooldown: datetime) -> str:
        return cooldown.isoformat()

    workflow = Workflow("w", steps=[Timer("cooldown", timedelta(minutes=5)), later])
    engine, run = started(url, workflow)
    assert run.status == "waiting"
    assert engine.next_due() == START + timedelta(minutes=5)
    frozen.tick(1000)
    engine.run_until_idle()
    assert run.result(timeout=1) == (START + timedelta(minutes=5)).isoformat()


def test_a_timer_begins_when_what_it_stands_after_is_settled(url, frozen):
    """A timer with `after=` begins then; one without begins with the run."""

    @step
    def first(early: datetime) -> int:
        return 1

    @step
    def last(late: datetime) -> int:
        return 2

    workflow = Workflow(
        "w", steps=[Timer("early", 10), first, Timer("late", 10, after=[first]), last]
    )
    engine, run = started(url, workflow)
    assert engine.next_due() == START + timedelta(seconds=10)
    frozen.tick(15)
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(seconds=25)
    frozen.tick(10)
    engine.run_until_idle()
    assert run.result(timeout=1) == 2


def test_a_timers_events(url, frozen):
    """`timer.set` tells the due time, `timer.fired` comes later, both of the timer's name."""

    @step
    def later(cooldown) -> int:
        return 1

    workflow = Workflow("w", steps=[Timer("cooldown", 300), later])
    engine, run = started(url, workflow)
    frozen.tick(400)
    engine.run_until_idle()
    found = [
        (e.type, e.subject, e.source, e.dest)
        for e in engine.history(run)
        if e.type.startswith("timer.")
    ]
    assert found == [
        ("timer.set", "cooldown", "–", "pending"),  # noqa: RUF001
        ("timer.fired", "cooldown", "pending", "fired"),
    ]


def test_a_signal_timeout_begins_after_what_it_stands_after(url, frozen):
    """A `Signal`'s timeout is counted from when it begins to wait."""

    @step
    def gate(hold) -> int:
        return 1

    workflow = Workflow(
        "w",
        steps=[
            Timer("hold", 100), gate, Signal("approval", Approval, timeout=10, after=["gate"]),
            prepare, publish,
        ],
    )  # fmt: skip
    engine, _run = started(url, workflow, x=1)
    frozen.tick(50)
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(seconds=100)
    frozen.tick(50)
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(seconds=110)


def test_a_delay_may_be_a_moment(url, frozen):
    """A delay may be an aware datetime; a past moment is due at once."""

    @step
    def later(wait: datetime) -> str:
        return "now"

    moment = START + timedelta(days=30)
    engine, run = started(url, Workflow("w", steps=[Timer("wait", moment), later]))
    assert engine.next_due() == moment
    frozen.move_to(moment)
    engine.run_until_idle()
    assert run.status == "succeeded"
    engine, run = started(
        "sqlite:///:memory:", Workflow("w", steps=[Timer("wait", START), later])
    )
    assert run.status == "succeeded"


def test_a_delay_may_be_asked(url, frozen):
    """A delay may be a function of parameters by name, asked once and recorded."""
    asked = []

    def patience(prepare: int) -> timedelta:
        asked.append(prepare)
        return timedelta(seconds=prepare)

    @step
    def later(wait: datetime, prepare: int) -> int:
        return prepare

    workflow = Workflow("w", steps=[prepare, Timer("wait", patience), later])
    engine, run = started(url, workflow, x=42)
    assert engine.next_due() == START + timedelta(seconds=42)
    frozen.tick(41)
    engine.run_until_idle()
    frozen.tick(1)
    engine.run_until_idle()
    assert run.result(timeout=1) == 42
    assert asked == [42]


def test_a_delay_asked_may_be_a_moment_or_the_past(url, frozen):
    """An asked delay may answer with a datetime; one in the past is due at once."""

    def when(at: datetime) -> datetime:
        return at

    @step
    def later(wait: datetime) -> str:
        return "done"

    workflow = Workflow("w", steps=[Timer("wait", when), later])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, {"at": START + timedelta(hours=1)})
    past = engine.start(workflow, {"at": START - timedelta(hours=1)})
    engine.run_until_idle()
    assert past.status == "succeeded"
    assert run.status == "waiting"
    frozen.tick(3600)
    engine.run_until_idle()
    assert run.status == "succeeded"


def test_a_delay_that_raises_fails_the_run(url, frozen):
    """A delay function that raises fails the run and names the timer; the engine goes on."""

    def broken(x: int) -> timedelta:
        raise ZeroDivisionError("clock")

    @step
    def later(wait: datetime, x: int) -> int:
        return x

    workflow = Workflow("w", steps=[Timer("wait", broken), later])
    _engine, run = started(url, workflow, x=1)
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="wait"):
        run.result(timeout=1)


@pytest.mark.parametrize("answer", ["soon", None, float("nan"), datetime(2031, 1, 1)])  # noqa: DTZ001
def test_a_delay_that_makes_no_sense_fails_the_run(url, frozen, answer):
    """A delay function that answers nonsense, or a naive datetime, fails the run."""

    def odd(x: int):
        return answer

    @step
    def later(wait: datetime, x: int) -> int:
        return x

    _engine, run = started(url, Workflow("w", steps=[Timer("wait", odd), later]), x=1)
    assert run.status == "failed"


@pytest.mark.parametrize("delay", ["5", datetime(2031, 1, 1), float("nan"), -1])  # noqa: DTZ001
def test_a_delay_that_cannot_be_right_is_refused_when_built(delay):
    """A naive datetime, text, NaN or a negative number is no delay."""
    with pytest.raises((PlayheadError, ValueError, TypeError)):
        Workflow("w", steps=[prepare, Timer("wait", delay)])


def test_a_wait_that_nobody_needs_is_cancelled_with_the_run(url, frozen, events):
    """A `Signal` or `Timer` that no open step waits for does not hold up the end."""
    workflow = Workflow("w", steps=[prepare, Signal("spare"), Timer("idle", 3600)])
    engine, run = started(url, workflow, x=1)
    assert run.status == "succeeded"
    assert engine.next_due() is None
    assert ("timer.cancelled", "idle") in events(engine, run)


def test_a_step_after_a_signal_without_taking_it(url, frozen):
    """`after=` names a `Signal` or `Timer` too."""

    @step(after=["go", "hold"])
    def work(x: int) -> int:
        return x

    engine, run = started(url, Workflow("w", steps=[Signal("go"), Timer("hold", 5), work]), x=3)
    engine.signal(run, "go")
    engine.run_until_idle()
    assert run.status == "waiting"
    frozen.tick(5)
    engine.run_until_idle()
    assert run.result(timeout=1) == 3


def test_steps_may_signal_their_own_engine(url, frozen):
    """A step may start and signal through the engine that runs it."""

    @step
    def parent(x: int, ctx: Context) -> str:
        other = engine.start(waits, key=f"child-{ctx.run_id}")
        engine.signal(other, "go", {"from": ctx.run_id}, key="once")
        return other.id

    @step
    def child(go: dict) -> dict:
        return go

    waits = Workflow("waits", steps=[Signal("go"), child])
    starts = Workflow("starts", steps=[parent])
    engine = Engine(url, workflows=[waits, starts])
    run = engine.start(starts, x=1)
    engine.run_until_idle()
    other = engine.get(run.result(timeout=1))
    assert other.result(timeout=1) == {"from": run.id}


def test_timers_fire_in_the_order_of_their_due_times(url, frozen):
    """After a jump over several due times, timers fire in the order in which they were due."""
    order = []

    @step
    def one(a: datetime) -> None:
        order.append("a")

    @step
    def two(b: datetime) -> None:
        order.append("b")

    @step
    def three(c: datetime) -> None:
        order.append("c")

    workflows = [
        Workflow("a", steps=[Timer("a", 30), one]),
        Workflow("b", steps=[Timer("b", 10), two]),
        Workflow("c", steps=[Timer("c", 20), three]),
    ]
    engine = Engine(url, workflows=workflows)
    for workflow in workflows:
        engine.start(workflow)
    engine.run_until_idle()
    frozen.tick(100)
    engine.run_until_idle()
    assert order == ["b", "c", "a"]
