"""Tenacity's policies, asked and never run: the engine waits, in the log, in their stead.

The order of asking is tenacity's own (`BaseRetrying.iter`): retry condition, `after`, wait,
stop, `before_sleep`. Each is asked once per verdict, so that jitter is drawn once.
"""

import asyncio
import functools
import inspect
import logging
import math
import re
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import tenacity
from tenacity import nap

from engine.calls import Policy, Verdict
from engine.errors import DefinitionError

log = logging.getLogger("playhead.engine")

_SECOND = 1_000_000
_LONGEST = 100 * 366 * 86_400.0  # seconds; tenacity's own "no limit" does not fit a clock
_SHOWN = 200  # characters of an unfit result that its error shows


class RetryError(tenacity.RetryError):
    """The result was still unfit after the last attempt."""

    def __str__(self) -> str:
        """Show the result that was judged unfit, shortened."""
        shown = repr(self.last_attempt.result())
        if len(shown) > _SHOWN:
            shown = shown[: _SHOWN - 1] + "…"
        number = self.last_attempt.attempt_number
        return f"still unfit after {number} attempt{'s' * (number != 1)}: {shown}"


class _State(tenacity.RetryCallState):
    """Tenacity's own state, filled from values handed in: it reads no clock."""

    def __init__(  # super().__init__ would read the monotonic clock
        self, policy: tenacity.BaseRetrying, fn: Callable[..., Any] | None, attempt: int
    ) -> None:
        self.retry_object = policy
        self.fn: Any = fn
        self.args: Any = ()
        self.kwargs: Any = {}
        self.start_time = 0.0
        self.attempt_number = attempt
        self.outcome: tenacity.Future | None = None
        self.outcome_timestamp: float | None = None
        self.idle_for = 0.0
        self.next_action: tenacity.RetryAction | None = None
        self.upcoming_sleep = 0.0


class Lifted:
    """A tenacity policy lifted from its function: asked for verdicts, never left to sleep."""

    __slots__ = ("_fn", "_policy")

    def __init__(
        self, policy: tenacity.BaseRetrying, fn: Callable[..., Any] | None = None
    ) -> None:
        self._policy, self._fn = policy, fn

    def judge(
        self, *, attempt: int, elapsed: int, error: BaseException | None, result: Any = None
    ) -> Verdict:
        """Say whether to try again after an attempt. See `engine.calls.Policy`."""
        policy = self._policy
        if not policy.enabled:
            return Verdict(retry=False)
        state = _State(policy, self._fn, attempt)
        state.outcome = tenacity.Future.construct(
            attempt, result if error is None else error, has_exception=error is not None
        )
        state.outcome_timestamp = elapsed / _SECOND
        policy.statistics["attempt_number"] = attempt
        policy.statistics["delay_since_first_attempt"] = state.outcome_timestamp
        explicit = isinstance(error, tenacity.TryAgain)
        if not explicit and not _answer(policy.retry(state)):
            return Verdict(retry=False)
        _tell(policy.after, state)
        state.upcoming_sleep = _seconds(_answer(policy.wait(state)))
        if _answer(policy.stop(state)):
            unfit = RetryError(state.outcome) if error is None else None
            return Verdict(retry=False, give_up=unfit)
        state.next_action = tenacity.RetryAction(state.upcoming_sleep)
        state.idle_for = state.upcoming_sleep
        _tell(policy.before_sleep, state)
        return Verdict(retry=True, wait=round(state.upcoming_sleep * _SECOND))

    def before(self, attempt: int) -> None:
        """Call the policy's `before` hook."""
        if self._policy.enabled:
            _tell(self._policy.before, _State(self._policy, self._fn, attempt))


def lift(policy: tenacity.BaseRetrying, fn: Callable[..., Any] | None = None) -> Policy:
    """Take a tenacity policy's conditions, to be asked in place of being run.

    Args:
        policy: A `Retrying`, an `AsyncRetrying` or what `@retry(...)` left on a function.
        fn: The function it stood over; user callables may read it as `retry_state.fn`.

    Raises:
        DefinitionError: The policy has a `retry_error_callback` or a `sleep` of its own.
    """
    if not isinstance(policy, tenacity.BaseRetrying):
        raise DefinitionError(
            f"retry={policy!r} is no tenacity policy; write e.g."
            " retry=Retrying(stop=stop_after_attempt(5), wait=wait_exponential())"
        )
    if policy.retry_error_callback is not None:
        raise DefinitionError(
            "a `retry_error_callback` would answer outside the log: write a fallback"
            " (`@that_step.fallback`), which is recorded"
        )
    if policy.sleep not in (_own_sleep(type(policy)), nap.sleep):
        raise DefinitionError(
            "a `sleep=` of its own is never called: each wait is a durable timer, and tests"
            " move the clock; leave it out, or write a fallback"
        )
    return Lifted(policy, fn)


