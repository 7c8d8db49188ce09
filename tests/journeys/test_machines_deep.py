"""Machines at length: loops by timeout, work under signals, many senders, bare senders."""

import threading
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tenacity import retry, stop_after_attempt, wait_fixed

from playhead import (
    CircuitBreaker,
    Context,
    Engine,
    PlayheadError,
    Signal,
    SignalRefused,
    Workflow,
    step,
)
from tests.journeys.conftest import START


def started(url, workflow, **inputs):
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow, **inputs)
    engine.run_until_idle()
    return engine, run


def toggle(**options):
    return Workflow(
        "toggle",
        states=["on", "off", "gone"],
        transitions=[
            ["flip", "on", "off"],
            ["flip", "off", "on"],
            ["end", ["on", "off"], "gone"],
        ],
        initial="on",
        **options,
    )


def test_a_bare_process_moves_a_machine(file_url, frozen):
    """A sender that knows only the url has the signal judged by the table in the log."""
    machine = toggle()
    engine, run = started(file_url, machine)
    bare = Engine(file_url)
    bare.signal(run.id, "flip")
    assert bare.get(run.id).state == "off"
    with pytest.raises(SignalRefused):
        bare.signal(run.id, "flap")
    bare.signal(run.id, "end")
    assert bare.get(run.id).status == "succeeded"
    assert engine.get(run.id).state == "gone"


def test_a_bare_process_steers(file_url, frozen):
    """Pause, resume, cancel and retry work from an engine without workflows."""
    engine, run = started(file_url, toggle())
    bare = Engine(file_url)
    bare.pause(run.id)
    assert engine.get(run.id).status == "paused"
    bare.resume(run.id)
    bare.cancel(run.id)
    engine.run_until_idle()
    assert bare.get(run.id).status == "cancelled"
    bare.retry(run.id)
    engine.run_until_idle()
    assert bare.get(run.id).status == "waiting"
    assert bare.get(run.id).state == "on"


def test_many_senders_at_once(url):
    """Signals sent by many threads at once each move the machine once."""
    machine = toggle()
    engine = Engine(url, workflows=[machine])
    run = engine.start(machine)
    errors = []

    def send():
        try:
            for _ in range(10):
                engine.signal(run, "flip")
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    flips = [
        e for e in engine.history(run) if e.type == "machine.moved" and e.subject == "flip"
    ]
    assert len(flips) == 60
    assert run.state == "on"


