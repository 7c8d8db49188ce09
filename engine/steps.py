"""What a workflow is made of: `@step` over functions, `Signal` and `Timer` beside them.

A step stays the callable it stands over. What its options mean together is checked when a
workflow is built from it (`engine/workflow.py`), for only there is the whole known.
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

import tenacity

from engine import retry as policies
from engine import signature
from engine.calls import Policy
from engine.errors import DefinitionError

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

Duration: TypeAlias = timedelta | float | int
DelayLike: TypeAlias = Duration | datetime | Callable[..., Any]
After: TypeAlias = (
    "str | Step[..., Any] | Signal | Timer | Iterable[str | Step[..., Any] | Signal | Timer]"
)


class Step(Generic[P, R]):
    """A function that does work in a workflow; calling it calls what stands under `@step`."""

    def __init__(
        self,
        under: Callable[P, R],
        *,
        retry: tenacity.BaseRetrying | None = None,
        breaker: Any = None,
        timeout: Duration | None = None,
        when: Callable[..., Any] | None = None,
        after: After = (),
        on_open: str = "park",
        on_lost: str = "retry",
        name: str | None = None,
    ) -> None:
        if not callable(under):
            raise DefinitionError(f"@step stands over a function, not over {under!r}")
        functools.update_wrapper(self, under, updated=())
        self._under = under
        self.fn, self.retry = _lifted(under, retry)
        self.name = name or signature.name_of(self.fn)
        self.where = where_of(self.fn)
        if not isinstance(self.name, str):
            raise DefinitionError(f"step name={name!r}; a name is text", where=self.where)
        self.policy: Policy | None = None
        if self.retry is not None:
            try:
                self.policy = policies.lift(self.retry, self.fn)
            except DefinitionError as error:
                raise DefinitionError(
                    f"step {self.name!r}: {error}", where=self.where
                ) from None
        self.breaker, self.timeout, self.when = breaker, timeout, when
        self.after = _names_of(after)
        self.on_open, self.on_lost = on_open, on_lost
        self.answer: Callable[..., Any] | None = None  # the fallback
        self.is_built = False  # a workflow has been made of it
        self._names = signature.names_outside() if signature.has_text(self.fn) else {}
        self._signature: signature.Signature | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what stands under `@step`."""
        return self._under(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the step's name."""
        return f"<step {self.name!r}>"

    def fallback(self, fn: F) -> F:
        """Register a function that answers when this step has failed for good.

        It takes the same inputs or fewer, and the `Failure` if a parameter is annotated so.

        Raises:
            DefinitionError: There is one already, or a workflow has been built without it.
        """
        if self.answer is not None:
            raise DefinitionError(
                f"step {self.name!r} has a fallback already", where=self.where
            )
        if self.is_built:
            raise DefinitionError(
                f"step {self.name!r} already stands in a workflow, which would not know of this"
                " fallback; register it before the workflow is built",
                where=where_of(fn),
            )
        self.answer = fn.fn if isinstance(fn, Step) else fn
        return fn

    def signature(self, names: Mapping[str, Any] | None = None) -> signature.Signature:
        """Read what the step's function takes and gives; once.

        Args:
            names: Further names that annotations may use: local classes where it is built.

        Raises:
            DefinitionError: It cannot be called by name, or an annotation cannot be read.
        """
        if self._signature is None:
            known = {**(names or {}), **self._names}
            self._signature = signature.read(self.fn, f"step {self.name!r}", known)
            self._names = {}
        return self._signature


class Signal:
    """A message that a run waits for; a parameter of its name receives the payload."""

    def __init__(
        self,
        name: str,
        type: Any = None,  # noqa: A002 - the public name
        *,
        timeout: DelayLike | None = None,
        after: After = (),
    ) -> None:
        if not isinstance(name, str):
            raise DefinitionError(f"a signal's name is text, not {name!r}")
        self.name, self.type, self.timeout = name, type, timeout
        self.after = _names_of(after)
        self.where = caller()

    def __repr__(self) -> str:
        """Show the signal's name."""
        return f"<signal {self.name!r}>"


class Timer:
    """A wait; a parameter of its name receives the due time."""

    def __init__(self, name: str, delay: DelayLike, *, after: After = ()) -> None:
        self.name, self.delay = name, delay
        self.after = _names_of(after)
        self.where = caller()

    def __repr__(self) -> str:
        """Show the timer's name."""
        return f"<timer {self.name!r}>"


@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *,
    retry: tenacity.BaseRetrying | None = None,
    breaker: Any = None,
    timeout: Duration | None = None,
    when: Callable[..., Any] | None = None,
    after: After = (),
    each: str | None = None,
    concurrency: int | None = None,
    tolerate: float | None = None,
    join: str | int | None = None,
    executor: str | None = None,
    on_open: str = "park",
    on_lost: str = "retry",
    compensate: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    retry: tenacity.BaseRetrying | None = None,
    breaker: Any = None,
    timeout: Duration | None = None,
    when: Callable[..., Any] | None = None,
    after: After = (),
    each: str | None = None,
    concurrency: int | None = None,
    tolerate: float | None = None,
    join: str | int | None = None,
    executor: str | None = None,
    on_open: str = "park",
    on_lost: str = "retry",
    compensate: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Any:
    """Make a function a step, bare or with options.

    Args:
        fn: The function, when `@step` stands bare.
        retry: A tenacity policy; `@retry(...)` directly under `@step` says the same.
        breaker: A `CircuitBreaker` that this step's calls go through.
        timeout: Of one attempt: a duration, or seconds.
        when: Asked once, when all upstreams are settled; false skips the step.
        after: Steps to wait for without taking their values.
        each: Not yet in this version.
        concurrency: Not yet in this version.
        tolerate: Not yet in this version.
        join: Not yet in this version.
        executor: Not yet in this version.
        on_open: What an open breaker does to the step: "park", "fail", "fallback" or "skip".
        on_lost: What becomes of an attempt whose worker died: "retry" or "fail".
        compensate: Not yet in this version.
        name: The step's name; the function's by default.

    Raises:
        DefinitionError: An option cannot be, or is not in this version yet.
    """
    later = {
        "each": each,
        "concurrency": concurrency,
        "tolerate": tolerate,
        "join": join,
        "executor": executor,
        "compensate": compensate,
    }
    asked = [option for option, value in later.items() if value is not None]
    if asked:
        raise DefinitionError(
            f"this version of playhead does not have step({asked[0]}=...) yet; leave it out",
            where=caller(),
        )
    options = {
        "retry": retry,
        "breaker": breaker,
        "timeout": timeout,
        "when": when,
        "after": after,
        "on_open": on_open,
        "on_lost": on_lost,
        "name": name,
    }

    def decorate(under: Callable[P, R]) -> Step[P, R]:
        return Step(under, **options)

    return decorate if fn is None else decorate(fn)


def where_of(fn: Callable[..., Any]) -> str:
    """Give the source line of a function as "file.py:12"; the caller's if it has none."""
    code = getattr(inspect.unwrap(signature.innermost(fn)), "__code__", None)
    return f"{_short(code.co_filename)}:{code.co_firstlineno}" if code else caller()


def caller() -> str:
    """Give the source line outside this package that led here, as "file.py:12"."""
    frame = signature.outside()
    return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else ""


def _short(path: str) -> str:
    """Give a path as from the working folder, if it lies in it."""
    here = os.getcwd() + os.sep  # noqa: PTH109 - compared as text
    return path.removeprefix(here)


def _names_of(after: Any) -> tuple[str, ...]:
    """Give the names of what to wait for; a single one need not be listed."""
    single = isinstance(after, str) or not isinstance(after, Iterable)
    listed: list[Any] = [after] if single and after is not None else list(after or ())
    for one in listed:
        if not isinstance(one, (str, Step, Signal, Timer)):
            raise DefinitionError(
                f"after= holds {one!r}; write names of steps, or the steps", where=caller()
            )
    return tuple(one if isinstance(one, str) else one.name for one in listed)


def _lifted(
    under: Callable[..., Any], retry: tenacity.BaseRetrying | None
) -> tuple[Callable[..., Any], tenacity.BaseRetrying | None]:
    """Take a policy off its function: what tenacity wrapped, and what it was to do."""
    found = getattr(under, "retry", None)
    if not isinstance(found, tenacity.BaseRetrying):
        return under, retry
    where, name = where_of(under), signature.name_of(under)
    module = getattr(under, "__globals__", {}).get("__name__", "")
    if module.partition(".")[0] != "tenacity":  # functools.wraps copies `.retry` upwards
        raise DefinitionError(
            f"another decorator stands between @step and @retry of {name!r}:"
            " the policy would run inside the step; put @step directly over @retry",
            where=where,
        )
    if retry is not None:
        raise DefinitionError(
            f"{name!r} has two policies, @retry and step(retry=...); keep one",
            where=where,
        )
    return under.__wrapped__, found  # type: ignore[attr-defined]
