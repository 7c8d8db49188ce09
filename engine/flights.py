"""An attempt in flight, and the crew whose slots it takes.

A step starts only into a free slot: `take` reserves one before the event is appended, `give_back`
frees it. In the caller's thread the crew has one slot, which is what makes it deterministic.
"""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Awaitable, Callable

from engine.repository import Hold
from eventstore import clock

ISOLATION = 10 * clock.SECOND  # a suspect runs alone for its first 10 s


class Flight:
    """One attempt on its way: what is to be called and how it is asked to stop."""

    __slots__ = (
        "attempt", "calls", "closing", "deadline", "fallback", "hold", "is_abandoned",
        "is_cancelled", "on_cancel", "refused", "slot", "step", "visit",
    )  # fmt: skip

    def __init__(
        self, hold: Hold, step: str, visit: int, attempt: int, *,
        fallback: bool, refused: bool, deadline: int | None, slot: tuple[bool, bool],
    ) -> None:  # fmt: skip
        self.hold = hold
        self.step = step
        self.visit = visit
        self.attempt = attempt
        self.fallback = fallback
        self.refused = refused
        self.deadline = deadline
        self.slot = slot  # what it took of the crew: an async slot, the whole crew as a suspect
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
        self.async_free = async_slots
        self._name = name
        self._lock = threading.Lock()
        self._work: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closing = False
        self._alone_until = 0  # a suspect runs: nothing else starts before
        self.on_free: Callable[[], None] | None = None

    @property
    def busy(self) -> int:
        """Count the slots taken."""
        return self.slots - self.free

    def take(self, *, is_async: bool = False, suspect: bool = False) -> bool:
        """Reserve a slot; False if none is free."""
        with self._lock:
            if self._alone_until and self._alone_until > clock.now_us():
                return False
            if suspect and self.free < self.slots:
                return False
            if is_async and self.has_async:
                if not self.async_free:
                    return False
                self.async_free -= 1
            elif self.free:
                self.free -= 1
            else:
                return False
            if suspect:
                self._alone_until = clock.now_us() + ISOLATION
            return True

    def give_back(self, *, is_async: bool = False, suspect: bool = False) -> None:
        """Free a slot that was taken."""
        with self._lock:
            if is_async and self.has_async:
                self.async_free += 1
            else:
                self.free += 1
            if suspect:
                self._alone_until = 0
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