def test_many_senders_while_the_engine_runs(url, until):
    """The same with a guard that a worker must ask: each is answered once, in order."""
    seen = []

    def odd(flip: int) -> bool:
        seen.append(flip)
        return flip % 2 == 1

    machine = Workflow(
        "m",
        states=["on", "gone"],
        transitions=[
            {"trigger": "flip", "source": "on", "dest": "=", "conditions": odd},
            ["end", "on", "gone"],
        ],
        initial="on",
    )
    engine = Engine(url, workflows=[machine])
    with engine:
        run = engine.start(machine)
        threads = [
            threading.Thread(
                target=lambda base=base: [
                    engine.signal(run, "flip", base * 10 + n) for n in range(10)
                ]
            )
            for base in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.signal(run, "end")
        run.result(timeout=20)
    first_asked = list(dict.fromkeys(seen))
    assert sorted(first_asked) == list(range(40))
    for base in range(4):
        assert [n for n in first_asked if n // 10 == base] == [base * 10 + n for n in range(10)]
    history = engine.history(run)
    received = [
        e.version for e in history if (e.type, e.subject) == ("signal.received", "flip")
    ]
    refused = [e for e in history if e.type == "signal.refused"]
    assert len(received) == 40
    assert len(refused) == 20
    assert [e.subject for e in history if e.type == "machine.moved"].count("flip") == 20
    answered = [e.data["received"] for e in refused]
    assert answered == sorted(answered), "in order"


def test_a_state_polls_by_its_timeout(url, frozen):
    """A timeout whose edge is `"="` comes again and again: a state may poll."""
    polls = []

    @step
    def poll(ctx: Context) -> int:
        polls.append(ctx.now())
        return len(polls)

    def enough(poll: int) -> bool:
        return poll >= 4

    machine = Workflow(
        "m",
        steps=[poll],
        states=[{"name": "poll", "timeout": 60, "on_timeout": "again"}, "end"],
        transitions=[
            {"trigger": "again", "source": "poll", "dest": "end", "conditions": enough},
            ["again", "poll", "="],
        ],
        initial="poll",
    )
    engine, run = started(url, machine)
    while (due := engine.next_due()) is not None:
        frozen.move_to(due)
        engine.run_until_idle()
    assert run.status == "succeeded"
    assert [(at - START).total_seconds() for at in polls] == [0, 60, 120, 180]


def test_a_timeout_whose_guards_all_say_no(url, frozen, events):
    """A timeout that no guard lets through leaves the state; signals still come."""

    def never() -> bool:
        return False

    machine = Workflow(
        "m",
        states=[{"name": "wait", "timeout": 60, "on_timeout": "late"}, "end"],
        transitions=[
            {"trigger": "late", "source": "wait", "dest": "end", "conditions": never},
            ["go", "wait", "end"],
        ],
        initial="wait",
    )
    engine, run = started(url, machine)
    frozen.tick(60)
    engine.run_until_idle()
    assert run.state == "wait"
    assert engine.next_due() is None or engine.next_due() > START + timedelta(seconds=60)
    engine.signal(run, "go")
    engine.run_until_idle()
    assert run.status == "succeeded"


def test_an_internal_edge_leaves_the_work_alone(url, until):
    """`None` during work: the step in flight goes on and its result counts."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(20)
        return "done"

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "end"],
        transitions=[["ping", "work", None], ["done", "work", "end"]],
        initial="work",
    )
    engine = Engine(url, workflows=[machine])
    with engine:
        run = engine.start(machine)
        assert inside.wait(10)
        engine.signal(run, "ping")
        gate.set()
        assert run.result(timeout=10) == "done"
    kinds = [e.type for e in engine.history(run)]
    assert "step.cancelled" not in kinds
    assert kinds.count("step.started") == 1


def test_a_reflexive_edge_during_work_begins_it_anew(url, until):
    """`"="` during work cancels the attempt and starts a new visit."""
    inside = threading.Semaphore(0)
    gate = threading.Event()
    visits = []

    @step
    def work(ctx: Context) -> int:
        visits.append(ctx.visit)
        inside.release()
        if ctx.visit == 1:
            gate.wait(20)
        return ctx.visit

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "end"],
        transitions=[["again", "work", "="], ["done", "work", "end"]],
        initial="work",
    )
    engine = Engine(url, workflows=[machine])
    with engine:
        run = engine.start(machine)
        assert inside.acquire(timeout=10)
        engine.signal(run, "again")
        try:
            assert run.result(timeout=10) == 2
        finally:
            gate.set()
    assert visits == [1, 2]


def test_leaving_a_state_unparks_its_step(url, frozen):
    """A parked attempt whose state is left is cancelled and is not the probe."""
    calls = []

    @step(breaker=CircuitBreaker("api", failure_threshold=1))
    def work(bad: bool) -> str:
        calls.append(bad)
        if bad:
            raise OSError("down")
        return "up"

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "hold", "end"],
        transitions=[["done", "work", "end"], ["stop", "work", "hold"], ["end", "hold", "end"]],
        initial="work",
    )
    engine, _ = started(url, machine, bad=True)
    parked, other = engine.start(machine, bad=False), engine.start(machine, bad=False)
    engine.run_until_idle()
    assert parked.status == "waiting"
    engine.signal(parked, "stop")
    engine.run_until_idle()
    assert parked.state == "hold"
    frozen.tick(60)
    engine.run_until_idle()
    assert other.result(timeout=1) == "up"
    assert parked.state == "hold"
    assert calls == [True, False]


def test_a_declared_signal_checks_the_payload_of_a_trigger(url, frozen):
    """A `Signal` in the steps of a machine declares what a trigger carries."""

    @dataclass
    class Approval:
        by: str

    machine = Workflow(
        "m",
        steps=[Signal("approve", Approval)],
        states=["wait", "end"],
        transitions=[["approve", "wait", "end"]],
        initial="wait",
    )
    engine, run = started(url, machine)
    with pytest.raises(PlayheadError):
        engine.signal(run, "approve", {"by": 5})
    assert run.state == "wait"
    engine.signal(run, "approve", {"by": "ann"})
    assert run.state == "end"


def test_the_payload_last_taken(url, frozen):
    """A parameter named like a trigger gets the payload of the one last taken."""

    @step
    def collect(add: int, collect: list[int] | None = None) -> list[int]:
        return [*(collect or []), add]

    machine = Workflow(
        "m",
        steps=[collect],
        states=["wait", "collect", "end"],
        transitions=[
            ["add", "wait", "collect"], ["done", "collect", "wait"], ["stop", "wait", "end"],
        ],
        initial="wait",
    )  # fmt: skip
    engine, run = started(url, machine)
    for number in (3, 1, 2):
        engine.signal(run, "add", number)
        engine.run_until_idle()
    engine.signal(run, "stop")
    assert run.result(timeout=1) == [3, 1, 2]


def test_a_signal_during_work_that_waits_for_it_may_be_deferred(url, until):
    """A deferred signal sent during work is taken when the state that takes it is entered."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> int:
        inside.set()
        gate.wait(20)
        return 1

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "wait", "end"],
        transitions=[["done", "work", "wait"], ["go", "wait", "end"]],
        initial="work",
        defer=["go"],
    )
    engine = Engine(url, workflows=[machine])
    with engine:
        run = engine.start(machine)
        assert inside.wait(10)
        engine.signal(run, "go")
        gate.set()
        assert run.result(timeout=10) == 1
    assert run.state == "end"


