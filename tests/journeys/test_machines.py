"""State machines in the dialect of `transitions`: work, signals, guards, timeouts, visits."""

import enum
import threading
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed
from transitions import Machine

from playhead import (
    Context,
    DefinitionError,
    Engine,
    PlayheadError,
    RunEnded,
    RunFailed,
    SignalRefused,
    Workflow,
    step,
)
from tests.journeys.conftest import START


def few_drafts(ctx: Context) -> bool:
    return ctx.visits("draft") < 5


@step
def draft(topic: str, ctx: Context) -> str:
    return f"{topic} v{ctx.visits('draft')}"


@step
def release(draft: str) -> str:
    return f"released {draft}"


def publish_of(*steps):
    """Give the machine of the contract, 2.2."""
    return Workflow(
        "publish",
        steps=list(steps) or [draft, release],
        states=[
            "draft",
            {"name": "review", "timeout": 172_800, "on_timeout": "expire"},
            "release",
            "published",
            {"name": "rejected", "outcome": "failed"},
        ],
        transitions=[
            ["done", "draft", "review"],
            {
                "trigger": "revise",
                "source": "review",
                "dest": "draft",
                "conditions": few_drafts,
            },
            ["revise", "review", "rejected"],
            ["approve", "review", "release"],
            ["reject", "review", "rejected"],
            ["expire", "review", "rejected"],
            ["done", "release", "published"],
            ["error", ["draft", "release"], "rejected"],
        ],
        initial="draft",
    )


def started(url, workflow, **inputs):
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, **inputs)
    engine.run_until_idle()
    return engine, run


def moves(engine, run):
    """Give the moves of a machine as trigger, source, dest."""
    return [
        (e.subject, e.source, e.dest) for e in engine.history(run) if e.type == "machine.moved"
    ]


# --- the machine of the contract ------------------------------------------------------------


def test_an_approved_draft_is_published(url, frozen):
    """Draft, review, approve, release, published: the result is the last step's output."""
    engine, run = started(url, publish_of(), topic="cats")
    assert run.state == "review"
    assert run.status == "waiting"
    assert engine.next_due() == START + timedelta(days=2)
    engine.signal(run.id, "approve", {"by": "ann"})
    assert run.state == "release", "the sender's own append makes the move"
    engine.run_until_idle()
    assert run.status == "succeeded"
    assert run.state == "published"
    assert run.result(timeout=1) == "released cats v1"
    assert engine.next_due() is None


def test_each_move_is_an_event(url, frozen):
    """Every move is one `machine.moved`, with the trigger as subject and both states."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.signal(run, "approve")
    engine.run_until_idle()
    found = moves(engine, run)
    assert found[0][0] == "initial"
    assert found[0][2] == "draft"
    assert found[1:] == [
        ("done", "draft", "review"),
        ("approve", "review", "release"),
        ("done", "release", "published"),
    ]


def test_a_rejected_draft_fails_the_run(url, frozen):
    """A final state with `outcome: failed` ends the run failed."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.signal(run, "reject")
    engine.run_until_idle()
    assert run.status == "failed"
    assert run.state == "rejected"
    with pytest.raises(RunFailed, match="rejected"):
        run.result(timeout=1)