def is_endless(policy: tenacity.BaseRetrying) -> bool:
    """Tell whether a policy never stops and never waits. Unknown callables count as waiting."""
    if not policy.enabled or policy.retry is tenacity.retry_never:
        return False
    return _never_stops(policy.stop) and _never_waits(policy.wait)


def describe(policy: tenacity.BaseRetrying) -> str:
    """Give a policy in stable words for the definition's hash: no addresses, no modules."""
    if not policy.enabled:
        return "once"
    words = [f"stop={_words(policy.stop)}", f"wait={_words(policy.wait)}"]
    words.append(f"retry={_words(policy.retry)}")
    return ", ".join(words)


def _tell(hook: Callable[[Any], Any] | None, state: _State) -> None:
    """Call a hook, which only hears; one that raises decides nothing."""
    if hook is None:
        return
    try:
        _answer(hook(state))
    except Exception:
        log.exception("a hook of a retry policy raised", extra={"action": "hook_failed"})


def _answer(answer: Any) -> Any:
    """Give an answer, awaited if it is to be; in a thread of its own where a loop runs."""
    if not inspect.isawaitable(answer):
        return answer

    async def wait() -> Any:
        return await answer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    return _answer_aside(wait())


def _answer_aside(coroutine: Coroutine[Any, Any, Any]) -> Any:
    found: list[Any] = []
    failed: list[BaseException] = []

    def drive() -> None:
        try:
            found.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - raised again by the asker
            failed.append(error)

    aside = threading.Thread(target=drive, name="playhead-policy")
    aside.start()
    aside.join()
    if failed:
        raise failed[0]
    return found[0]


def _seconds(wait: Any) -> float:
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
    if math.isnan(seconds):
        raise ValueError("the retry policy's wait is not a number of seconds (NaN)")
    return min(max(seconds, 0.0), _LONGEST)


@functools.cache
def _own_sleep(kind: type[tenacity.BaseRetrying]) -> Any:
    return inspect.signature(kind).parameters["sleep"].default


def _never_stops(stop: Any) -> bool:
    if isinstance(stop, tenacity.stop_any):
        return all(_never_stops(s) for s in stop.stops)
    if isinstance(stop, tenacity.stop_all):
        return any(_never_stops(s) for s in stop.stops)
    return stop is tenacity.stop_never


def _never_waits(wait: Any) -> bool:
    if isinstance(wait, tenacity.wait_fixed):
        return wait.wait_fixed <= 0
    if isinstance(wait, tenacity.wait_random):
        return wait.wait_random_min <= 0 and wait.wait_random_max <= 0
    if isinstance(wait, tenacity.wait_combine):
        return all(_never_waits(w) for w in wait.wait_funcs)
    if isinstance(wait, tenacity.wait_chain):
        return all(_never_waits(w) for w in wait.strategies)
    return False


def _words(part: Any) -> str:  # noqa: PLR0911 - one line for each kind of part
    """Spell a policy's part: class and settings, functions and classes by their names."""
    if part is None or isinstance(part, (bool, int, float, str, bytes)):
        return repr(part)
    if isinstance(part, re.Pattern):
        return repr(part.pattern)
    if isinstance(part, timedelta):
        return repr(part.total_seconds())
    if isinstance(part, (list, tuple)):
        return f"[{', '.join(_words(p) for p in part)}]"
    if isinstance(part, (set, frozenset)):
        return f"[{', '.join(sorted(_words(p) for p in part))}]"
    if isinstance(part, functools.partial):
        return _words(part.func)
    name = getattr(part, "__qualname__", None)
    if isinstance(name, str):  # a function, a method or a class
        return name.rpartition("<locals>.")[2]
    kind = type(part).__name__
    if not type(part).__module__.startswith("tenacity"):
        return kind
    settings = [
        f"{key}={_words(value)}"
        for key, value in sorted(vars(part).items())
        if getattr(value, "__self__", None) is not part  # its own check, spelled by its class
    ]
    return f"{kind.removeprefix('_')}({', '.join(settings)})"
