"""Breakers: shared by runs and processes, parking without spending attempts, probing, closing."""

import asyncio
import sqlite3
import threading
from datetime import timedelta

import httpx
import pytest
from tenacity import retry, stop_after_attempt, stop_after_delay, wait_fixed

from playhead import (
    CircuitBreaker,
    CircuitOpenError,
    DefinitionError,
    Engine,
    Failure,
    PlayheadError,
    RunFailed,
    Workflow,
    step,
)
from tests.journeys.conftest import START


class Service:
    """Something that can be down; counts its calls."""

    def __init__(self):
        self.down = True
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.down:
            raise ConnectionError("down")
        return "up"


@pytest.fixture
def service():
    return Service()


def guarded(service, name="api", *, policy=None, threshold=3, reset=60.0, probes=1, **options):
    """Give a workflow of one step behind a breaker."""
    breaker = CircuitBreaker(
        name, failure_threshold=threshold, reset_timeout=reset, probes=probes
    )

    def ask() -> str:
        return service()

    made = step(policy(ask) if policy else ask, breaker=breaker, **options)
    return Workflow("w", steps=[made])


def opened(url, workflow, count=3):
    """Open the breaker with as many failing runs; give the engine."""
    engine = Engine(url, workflows=[workflow])
    for _ in range(count):
        engine.start(workflow)
        engine.run_until_idle()
    return engine


def rows(tmp_path, like):
    """Give the types of events in the file whose type is like a pattern."""
    db = sqlite3.connect(tmp_path / "log.db")
    try:
        found = db.execute(
            "SELECT type FROM event WHERE type LIKE ? ORDER BY position", (like,)
        ).fetchall()
    finally:
        db.close()
    return [kind for (kind,) in found]


def statuses(engine):
    """Give the statuses of all runs, oldest first."""
    return [row.status for row in reversed(engine.runs())]


def test_a_breaker_opens_after_consecutive_failures(url, frozen, service):
    """The third failure in a row opens the breaker; the second leaves it closed."""
    workflow = guarded(service)
    engine = opened(url, workflow, 2)
    assert engine.breaker("api").state == "closed"
    engine.start(workflow)
    engine.run_until_idle()
    assert engine.breaker("api").state == "open"
    assert statuses(engine) == ["failed"] * 3


def test_a_success_between_resets_the_count(url, frozen, service):
    """Failures count only in a row: a success begins the count anew."""
    workflow = guarded(service)
    engine = opened(url, workflow, 2)
    service.down = False
    engine.run(workflow)
    service.down = True
    for _ in range(2):
        engine.start(workflow)
        engine.run_until_idle()
    assert engine.breaker("api").state == "closed"


def test_an_open_breaker_parks_and_spends_no_attempt(url, frozen, service, events):
    """Behind an open breaker a step is parked: not called, no attempt spent, the run waits."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    run = engine.start(workflow)
    engine.run_until_idle()
    assert service.calls == 3
    assert run.status == "waiting"
    assert ("step.parked", "ask") in events(engine, run)
    assert ("step.started", "ask") not in events(engine, run)
    assert engine.next_due() == START + timedelta(seconds=60)


def test_it_half_opens_exactly_at_the_reset_timeout(url, frozen, service):
    """One microsecond before `reset_timeout` nothing is called, at it one probe is."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    waiting = [engine.start(workflow) for _ in range(4)]
    engine.run_until_idle()
    frozen.tick(timedelta(seconds=60) - timedelta(microseconds=1))
    engine.run_until_idle()
    assert service.calls == 3
    assert engine.breaker("api").state == "open"
    frozen.tick(timedelta(microseconds=1))
    engine.run_until_idle()
    assert service.calls == 4, "one probe, which failed"
    assert engine.breaker("api").state == "open"
    assert [run.status for run in waiting].count("failed") == 1
    assert [run.status for run in waiting].count("waiting") == 3
    assert engine.next_due() == START + timedelta(seconds=120)


