"""Circuit breakers: by themselves in memory, and shared by way of the log."""

import asyncio
import concurrent.futures
import datetime
import threading
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import Message
from typing import Any

import httpx
import pytest
from freezegun import freeze_time

from engine.breakers import BreakerStore, CircuitBreaker, SharedBreaker
from engine.core import breaker as core
from engine.core.define import BreakerSpec
from engine.errors import CircuitOpenError, DefinitionError, ResultTimeout, ValueRefused
from eventstore import NEW, Append, Log, NewEvent, Row, Write, clock, open_log
from eventstore.errors import WrongExpectedVersion

T0 = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def frozen() -> Iterator[Any]:
    """Freeze the clock; `tick` moves it."""
    with freeze_time(T0) as clock_:
        yield clock_


@pytest.fixture(params=["memory://", "sqlite:///:memory:", "file"])
def log(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Log]:
    """Give a log of each kind."""
    url = f"sqlite:///{tmp_path}/log.db" if request.param == "file" else request.param
    opened = open_log(url)
    yield opened
    opened.close()


def boom(error: BaseException | None = None) -> None:
    """Fail."""
    raise error or ConnectionError("no route")


def fails(breaker: CircuitBreaker | SharedBreaker, times: int = 1) -> None:
    """Let calls fail."""
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(boom)


def answer(status: int) -> httpx.HTTPStatusError:
    """Make the error of an HTTP answer."""
    request = httpx.Request("GET", "http://here/")
    return httpx.HTTPStatusError(
        str(status), request=request, response=httpx.Response(status, request=request)
    )


# As declared.


def test_a_breaker_knows_its_declaration() -> None:
    """Seconds and timedeltas mean the same, and become microseconds in the definition."""
    breaker = CircuitBreaker("api", failure_threshold=5, reset_timeout=timedelta(minutes=1))
    assert (breaker.name, breaker.failure_threshold, breaker.reset_timeout) == ("api", 5, 60.0)
    assert breaker.spec() == BreakerSpec("api", 5, 60_000_000, 1)
    assert breaker.spec() == CircuitBreaker("api", failure_threshold=5).spec()


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"failure_threshold": 0},
        {"failure_threshold": True},
        {"reset_timeout": 0},
        {"reset_timeout": -1},
        {"reset_timeout": float("nan")},
        {"probes": 0},
        {"ignore": "KeyError"},
        {"ignore": (KeyError, KeyError("x"))},
    ],
)
def test_a_breaker_that_cannot_be_right_is_refused(options: dict[str, Any]) -> None:
    """The error names what is wrong."""
    with pytest.raises(DefinitionError):
        CircuitBreaker(**{"name": "api", **options})


@pytest.mark.parametrize(
    ("error", "counted", "of_a_probe"),
    [
        (ConnectionError(), True, True),
        (TimeoutError(), True, True),
        (answer(500), True, True),
        (answer(503), True, True),
        (answer(404), None, False),
        (answer(400), None, False),
        (answer(408), True, True),
        (answer(429), True, True),
        (urllib.error.HTTPError("u", 404, "", Message(), None), None, False),
        (KeyError(), None, None),  # ignored
        (asyncio.CancelledError(), None, None),
        (concurrent.futures.CancelledError(), None, None),
        (KeyboardInterrupt(), None, None),
        (SystemExit(), None, None),
        (ValueRefused("bad input"), None, None),
        (CircuitOpenError("another"), None, None),
        (ResultTimeout("r1", "running", 1.0), True, True),
    ],
)
def test_what_an_exception_tells(
    error: BaseException, counted: bool | None, of_a_probe: bool | None
) -> None:
    """Failures, the caller's own faults, and ends that tell nothing."""
    breaker = CircuitBreaker("api", ignore=(KeyError,))
    assert breaker.counts(error) is counted
    assert breaker.counts(error, probe=True) is of_a_probe


