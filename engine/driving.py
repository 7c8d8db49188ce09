"""Work in the caller's thread: one run to its end, or everything that is ready."""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine.core.run import next_due
from engine.driver import Driver
from engine.errors import ClockStandsStill, PlayheadError, RunCancelled
from engine.flights import Crew, Flight
from engine.health import Pulse
from engine.host import Host
from engine.outages import Outages
from engine.repository import Hold
from engine.runs import result_of
from eventstore import clock

BATCH = 100  # runs claimed at once
SLICE = 0.05  # real seconds between looks while the caller waits


class Heartbeat:
    """Keeps the lease while the caller's thread is in user code; a thread only while it lasts."""

    def __init__(self, engine: Host, *, rests: bool = False) -> None:
        self._engine = engine
        self._rests = rests  # afterwards nobody is to count on this worker
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        """Begin, unless a background worker keeps the lease or nobody else could take it."""
        worker = self._engine.worker
        worker.begin()
        if self._engine.is_open or self._engine.is_private:
            return
        lease = worker.lease / clock.SECOND
        outages = Outages(Pulse(lease))

        def keep() -> None:
            while not self._stop.wait(lease / 3):
                outages.renews(worker.renew)

        self._thread = threading.Thread(target=keep, name="playhead-lease", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End and join the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        engine = self._engine
        engine.worker.end(rests=self._rests and not (engine.is_open or engine.is_private))


def run_here(
    engine: Host, workflow: Any, given: Mapping[str, Any], *, key: str | None,
    at: datetime | None, priority: int, tags: Mapping[str, str] | None,
) -> Any:  # fmt: skip
    """Start a run and drive it to its end in this thread; give its result."""
    crew = Crew(engine.threads, "playhead-run")
    driver = Driver(engine.turns, crew)
    engine.worker.drivers.add(driver)
    driver.keep_trying = False
    mine: deque[Flight] = deque()
    wake = threading.Event()
    driver.on_ended.append(lambda _: wake.set())
    crew.on_free = wake.set
    caller = _Caller(driver, mine, wake)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        wake.set()

    driver.on_fatal = failed
    with Heartbeat(engine):
        hold = engine.start_here(
            workflow, given,
            key=key, at=at, priority=priority, tags=tags, driver=driver,
        )  # fmt: skip
        try:
            hold = _drive(engine, driver, hold, caller, failures)
        except BaseException:
            driver.stopping = True
            for held in list(driver.holds.values()):
                driver.release(held, "its caller was interrupted")
            raise
        finally:
            driver.stopping = True
            crew.close(engine.grace)
    return result_of(engine, hold)


class _Caller:
    """Gives the caller's thread the first flight of each batch, the crew's threads the others."""

    def __init__(self, driver: Driver, mine: deque[Flight], wake: threading.Event) -> None:
        self.mine = mine
        self.wake = wake
        self.is_flying = False  # it goes on with a successor itself
        self._thread = threading.get_ident()
        self._launch = driver.launch
        driver.launch = self.launch  # type: ignore[method-assign]

    def launch(self, flights: list[Flight]) -> None:
        """Keep one flight if the caller has nothing to do."""
        rest = list(flights)
        is_idle = not self.mine and not self.is_flying
        if rest and is_idle and threading.get_ident() == self._thread:
            self.mine.append(rest.pop(0))
        if rest:
            self._launch(rest)


def _drive(
    engine: Host, driver: Driver, hold: Hold, caller: _Caller, failures: list[BaseException]
) -> Hold:
    """Drive one run until it has ended; wait for timers, breakers and others in between."""
    run_id = hold.run.id
    while True:
        while caller.mine:
            caller.is_flying = True
            driver.fly(caller.mine.popleft())
            caller.is_flying = False
        if failures:
            raise failures[0]
        if hold.has_ended and not hold.is_lost:
            return hold
        if run_id in driver.holds:
            caller.wake.wait(SLICE)
            caller.wake.clear()
            driver.feed_hungry()
            due = next_due(hold.run)
            if due is not None and due <= clock.now_us():
                turn = driver.turn(hold)
                if turn is not None:
                    driver.launch(turn.flights)
            elif _moved_on(engine, hold):
                hold.stale = True
                turn = driver.turn(hold)
                if turn is not None:
                    driver.launch(turn.flights)
            continue
        hold = _wait_outside(engine, driver, hold)


def _moved_on(engine: Host, hold: Hold) -> bool:
    head = engine.log.head(hold.run.id)
    return head is not None and head.tip.version != hold.tip.version


def _wait_outside(engine: Host, driver: Driver, hold: Hold) -> Hold:
    """Wait until a run that nobody holds, or another does, can go on; take it again."""
    log, run_id = engine.log, hold.run.id
    was = clock.now_us()
    waited = 0.0
    seen = -1
    while True:
        head = log.head(run_id)
        if head is None:
            raise RunCancelled(run_id, "it is gone from the log")
        if head.status in ("succeeded", "failed", "cancelled"):
            return engine.peek(run_id)
        now = clock.now_us()
        if head.owner in (None, engine.worker.id) and head.due is not None and head.due <= now:
            engine.worker.claim_one(driver, run_id)
            if run_id in driver.holds:
                return driver.holds[run_id]
            if engine.peek(run_id).run.is_ended:
                return engine.peek(run_id)
        if head.status in ("parked", "paused") and head.owner is None:
            raise PlayheadError(
                f"run {run_id} is {head.status}; it goes on with"
                f" engine.{'retry' if head.status == 'parked' else 'resume'}(run)"
            )
        engine.worker.sweep(driver)
        due = _due_of(engine, head.due, head.waits_on)
        if (
            waited >= SLICE
            and now == was
            and due is not None
            and due > now
            and head.owner is None
        ):
            raise ClockStandsStill(run_id, clock.from_us(due))
        was = now
        pause = SLICE
        if due is not None and now < due < now + int(SLICE * clock.SECOND):
            pause = (due - now) / clock.SECOND
        if seen == log.changed() and (due is None or due > now + clock.SECOND):
            pause = max(pause, SLICE)
        seen = log.changed()
        clock.real_sleep(pause)
        waited += pause


def _due_of(engine: Host, due: int | None, waits_on: tuple[str, ...]) -> int | None:
    """Give when a run can go on by the clock: its own due time, or its breakers'."""
    dues = [] if due is None else [due]
    for name in waits_on:
        state = engine.breakers.load(name)[0]
        if state.until is not None:
            dues.append(state.until)
    return min(dues) if dues else None


def drive_until_idle(engine: Host) -> None:
    """Do everything that is ready: triggers, timers, runs; in this thread, in a fixed order."""
    crew = Crew(1, "playhead-idle")
    driver = Driver(engine.turns, crew)
    engine.worker.drivers.add(driver)
    driver.keep_trying = False
    driver.inline = deque()
    with Heartbeat(engine, rests=True):
        try:
            while _one_round(engine, driver):
                pass
        finally:
            driver.stopping = True
            for hold in list(driver.holds.values()):
                driver.release(hold, "run_until_idle has returned")


def _one_round(engine: Host, driver: Driver) -> bool:
    """Poll triggers, sweep, claim and perform once; tell whether anything was done."""
    before = engine.log.counters.events
    engine.poll_triggers()
    engine.worker.sweep(driver)
    claimed = engine.worker.claim(driver, BATCH)
    flights = driver.inline
    if flights is None:
        raise AssertionError("the caller performs everything itself")
    while flights or driver.hungry:
        while flights:
            driver.fly(flights.popleft())
        driver.feed_hungry()
    return bool(claimed) or engine.log.counters.events != before