def test_a_good_probe_closes_it_and_all_go_on(url, frozen, service):
    """A probe that succeeds closes the breaker; everything parked is released."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    waiting = [engine.start(workflow) for _ in range(7)]
    engine.run_until_idle()
    service.down = False
    frozen.tick(60)
    engine.run_until_idle()
    assert engine.breaker("api").state == "closed"
    assert [run.status for run in waiting] == ["succeeded"] * 7
    assert engine.next_due() is None


def test_the_parked_are_released_two_by_two(file_url, frozen, tmp_path):
    """After closing each success releases two: a service that dies again is hit by few."""
    calls = []

    def answer():
        calls.append(1)
        if len(calls) == 4:
            return "up"
        raise ConnectionError("down")

    workflow = guarded(answer, threshold=3)
    engine = opened(file_url, workflow)
    waiting = [engine.start(workflow) for _ in range(20)]
    engine.run_until_idle()
    frozen.tick(60)
    engine.run_until_idle()
    done = [run.status for run in waiting]
    assert done.count("succeeded") == 1
    assert engine.breaker("api").state == "open", "three of the released failed in a row"
    assert len(calls) == 4 + 3
    assert done.count("waiting") == 16
    kinds = rows(tmp_path, "breaker.%")
    assert kinds.count("breaker.opened") == 2
    assert kinds.count("breaker.half_opened") == 1
    assert kinds.count("breaker.closed") == 1


def test_parked_attempts_leave_the_retry_budget_alone(url, frozen, service):
    """A step that is retried parks when the breaker opens and has its attempts left after."""
    workflow = guarded(service, policy=retry(wait=wait_fixed(1), stop=stop_after_attempt(5)))
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    for _ in range(3):
        engine.run_until_idle()
        frozen.tick(1)
    engine.run_until_idle()
    assert service.calls == 3
    assert engine.breaker("api").state == "open"
    assert run.status == "waiting"
    assert engine.next_due() == START + timedelta(seconds=62)
    frozen.move_to(engine.next_due())
    engine.run_until_idle()
    assert service.calls == 4, "the probe is the fourth attempt"
    service.down = False
    frozen.move_to(engine.next_due())
    engine.run_until_idle()
    started = [e.data["attempt"] for e in engine.history(run) if e.type == "step.started"]
    assert started[:4] == [1, 2, 3, 4]
    for _ in range(5):
        if (due := engine.next_due()) is None:
            break
        frozen.move_to(due)
        engine.run_until_idle()
    assert run.result(timeout=1) == "up"
    assert engine.breaker("api").state == "closed"


def test_stop_after_delay_leaves_parked_time_out(url, frozen, service):
    """Time spent parked behind the breaker does not count for `stop_after_delay`."""
    workflow = guarded(service, policy=retry(wait=wait_fixed(1), stop=stop_after_delay(10)))
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    for _ in range(3):
        engine.run_until_idle()
        frozen.tick(1)
    engine.run_until_idle()
    assert engine.breaker("api").state == "open"
    frozen.move_to(engine.next_due())
    engine.run_until_idle()
    assert service.calls == 4
    assert run.status == "waiting", "60 s behind the breaker are no delay"


def test_the_breaker_is_shared_by_workflows(url, frozen, service):
    """Two workflows that name the same breaker share its state."""
    shared = CircuitBreaker("api", failure_threshold=2, reset_timeout=60)

    @step(breaker=shared)
    def one() -> str:
        return service()

    @step(breaker=shared)
    def two() -> str:
        return service()

    first, second = Workflow("first", steps=[one]), Workflow("second", steps=[two])
    engine = Engine(url, workflows=[first, second])
    for workflow in (first, second):
        engine.start(workflow)
        engine.run_until_idle()
    assert engine.breaker("api").state == "open"
    run = engine.start(first)
    engine.run_until_idle()
    assert run.status == "waiting"
    assert service.calls == 2


def test_the_breaker_outlives_the_engine(file_url, frozen, service):
    """Another engine on the same log finds the breaker open, and probes at the same time."""
    workflow = guarded(service)
    opened(file_url, workflow)
    other = Engine(file_url, workflows=[workflow])
    assert other.breaker("api").state == "open"
    run = other.start(workflow)
    other.run_until_idle()
    assert run.status == "waiting"
    service.down = False
    frozen.tick(60)
    other.run_until_idle()
    assert run.result(timeout=1) == "up"


def test_two_breakers_do_not_meddle(url, frozen, service):
    """Breakers of different names are independent."""
    broken = guarded(service, "one")
    fine = Workflow(
        "fine", steps=[step(lambda: "up", name="fine", breaker=CircuitBreaker("two"))]
    )
    engine = opened(url, broken)
    other = Engine(url, workflows=[fine])
    assert other.run(fine) == "up"
    assert engine.breaker("one").state == "open"
    assert other.breaker("two").state == "closed"


def test_a_healthy_breaker_writes_nothing(file_url, frozen, service, tmp_path):
    """Successes behind a closed breaker leave no event of the breaker."""
    service.down = False
    workflow = guarded(service)
    engine = Engine(file_url, workflows=[workflow])
    for _ in range(5):
        engine.run(workflow)
    assert rows(tmp_path, "breaker.%") == []
    service.down = True
    engine.start(workflow)
    engine.run_until_idle()
    service.down = False
    for _ in range(3):
        engine.run(workflow)
    assert rows(tmp_path, "breaker.%") == ["breaker.failed", "breaker.recovered"]


# --- on_open -------------------------------------------------------------------------------


def test_on_open_fail_fails_the_step(url, frozen, service):
    """`on_open="fail"`: the step fails with `CircuitOpenError`, the service is not called."""
    workflow = guarded(service, on_open="fail")
    engine = opened(url, workflow)
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "failed"
    assert service.calls == 3
    with pytest.raises(RunFailed, match="CircuitOpenError"):
        run.result(timeout=1)


def test_on_open_fallback_asks_the_fallback(url, frozen, service):
    """`on_open="fallback"`: the fallback answers at once, the service is not called."""
    breaker = CircuitBreaker("api", failure_threshold=1)

    @step(breaker=breaker, on_open="fallback")
    def ask(x: int) -> str:
        return service()

    @ask.fallback
    def offline(x: int, failure: Failure) -> str:
        return f"offline {x} {failure.type}"

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow, x=1) == "offline 1 ConnectionError"
    assert engine.breaker("api").state == "open"
    assert engine.run(workflow, x=2) == "offline 2 CircuitOpenError"
    assert service.calls == 1


def test_on_open_skip_skips_the_step(url, frozen, service, events):
    """`on_open="skip"`: the step is skipped and its consumers get the default."""
    breaker = CircuitBreaker("api", failure_threshold=1)

    @step(breaker=breaker, on_open="skip")
    def ask(x: int) -> str:
        return service()

    @step
    def tell(x: int, ask: str = "nothing") -> str:
        return ask

    workflow = Workflow("w", steps=[ask, tell])
    engine = Engine(url, workflows=[workflow])
    engine.start(workflow, x=1)
    engine.run_until_idle()
    run = engine.start(workflow, x=2)
    engine.run_until_idle()
    assert run.result(timeout=1) == "nothing"
    assert ("step.skipped", "ask") in events(engine, run)


def test_on_open_fallback_without_a_fallback_is_refused():
    """`on_open="fallback"` on a step without a fallback is refused when the workflow is built."""

    @step(breaker=CircuitBreaker("api"), on_open="fallback")
    def ask() -> str: ...

    with pytest.raises(DefinitionError, match="fallback"):
        Workflow("w", steps=[ask])


@pytest.mark.parametrize("on_open", ["wait", "", "PARK"])
def test_an_unknown_on_open_is_refused(on_open):
    """An unknown `on_open` is refused and the known ones are named."""
    with pytest.raises(DefinitionError, match="park"):
        Workflow(
            "w", steps=[step(lambda: 1, name="a", breaker=CircuitBreaker("b"), on_open=on_open)]
        )


def test_a_fallback_does_not_count_for_the_breaker(url, frozen, service):
    """A fallback's own failures and successes tell the breaker nothing."""

    @step(breaker=CircuitBreaker("api", failure_threshold=2))
    def ask() -> str:
        return service()

    @ask.fallback
    def offline() -> str:
        return "offline"

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    engine.run(workflow)
    assert engine.breaker("api").state == "closed"
    engine.run(workflow)
    assert engine.breaker("api").state == "open", "the fallback's success resets nothing"