def test_an_ignored_answer_below_500_closes_for_a_probe() -> None:
    """Of ignored HTTP answers only those below 500 show that the callee is back."""
    breaker = CircuitBreaker("api", ignore=httpx.HTTPStatusError)
    assert breaker.counts(answer(429), probe=True) is False
    assert breaker.counts(answer(503), probe=True) is None


# By itself.


def test_by_itself_it_opens_and_refuses(frozen: Any) -> None:
    """After three failures the fourth call is not made; the error says until when."""
    breaker = CircuitBreaker("api")
    fails(breaker, 3)
    with pytest.raises(CircuitOpenError) as refused:
        breaker.call(boom)
    assert refused.value.until == T0 + timedelta(seconds=60)
    assert (breaker.state, refused.value.breaker) == ("open", "api")


def test_by_itself_it_closes_after_a_probe(frozen: Any) -> None:
    """At its time one call goes through, and its success closes it."""
    breaker = CircuitBreaker("api")
    fails(breaker, 3)
    frozen.tick(59.9)
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    frozen.tick(0.1)
    assert breaker.call(int, "7") == 7
    assert breaker.state == "closed"


def test_by_itself_a_failed_probe_opens_it_again(frozen: Any) -> None:
    """The time counts from the probe's end."""
    breaker = CircuitBreaker("api")
    fails(breaker, 3)
    frozen.tick(100)
    fails(breaker)
    with pytest.raises(CircuitOpenError) as refused:
        breaker.call(int)
    assert refused.value.until == T0 + timedelta(seconds=160)


def test_it_decorates_sync_and_async_functions(frozen: Any) -> None:
    """The function keeps its name and its arguments; its failures count."""
    breaker = CircuitBreaker("api", failure_threshold=2)

    @breaker
    def double(number: int) -> int:
        return 2 * number

    @breaker
    async def fail() -> None:
        raise ConnectionError

    assert (double(21), double.__name__) == (42, "double")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            asyncio.run(fail())
    with pytest.raises(CircuitOpenError):
        double(1)
    with pytest.raises(CircuitOpenError):
        asyncio.run(fail())


def test_calling_an_async_function_gives_what_is_to_be_awaited() -> None:
    """The call is guarded when it is awaited."""
    breaker = CircuitBreaker("api")

    async def seven() -> int:
        return 7

    async def main() -> int:
        result: int = await breaker.call(seven)
        return result

    assert asyncio.run(main()) == 7


def test_it_guards_a_block_also_one_inside_another(frozen: Any) -> None:
    """Each block is a call of its own."""
    outer, inner = (CircuitBreaker(name, failure_threshold=1) for name in ("o", "i"))
    with outer, inner:
        pass
    with pytest.raises(ConnectionError), outer, outer:
        raise ConnectionError
    assert (outer.state, inner.state) == ("open", "closed")
    with pytest.raises(CircuitOpenError), outer:
        pytest.fail("the block was entered")


def test_half_open_it_makes_as_many_calls_at_once_as_declared(frozen: Any) -> None:
    """While one probes, a second thread is refused; no lock is held during the call."""
    breaker = CircuitBreaker("api", failure_threshold=1)
    fails(breaker)
    frozen.tick(60)
    inside, leave = threading.Event(), threading.Event()

    def probe() -> None:
        inside.set()
        leave.wait(60)

    thread = threading.Thread(target=breaker.call, args=(probe,))
    thread.start()
    assert inside.wait(60)
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    leave.set()
    thread.join()
    assert breaker.state == "closed"


def test_a_cancelled_probe_frees_its_place(frozen: Any) -> None:
    """The breaker stays half open, and the next call probes."""
    breaker = CircuitBreaker("api", failure_threshold=1)
    fails(breaker)
    frozen.tick(60)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(boom, KeyboardInterrupt())
    assert breaker.state == "half_open"
    assert breaker.call(int) == 0
    assert breaker.state == "closed"


def test_a_call_begun_before_the_breaker_opened_counts_nothing(frozen: Any) -> None:
    """A slow success of old does not close it."""
    breaker = CircuitBreaker("api", failure_threshold=1)
    with breaker:
        fails(breaker)
    assert breaker.state == "open"


