"""What the simulation has found in the engine, each reduced to its smallest scene."""

from collections import deque
from datetime import timedelta

import freezegun
import pytest

from engine.driver import Driver
from engine.flights import Crew
from engine.turns import Lost
from eventstore import open_log
from eventstore.errors import StorageError
from playhead import CircuitBreaker, Engine, Workflow, step
from tests.simulation.world import T0

LEASE = timedelta(seconds=11)


@pytest.fixture
def frozen():
    with freezegun.freeze_time(T0) as clock:
        yield clock


@pytest.fixture
def log():
    shared = open_log("memory://")
    yield shared
    shared.close()


def worker(log, workflow, slots=1):
    """Give an engine on a shared log with a driver that waits to be moved."""
    engine = Engine("memory://", workflows=[workflow])
    engine.log = log
    engine._build()
    driver = Driver(engine.turns, Crew(slots, "crew"))
    driver.inline = deque()
    engine.worker.drivers.add(driver)
    engine.worker.enter()
    return engine, driver


def types(log, run):
    return [event.type for event in log.read(run)]


@step(on_lost="fail")
def charge() -> str:
    return "charged"


PAY = Workflow("pay", steps=[charge])


def test_a_run_taken_between_claim_and_reading_is_left_alone(log, frozen):
    """Who was given a run and then lost it does not write with the next owner's epoch."""
    slow, slow_driver = worker(log, PAY)
    run = slow.start("pay").id
    (claim,) = slow.worker._claims(1)
    frozen.tick(LEASE)
    quick, quick_driver = worker(log, PAY)
    assert quick.worker.claim(quick_driver, 1) == 1
    slow.worker._open(slow_driver, claim)
    assert types(log, run) == ["run.started", "step.started"]
    assert log.head(run).owner == quick.worker.id
    assert not slow_driver.holds


def test_a_lease_is_known_by_its_epoch_not_by_the_name_of_its_owner(log, frozen):
    """A worker that lost a run and was given it again does not go on with the first lease."""
    first, driver = worker(log, PAY)
    run = first.start("pay").id
    first.worker.claim(driver, 1)
    old = driver.holds[run]
    frozen.tick(LEASE)
    second, _ = worker(log, PAY)
    (taken,) = second.worker._claims(1)
    frozen.tick(LEASE)
    first.worker.renew()
    log.release(run, taken.head.tip, due=0)
    (again,) = first.worker._claims(1)
    assert log.head(run).owner == first.worker.id
    assert again.head.tip.epoch > old.tip.epoch
    old.stale = True
    with pytest.raises(Lost):
        first.turns.take(old, crew=driver.crew)
    assert types(log, run) == ["run.started", "step.started"]


def test_a_lost_run_does_not_take_its_successor_along(log, frozen):
    """When an old lease is found lost, the run as claimed anew stays held and hungry."""
    engine, driver = worker(log, PAY, slots=1)
    run = engine.start("pay").id
    driver.crew.take()
    engine.worker.claim(driver, 1)
    old = driver.hungry[run]
    log.renew(engine.worker.id, until=0)
    log.bury(now=1)
    engine.worker.renew()  # back to life, with its streams lost
    assert engine.worker.claim(driver, 1) == 1
    new = driver.holds[run]
    assert new is not old
    old.stale = True
    assert driver.turn(old) is None
    assert driver.holds[run] is new
    assert driver.hungry[run] is new


def test_a_parked_step_that_is_woken_to_a_full_house_starts_when_a_slot_is_free(log, frozen):
    """The wake is not forgotten while no slot is free; nothing is written meanwhile."""
    breaker = CircuitBreaker("api", failure_threshold=1, reset_timeout=5.0)

    @step(breaker=breaker)
    def ask() -> str:
        return "asked"

    engine, driver = worker(log, Workflow("w", steps=[ask]))
    engine.breaker("api").trip()
    run = engine.start("w").id
    engine.worker.claim(driver, 1)
    assert types(log, run)[-1] == "step.parked"
    slot = driver.crew.take()
    engine.breaker("api").reset()
    assert engine.worker.claim(driver, 1) == 1
    written = log.counters.appends
    for _ in range(3):
        driver.turn(driver.holds[run])
        engine.worker.sweep(driver)
        assert engine.worker.claim(driver, 1) == 0
    assert log.counters.appends == written
    driver.crew.give_back(slot)
    driver.feed_hungry()
    assert types(log, run)[-1] == "step.started"


def test_a_log_that_fails_after_the_append_grounds_no_attempt(log, frozen, monkeypatch):
    """What a turn has started is performed, though the parked could not be woken after it."""
    breaker = CircuitBreaker("api", failure_threshold=1, reset_timeout=5.0)

    @step(breaker=breaker)
    def ask() -> str:
        return "asked"

    @step
    def tell(ask: str) -> str:
        return ask

    engine, driver = worker(log, Workflow("w", steps=[ask, tell]))
    engine.breaker("api").trip()
    engine.breaker("api").reset()
    run = engine.start("w").id
    engine.worker.claim(driver, 1)
    flight = driver.inline.popleft()
    command = engine.turns.performer.attempt(flight)

    def fail(*_, **__):
        raise StorageError("the disk did not answer")

    def append(asked):
        monkeypatch.setattr(log, "waiting", fail)
        return written(asked)

    written = log.append
    engine.turns._drained.clear()
    monkeypatch.setattr(log, "waiting", lambda *_, **__: ["another run"])
    monkeypatch.setattr(log, "append", append)
    driver.land(flight, command)
    assert types(log, run)[-2:] == ["step.succeeded", "step.started"]
    assert [flight.step for flight in driver.inline] == ["tell"]
