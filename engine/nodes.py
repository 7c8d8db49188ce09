"""The nodes of a workflow: each step, signal and timer as data (`Node`) and code (`Work`)."""

from typing import Any, NamedTuple

from engine import retry, signature
from engine.binding import ANSWERING, ASKED, WORKING, Binder, Piece, delay_of, duration_of
from engine.calls import Call, Work
from engine.core.define import BreakerSpec, Delay, Node, Param
from engine.core.finding import Finding
from engine.errors import DefinitionError
from engine.jsonable import Real
from engine.signature import MISSING
from engine.steps import Signal, Step, Timer

Listed = Step[..., Any] | Signal | Timer
_BREAKER = ("name", "failure_threshold", "reset_timeout", "probes", "ignore")


class Pieces(NamedTuple):
    """The functions of one node, read."""

    main: Piece | None = None
    when: Piece | None = None
    fallback: Piece | None = None
    delay: Piece | None = None


def known(one: Any) -> Listed:
    """Give what stands in `steps=`, if it may.

    Raises:
        DefinitionError: It is no step, signal or timer.
    """
    if isinstance(one, (Step, Signal, Timer)):
        return one
    if hasattr(one, "definition") and hasattr(one, "plan"):
        raise DefinitionError(
            f"{one!r} stands in steps=: this version of playhead does not have child workflows"
            " yet; start it from a step with engine.start(...)"
        )
    if isinstance(getattr(one, "__wrapped__", None), Step):
        raise DefinitionError(
            f"{one.__wrapped__!r} is wrapped in another decorator; put @step above all others"
        )
    if callable(one):
        raise DefinitionError(f"{signature.name_of(one)!r} is no step; write @step over it")
    raise DefinitionError(f"{one!r} is no step; list functions under @step, Signals and Timers")


def returned(one: Listed) -> Any:
    """Give the declared type of a node's result, payload or due time; MISSING if none is."""
    if isinstance(one, Step):
        return one.signature().returns
    if isinstance(one, Timer):
        return Real.moment
    return MISSING if one.type is None else signature.real(one.type)


def read_node(one: Listed, binder: Binder) -> Pieces:
    """Read a node's functions, and note the inputs they name.

    Raises:
        DefinitionError: One of them cannot be called as it asks to be.
    """
    if not isinstance(one, Step):
        delay: Any = one.delay if isinstance(one, Timer) else one.timeout
        if isinstance(one, Signal) and delay is None:
            return Pieces()
        if delay_of(delay, _delay_name(one)) is not None:
            return Pieces()
        return Pieces(delay=binder.read(delay, _delay_name(one), ASKED, one.name))
    who = f"step {one.name!r}"
    main = binder.take(Piece(who, one.fn, one.signature(), one.name), WORKING)
    when = one.when and binder.read(one.when, f"`when` of {who}", ASKED, one.name)
    return Pieces(main, when or None, _read_fallback(one, binder))


def bind_node(one: Listed, pieces: Pieces, binder: Binder) -> tuple[Node, Work]:
    """Give a node as data and as code.

    Raises:
        DefinitionError: One of its options cannot be.
    """
    if isinstance(one, Step):
        return _bind_step(one, pieces, binder)
    value = one.delay if isinstance(one, Timer) else one.timeout
    params, asked = _bind(pieces.delay, binder)
    delay = None
    if value is not None:
        delay = Delay(params=params) if asked else delay_of(value, _delay_name(one))
    kind = returned(one)
    node = Node(
        name=one.name,
        kind="timer" if isinstance(one, Timer) else "signal",
        after=one.after,
        returns=signature.text(kind),
        delay=delay,
    )
    return node, Work(one.name, returns=Any if kind is MISSING else kind, delay=asked)


def breaker_spec(one: Step[..., Any]) -> BreakerSpec | None:
    """Give a step's circuit breaker as data; None if it has none.

    Raises:
        DefinitionError: What it has is no breaker.
    """
    breaker = one.breaker
    if breaker is None:
        return None
    if not all(hasattr(breaker, part) for part in _BREAKER):
        raise DefinitionError(
            f"step {one.name!r} has breaker={breaker!r}; write a CircuitBreaker({one.name!r})"
        )
    return BreakerSpec(
        breaker.name,
        failure_threshold=breaker.failure_threshold,
        reset_timeout=duration_of(
            breaker.reset_timeout, f"reset_timeout of circuit breaker {breaker.name!r}"
        ),
        probes=breaker.probes,
    )


def _bind_step(one: Step[..., Any], pieces: Pieces, binder: Binder) -> tuple[Node, Work]:
    params, main = _bind(pieces.main, binder)
    when_params, when = _bind(pieces.when, binder)
    answer_params, answer = _bind(pieces.fallback, binder)
    returns = one.signature().returns
    spec = breaker_spec(one)
    limit = None
    if one.timeout is not None:
        limit = duration_of(one.timeout, f"the timeout of step {one.name!r}")
    node = Node(
        name=one.name,
        params=params or (),
        when=when_params,
        after=one.after,
        returns=signature.text(returns),
        fallback=answer_params,
        breaker=spec.name if spec else None,
        on_open=one.on_open,
        on_lost=one.on_lost,
        timeout=limit,
        retry=None if one.retry is None else retry.describe(one.retry),
    )
    if pieces.fallback is not None:
        binder.compare(
            pieces.fallback.signature.returns,
            returns,
            one.name,
            f"{pieces.fallback.who} returns {{given}}, and the step {{taken}}",
        )
    if one.retry is not None and retry.is_endless(one.retry):
        binder.findings.append(_endless(one))
    work = Work(
        one.name,
        main=main,
        when=when,
        fallback=answer,
        policy=one.policy,
        returns=Any if returns is MISSING else returns,
    )
    return node, work


def _bind(piece: Piece | None, binder: Binder) -> tuple[tuple[Param, ...] | None, Call | None]:
    return (None, None) if piece is None else binder.bind(piece)


def _read_fallback(one: Step[..., Any], binder: Binder) -> Piece | None:
    if one.answer is None:
        return None
    who = f"the fallback of step {one.name!r}"
    found = binder.peek(one.answer, who)
    inputs = {parameter.name for parameter in one.signature().parameters}
    for parameter in found.parameters:
        if parameter.handed is None and parameter.name not in inputs:
            raise DefinitionError(
                f"{who} takes {parameter.name!r}, which the step itself does not take;"
                " a fallback takes the same inputs or fewer, and the Failure if it asks"
            )
    return binder.take(Piece(who, one.answer, found, one.name), ANSWERING)


def _delay_name(one: Signal | Timer) -> str:
    if isinstance(one, Timer):
        return f"the delay of timer {one.name!r}"
    return f"the timeout of signal {one.name!r}"


def _endless(one: Step[..., Any]) -> Finding:
    return Finding(
        "endless-retry",
        f"the retry of step {one.name!r} never stops and never waits;"
        " give it stop= or wait=, such as stop_after_attempt(5)",
        one.name,
    )