def test_a_hundred_threads_lose_no_failure(frozen: Any) -> None:
    """99 failures do not open a breaker of 100; one more does."""
    breaker = CircuitBreaker("api", failure_threshold=100)
    threads = [threading.Thread(target=fails, args=(breaker, 9)) for _ in range(11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.state == "closed"
    fails(breaker)
    assert breaker.state == "open"


def test_an_operator_trips_resets_and_disables() -> None:
    """Tripped it refuses, disabled it counts nothing, reset it is closed."""
    breaker = CircuitBreaker("api", failure_threshold=1)
    breaker.trip()
    with pytest.raises(CircuitOpenError, match="forced_open"):
        breaker.call(int)
    breaker.disable()
    fails(breaker, 5)
    assert breaker.state == "disabled"
    breaker.reset()
    assert breaker.state == "closed"


# Shared.


def shared(log: Log, **options: Any) -> SharedBreaker:
    """Give a breaker as an engine gives it; each has a store of its own, as each process."""
    return SharedBreaker(BreakerStore(log), log, CircuitBreaker("api", **options))


def test_a_healthy_breaker_writes_nothing(log: Log) -> None:
    """Ten calls that succeed leave no stream."""
    breaker = shared(log)
    assert [breaker.call(int) for _ in range(10)] == [0] * 10
    assert (log.head("breaker:api"), breaker.history(), breaker.state) == (None, [], "closed")


def test_failures_anywhere_open_it_everywhere(frozen: Any, log: Log) -> None:
    """Two processes count together; the third failure opens it for both."""
    here, there = shared(log), shared(log)
    fails(here, 2)
    fails(there)
    assert (here.state, there.state) == ("open", "open")
    assert here.until == T0 + timedelta(seconds=60)
    with pytest.raises(CircuitOpenError):
        here.call(int)
    assert [event.type for event in here.history()] == ["breaker.failed"] * 3 + [
        "breaker.opened"
    ]


def test_its_row_says_when_it_is_due(frozen: Any, log: Log) -> None:
    """The log's row carries state and time, so that a sweep finds it."""
    fails(shared(log), 3)
    head = log.head("breaker:api")
    assert head is not None
    assert (head.kind, head.name, head.status) == ("breaker", "api", "open")
    assert head.due == clock.to_us(T0 + timedelta(seconds=60))


def test_a_success_after_a_failure_is_written_once(log: Log) -> None:
    """The count begins anew; further successes write nothing."""
    breaker = shared(log)
    fails(breaker)
    for _ in range(3):
        breaker.call(int)
    assert [event.type for event in breaker.history()] == [
        "breaker.failed",
        "breaker.recovered",
    ]
    assert breaker.failures == 0


def test_a_probe_closes_it_for_all(frozen: Any, log: Log) -> None:
    """Another process sees it closed; the whole way is in the history."""
    here, there = shared(log, failure_threshold=1), shared(log, failure_threshold=1)
    fails(here)
    frozen.tick(60)
    there.call(int)
    assert here.state == "closed"
    assert [event.type.removeprefix("breaker.") for event in here.history()] == [
        "failed", "opened", "half_opened", "probed", "closed",
    ]  # fmt: skip


def test_a_shared_call_of_an_async_function_is_awaited(frozen: Any, log: Log) -> None:
    """Its failure counts when it comes."""
    breaker = shared(log, failure_threshold=1)

    async def fail() -> None:
        raise ConnectionError

    async def main() -> None:
        await breaker.call(fail)

    with pytest.raises(ConnectionError):
        asyncio.run(main())
    assert breaker.state == "open"


def test_a_shared_probe_without_an_outcome_frees_its_place(frozen: Any, log: Log) -> None:
    """An interrupted probe leaves its place to the next."""
    breaker = shared(log, failure_threshold=1)
    fails(breaker)
    frozen.tick(60)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(boom, KeyboardInterrupt())
    assert breaker.state == "half_open"
    breaker.call(int)
    assert breaker.state == "closed"


def test_threads_count_together(log: Log) -> None:
    """Of forty failures at once none is lost, whoever appends first."""
    breakers = [shared(log, failure_threshold=1000) for _ in range(4)]
    threads = [threading.Thread(target=fails, args=(breaker, 10)) for breaker in breakers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breakers[0].failures == 40


def test_an_operator_steers_it_for_all(log: Log) -> None:
    """Tripped here, refused there; each steer is an event, a repeated one is not."""
    here, there = shared(log), shared(log)
    here.trip()
    here.trip()
    with pytest.raises(CircuitOpenError):
        there.call(int)
    there.disable()
    there.reset()
    assert here.state == "closed"
    assert len(here.history()) == 3


# The store that steps use.


def test_a_check_is_a_write_without_events(log: Log) -> None:
    """A breaker that was merely asked is checked: the append is refused once it has moved."""
    store = BreakerStore(log)
    unborn = store.write("api", [], 0)
    assert (unborn.stream, unborn.tip, unborn.events, unborn.row) == (
        "breaker:api",
        NEW,
        (),
        None,
    )
    fails(shared(log))
    with pytest.raises(WrongExpectedVersion):
        log.append(Append("x", (unborn,)))
    store.refresh("api")
    assert log.append(Append("y", (store.write("api", [], 0),))) == [store.tip("api")]


def test_facts_become_a_write_that_the_log_takes(frozen: Any, log: Log) -> None:
    """The worker decides on its copy, appends, and puts what came of it into the cache."""
    store, spec = BreakerStore(log), BreakerSpec("api", failure_threshold=1)
    state, tip = store.view("api")
    now = clock.now_us()
    facts = core.outcome(state, spec, now, generation=0, ok=False, by="r1/a:1#1")
    write = store.write("api", facts, now, tip=tip, cause="r1@2")
    (after,) = log.append(Append("x", (write,)))
    for fact in facts:
        core.evolve(state, state.version + 1, fact.type, fact.source, fact.dest, fact.data)
    store.appended("api", after, state)
    assert store.state("api") == BreakerStore(log).state("api") == state
    assert store.tip("api") == after
    assert log.read("breaker:api")[0].cause == "r1@2"


def test_what_the_caller_does_to_its_copy_changes_nothing(log: Log) -> None:
    """The state handed out is the caller's own."""
    fails(shared(log))
    store = BreakerStore(log)
    mine = store.state("api")
    mine.failures = 99
    mine.probes["x"] = 1
    assert (store.state("api").failures, store.state("api").probes) == (1, {})


def test_a_known_breaker_is_not_read_again(log: Log) -> None:
    """What was seen last costs nothing; loading costs the row alone while nothing has moved."""
    fails(shared(log))
    store = BreakerStore(log)
    store.load("api")
    before = log.counters.statements
    store.view("api")
    assert log.counters.statements == before
    fails(shared(log))
    assert store.state("api").failures == 1
    assert store.load("api")[0].failures == 2
    store.forget("api")
    assert store.state("api").failures == 2


def test_an_older_state_does_not_replace_a_newer(log: Log) -> None:
    """Two threads put their states back in either order."""
    store = BreakerStore(log)
    fails(shared(log))
    old = store.load("api")
    fails(shared(log))
    store.load("api")
    store.appended("api", old[1], old[0])
    assert store.state("api").failures == 2


# The sweep.


def park(log: Log, name: str, *runs: str) -> None:
    """Let runs wait on a breaker."""
    for run in runs:
        event = NewEvent("step.parked", "a", "blocked", "parked", "{}", clock.now_us())
        row = Row(status="waiting", waits_on=(name,))
        log.append(Append(clock.new_id(), (Write(run, "run", NEW, (event,), row),)))


def taken(log: Log, run: str) -> None:
    """Let a run go on, as a worker does that has started its step."""
    head = log.head(run)
    assert head is not None
    row = Row(status="running")
    log.append(Append(clock.new_id(), (Write(run, "run", head.tip, (), row),)))


def sweeper(log: Log, **spec: Any) -> Callable[..., list[str]]:
    """Give a sweep of now."""
    store = BreakerStore(log)
    return lambda **options: store.sweep(
        clock.now_us(), lambda name: BreakerSpec(name, **spec), **options
    )


def test_exactly_at_its_time_the_sweep_wakes_one(frozen: Any, log: Log) -> None:
    """A moment before it wakes nobody; at its time the one that has waited longest."""
    fails(shared(log, failure_threshold=1))
    park(log, "api", "r1", "r2")
    sweep = sweeper(log)
    frozen.tick(59.999)
    assert sweep() == []
    frozen.tick(0.001)
    assert sweep() == ["r1"]
    assert shared(log).state == "half_open"
    assert sweep() == [], "the one that was woken may still come"


def test_with_two_probes_two_are_woken(frozen: Any, log: Log) -> None:
    """As many as may probe at once."""
    fails(shared(log, failure_threshold=1))
    park(log, "api", "r1", "r2", "r3")
    frozen.tick(60)
    assert sweeper(log, probes=2)() == ["r1", "r2"]


def test_one_that_never_comes_keeps_nobody_out(frozen: Any, log: Log) -> None:
    """Woken and not taken for a whole `reset_timeout`, it leaves its place to the next."""
    fails(shared(log, failure_threshold=1))
    park(log, "api", "r1", "r2")
    sweep = sweeper(log)
    frozen.tick(60)
    assert sweep() == ["r1"]
    frozen.tick(59)
    assert sweep() == []
    frozen.tick(1)
    assert sweep() == ["r2"]


def test_a_dead_probe_frees_its_place_at_its_deadline(frozen: Any, log: Log) -> None:
    """The sweep writes that the place is free, and wakes the next."""
    fails(shared(log, failure_threshold=1))
    frozen.tick(60)
    store, spec = BreakerStore(log), BreakerSpec("api")
    now = clock.now_us()
    store.decide(
        "api",
        lambda s: core.admit(s, spec, now, by="r1/a:1#1", deadline=now + 30_000_000).facts,
    )
    park(log, "api", "r2")
    sweep = sweeper(log)
    frozen.tick(29)
    assert sweep() == []
    frozen.tick(1)
    assert sweep() == ["r2"]
    assert store.load("api")[0].probes == {}


def test_closed_with_nobody_in_flight_the_sweep_lets_one_go(frozen: Any, log: Log) -> None:
    """One at a time; while a call is made none."""
    breaker = shared(log, failure_threshold=1)
    fails(breaker)
    breaker.reset()
    park(log, "api", "r1", "r2")
    sweep = sweeper(log)
    assert sweep(in_flight=lambda _: True) == []
    assert sweep() == ["r1"]
    assert sweep() == []
    taken(log, "r1")
    assert sweep() == ["r2"]


def test_tripped_nobody_is_woken(frozen: Any, log: Log) -> None:
    """Forced open it stays shut at any time."""
    shared(log).trip()
    park(log, "api", "r1")
    frozen.tick(10**6)
    assert sweeper(log)() == []


def test_after_closing_each_success_releases_two(frozen: Any, log: Log) -> None:
    """No mass release: two for the probe's success, two for the next."""
    breaker = shared(log, failure_threshold=1)
    fails(breaker)
    park(log, "api", *(f"r{n}" for n in range(6)))
    frozen.tick(60)
    breaker.call(int)
    assert [h.id for h in log.heads(kind="run") if h.due is not None] == ["r1", "r0"]
    breaker.call(int)
    assert len([h for h in log.heads(kind="run") if h.due is not None]) == 4


def test_two_sweeps_at_once_open_it_once(frozen: Any, log: Log) -> None:
    """Two workers sweep: one half-opens, one run is woken."""
    fails(shared(log, failure_threshold=1))
    park(log, "api", "r1", "r2")
    frozen.tick(60)
    sweeps = [sweeper(log), sweeper(log)]
    assert [sweep() for sweep in sweeps] == [["r1"], []]
    types = [event.type for event in log.read("breaker:api")]
    assert types.count("breaker.half_opened") == 1
