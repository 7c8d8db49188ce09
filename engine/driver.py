"""Drive held runs: perform the attempts a turn started, hand their outcomes to the next turn.

The thread that finished a step goes on with its successor; further starts go to other threads of
the crew. In the caller's thread everything happens one after the other, in a fixed order.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from engine.core import commands as c
from engine.errors import StorageError
from engine.flights import Crew, Flight, Slot
from engine.hungry import Hungry
from engine.loops import EngineLoop
from engine.outages import broke_down, waits
from engine.repository import Hold
from engine.turn import Turn
from engine.turns import Lost, Turns
from eventstore import clock
from eventstore.errors import LogError

T = TypeVar("T")
RETRY_AFTER = (0.05, 0.2, 1.0, 2.0)  # real seconds between tries while the storage fails


class Driver:
    """Takes turns and performs what they start, with one crew."""

    def __init__(self, turns: Turns, crew: Crew, *, loop: EngineLoop | None = None) -> None:
        self.turns = turns
        self.crew = crew
        self.loop = loop  # async attempts run there; None: in the thread that performs them
        self.holds: dict[str, Hold] = {}  # runs owned here
        self.hungry = Hungry()  # runs that owe a start and found no slot
        self.inline: deque[Flight] | None = None  # set: the caller performs everything itself
        self.stopping = False
        self.keep_trying = True  # while the storage fails; else the error goes to the caller
        self.on_ended: list[Callable[[Hold], None]] = []
        self.on_fatal: Callable[[BaseException], None] | None = None

    def turn(self, hold: Hold, *commands: c.Command, own: Flight | None = None) -> Turn | None:
        """Take a turn on a run and see to what it started; None: the run is lost to another."""
        with hold.lock:  # until it is settled: else a later turn could be settled before
            crew = None if self.stopping else self.crew
            if hold.is_lost:  # while this waited for the lock
                self._forget(hold)
                return None
            try:
                turn = self.turns.take(hold, commands, crew=crew, own=own)
            except Lost:
                self._forget(hold)
                return None
            except Exception as error:
                if not isinstance(error, LogError):
                    self._drop(hold)
                raise
            self.settle(hold, turn)
            return turn

    def _drop(self, hold: Hold) -> None:
        """Let a run be in nobody's hands: how it stands is not known. The worker lets go of it."""
        for flight in list(hold.flights.values()):
            flight.is_abandoned = True
            flight.cancel()
        hold.flights.clear()
        hold.is_lost = True  # who waits for its lock is not to go on with it, without these
        self._forget(hold)

    def settle(self, hold: Hold, turn: Turn) -> None:
        """Keep or let go of the run, as the turn has left it."""
        if turn.is_hungry:
            self.hungry.put(hold, suspect=turn.has_suspect)
        else:
            self.hungry.drop(hold)
            self._open_crew()
        if hold.is_owned:
            self.holds[hold.run.id] = hold
        else:
            self._forget(hold)
        if hold.run.is_ended and turn.events:
            for listener in self.on_ended:
                listener(hold)

    def _forget(self, hold: Hold) -> None:
        if self.holds.get(hold.run.id) is hold:  # not one claimed anew after this was lost
            self.holds.pop(hold.run.id, None)
        self.hungry.drop(hold)
        self._open_crew()
        if not hold.is_lost and not hold.stale:
            self.turns.repository.snap(hold)

    def _open_crew(self) -> None:
        """Let others start if the suspects that waited are lost, cancelled, or have begun."""
        if not self.hungry.has_suspect:
            self.crew.no_suspect_waits()

    def launch(self, flights: list[Flight]) -> None:
        """Perform flights: on the loop, on the crew's threads, or later in the caller's."""
        for flight in flights:
            if self.inline is not None:
                self.inline.append(flight)
            elif self.loop is not None and self.is_async(flight):
                self._fly_async(self.loop, flight)
            else:
                self.crew.dispatch(lambda flight=flight: self._fly_alone(flight))  # type: ignore[misc]

    def is_async(self, flight: Flight) -> bool:
        """Tell whether an attempt is one to await."""
        work = self.turns.performer.work(flight.hold, flight.step)
        call = work.fallback if flight.fallback else work.main
        return call is not None and call.is_async

    def _fly_alone(self, flight: Flight) -> None:
        """Do as `fly` does in a thread of the crew: what it raises reaches nobody else."""
        with self._telling(flight):
            self.fly(flight)

    @contextlib.contextmanager
    def _telling(self, flight: Flight) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is told
            broke_down(flight, error)
            if self.on_fatal is not None:
                self.on_fatal(error)

    def fly(self, flight: Flight) -> None:
        """Perform an attempt in this thread, then its successors one after the other."""
        following: Flight | None = flight
        while following is not None:
            now = following
            try:
                command = self.attempt(now)
                following = None if command is None else self.land(now, command)
            except BaseException:
                self.give_back(now)
                raise
            if command is None:
                self.give_back(now)

    def attempt(self, flight: Flight) -> c.Command | None:
        """Perform an attempt; while its values cannot be read, wait. None: it is given up."""
        return self._patiently(flight, lambda: self.turns.performer.attempt(flight))

    def _patiently(self, flight: Flight, act: Callable[[], T | None]) -> T | None:
        tries = itertools.count()
        while not flight.is_abandoned:  # it may be so before it began
            try:
                return act()
            except LogError as error:
                if not self._bears(error, flight, next(tries)):
                    break
        return None

    def _bears(self, error: LogError, flight: Flight, tries: int) -> bool:
        """Wait a while for a storage that fails; False: it is not tried again.

        Raises:
            StorageError: the caller drives, and hears of it.
        """
        if flight.is_abandoned:
            return False
        if not self.keep_trying or self.stopping:
            if self.on_fatal is None:
                raise StorageError(str(error)) from error
            self.on_fatal(error)
            return False
        pause = RETRY_AFTER[min(tries, len(RETRY_AFTER) - 1)]
        if not tries:  # once, however long it takes
            waits(flight, error)
        clock.real_sleep(pause)
        return True

    def land(self, flight: Flight, command: c.Command) -> Flight | None:
        """Record an attempt's outcome; give the flight that goes on in the same slot, if any."""
        turn = self._record(flight, command)
        if turn is None:
            self.give_back(flight)
            return None
        if not turn.kept_slot:
            self.launch(turn.flights)
            turn = self._adopt(flight)
            if turn is None:
                self.give_back(flight)
                return None
        for successor in turn.flights:
            if successor.slot is flight.slot is Slot.ALONE:  # the suspect has ended
                successor.slot = self.crew.mingle()
        first, *rest = turn.flights
        self.launch(rest)
        if self.inline is not None:
            self.inline.append(first)
            return None
        return first

    def _adopt(self, flight: Flight) -> Turn | None:
        """Let a run that found no slot have the one of a flight that has ended."""
        if flight.slot is not Slot.THREAD:
            return None
        asked = set[str]()
        while self.inline is None and not self.stopping and not self.crew.is_shut():
            hold = self.hungry.take(asked)
            if hold is None:
                return None
            try:
                turn = self.turn(hold, own=flight)
            except LogError:
                self.hungry.again(hold)
                return None
            if turn is not None:
                if turn.kept_slot:
                    return turn
                self.launch(turn.flights)
        return None

    def give_back(self, flight: Flight) -> None:
        """Free the slot that an attempt took."""
        if flight.slot is not None:
            self.crew.give_back(flight.slot)

    def _record(self, flight: Flight, command: c.Command) -> Turn | None:
        """Take the turn that records an outcome; while the storage fails, try again."""
        own = None if flight.slot is Slot.ASYNC else flight
        return self._patiently(flight, lambda: self.turn(flight.hold, command, own=own))

    def _fly_async(self, loop: EngineLoop, flight: Flight) -> None:
        """Perform an async attempt on the loop; its outcome is recorded on another thread."""

        async def perform() -> None:
            with self._telling(flight):
                try:
                    command = await self._attempt_async(loop, flight)
                    if command is not None:
                        await loop.run_in_executor(None, self._land_async, flight, command)
                        return
                except Exception:
                    self.give_back(flight)
                    raise
                self.give_back(flight)

        def begin() -> None:
            task = loop.create_task(perform())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        tasks = self._tasks
        loop.call_soon_threadsafe(begin)

    async def _attempt_async(self, loop: EngineLoop, flight: Flight) -> c.Command | None:
        tries = itertools.count()
        while not flight.is_abandoned:
            try:
                return await self.turns.performer.attempt_async(flight)
            except LogError as error:
                again = loop.run_in_executor(None, self._bears, error, flight, next(tries))
                if not await again:
                    break
        return None

    _tasks: set[object] = set()  # noqa: RUF012 - the loop keeps only weak references

    def _land_async(self, flight: Flight, command: c.Command) -> None:
        following = self.land(flight, command)
        if following is not None:
            self.launch([following])

    def feed_hungry(self) -> None:
        """Take turns on runs that owe a start, as long as slots are free."""
        asked = set[str]()
        while self.crew.free and not self.stopping:
            hold = self.hungry.take(asked)
            if hold is None:
                return
            try:
                turn = self.turn(hold)
            except LogError:
                self.hungry.again(hold)
                raise
            if turn is not None:
                self.launch(turn.flights)
                if turn.is_hungry and self.crew.is_shut():
                    return

    def release(self, hold: Hold, reason: str) -> None:
        """Let go of a run: what is in flight here is marked lost, charged to nobody."""
        commands = []
        with hold.lock:
            for flight in list(hold.flights.values()):
                flight.is_abandoned = True
                flight.cancel()
                commands.append(
                    c.Lose(flight.step, flight.visit, flight.attempt, died=False, reason=reason)
                )
            hold.flights.clear()
        with contextlib.suppress(Lost):
            self.turns.take(hold, commands, release=True)
        self._forget(hold)
