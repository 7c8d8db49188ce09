"""Leader and followers: many threads share one commit, and no thread is kept for it.

Whoever finds nobody leading writes for all who have queued. When it is done it appoints the
first who queued meanwhile; the others of its batch go their ways with their results.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

LARGEST_BATCH = 256


class Ticket:
    """Something to be written, and what became of it."""

    __slots__ = ("done", "error", "leads", "turn")

    def __init__(self) -> None:
        self.done = False
        self.leads = False
        self.error: BaseException | None = None
        self.turn: threading.Lock | None = None


T = TypeVar("T", bound=Ticket)


class Queue(Generic[T]):
    """Where tickets wait for a leader.

    Args:
        write: writes a batch in one transaction, setting `error` of those refused, and gives
            back those that must wait for the next transaction; it raises nothing but what
            interrupts the thread (KeyboardInterrupt), with `done` set on all if it committed.
        rest: called by the leader after its batch was answered, between transactions.
    """

    def __init__(self, write: Callable[[list[T]], list[T]], rest: Callable[[], None]) -> None:
        self._write, self._rest = write, rest
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._led = False

    def submit(self, ticket: T) -> None:
        """Have a ticket written; returns when it is, or raises its error."""
        with self._lock:
            if self._led:
                ticket.turn = threading.Lock()
                ticket.turn.acquire()
                self._waiting.append(ticket)
            else:
                self._led = True
        if ticket.turn is not None:
            self._wait(ticket)
        if not ticket.done:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error

    def _wait(self, ticket: T) -> None:
        """Wait until the ticket is written or its holder is to lead."""
        turn = ticket.turn
        assert turn is not None  # noqa: S101 - for the type checker
        try:
            turn.acquire()
        except BaseException:  # interrupted: leave the queue, and pass on the lead if it came
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            if ticket.leads:
                self._pass_on()
            raise

    def _lead(self, ticket: T) -> None:
        batch = [ticket]
        if self._waiting:
            with self._lock:
                while self._waiting and len(batch) < LARGEST_BATCH:
                    batch.append(self._waiting.popleft())
        try:
            later = self._write(batch)
        except BaseException:
            others = [other for other in batch if other is not ticket]
            with self._lock:
                self._waiting.extendleft(other for other in reversed(others) if not other.done)
            self._answer([other for other in others if other.done])
            self._pass_on()
            raise
        if later:
            with self._lock:
                self._waiting.extendleft(
                    reversed([other for other in later if other is not ticket])
                )
            gone = set(map(id, later))
            self._answer([other for other in batch[1:] if id(other) not in gone])
        else:
            self._answer(batch[1:])
        self._rest()
        self._pass_on()

    def _answer(self, tickets: list[T]) -> None:
        for ticket in tickets:
            ticket.done = True
            if ticket.turn is not None:
                ticket.turn.release()

    def _pass_on(self) -> None:
        """Appoint the first in the queue, or leave the lead free."""
        with self._lock:
            if not self._waiting:
                self._led = False
                return
            heir = self._waiting.popleft()
            heir.leads = True
        if heir.turn is not None:
            heir.turn.release()
