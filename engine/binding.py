"""Edges by parameter name: each parameter of a user's function finds where its value is from.

All functions of a workflow are read first, then bound: a parameter without a type of its own
takes the one that its producer, or another reader of the same input, declares.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from engine import meeting, signature
from engine.calls import Bound, Call
from engine.core.define import Delay, Input, Param, ParamKind
from engine.core.finding import Finding
from engine.errors import DefinitionError
from engine.signature import MISSING, Handed, Parameter, Signature
from eventstore import clock

ASKED: frozenset[Handed] = frozenset(
    {"context"}
)  # when, guards and delays decide, they do no work
WORKING: frozenset[Handed] = frozenset({"context", "client", "async_client"})
ANSWERING: frozenset[Handed] = WORKING | {"failure"}
_LONGEST = 1_000_000 * 86_400 * clock.SECOND  # 2,737 years: a calendar ends with year 9999
_LATER = {
    "connection": "the log's own transaction is for steps of a later version",
    "session": "the log's own transaction is for steps of a later version",
    "failure": "only a fallback may ask for the Failure; take the result as Outcome[...]",
    "client": "it decides and does no work: an HTTP client is handed to steps only",
    "async_client": "it decides and does no work: an HTTP client is handed to steps only",
}


class Piece(NamedTuple):
    """A user's function, read."""

    who: str  # how to call it in an error
    fn: Callable[..., Any]
    signature: Signature
    subject: str = ""  # the node or guard it belongs to