def test_a_signal_to_a_scheduled_machine(url, frozen):
    """A machine that has not begun keeps or refuses the signal; it is not lost silently."""
    machine = toggle()
    engine = Engine(url, workflows=[machine])
    run = engine.start(machine, at=START + timedelta(hours=1))
    try:
        engine.signal(run, "flip")
    except SignalRefused:
        expected = "on"
    else:
        expected = "off"
    frozen.tick(3600)
    engine.run_until_idle()
    assert run.state == expected


def test_a_signal_to_a_paused_machine(url, frozen):
    """A signal to a paused machine is kept and moves it after the resume."""
    engine, run = started(url, toggle())
    engine.pause(run)
    engine.signal(run, "flip")
    engine.run_until_idle()
    assert run.status == "paused"
    engine.resume(run)
    engine.run_until_idle()
    assert run.state == "off"


def test_retry_of_a_run_that_ended_in_a_failed_state(url, frozen):
    """A machine in a final state of outcome failed is either taken up or refused; never hung."""
    machine = Workflow(
        "m",
        states=["a", {"name": "bad", "outcome": "failed"}],
        transitions=[["go", "a", "bad"]],
        initial="a",
    )
    engine, run = started(url, machine)
    engine.signal(run, "go")
    assert run.status == "failed"
    count = len(engine.history(run))
    try:
        engine.retry(run)
    except PlayheadError:
        assert len(engine.history(run)) == count
    engine.run_until_idle()
    assert run.status == "failed"


def test_unicode_all_over(url, frozen):
    """States, triggers, workflows and steps may have names in any letters."""

    @step(name="prüfen")
    def check(größe: int) -> str:  # noqa: PLC2401
        return "ж" * größe

    machine = Workflow(
        "größer ж",
        steps=[check],
        states=["prüfen", "fertig"],
        transitions=[["done", "prüfen", "fertig"]],
        initial="prüfen",
    )
    engine, run = started(url, machine, größe=3)
    assert run.result(timeout=1) == "жжж"
    assert engine.runs(workflow="größer ж")[0].id == run.id


def test_retries_in_a_machine_have_a_fresh_budget_at_each_visit(url, frozen):
    """A new visit of a state gives its step its whole budget of attempts again."""
    attempts = []

    @step
    @retry(wait=wait_fixed(1), stop=stop_after_attempt(2))
    def work(ctx: Context) -> int:
        attempts.append((ctx.visit, ctx.attempt))
        raise OSError("down")

    machine = Workflow(
        "m",
        steps=[work],
        states=["work", "wait", "end"],
        transitions=[["error", "work", "wait"], ["again", "wait", "work"], ["stop", "wait", "end"],
                     ["done", "work", "end"]],
        initial="work",
    )  # fmt: skip
    engine, run = started(url, machine)
    frozen.tick(1)
    engine.run_until_idle()
    assert run.state == "wait"
    engine.signal(run, "again")
    engine.run_until_idle()
    frozen.tick(1)
    engine.run_until_idle()
    assert run.state == "wait"
    assert [visit for visit, _ in attempts] == [1, 1, 2, 2]
    assert [attempt for _, attempt in attempts] == [1, 2, 1, 2]
