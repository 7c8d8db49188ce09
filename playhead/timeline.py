"""A frozen clock that walks through the due moments of engines, for tests.

Laws of this file: time stands still while anything happens and moves only in between; it never
moves while a step is in flight, and never backwards. The clock is freezegun's, so that all code
sees the same time.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Protocol, Self

import freezegun
import freezegun.api

from engine.app import Engine
from engine.errors import PlayheadError
from engine.flights import Flight
from eventstore import clock
from playhead.engines import Engines

START = "2030-01-01T00:00:00+00:00"
PATIENCE = 1.0  # real seconds in which threads may finish what is ready
LOOK = 0.002  # real seconds between two looks at an engine that works in the background
REAL = (
    # These wait or measure for themselves. Under a clock that stands still some wait for ever,
    # and under one that jumps others give up; see freezegun #129, #290, #345 and #384.
    "threading", "queue", "multiprocessing", "concurrent.futures", "subprocess", "selectors",
    "asyncio", "_pytest", "pytest_timeout", "xdist", "execnet", "hypothesis", "sqlalchemy.pool",
    "sqlalchemy.util", "psycopg", "watchdog", "httpcore", "anyio", "uvicorn",
)  # fmt: skip


class TimelineRefused(PlayheadError):
    """Time cannot be moved as asked; the message says why and what to do."""


class _Frozen(Protocol):
    """What freezegun hands out for a frozen clock."""

    def tick(self, delta: timedelta) -> Any: ...


class Timeline:
    """The clock of one test: `with Timeline() as timeline:`, or the fixture of that name."""

    def __init__(
        self, start: datetime | str | None = None, *, engines: Engines | None = None
    ) -> None:
        """Take the moment to begin at.

        Args:
            start: an aware datetime, or a text that freezegun reads, in UTC. None: where the
                clock stands if it is frozen already, else the first moment of 2030.
            engines: engines made here are watched from their birth.
        """
        self.patience = PATIENCE
        self._engines = Engines() if engines is None else engines
        self._added: list[Engine] = []
        self._start = start
        self._freezer: Any = None
        self._frozen: _Frozen | None = None
        self._limit = 0

    def __enter__(self) -> Self:
        """Freeze the clock."""
        start = self._start
        if start is None:
            start = self.now if freezegun.api.freeze_factories else START
        if isinstance(start, datetime):
            start = clock.from_us(clock.to_us(start))
        self._freezer = freezegun.freeze_time(start, ignore=list(REAL), real_asyncio=True)
        # Whoever asks the clock is judged by the module that asks, not by who called that one:
        # a step on a thread sees frozen time, whatever stands below it on the stack.
        self._limit = freezegun.api.call_stack_inspection_limit
        freezegun.api.call_stack_inspection_limit = 1
        try:
            self._frozen = self._freezer.start()
        except BaseException:
            freezegun.api.call_stack_inspection_limit = self._limit
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engines that were made, then let the clock run."""
        try:
            self._engines.close()
        finally:
            self._frozen = None
            self._freezer.stop()
            freezegun.api.call_stack_inspection_limit = self._limit

    def add(self, engine: Engine) -> Engine:
        """Watch an engine that was made elsewhere; gives it back. It is not closed here."""
        if engine not in self._added:
            self._added.append(engine)
        return engine

    @property
    def engines(self) -> list[Engine]:
        """Give the engines whose due moments are walked through."""
        made = self._engines.made
        return [*made, *(engine for engine in self._added if engine not in made)]

    @property
    def now(self) -> datetime:
        """Give the time as all code sees it: aware, UTC."""
        return clock.from_us(clock.now_us())

    # Moving.

    def advance(
        self, by: timedelta | datetime | float | None = None, /, **parts: float
    ) -> list[datetime]:
        """Walk through every due moment in order, and do what is due at each.

        Args:
            by: a timedelta, seconds, or the aware datetime to arrive at.
            parts: or as for timedelta: `days=30`, `hours=1, minutes=30`.

        Returns:
            The moments at which something was due, oldest first.

        Raises:
            TimelineRefused: a step is in flight, or the target lies in the past.
        """
        target = self._target(by, parts)
        self._settle()
        moments = []
        while (due := self._next()) is not None and due <= target:
            moments.append(due)
            self._move(due)
        if self.now < target:
            self._move(target)
        return moments

    def to_next(self) -> datetime | None:
        """Jump to the next due moment and do what is due there.

        Returns:
            The moment; None: nothing is due at any time, and the clock has not moved.

        Raises:
            TimelineRefused: a step is in flight.
        """
        self._settle()
        due = self._next()
        if due is not None:
            self._move(due)
        return due

    def jump(
        self, by: timedelta | datetime | float | None = None, /, **parts: float
    ) -> datetime:
        """Move the clock once, like a suspended laptop, then do all that has become due.

        Args:
            by: a timedelta, seconds, or the aware datetime to arrive at.
            parts: or as for timedelta: `days=3`.

        Returns:
            The time that it is now.

        Raises:
            TimelineRefused: a step is in flight, or the target lies in the past.
        """
        target = self._target(by, parts)
        self._settle()
        self._move(target)
        return target

    def _target(
        self, by: timedelta | datetime | float | None, parts: dict[str, float]
    ) -> datetime:
        if (by is None) == (not parts):
            raise TypeError("say how far: one of `hours=1`, a timedelta, seconds or a datetime")
        now = self.now
        if isinstance(by, datetime):
            target = clock.from_us(clock.to_us(by))
        elif isinstance(by, timedelta):
            target = now + by
        else:
            target = now + (timedelta(**parts) if by is None else timedelta(seconds=by))
        if target < now:
            raise TimelineRefused(
                f"it is {now.isoformat()} and time does not go back to {target.isoformat()};"
                " begin earlier: @pytest.mark.timeline(start)"
            )
        return target

    def _move(self, to: datetime) -> None:
        """Set the clock, and do what is due then."""
        if self._frozen is None:
            raise TimelineRefused("this timeline has ended, or not begun: use it as a `with`")
        self._frozen.tick(to - self.now)
        if self.now != to:
            raise TimelineRefused(
                "another freeze_time was begun inside this timeline and hides its clock; leave it"
                " out, and say where to begin with @pytest.mark.timeline(start)"
            )
        self._settle()

    # What there is to do.

    def _next(self) -> datetime | None:
        """Give the next moment at which any engine has something to do; later than now."""
        now = self.now
        dues = []
        for engine in self.engines:
            due = engine.next_due()
            if due is not None and due <= now:  # nobody here can do it: look behind it
                us = engine.log.next_due(kinds=("run", "breaker"), after=clock.now_us())
                due = None if us is None else clock.from_us(us)
            if due is not None:
                dues.append(due)
        return min(dues, default=None)

    def _settle(self) -> None:
        """Do all that is ready, in all engines; one may have woken another."""
        engines = self.engines
        self._refuse_in_flight(self._in_steps(engines, own=True))
        while True:
            before = sum(engine.log.counters.events for engine in engines)
            for engine in engines:
                if engine.is_open:
                    self._wait_quiet(engine)
                else:
                    engine.run_until_idle()
            if len(engines) < 2 or before == sum(e.log.counters.events for e in engines):
                break
        self._refuse_in_flight(self._in_steps(engines, own=False))

    def _wait_quiet(self, engine: Engine) -> None:
        """Wait until the threads of an open engine have done all that is ready.

        A run is due, or owned, or waits for a later moment: an engine with nothing due and
        nothing owned has nothing to do.
        """
        engine.poke()
        until = clock.real_seconds() + self.patience
        while clock.real_seconds() < until:
            due = engine.next_due()
            if (due is None or due > self.now) and not engine.log.owned(engine.worker.id):
                return
            clock.real_sleep(LOOK)

    def _in_steps(self, engines: list[Engine], *, own: bool) -> Iterator[Flight]:
        """Give the attempts in flight; `own`: only those that no thread of an engine performs."""
        for engine in engines:
            if own and engine.is_open:
                continue
            for driver in list(engine.worker.drivers):
                for hold in list(driver.holds.values()):
                    yield from (f for f in list(hold.flights.values()) if not f.is_abandoned)

    def _refuse_in_flight(self, flights: Iterable[Flight]) -> None:
        told = [
            f"step {f.step!r} of run {f.hold.run.id} ({f.hold.run.workflow}, attempt {f.attempt})"
            for f in flights
        ]
        if told:
            raise TimelineRefused(
                f"time does not move while a step is in flight: {', '.join(told)};"
                " let it end first"
            )