# --- by hand -------------------------------------------------------------------------------


def test_a_tripped_breaker_stays_open_until_reset(url, frozen, service):
    """`trip()` forces it open: parked steps wait, no time releases them, `reset()` does."""
    service.down = False
    workflow = guarded(service)
    engine = Engine(url, workflows=[workflow])
    engine.breaker("api").trip()
    assert engine.breaker("api").state == "forced_open"
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "waiting"
    assert engine.next_due() is None
    frozen.tick(100_000)
    engine.run_until_idle()
    assert run.status == "waiting"
    assert service.calls == 0
    engine.breaker("api").reset()
    assert engine.breaker("api").state == "closed"
    engine.run_until_idle()
    assert run.result(timeout=1) == "up"


def test_reset_closes_an_open_breaker(url, frozen, service):
    """`reset()` closes an open breaker before its time and releases what is parked."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    waiting = [engine.start(workflow) for _ in range(3)]
    engine.run_until_idle()
    service.down = False
    engine.breaker("api").reset()
    engine.run_until_idle()
    assert [run.status for run in waiting] == ["succeeded"] * 3


def test_a_disabled_breaker_lets_everything_through(url, frozen, service):
    """`disable()`: calls go through however many fail; the parked are released."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    parked = engine.start(workflow)
    engine.run_until_idle()
    engine.breaker("api").disable()
    assert engine.breaker("api").state == "disabled"
    engine.run_until_idle()
    assert parked.status == "failed"
    for _ in range(5):
        engine.start(workflow)
        engine.run_until_idle()
    assert service.calls == 9
    assert engine.breaker("api").state == "disabled"
    engine.breaker("api").reset()
    assert engine.breaker("api").state == "closed"