class Binder:
    """Knows what the names of one workflow stand for."""

    def __init__(
        self,
        producers: Mapping[str, Any],
        payloads: Mapping[str, Any],
        names: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin with the names that are no inputs.

        Args:
            producers: By node, the type its result is declared to have.
            payloads: By trigger of a machine, the type its payload is declared to have.
            names: Names that annotations may use besides their module's.
        """
        self._names = names
        self._producers = producers
        self._payloads = dict(payloads)
        self._inputs: dict[str, tuple[Any, bool]] = {}  # type and whether somebody requires it
        self.findings: list[Finding] = []

    def read(
        self,
        fn: Callable[..., Any],
        who: str,
        handed: frozenset[Handed],
        subject: str = "",
    ) -> Piece:
        """Read a function and note the inputs it names.

        Raises:
            DefinitionError: It asks for what it cannot have.
        """
        return self.take(Piece(who, fn, self.peek(fn, who), subject), handed)

    def peek(self, fn: Callable[..., Any], who: str) -> Signature:
        """Read a function and note nothing yet."""
        return signature.read(fn, who, self._names)

    def take(self, piece: Piece, handed: frozenset[Handed]) -> Piece:
        """Note the inputs that a function names which was read already."""
        if handed is ASKED and piece.signature.is_async:
            raise DefinitionError(
                f"{piece.who} is asked, never awaited; write it with plain def"
            )
        for parameter in piece.signature.parameters:
            if parameter.handed is None:
                self._note(parameter)
            elif parameter.handed not in handed:
                raise DefinitionError(
                    f"{piece.who} asks for {parameter.name!r} as"
                    f" {signature.text(parameter.annotation)}: {_LATER[parameter.handed]}"
                )
        return piece

    def bind(self, piece: Piece) -> tuple[tuple[Param, ...], Call]:
        """Give where each parameter's value comes from, as data and for the worker."""
        params, bounds = [], []
        for parameter in piece.signature.parameters:
            kind = self._kind(parameter)
            annotation = parameter.annotation
            params.append(
                Param(
                    parameter.name,
                    kind,
                    required=parameter.required,
                    outcome=parameter.outcome,
                    type="" if parameter.handed else signature.text(annotation),
                )
            )
            if not parameter.handed:
                annotation = self._agreed(piece, parameter)
            bounds.append(
                Bound(
                    parameter.name,
                    kind,
                    required=parameter.required,
                    outcome=parameter.outcome,
                    annotation=Any if annotation is MISSING else annotation,
                )
            )
        call = Call(piece.fn, tuple(bounds), is_async=piece.signature.is_async)
        return tuple(params), call

    def compare(self, given: Any, taken: Any, subject: str, message: str) -> None:
        """Note it as a finding if two types plainly cannot meet.

        Args:
            given: The producer's type.
            taken: The receiver's.
            subject: The node at fault.
            message: What is told, with {given} and {taken} for the types.
        """
        if given is MISSING or taken is MISSING or meeting.can_meet(given, taken):
            return
        told = message.format(given=signature.text(given), taken=signature.text(taken))
        self.findings.append(Finding("types", f"{told}, which cannot meet", subject))

    def declared(self, name: str) -> Any:
        """Give the type that a name's producer declares; MISSING if it declares none."""
        if name in self._producers:
            return self._producers[name]
        if name in self._payloads:
            return self._payloads[name]
        return self._inputs.get(name, (MISSING, False))[0]

    def inputs(self) -> tuple[Input, ...]:
        """Give the workflow's inputs in order of naming."""
        return tuple(
            Input(name, signature.text(annotation), required=required)
            for name, (annotation, required) in self._inputs.items()
        )

    def input_types(self) -> dict[str, Any]:
        """Give the type of each input, `Any` if nobody declares one."""
        return {n: Any if a is MISSING else a for n, (a, _) in self._inputs.items()}

    def payloads(self) -> dict[str, Any]:
        """Give the type of each trigger's payload, MISSING if nobody declares one."""
        return self._payloads

    def _agreed(self, piece: Piece, parameter: Parameter) -> Any:
        """Give the type that a value is converted to; note it if the producer's cannot meet."""
        name, declared = parameter.name, self.declared(parameter.name)
        if parameter.annotation is MISSING:
            return declared
        if name in self._producers:
            giver = f"step {name!r} gives {{given}}"
        elif name in self._payloads:
            giver = f"trigger {name!r} carries {{given}}"
        else:
            giver = f"the input {name!r} is {{given}} elsewhere"
        taker = f"{piece.who} takes {name!r} as {{taken}}"
        self.compare(declared, parameter.annotation, piece.subject, f"{giver}, and {taker}")
        return parameter.annotation

    def _kind(self, parameter: Parameter) -> ParamKind:
        if parameter.handed is not None:
            return parameter.handed
        if parameter.name in self._producers:
            return "node"
        return "payload" if parameter.name in self._payloads else "input"

    def _note(self, parameter: Parameter) -> None:
        name = parameter.name
        if name in self._producers:
            return
        if name in self._payloads:
            if self._payloads[name] is MISSING:
                self._payloads[name] = parameter.annotation
            return
        annotation, required = self._inputs.get(name, (MISSING, False))
        if annotation is MISSING:
            annotation = parameter.annotation
        self._inputs[name] = (annotation, required or parameter.required)


def delay_of(value: Any, what: str) -> Delay | None:
    """Read a delay; None for a function, which is to be asked.

    Args:
        value: Seconds, a `timedelta`, an aware `datetime` or a function.
        what: Whose delay, for errors.

    Raises:
        DefinitionError: It is nought or less, without end, or a datetime without a time zone.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DefinitionError(
                f"{what} is {value!s} without a time zone; write datetime(..., tzinfo=UTC)"
            )
        return Delay(at=clock.to_us(value))
    if not isinstance(value, (timedelta, int, float)) and callable(value):
        return None
    return Delay(us=duration_of(value, what))


def duration_of(value: Any, what: str) -> int:
    """Give a duration in microseconds.

    Raises:
        DefinitionError: It is no duration, nought or less, or without end.
    """
    if isinstance(value, timedelta):
        us = value // timedelta(microseconds=1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        us = round(value * clock.SECOND) if math.isfinite(value) else _LONGEST
    else:
        raise DefinitionError(f"{what} is {value!r}; write seconds or a timedelta")
    if us <= 0:
        raise DefinitionError(f"{what} is {value!r}: it must be longer than nothing")
    if us >= _LONGEST:
        raise DefinitionError(f"{what} is {value!r}: it never ends; leave it out")
    return us