def test_the_review_expires_after_two_days(url, frozen):
    """The timeout of a state fires its trigger when due, and not before."""
    engine, run = started(url, publish_of(), topic="cats")
    frozen.tick(timedelta(days=2) - timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.state == "review"
    frozen.tick(timedelta(microseconds=1))
    engine.run_until_idle()
    assert run.state == "rejected"
    assert run.status == "failed"
    assert moves(engine, run)[-1] == ("expire", "review", "rejected")


def test_four_revisions_and_the_fifth_is_rejected(url, frozen):
    """A guard asks the visits; when it says no, the next matching edge is taken."""
    engine, run = started(url, publish_of(), topic="cats")
    for _ in range(4):
        engine.signal(run, "revise")
        engine.run_until_idle()
        assert run.state == "review"
    assert engine.playhead(run).state.steps["draft"].output == "cats v5"
    engine.signal(run, "revise")
    engine.run_until_idle()
    assert run.state == "rejected"
    assert run.status == "failed"


def test_a_new_visit_begins_the_timeout_anew(url, frozen):
    """A state entered again has its full timeout again."""
    engine, run = started(url, publish_of(), topic="cats")
    frozen.tick(timedelta(days=1))
    engine.run_until_idle()
    engine.signal(run, "revise")
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(days=3)
    frozen.tick(timedelta(days=1, hours=12))
    engine.run_until_idle()
    assert run.state == "review"


def test_a_failing_step_takes_the_error_edge(url, frozen):
    """Work that failed for good ends in `error`."""

    @step(name="draft")
    def broken(topic: str) -> str:
        raise ValueError("no ink")

    engine, run = started(url, publish_of(broken, release), topic="cats")
    assert run.state == "rejected"
    assert run.status == "failed"
    assert moves(engine, run)[-1] == ("error", "draft", "rejected")


def test_a_signal_the_state_does_not_take_is_refused(url, frozen, events):
    """A signal without an edge here: `SignalRefused`, an event, and the state is unchanged."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.signal(run, "approve")
    with pytest.raises(SignalRefused, match="approve"):
        engine.signal(run, "approve")
    assert ("signal.refused", "approve") in events(engine, run)
    assert run.state == "release"
    engine.run_until_idle()
    assert run.status == "succeeded"


def test_an_unknown_signal_is_refused_with_the_near_miss(url, frozen):
    """A signal that no edge knows is refused, and the near one is named."""
    engine, run = started(url, publish_of(), topic="cats")
    with pytest.raises(SignalRefused, match="approve"):
        engine.signal(run, "aprove")
    assert run.state == "review"


@pytest.mark.parametrize("name", ["done", "error"])
def test_done_and_error_are_no_signals(url, frozen, name):
    """`done` and `error` belong to the work; sent as signals in a waiting state they are refused."""  # noqa: E501
    engine, run = started(url, publish_of(), topic="cats")
    with pytest.raises(SignalRefused):
        engine.signal(run, name)
    assert run.state == "review"


def test_an_ended_run_takes_no_signal(url, frozen):
    """A signal to an ended run is an error and writes nothing."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.signal(run, "reject")
    engine.run_until_idle()
    count = len(engine.history(run))
    with pytest.raises(RunEnded):
        engine.signal(run, "approve")
    assert len(engine.history(run)) == count


def test_the_next_signal_is_judged_by_the_new_state(url, frozen):
    """Where no guard is asked, signals move the machine at once, with no worker about."""
    light = Workflow(
        "light",
        states=["red", "green", "off"],
        transitions=[["go", "red", "green"], ["stop", "green", "red"], ["end", "red", "off"]],
        initial="red",
    )
    engine = Engine(url, workflows=[light])
    run = engine.start(light)
    for name, state in [("go", "green"), ("stop", "red"), ("go", "green"), ("stop", "red")]:
        engine.signal(run, name)
        assert run.state == state
    with pytest.raises(SignalRefused):
        engine.signal(run, "stop")
    engine.signal(run, "end")
    assert run.status == "succeeded"
    assert run.result(timeout=1) is None


# --- guards --------------------------------------------------------------------------------


def gated(*guards, **options):
    """Give a machine whose `go` is guarded."""
    return Workflow(
        "gated",
        states=["idle", "busy", "other"],
        transitions=[
            {"trigger": "go", "source": "idle", "dest": "busy", "conditions": list(guards)},
            ["end", "idle", "other"],
            ["end", "busy", "other"],
        ],
        initial="idle",
        **options,
    )


def test_a_guarded_signal_is_answered_by_a_worker(url, frozen, events):
    """Where a guard must be asked, the signal is recorded and moved by a worker."""

    def yes(go: dict) -> bool:
        return go["ok"]

    engine, run = started(url, gated(yes))
    engine.signal(run, "go", {"ok": True})
    assert run.state == "idle"
    assert ("signal.received", "go") in events(engine, run)
    engine.run_until_idle()
    assert run.state == "busy"


def test_if_every_guard_says_no_it_is_recorded(url, frozen, events):
    """If every guard says no, `signal.refused` is recorded and the sender is not told."""

    def yes(go: dict) -> bool:
        return go["ok"]

    engine, run = started(url, gated(yes))
    engine.signal(run, "go", {"ok": False})
    engine.run_until_idle()
    assert run.state == "idle"
    assert events(engine, run)[-1] == ("signal.refused", "go")
    assert "guard" in str(engine.history(run)[-1].data["reason"])
    engine.signal(run, "go", {"ok": True})
    engine.run_until_idle()
    assert run.state == "busy"


def test_guarded_signals_are_answered_in_order(url, frozen):
    """Recorded signals are answered in order, before any later trigger of the run."""
    seen = []

    def count(go: int) -> bool:
        seen.append(go)
        return go == 3

    engine, run = started(url, gated(count))
    for number in (1, 2, 3):
        engine.signal(run, "go", number)
    engine.signal(run, "end")
    engine.run_until_idle()
    assert seen == [1, 2, 3]
    assert run.state == "other"
    assert [m[0] for m in moves(engine, run)] == ["initial", "go", "end"]


def test_a_guard_that_raises_fails_the_run_and_retry_asks_again(url, frozen):
    """A guard that raises fails the run, which names it; `retry` asks again."""
    state = {"broken": True}

    def fragile() -> bool:
        if state["broken"]:
            raise RuntimeError("no answer")
        return True

    engine, run = started(url, gated(fragile))
    engine.signal(run, "go")
    engine.run_until_idle()
    assert run.status == "failed"
    failed = engine.history(run)[-1]
    assert failed.type == "run.failed"
    assert "fragile" in str(failed.data)
    state["broken"] = False
    engine.retry(run)
    engine.run_until_idle()
    assert run.state == "busy"


def test_conditions_and_unless_work_together(url, frozen):
    """All `conditions` must hold and no `unless`."""

    def positive(go: int) -> bool:
        return go > 0

    def large(go: int) -> bool:
        return go > 100

    machine = Workflow(
        "m",
        states=["idle", "busy"],
        transitions=[
            {
                "trigger": "go",
                "source": "idle",
                "dest": "busy",
                "conditions": [positive],
                "unless": [large],
            }
        ],
        initial="idle",
    )
    for value, state in [(0, "idle"), (101, "idle"), (5, "busy")]:
        engine, run = started(url, machine)
        engine.signal(run, "go", value)
        engine.run_until_idle()
        assert run.state == state


def test_two_guards_of_one_name_are_refused():
    """A guard is known by its name; two different ones of one name are refused."""

    def make(answer):
        def guard() -> bool:
            return answer

        return guard

    with pytest.raises(DefinitionError, match="guard"):
        Workflow(
            "m",
            states=["a", "b", "c"],
            transitions=[
                {"trigger": "go", "source": "a", "dest": "b", "conditions": make(True)},
                {"trigger": "go", "source": "a", "dest": "c", "conditions": make(False)},
            ],
            initial="a",
        )


def test_guards_on_done_pick_the_edge(url, frozen):
    """The work's `done` may be guarded by its own output; the first matching edge wins."""

    @step
    def score(x: int) -> int:
        return x * 10

    def good(score: int) -> bool:
        return score > 50

    machine = Workflow(
        "m",
        steps=[score],
        states=["score", "high", "low"],
        transitions=[
            {"trigger": "done", "source": "score", "dest": "high", "conditions": good},
            ["done", "score", "low"],
        ],
        initial="score",
    )
    for x, state in [(9, "high"), (1, "low")]:
        _, run = started(url, machine, x=x)
        assert run.status == "succeeded"
        assert run.state == state
        assert run.result(timeout=1) == x * 10


# --- edges ---------------------------------------------------------------------------------


def test_an_internal_edge_stays(url, frozen):
    """`None` stays: no new visit, the timeout runs on."""
    machine = Workflow(
        "m",
        states=[{"name": "wait", "timeout": 100, "on_timeout": "late"}, "end"],
        transitions=[["ping", "wait", None], ["late", "wait", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine)
    frozen.tick(50)
    engine.signal(run, "ping")
    engine.run_until_idle()
    assert run.state == "wait"
    assert engine.next_due() == START + timedelta(seconds=100)
    frozen.tick(50)
    engine.run_until_idle()
    assert run.state == "end"


def test_a_reflexive_edge_enters_again(url, frozen):
    """`"="` leaves and enters again: a new visit, and the timeout begins anew."""
    machine = Workflow(
        "m",
        states=[{"name": "wait", "timeout": 100, "on_timeout": "late"}, "end"],
        transitions=[["ping", "wait", "="], ["late", "wait", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine)
    frozen.tick(50)
    engine.signal(run, "ping")
    engine.run_until_idle()
    assert engine.next_due() == START + timedelta(seconds=150)
    frozen.tick(50)
    engine.run_until_idle()
    assert run.state == "wait"
    frozen.tick(50)
    engine.run_until_idle()
    assert run.state == "end"


def test_a_reflexive_edge_does_the_work_again(url, frozen):
    """Work in a state entered again by `"="` is done anew, with a new visit and key."""
    seen = []

    @step
    def poll(ctx: Context) -> int:
        seen.append((ctx.visit, ctx.idempotency_key))
        return len(seen)

    machine = Workflow(
        "m",
        steps=[poll],
        states=["poll", "end"],
        transitions=[["again", "poll", "="], ["stop", "poll", "end"]],
        initial="poll",
    )
    engine, run = started(url, machine)
    assert run.state == "poll", "done without an edge: the state waits for a signal"
    assert run.status == "waiting"
    engine.signal(run, "again")
    engine.run_until_idle()
    engine.signal(run, "stop")
    engine.run_until_idle()
    assert seen == [(1, f"{run.id}/poll:1"), (2, f"{run.id}/poll:2")]
    assert run.result(timeout=1) == 2


def test_a_star_is_every_state(url, frozen):
    """`"*"` is an edge from every state."""
    machine = Workflow(
        "m",
        states=["a", "b", {"name": "off", "outcome": "failed"}],
        transitions=[["next", "a", "b"], ["next", "b", "a"], ["kill", "*", "off"]],
        initial="a",
    )
    engine, run = started(url, machine)
    engine.signal(run, "next")
    engine.signal(run, "kill")
    engine.run_until_idle()
    assert run.state == "off"


def test_a_list_of_sources(url, frozen):
    """A list of sources is an edge from each."""
    machine = Workflow(
        "m",
        states=["a", "b", "c"],
        transitions=[["next", "a", "b"], ["end", ["a", "b"], "c"]],
        initial="a",
    )
    for path in (["end"], ["next", "end"]):
        engine, run = started(url, machine)
        for name in path:
            engine.signal(run, name)
        assert run.state == "c"
        assert run.status == "succeeded"


def test_enum_states(url, frozen):
    """States may be members of an Enum, in states, edges and initial."""

    class Light(enum.Enum):
        RED = "red"
        GREEN = "green"
        OFF = "off"

    machine = Workflow(
        "m",
        states=Light,
        transitions=[["go", Light.RED, Light.GREEN], ["end", Light.GREEN, Light.OFF]],
        initial=Light.RED,
    )
    engine, run = started(url, machine)
    assert run.state == "RED"
    engine.signal(run, "go")
    assert run.state == "GREEN"
    engine.signal(run, "end")
    assert run.status == "succeeded"


def test_from_machine_takes_an_instance(url, frozen):
    """`Workflow.from_machine` takes a `transitions.Machine`."""
    machine = Machine(
        model=None,
        states=["solid", "liquid", "gas"],
        transitions=[["melt", "solid", "liquid"], ["evaporate", "liquid", "gas"]],
        initial="solid",
        auto_transitions=False,
    )
    workflow = Workflow.from_machine(machine)
    engine, run = started(url, workflow)
    assert run.state == "solid"
    engine.signal(run, "melt")
    engine.signal(run, "evaporate")
    assert run.state == "gas"
    assert run.status == "succeeded"


def test_there_are_no_automatic_triggers(url, frozen):
    """`to_<state>` is no trigger."""
    engine, run = started(url, publish_of(), topic="cats")
    with pytest.raises(SignalRefused):
        engine.signal(run, "to_published")
    assert run.state == "review"


# --- signals -------------------------------------------------------------------------------


def test_deferred_signals_are_kept_for_a_later_state(url, frozen, events):
    """`defer=` keeps a named signal until a state takes it."""
    machine = Workflow(
        "m",
        states=["a", "b", "c"],
        transitions=[["next", "a", "b"], ["end", "b", "c"]],
        initial="a",
        defer=["end"],
    )
    engine, run = started(url, machine)
    engine.signal(run, "end")
    engine.run_until_idle()
    assert run.state == "a"
    engine.signal(run, "next")
    engine.run_until_idle()
    assert run.state == "c"
    assert run.status == "succeeded"
    assert ("signal.refused", "end") not in events(engine, run)


def test_invalid_triggers_may_be_ignored(url, frozen):
    """`ignore_invalid_triggers`: a signal that the state does not take is no error."""
    machine = Workflow(
        "m",
        states=["a", "b", "c"],
        transitions=[["next", "a", "b"], ["end", "b", "c"]],
        initial="a",
        ignore_invalid_triggers=True,
    )
    engine, run = started(url, machine)
    engine.signal(run, "end")
    engine.run_until_idle()
    assert run.state == "a"
    assert run.status == "waiting"


def test_payloads_reach_steps_and_guards(url, frozen):
    """The payload of the trigger last taken is a parameter of its name, converted."""

    @dataclass
    class Approval:
        by: str

    @step
    def publish(approve: Approval, note: str = "none") -> str:
        return f"{approve.by}: {note}"

    machine = Workflow(
        "m",
        steps=[publish],
        states=["wait", "publish", "end"],
        transitions=[["approve", "wait", "publish"], ["done", "publish", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine)
    engine.signal(run, "approve", {"by": "ann"})
    engine.run_until_idle()
    assert run.result(timeout=1) == "ann: none"


def test_a_payload_of_another_type_is_refused_at_the_sender(url, frozen):
    """A payload that does not convert to the declared type is refused, nothing written."""

    @dataclass
    class Approval:
        by: str

    @step
    def publish(approve: Approval) -> str:
        return approve.by

    machine = Workflow(
        "m",
        steps=[publish],
        states=["wait", "publish", "end"],
        transitions=[["approve", "wait", "publish"], ["done", "publish", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine)
    count = len(engine.history(run))
    with pytest.raises(PlayheadError):
        engine.signal(run, "approve", {"by": 17})
    assert len(engine.history(run)) == count
    assert run.state == "wait"


def test_a_keyed_signal_counts_once(url, frozen):
    """`key=` makes a signal count once per run and name."""
    machine = Workflow(
        "m",
        states=["a", "b", "c"],
        transitions=[["next", "a", "b"], ["next", "b", "c"]],
        initial="a",
    )
    engine, run = started(url, machine)
    engine.signal(run, "next", key="k1")
    engine.signal(run, "next", key="k1")
    assert run.state == "b"
    engine.signal(run, "next", key="k2")
    assert run.state == "c"
    other = engine.start(machine)
    engine.signal(other, "next", key="k1")
    assert other.state == "b"


def test_a_signal_that_leaves_a_working_state_wins(url, until):
    """A signal that leaves a state whose step is in flight cancels it; its result is dropped."""
    gate, inside, ended = threading.Event(), threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(20)
        ended.set()
        return "late"

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "stopped", "finished"],
        transitions=[["stop", "work", "stopped"], ["done", "work", "finished"]],
        initial="work",
    )
    engine = Engine(url, workflows=[machine])
    with engine:
        run = engine.start(machine)
        assert inside.wait(10)
        engine.signal(run, "stop")
        try:
            until(lambda: run.state == "stopped")
        finally:
            gate.set()
        until(lambda: run.status == "succeeded")
        assert ended.wait(10)
    assert run.result(timeout=1) is None
    kinds = [(e.type, e.subject) for e in engine.history(run)]
    assert ("step.cancelled", "work") in kinds
    assert ("step.succeeded", "work") not in kinds


def test_leaving_a_state_cancels_its_retries(url, frozen):
    """A retry still due when the state is left does not come."""
    calls = []

    @step
    @retry(wait=wait_fixed(60), stop=stop_after_attempt(5))
    def work() -> str:
        calls.append(1)
        raise OSError("down")

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "hold", "end"],
        transitions=[["stop", "work", "hold"], ["end", "hold", "end"]],
        initial="work",
    )
    engine, run = started(url, machine)
    engine.signal(run, "stop")
    engine.run_until_idle()
    assert engine.next_due() is None
    frozen.tick(600)
    engine.run_until_idle()
    assert calls == [1]
    assert run.state == "hold"


def test_error_without_an_edge_fails_the_run(url, frozen):
    """Work that fails where no `error` edge stands fails the run; `retry` works on."""
    state = {"broken": True}

    @step
    def work() -> str:
        if state["broken"]:
            raise OSError("down")
        return "up"

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "end"],
        transitions=[["done", "work", "end"]],
        initial="work",
    )
    engine, run = started(url, machine)
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="down"):
        run.result(timeout=1)
    state["broken"] = False
    engine.retry(run)
    engine.run_until_idle()
    assert run.result(timeout=1) == "up"


def test_a_step_may_name_itself(url, frozen):
    """A step that names itself gets its output of the last visit, else the default."""

    @step
    def count(count: int = 0) -> int:
        return count + 1

    def enough(count: int) -> bool:
        return count >= 4

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
    _, run = started(url, machine)
    assert run.result(timeout=1) == 4


def test_what_has_not_happened_fails_the_step_and_is_named(url, frozen):
    """A parameter that has not happened yet, without a default, fails the step by name."""

    @step
    def late(early: int) -> int:
        return early

    @step
    def early() -> int:
        return 1

    machine = Workflow(
        "m",
        steps=[late, early],
        states=["late", "early", "end"],
        transitions=[["done", "late", "early"], ["done", "early", "end"]],
        initial="late",
    )
    _, run = started(url, machine)
    assert run.status == "failed"
    with pytest.raises(RunFailed, match="early"):
        run.result(timeout=1)


def test_a_timeout_may_be_asked(url, frozen):
    """A state's timeout may be a function of parameters by name, asked when the wait begins."""
    asked = []

    def patience(hours: int) -> timedelta:
        asked.append(hours)
        return timedelta(hours=hours)

    machine = Workflow(
        "m",
        states=[{"name": "wait", "timeout": patience, "on_timeout": "late"}, "end"],
        transitions=[["late", "wait", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine, hours=3)
    assert engine.next_due() == START + timedelta(hours=3)
    frozen.tick(timedelta(hours=3))
    engine.run_until_idle()
    assert run.status == "succeeded"
    assert asked == [3]


def test_a_timeout_leaves_a_working_state(url, frozen):
    """The timeout of a working state fires while its retries go on."""

    @step
    @retry(wait=wait_fixed(10))
    def work() -> str:
        raise OSError("down")

    machine = Workflow(
        "m",
        steps=[work],
        states=[{"name": "work", "timeout": 25, "on_timeout": "late"}, "end", "gave_up"],
        transitions=[["done", "work", "end"], ["late", "work", "gave_up"]],
        initial="work",
    )
    engine, run = started(url, machine)
    while (due := engine.next_due()) is not None:
        frozen.move_to(due)
        engine.run_until_idle()
    assert run.state == "gave_up"
    assert (run.ended_at - START).total_seconds() == 25


def test_a_machine_without_a_final_state_is_legal(url, frozen):
    """Agents are loops: a machine may go round for ever."""
    machine = Workflow(
        "m",
        states=["a", "b"],
        transitions=[["flip", "a", "b"], ["flip", "b", "a"]],
        initial="a",
    )
    engine, run = started(url, machine)
    for _ in range(10):
        engine.signal(run, "flip")
    assert run.state == "a"
    assert run.status == "waiting"


def test_a_long_loop_of_work_stays_ordinary(url, frozen):
    """A machine goes through hundreds of visits in one go."""

    @step
    def count(count: int = 0) -> int:
        return count + 1

    def enough(count: int) -> bool:
        return count >= 300

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
    _, run = started(url, machine)
    assert run.result(timeout=1) == 300


def test_cancelling_a_machine(url, frozen):
    """A waiting machine is cancelled at once and its timeout never fires."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.cancel(run)
    engine.run_until_idle()
    assert run.status == "cancelled"
    assert engine.next_due() is None


def test_a_paused_machine_keeps_its_timeout_for_the_resume(url, frozen):
    """A timeout that came due in a pause fires on resume."""
    engine, run = started(url, publish_of(), topic="cats")
    engine.pause(run)
    frozen.tick(timedelta(days=3))
    engine.run_until_idle()
    assert run.status == "paused"
    assert run.state == "review"
    engine.resume(run)
    engine.run_until_idle()
    assert run.state == "rejected"


def test_the_breaker_and_the_fallback_serve_in_machines_too(url, frozen):
    """A step's options hold in a machine: its fallback answers and `done` follows."""

    @step
    def work() -> str:
        raise OSError("down")

    @work.fallback
    def spare() -> str:
        return "spare"

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "end"],
        transitions=[["done", "work", "end"]],
        initial="work",
    )
    _, run = started(url, machine)
    assert run.result(timeout=1) == "spare"
