"""A user's function bound to its parameters: what the worker needs to call it.

The definition (`core/define.py`) says what a workflow is; this says which code does it. The
authoring side makes both from the same function signatures.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from engine.core.define import ParamKind


class Bound(msgspec.Struct, frozen=True):
    """One parameter of a user's function and the type its value is converted to."""

    name: str
    kind: ParamKind
    required: bool = True
    outcome: bool = False
    annotation: Any = (
        Any  # of Outcome[T] the T; without annotation the producer's type, else Any
    )


class Call(msgspec.Struct, frozen=True):
    """A user's function with its parameters; values are handed over by keyword."""

    fn: Callable[..., Any]
    params: tuple[Bound, ...] = ()
    is_async: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What a retry policy says after an attempt."""

    retry: bool
    wait: int = 0  # microseconds
    give_up: BaseException | None = None  # in place of the result that was judged unfit


class Policy(Protocol):
    """A retry policy that the engine asks and never runs (lifted from tenacity)."""

    def judge(
        self, *, attempt: int, elapsed: int, error: BaseException | None, result: Any = None
    ) -> Verdict:
        """Say whether to try again after attempt number `attempt` (from 1).

        `elapsed`: microseconds since the first start, parked and paused time left out.
        `error` None: the attempt returned `result`; a policy may still ask for another.
        """

    def before(self, attempt: int) -> None:
        """Call the policy's `before` hook."""


class Work(msgspec.Struct, frozen=True):
    """The code of one node."""

    name: str
    main: Call | None = None  # None: a signal, a timer or a child workflow
    when: Call | None = None
    fallback: Call | None = None
    policy: Policy | None = None
    returns: Any = Any  # declared type of the result, or of a signal's payload
    delay: Call | None = None


class Code(msgspec.Struct, frozen=True):
    """All the code of a workflow, by name."""

    works: Mapping[str, Work]
    guards: Mapping[str, Call] = {}
    inputs: Mapping[str, Any] = {}  # annotation by input
    payloads: Mapping[str, Any] = {}  # annotation by signal or trigger
    delays: Mapping[str, Call] = {}  # state timeouts that are asked, by state
