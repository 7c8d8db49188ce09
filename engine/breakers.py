"""An engine's breakers: `CircuitBreaker` as declared, `SharedBreaker` as the log has it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from engine.breakerstore import BreakerStore
from engine.circuit import CircuitBreaker, Ticket, refusal
from engine.core import breaker as core
from engine.core.breaker import PREFIX, BreakerState
from engine.core.events import Fact
from engine.history import HistoryEvent, history_event
from engine.signature import is_async
from eventstore import clock
from eventstore.store import Log

__all__ = ["BreakerStore", "CircuitBreaker", "SharedBreaker"]


class SharedBreaker:
    """One breaker of an engine, the same for all runs and workers: `engine.breaker(name)`."""

    def __init__(self, store: BreakerStore, log: Log, declared: CircuitBreaker) -> None:
        self._store, self._log, self._declared = store, log, declared
        self._spec = declared.spec()

    @property
    def name(self) -> str:
        """Give its name."""
        return self._declared.name

    @property
    def state(self) -> str:
        """Read "closed", "open", "half_open", "forced_open" or "disabled" from the log."""
        return self._now().state

    @property
    def failures(self) -> int:
        """Read the failures in a row while closed from the log."""
        return self._now().failures

    @property
    def until(self) -> datetime | None:
        """Read from the log when an open breaker begins to probe; None: it is not open."""
        until = self._now().until
        return None if until is None else clock.from_us(until)

    def _now(self) -> BreakerState:
        return self._store.load(self.name)[0]

    def __repr__(self) -> str:
        return f"<SharedBreaker {self.name!r}>"

    def history(self) -> list[HistoryEvent]:
        """Give all that happened to it, oldest first; a healthy breaker has no history."""
        return [history_event(event, self._log) for event in self._log.read(PREFIX + self.name)]

    def call(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `f` if the breaker lets it; of an async function give what is to be awaited.

        *Reads the log; appends* a failure, the first success after one, and a probe's part.

        Raises:
            CircuitOpenError: The breaker is open; `f` was not called.
        """
        if is_async(f):
            return self._call_async(f, *args, **kwargs)
        ticket = self._admit()
        try:
            result = f(*args, **kwargs)
        except BaseException as error:
            self._judge(ticket, self._declared.counts(error, probe=ticket.probe))
            raise
        self._judge(ticket, failed=False)
        return result

    async def _call_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        ticket = self._admit()
        try:
            result = await f(*args, **kwargs)
        except BaseException as error:
            self._judge(ticket, self._declared.counts(error, probe=ticket.probe))
            raise
        self._judge(ticket, failed=False)
        return result

    def _admit(self) -> Ticket:
        by = f"call:{clock.new_id()}"
        leave = core.Leave(given=False)

        def choose(state: BreakerState) -> tuple[Fact, ...]:
            nonlocal leave
            now = clock.now_us()
            deadline = now + self._spec.reset_timeout
            leave = core.admit(state, self._spec, now, by=by, deadline=deadline)
            return leave.facts

        state, _ = self._store.decide(self.name, choose)
        if not leave.given:
            raise refusal(state)
        return Ticket(by, state.generation, leave.probe)

    def _judge(self, ticket: Ticket, failed: bool | None) -> None:
        def choose(state: BreakerState) -> list[Fact]:
            if failed is None:
                return core.uncounted(state, by=ticket.by)
            return core.outcome(
                state,
                self._spec,
                clock.now_us(),
                generation=ticket.generation,
                ok=not failed,
                by=ticket.by,
            )

        state, _ = self._store.decide(self.name, choose)
        if failed is False and state.state == "closed" and state.generation:
            self._store.release(self.name)
        elif failed is None and ticket.probe:
            self._store.release(self.name, 1)

    def trip(self) -> None:
        """Append that it is forced open until `reset()`."""
        self._steer("trip")

    def reset(self) -> None:
        """Append that it is closed, its failures forgotten, and wake the first parked steps."""
        self._steer("reset")

    def disable(self) -> None:
        """Append that every call goes through and nothing counts until `reset()`."""
        self._steer("disable")

    def _steer(self, command: str) -> None:
        state, _ = self._store.decide(
            self.name, lambda state: core.steer(state, command, by="operator")
        )
        if state.state in ("closed", "disabled"):
            self._store.release(self.name)
