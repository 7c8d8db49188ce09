"""A circuit breaker as users make it; called by itself it counts in memory.

Laws of this file: every choice is the pure core's (`core/breaker.py`); no lock is held while
the call is made; a call that ends without an outcome gives its probe's place back.
"""

import functools
import itertools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import msgspec

from engine import values
from engine.core import breaker as core
from engine.core.define import BreakerSpec
from engine.core.events import Fact
from engine.errors import CircuitOpenError, DefinitionError, PlayheadError, RunFailed
from engine.signature import is_async
from eventstore import clock

F = TypeVar("F", bound=Callable[..., Any])
Errors = type[BaseException] | tuple[type[BaseException], ...]

ITS_OWN_FAULT = frozenset({408, 429})  # 4xx answers that say the callee is too slow or too busy


class Ticket(msgspec.Struct, frozen=True):
    """A call that was let through."""

    by: str
    generation: int
    probe: bool


class CircuitBreaker:
    """A breaker that steps share by its name, and that guards any call by itself.

    `breaker.call(f, ...)`, `@breaker` and `with breaker:` raise `CircuitOpenError` while it is
    open and count in this process's memory. In a step (`@step(breaker=...)`) and through
    `engine.breaker(name)` the count is in the log, shared by all runs and workers.

    Args:
        name: Steps whose breakers have one name share one breaker.
        failure_threshold: The failure of this number in a row opens it.
        reset_timeout: How long it stays open, in seconds or as a timedelta.
        probes: How many calls may go at once to see whether the callee is back.
        ignore: Exceptions that are no failures.
    """

    def __init__(
        self,
        name: str,
        *,
        failure_threshold: int = 3,
        reset_timeout: float | timedelta = 60.0,
        probes: int = 1,
        ignore: Errors = (),
    ) -> None:
        if isinstance(reset_timeout, timedelta):
            reset_timeout = reset_timeout.total_seconds()
        self.name = name
        self.failure_threshold = failure_threshold
        self.reset_timeout = reset_timeout
        self.probes = probes
        self.ignore = ignore if isinstance(ignore, tuple) else (ignore,)
        self._check()
        self._spec = self.spec()
        self._lock = threading.Lock()
        self._state = core.BreakerState(name)
        self._calls = itertools.count(1)

    def _check(self) -> None:
        if not isinstance(self.name, str) or not self.name or "\0" in self.name:
            raise DefinitionError("a circuit breaker needs a name: CircuitBreaker('payments')")
        values.check_name(self.name, "a circuit breaker")
        who = f"circuit breaker {self.name!r}"
        for what in ("failure_threshold", "probes"):
            number = getattr(self, what)
            if type(number) is not int or number < 1:
                raise DefinitionError(f"{who}: {what} is a number from 1 on, not {number!r}")
        if type(self.reset_timeout) not in (int, float) or not 0 < self.reset_timeout < 1e10:
            raise DefinitionError(
                f"{who}: reset_timeout is seconds above 0, not {self.reset_timeout!r}"
            )
        for error in self.ignore:
            if not isinstance(error, type) or not issubclass(error, BaseException):
                raise DefinitionError(f"{who}: ignore= takes exception classes, not {error!r}")

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name!r}, state={self.state!r})"

    def spec(self) -> BreakerSpec:
        """Give the breaker as data, for the definition."""
        return BreakerSpec(
            name=self.name,
            failure_threshold=self.failure_threshold,
            reset_timeout=round(self.reset_timeout * clock.SECOND),
            probes=self.probes,
        )

    def counts(self, error: BaseException, *, probe: bool = False) -> bool | None:
        """Say what an exception tells of the callee.

        Args:
            error: What the call raised.
            probe: The call was a probe: an answer that is the caller's own fault shows that the
                callee is back.

        Returns:
            True: a failure. False: a success. None: nothing; a probe gives its place back.
        """
        if not isinstance(error, Exception) or isinstance(error, CancelledError):
            return None  # cancellation, shutdown
        if isinstance(error, PlayheadError) and not isinstance(
            error, (TimeoutError, RunFailed)
        ):
            return None  # bad input, or the engine's own refusal: the callee was not reached
        status = http_status(error)
        ignored = isinstance(error, self.ignore)
        if status is not None and 400 <= status < 500 and status not in ITS_OWN_FAULT:
            ignored = True
        if not ignored:
            return True
        return False if probe and status is not None and status < 500 else None

    # In memory.

    @property
    def state(self) -> str:
        """Give "closed", "open", "half_open", "forced_open" or "disabled", of this process."""
        return self._state.state

    def call(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `f` if the breaker lets it; of an async function give what is to be awaited.

        Raises:
            CircuitOpenError: The breaker is open; `f` was not called.
        """
        return self(f)(*args, **kwargs)

    def __call__(self, f: F) -> F:
        """Guard a function, sync or async: `@breaker`."""
        if is_async(f):

            @functools.wraps(f)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await f(*args, **kwargs)

            return cast("F", guarded_async)

        @functools.wraps(f)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return f(*args, **kwargs)

        return cast("F", guarded)

    def __enter__(self) -> Self:
        ticket = self._admit()
        _held.set((*_held.get(), (self, ticket)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        held = _held.get()
        place = max(n for n, (breaker, _) in enumerate(held) if breaker is self)
        _held.set(held[:place] + held[place + 1 :])
        ticket = held[place][1]
        self._judge(ticket, False if error is None else self.counts(error, probe=ticket.probe))

    def _admit(self) -> Ticket:
        with self._lock:
            now = clock.now_us()
            by = f"{threading.get_ident()}#{next(self._calls)}"
            leave = core.admit(
                self._state, self._spec, now, by=by, deadline=now + self._spec.reset_timeout
            )
            if not leave.given:
                raise refusal(self._state)
            self._fold(leave.facts)
            return Ticket(by, self._state.generation, leave.probe)

    def _judge(self, ticket: Ticket, failed: bool | None) -> None:
        with self._lock:
            if failed is None:
                self._fold(core.uncounted(self._state, by=ticket.by))
                return
            facts = core.outcome(
                self._state,
                self._spec,
                clock.now_us(),
                generation=ticket.generation,
                ok=not failed,
                by=ticket.by,
            )
            self._fold(facts)

    def _fold(self, facts: list[Fact] | tuple[Fact, ...]) -> None:
        fold(self._state, facts)

    def trip(self) -> None:
        """Force it open until `reset()`."""
        self._steer("trip")

    def reset(self) -> None:
        """Close it and forget its failures."""
        self._steer("reset")

    def disable(self) -> None:
        """Let every call through, count nothing, until `reset()`."""
        self._steer("disable")

    def _steer(self, command: str) -> None:
        with self._lock:
            self._fold(core.steer(self._state, command, by="operator"))


_held: ContextVar[tuple[tuple[CircuitBreaker, Ticket], ...]] = ContextVar("_held", default=())


def fold(state: core.BreakerState, facts: list[Fact] | tuple[Fact, ...]) -> None:
    """Fold decided facts into a breaker, which is changed."""
    for fact in facts:
        core.evolve(state, state.version + 1, fact.type, fact.source, fact.dest, fact.data)


def refusal(state: core.BreakerState) -> CircuitOpenError:
    """Give the error for a call that a breaker does not let through."""
    until = None if state.until is None else clock.from_us(state.until)
    return CircuitOpenError(state.name, state.state, until)


def http_status(error: BaseException) -> int | None:
    """Give the status of the HTTP answer that an exception carries, None: it carries none.

    Libraries are known by the shape of their errors, not imported: httpx and requests keep the
    response, urllib is the answer itself.
    """
    status = getattr(vars(error).get("response"), "status_code", None)
    urllib = sys.modules.get("urllib.error")
    if status is None and urllib is not None and isinstance(error, urllib.HTTPError):
        status = error.code
    return status if isinstance(status, int) else None