def test_the_shared_breaker_can_be_called(url, frozen, service):
    """`engine.breaker(name).call(f, *args)` counts in the log, raises while open and probes."""
    workflow = guarded(service, threshold=2)
    engine = Engine(url, workflows=[workflow])
    shared = engine.breaker("api")

    def add(a, b):
        return a + b

    assert shared.call(add, 1, 2) == 3
    for _ in range(2):
        with pytest.raises(ConnectionError):
            shared.call(service)
    assert shared.state == "open"
    with pytest.raises(CircuitOpenError, match="api"):
        shared.call(service)
    assert service.calls == 2
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "waiting", "steps and calls share the breaker"
    frozen.tick(60)
    service.down = False
    engine.run_until_idle()
    assert run.result(timeout=1) == "up"
    assert shared.call(service) == "up"


def test_an_unknown_breaker_is_an_error_with_the_near_miss(url, service):
    """Asking for a breaker that no step names is an error that names the near one."""
    engine = Engine(url, workflows=[guarded(service, "enrichment-api")])
    with pytest.raises((PlayheadError, KeyError), match="enrichment-api"):
        engine.breaker("enrichmnt-api")


def test_cancelling_a_parked_run_takes_it_from_the_queue(url, frozen, service):
    """A cancelled run that was parked is cancelled, and is not the probe."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    first, second = engine.start(workflow), engine.start(workflow)
    engine.run_until_idle()
    engine.cancel(first)
    engine.run_until_idle()
    assert first.status == "cancelled"
    service.down = False
    frozen.tick(60)
    engine.run_until_idle()
    assert second.result(timeout=1) == "up"
    assert service.calls == 4


def test_a_paused_parked_run_does_not_hold_up_the_probe(url, frozen, service):
    """A paused run that is parked is passed over: another one probes."""
    workflow = guarded(service)
    engine = opened(url, workflow)
    first, second = engine.start(workflow), engine.start(workflow)
    engine.run_until_idle()
    engine.pause(first)
    engine.run_until_idle()
    service.down = False
    frozen.tick(60)
    engine.run_until_idle()
    assert second.status == "succeeded"
    assert first.status == "paused"
    engine.resume(first)
    engine.run_until_idle()
    assert first.result(timeout=1) == "up"


def test_several_probes(url, frozen, service):
    """`probes=2` lets two of the parked try at the reset timeout."""
    workflow = guarded(service, probes=2)
    engine = opened(url, workflow)
    for _ in range(5):
        engine.start(workflow)
    engine.run_until_idle()
    frozen.tick(60)
    engine.run_until_idle()
    assert service.calls in (4, 5), "two may probe; the first failure may open it before"
    assert engine.breaker("api").state == "open"


# --- what counts ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_the_callers_own_fault_does_not_count(url, server, status):
    """4xx answers but 408 and 429 are the caller's own fault and never open the breaker."""
    server.answers["/"] = status
    assert breaker_after(url, server, 4) == "closed"
    assert len(server.seen) == 4


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_the_services_fault_counts(url, server, status):
    """408, 429 and 5xx answers count."""
    server.answers["/"] = status
    assert breaker_after(url, server, 4) == "open"
    assert len(server.seen) == 3


