"""An attempt in flight, and the crew whose slots it takes.

A step starts only into a free slot: `take` reserves one before the event is appended, `give_back`
frees it. In the caller's thread the crew has one slot, which is what makes it deterministic.
"""

import contextlib
import enum
import itertools
import threading
from collections import deque
from collections.abc import Awaitable, Callable

from engine.repository import Hold
from eventstore import clock

# Nothing else starts in a suspect's first 10 s, or while it waits.
ISOLATION = 10 * clock.SECOND


class Slot(enum.Enum):
    """What an attempt takes of a crew."""

    THREAD = "thread"
    ASYNC = "async"
    ALONE = "alone"  # a suspect's: nothing else starts beside it for a while


class Flight:
    """One attempt on its way: what is to be called and how it is asked to stop."""

    __slots__ = (
        "attempt", "calls", "closing", "deadline", "fallback", "hold", "is_abandoned",
        "is_cancelled", "on_cancel", "refused", "slot", "step", "visit",
    )  # fmt: skip

    def __init__(
        self, hold: Hold, step: str, visit: int, attempt: int, *,
        fallback: bool, refused: bool, deadline: int | None, slot: Slot | None,
    ) -> None:  # fmt: skip
        self.hold = hold
        self.step = step
        self.visit = visit
        self.attempt = attempt
        self.fallback = fallback
        self.refused = refused
        self.deadline = deadline
        self.slot = slot  # what it took of the crew; None: it was over as soon as it began
        self.is_cancelled = False
        self.is_abandoned = False  # its result will be dropped
        self.on_cancel: Callable[[], None] | None = None  # wakes an async attempt
        self.calls = itertools.count(1)  # numbers the HTTP calls of the clients handed over
        self.closing: list[Callable[[], Awaitable[None]]] = []  # async clients to close

    def cancel(self) -> None:
        """Ask the attempt to stop: an async one is cancelled, a sync one may look."""
        if self.is_cancelled:
            return
        self.is_cancelled = True
        if self.on_cancel is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                self.on_cancel()


class Crew:
    """Slots, and the threads behind all but the caller's own."""

    def __init__(self, slots: int, name: str, *, async_slots: int = 0) -> None:
        self.slots = slots
        self.free = slots
        self.has_async = async_slots > 0  # else async attempts take ordinary slots
        self._async_slots = self.async_free = async_slots
        self._name = name
        self._lock = threading.Lock()
        self._work: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closing = False
        self._has_suspect = False  # one is in flight
        self._alone_until = 0  # for its first 10 s nothing else starts
        self._waits_since: int | None = None  # a suspect for the others to end: nothing starts
        self.on_free: Callable[[], None] | None = None

    def take(self, *, is_async: bool = False, suspect: bool = False) -> Slot | None:
        """Reserve a slot; None if none is free.

        A suspect waits until nothing else runs, and nothing else starts meanwhile; but no longer
        than 10 s, lest one long step keeps the crew from all other work. In its own first 10 s
        nothing else starts either. Another suspect waits for its end: whose death it was is then
        known.
        """
        with self._lock:
            now = clock.now_us()
            if suspect:
                if not self._admits_suspect(now):
                    return None
                self._has_suspect, self._waits_since = True, None
                self._alone_until = now + ISOLATION
                self.free -= 1
                return Slot.ALONE
            if self._opens(now) is not None:
                return None
            if is_async and self.has_async:
                if not self.async_free:
                    return None
                self.async_free -= 1
                return Slot.ASYNC
            if not self.free:
                return None
            self.free -= 1
            return Slot.THREAD

    def _admits_suspect(self, now: int) -> bool:
        if self._has_suspect:
            return False
        since = self._waits_since
        if since is None or since > now:  # later: the clock was put back
            since = self._waits_since = now
        runs_nothing = self.free == self.slots and self.async_free == self._async_slots
        return runs_nothing or (self.free > 0 and now - since >= ISOLATION)

    def _opens(self, now: int) -> int | None:
        """Give when something else than a suspect may start; None: now, if a slot is free."""
        ends = [self._alone_until]
        if self._waits_since is not None:
            ends.append(self._waits_since + ISOLATION)
        return max((end for end in ends if now < end <= now + ISOLATION), default=None)

    def is_shut(self) -> bool:
        """Tell whether nothing may start for a suspect's sake, not even in a slot just freed."""
        with self._lock:
            return self._opens(clock.now_us()) is not None

    def room(self) -> tuple[int, int | None]:
        """Give how many slots may be taken, and when, if that is none for a suspect's sake."""
        with self._lock:
            opens = self._opens(clock.now_us())
            return (self.free if opens is None else 0), opens

    def no_suspect_waits(self) -> None:
        """Note that the suspects that waited here are gone, or run."""
        with self._lock:
            was_waited, self._waits_since = self._waits_since is not None, None
        if was_waited and self.on_free is not None:
            self.on_free()

    def mingle(self) -> Slot:
        """Let a suspect's slot be one like the others: the suspect has ended, or is given up."""
        with self._lock:
            self._has_suspect, self._alone_until = False, 0
        return Slot.THREAD

    def give_back(self, slot: Slot) -> None:
        """Free a slot that was taken."""
        with self._lock:
            if slot is Slot.ASYNC:
                self.async_free += 1
            else:
                self.free += 1
            if slot is Slot.ALONE:
                self._has_suspect, self._alone_until = False, 0
        if self.on_free is not None:
            self.on_free()

    def dispatch(self, work: Callable[[], None]) -> None:
        """Run `work` on a thread of the crew; threads are made when first needed."""
        with self._ready:
            self._work.append(work)
            if self._idle < len(self._work) and not self._closing:
                thread = threading.Thread(
                    target=self._serve,
                    name=f"{self._name}-{len(self._threads) + 1}",
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()
            else:
                self._ready.notify()

    def _serve(self) -> None:
        while True:
            with self._ready:
                self._idle += 1
                while not self._work:
                    if self._closing:
                        self._idle -= 1
                        return
                    self._ready.wait()
                self._idle -= 1
                work = self._work.popleft()
            work()

    def close(self, grace: float) -> list[threading.Thread]:
        """Let the threads end and wait for them; give those that did not return in time."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()
        until = clock.real_seconds() + grace
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - clock.real_seconds()))
        return [
            t for t in self._threads if t.is_alive() and t is not threading.current_thread()
        ]
