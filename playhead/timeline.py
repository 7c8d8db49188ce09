"""A frozen clock that walks through the due moments of engines, for tests.

Laws of this file: time stands still while anything happens and moves only in between; it never
moves while a step is in flight, and never backwards. The clock is freezegun's, so that all code
sees the same time.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from engine.app import Engine
from engine.draining import flights
from engine.flights import Flight
from engine.testing.cut import is_cut_off
from eventstore import clock
from playhead.engines import Engines
from playhead.freezing import Frozen
from playhead.moments import TimelineRefused, arrival, moment_of
from triggers import FileTrigger

PATIENCE = 1.0  # real seconds in which threads may finish what is ready
LOOK = 0.002  # real seconds between two looks at an engine that works in the background
STUCK = 0.1  # real seconds after which it is asked whether what is due can be done here at all
LIVE = ("scheduled", "running", "waiting", "cancelling")  # runs that an engine may go on with


class Timeline:
    """The clock of one test: `with Timeline() as timeline:`, or the fixture of that name."""

    def __init__(
        self, start: datetime | str | None = None, *, engines: Engines | None = None
    ) -> None:
        """Take the moment to begin at.

        Args:
            start: an aware datetime, a date, or a text as of ISO 8601, in UTC if it does not say.
                None: where the clock stands if it is frozen already, else the first moment of
                2030.
            engines: engines made here are watched from their birth.

        Raises:
            TypeError: `start` is neither.
            ValueError: `start` is no moment, or has no time zone.
        """
        self.patience = PATIENCE
        self._engines = Engines() if engines is None else engines
        self._added: list[Engine] = []
        self._start = None if start is None else moment_of(start)
        self._frozen: Frozen | None = None

    def __enter__(self) -> Self:
        """Freeze the clock."""
        frozen = Frozen(self._start, self.now)
        frozen.start()
        self._frozen = frozen
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engines that were made, then let the clock run.

        Raises:
            TimelineRefused: a `freeze_time` begun inside is still on; it has been ended.
        """
        try:
            self._engines.close()
        finally:
            frozen, self._frozen = self._frozen, None
            were_on = 0 if frozen is None else frozen.stop()
        if were_on and error is None:
            raise TimelineRefused(
                "a freeze_time begun inside this timeline was not ended inside it; it has been"
                " ended now: write it as a `with`"
            )

    def add(self, engine: Engine) -> Engine:
        """Watch an engine that was made elsewhere; gives it back. It is not closed here."""
        if not isinstance(engine, Engine):
            raise TypeError(
                f"a timeline walks through what is due in an Engine, not {engine!r}"
            )
        if engine not in self._added:
            self._added.append(engine)
        return engine

    @property
    def engines(self) -> list[Engine]:
        """Give the engines whose due moments are walked through: those that were not cut off."""
        made = self._engines.made
        both = [*made, *(engine for engine in self._added if engine not in made)]
        return [engine for engine in both if not is_cut_off(engine)]

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
        target = arrival(self.now, by, parts)
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
        target = arrival(self.now, by, parts)
        self._settle()
        self._move(target)
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
        dues = [due for due in map(self._next_of, self.engines) if due is not None]
        return clock.from_us(min(dues)) if dues else None

    def _next_of(self, engine: Engine) -> int | None:
        now = clock.now_us()
        due = engine.next_due()
        if due is None or due > self.now:
            return None if due is None else clock.to_us(due)
        # Nobody here can do what is due: look behind it.
        behind = [
            engine.log.next_due(kinds=("run", "breaker"), after=now),
            engine.doorways.next_due(),
        ]
        return min((us for us in behind if us is not None and us > now), default=None)

    def _settle(self) -> None:
        """Do all that is ready, in all engines; one may have woken another."""
        engines = self.engines
        self._refuse_in_flight(self._in_steps(engines, own=True))
        while True:
            before = sum(engine.log.counters.events for engine in engines)
            for engine in engines:
                if engine.is_open:
                    self._look_at_folders(engine)
                    self._wait_quiet(engine)
                else:
                    engine.run_until_idle()
                    if engine.log.owned(engine.worker.id):  # `engine.run` in another thread
                        self._wait_quiet(engine)
            is_alone = len(engines) == 1 and not engines[0].is_open
            if is_alone or before == sum(engine.log.counters.events for engine in engines):
                break
        self._refuse_in_flight(self._in_steps(engines, own=False))

    def _look_at_folders(self, engine: Engine) -> None:
        """Let the triggers of an open engine look now: left alone, they do so within a second."""
        for trigger in engine.triggers.values():
            if isinstance(trigger, FileTrigger):
                trigger.look_soon()
        engine.poll_triggers()

    def _wait_quiet(self, engine: Engine) -> None:
        """Wait until the threads of an engine have done all that is ready.

        A run is due, or owned, or waits for a later moment: an engine with nothing due and
        nothing owned has nothing to do. A run that has ended in the log may be on its way out of
        a thread's hands.
        """
        engine.poke()
        began = clock.real_seconds()
        while (waited := clock.real_seconds() - began) < self.patience:
            due = engine.next_due()
            is_over = (
                due is None or due > self.now or (waited > STUCK and not self._is_ready(engine))
            )
            if is_over and not (
                engine.log.owned(engine.worker.id)
                or any(True for _ in self._in_steps([engine], own=False))
            ):
                return
            clock.real_sleep(LOOK)

    def _is_ready(self, engine: Engine) -> bool:
        """Tell whether what is due is anything that this engine can do."""
        now = clock.now_us()
        dues = [engine.log.next_due(kinds=("breaker",)), engine.doorways.next_due()]
        dues += [
            head.due
            for head in engine.log.heads(kind="run", status=LIVE)
            if head.owner is None and head.name in engine.workflows
        ]
        return any(due is not None and due <= now for due in dues)

    def _in_steps(self, engines: list[Engine], *, own: bool) -> Iterator[Flight]:
        """Give the attempts in flight; `own`: only those that no thread of an engine performs."""
        for engine in engines:
            if own and engine.is_open:
                continue
            for driver in list(engine.worker.drivers):
                yield from flights(driver)

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