def breaker_after(url, server, runs):
    """Run a step that asks the server; give the breaker's state."""

    @step(breaker=CircuitBreaker("api", failure_threshold=3))
    def ask(client: httpx.Client) -> dict:
        return client.get(server.url + "/").raise_for_status().json()

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    for _ in range(runs):
        engine.start(workflow)
        engine.run_until_idle()
    return engine.breaker("api").state


def test_a_callers_fault_does_not_reset_the_count(url, server):
    """A 404 between failures neither counts nor begins the count anew."""
    server.answers["/"] = [500, 500, 404, 500, 500]
    assert breaker_after(url, server, 4) == "open"


def test_ignored_exceptions_do_not_count(url, frozen):
    """Exceptions in `ignore=` never count."""
    breaker = CircuitBreaker("api", failure_threshold=1, ignore=(LookupError,))

    @step(breaker=breaker)
    def ask(kind: str) -> str:
        raise KeyError("mine") if kind == "ignored" else OSError("theirs")

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    for kind, state in [("ignored", "closed"), ("ignored", "closed"), ("other", "open")]:
        engine.start(workflow, kind=kind)
        engine.run_until_idle()
        assert engine.breaker("api").state == state


def test_a_probe_answered_by_4xx_is_a_success(url, server, frozen):
    """For a probe an answer below 500 is a success: the service is there again."""
    server.answers["/"] = [500, 500, 500, 404]

    @step(breaker=CircuitBreaker("api", failure_threshold=3))
    def ask(client: httpx.Client) -> dict:
        return client.get(server.url + "/").raise_for_status().json()

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    for _ in range(4):
        engine.start(workflow)
        engine.run_until_idle()
    assert engine.breaker("api").state == "open"
    frozen.tick(60)
    engine.run_until_idle()
    assert engine.breaker("api").state == "closed"


def test_a_value_refused_does_not_count(url, frozen):
    """Output that is no JSON is the step's own fault and tells the breaker nothing."""

    @step(breaker=CircuitBreaker("api", failure_threshold=1))
    def ask():
        return {1, 2}

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    engine.start(workflow)
    engine.run_until_idle()
    assert engine.breaker("api").state == "closed"


def test_a_timeout_counts(url, frozen):
    """An attempt that outlived its timeout is a failure for the breaker."""

    @step(breaker=CircuitBreaker("api", failure_threshold=1), timeout=5)
    def ask() -> str:
        frozen.tick(6)
        return "late"

    workflow = Workflow("w", steps=[ask])
    engine = Engine(url, workflows=[workflow])
    engine.start(workflow)
    engine.run_until_idle()
    assert engine.breaker("api").state == "open"


# --- the object by itself ------------------------------------------------------------------


def test_the_breaker_by_itself_counts_in_memory(frozen, service):
    """`call` opens after the threshold, raises while open, and tries one at the reset timeout."""
    breaker = CircuitBreaker("alone", failure_threshold=2, reset_timeout=30)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            breaker.call(service)
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError):
        breaker.call(service)
    frozen.tick(timedelta(seconds=30) - timedelta(microseconds=1))
    with pytest.raises(CircuitOpenError):
        breaker.call(service)
    assert service.calls == 2
    frozen.tick(timedelta(microseconds=1))
    with pytest.raises(ConnectionError):
        breaker.call(service)
    with pytest.raises(CircuitOpenError):
        breaker.call(service)
    frozen.tick(30)
    service.down = False
    assert breaker.call(service) == "up"
    assert breaker.state == "closed"


def test_one_probe_at_a_time(frozen, service):
    """While a probe is under way, others are refused."""
    breaker = CircuitBreaker("alone", failure_threshold=1, reset_timeout=30)
    with pytest.raises(ConnectionError):
        breaker.call(service)
    frozen.tick(30)

    def probe():
        with pytest.raises(CircuitOpenError):
            breaker.call(lambda: "second")
        return "first"

    assert breaker.call(probe) == "first"
    assert breaker.call(lambda: "third") == "third"


def test_the_breaker_as_decorator(frozen, service):
    """As a decorator it guards a function and keeps its name."""
    breaker = CircuitBreaker("alone", failure_threshold=1)

    @breaker
    def ask(word, *, loud=False):
        """Ask."""
        return service() + word + ("!" if loud else "")

    assert ask.__name__ == "ask"
    with pytest.raises(ConnectionError):
        ask("x")
    with pytest.raises(CircuitOpenError):
        ask("x")
    service.down = False
    frozen.tick(60)
    assert ask("x", loud=True) == "upx!"


def test_the_breaker_as_decorator_of_a_coroutine(service):
    """As a decorator of an `async def` it counts what the coroutine raises."""
    breaker = CircuitBreaker("alone", failure_threshold=2)

    @breaker
    async def ask():
        await asyncio.sleep(0)
        return service()

    async def tries():
        kinds = []
        for _ in range(3):
            try:
                await ask()
            except Exception as error:  # noqa: BLE001 - its type is what is asked
                kinds.append(type(error).__name__)
        return kinds

    assert asyncio.run(tries()) == ["ConnectionError", "ConnectionError", "CircuitOpenError"]
    assert service.calls == 2


def test_the_breaker_as_context_manager(frozen, service):
    """As a context manager it counts the block, and raises before the block while open."""
    breaker = CircuitBreaker("alone", failure_threshold=1)
    with pytest.raises(ConnectionError), breaker:
        service()
    with pytest.raises(CircuitOpenError), breaker:
        service()
    assert service.calls == 1
    frozen.tick(60)
    service.down = False
    with breaker:
        assert service() == "up"
    assert breaker.state == "closed"


def test_the_breaker_by_itself_ignores_as_told(frozen):
    """By itself too it leaves ignored exceptions and 4xx answers out."""
    breaker = CircuitBreaker("alone", failure_threshold=1, ignore=KeyError)
    request = httpx.Request("GET", "http://localhost")

    def answer(status):
        response = httpx.Response(status, request=request)
        return response.raise_for_status()

    with pytest.raises(KeyError):
        breaker.call({}.__getitem__, 1)
    with pytest.raises(httpx.HTTPStatusError):
        breaker.call(answer, 404)
    assert breaker.state == "closed"
    with pytest.raises(httpx.HTTPStatusError):
        breaker.call(answer, 503)
    assert breaker.state == "open"


@pytest.mark.parametrize(
    "options",
    [
        {"failure_threshold": 0},
        {"reset_timeout": -1},
        {"probes": 0},
        {"reset_timeout": float("nan")},
    ],
    ids=str,
)
def test_a_breaker_that_cannot_be_right_is_refused(options):
    """Thresholds, probes and times that make no sense are refused."""
    with pytest.raises((PlayheadError, ValueError)):
        CircuitBreaker("b", **options)


def test_an_outcome_of_before_the_opening_does_not_count(url, until, service):
    """The outcome of a call begun before the last transition is dropped."""
    gate, inside = threading.Event(), threading.Event()
    breaker = CircuitBreaker("api", failure_threshold=1, reset_timeout=3600)

    @step(breaker=breaker)
    def slow(kind: str) -> str:
        if kind == "slow":
            inside.set()
            gate.wait(20)
            return "late success"
        raise ConnectionError("down")

    workflow = Workflow("w", steps=[slow])
    engine = Engine(url, workflows=[workflow])
    with engine:
        run = engine.start(workflow, kind="slow")
        try:
            assert inside.wait(10)
            engine.start(workflow, kind="fails")
            until(lambda: engine.breaker("api").state == "open")
        finally:
            gate.set()
        assert run.result(timeout=10) == "late success"
        assert engine.breaker("api").state == "open"


def test_a_breaker_that_no_step_names_probes_in_time(url, frozen):
    """A breaker used only by `engine.breaker(name).call` half-opens when its cool-down is over."""
    engine = Engine(url, workflows=[])

    def down():
        raise ConnectionError("down")

    for _ in range(3):
        with pytest.raises(ConnectionError):
            engine.breaker("alone").call(down)
    assert engine.breaker("alone").state == "open"
    frozen.move_to(engine.next_due().replace(tzinfo=None))
    engine.run_until_idle()
    assert engine.breaker("alone").state == "half_open"
    assert engine.next_due() is None
    engine.close()
