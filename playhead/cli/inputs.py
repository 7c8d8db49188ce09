"""What is typed, read as what it stands for: inputs, payloads, tags, times. Pure."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine import values
from engine.errors import ValueRefused
from engine.signature import arms_of
from eventstore import clock
from playhead.cli.options import Wrong

if TYPE_CHECKING:
    from engine.workflow import Workflow

_AGO = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_inputs(workflow: "Workflow", pairs: Iterable[str]) -> dict[str, Any]:
    """Give the inputs of a run by name.

    Args:
        workflow: what they are for; its annotations say how a text is read.
        pairs: `name=value` each.

    Raises:
        Wrong: no pair, a name twice, or a value that its annotation does not take.
    """
    given: dict[str, Any] = {}
    for name, text in split_pairs(pairs):
        annotation = workflow.code.inputs.get(name, Any)
        try:
            given[name] = read_value(text, annotation)
        except ValueRefused as error:
            raise Wrong(f"input {name}={text}: {_bare(error)}") from None
    return given


def split_pairs(pairs: Iterable[str], what: str = "an input") -> list[tuple[str, str]]:
    """Give names and texts of `name=value` pairs.

    Raises:
        Wrong: one is no pair, or a name stands twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Wrong(f"{pair!r} is not {what}; write name=value")
        if name in found:
            raise Wrong(f"{name!r} is given twice")
        found[name] = text
    return list(found.items())


def read_value(text: str, annotation: Any = Any) -> Any:
    """Give the value that a text stands for, as an annotation asks.

    A type that text is good for gets the text; any other reads it as JSON, and if it is none as
    JSON text, such as a date. Without an annotation: JSON if it is that, else text.

    Raises:
        ValueRefused: the annotation takes it in neither way.
    """
    arms = arms_of(annotation)
    kinds = [arm for arm in arms if arm is not type(None)]
    if len(kinds) < len(arms) and text == "null":
        return None
    if kinds == [str]:
        return text
    if Any in arms or object in arms:
        return read_json(text)
    raws = [text, json.dumps(text)] if _is_json(text) else [json.dumps(text)]
    refused = None
    for raw in raws:
        try:
            return values.decode(raw, annotation)
        except ValueRefused as error:
            refused = refused or error
    raise refused or ValueRefused(text)


def read_json(text: str) -> Any:
    """Give the value of a text that is strict JSON, else the text."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _bare(error: ValueRefused) -> str:
    return str(error).removeprefix("value: ")


def read_payload(words: list[str], declared: Any = Any) -> Any:
    """Give a signal's payload: nothing, one value, or an object of `name=value` pairs.

    Raises:
        Wrong: several words that are no pairs.
        ValueRefused: the declared type does not take it.
    """
    if not words:
        return None
    text = words[0]
    if len(words) == 1 and (arms_of(declared) == (str,) or not _PAIR.fullmatch(text)):
        return read_value(text, declared)
    return {name: read_json(value) for name, value in split_pairs(words, "part of a payload")}


_PAIR = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def read_tags(pairs: Iterable[str]) -> dict[str, str]:
    """Give tags by name."""
    return dict(split_pairs(pairs, "a tag"))


def read_moment(text: str) -> datetime:
    """Give an ISO time as an aware datetime; one without a zone is UTC.

    Raises:
        Wrong: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong(
            f"{text!r} is no version and no ISO time; write 7 or 2026-03-01T12:00:00Z"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def read_since(text: str) -> datetime:
    """Give an ISO time, or how long ago: `30min`, `2h`, `7d`.

    Raises:
        Wrong: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is None:
            return read_moment(text)
        past = timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        return clock.from_us(clock.now_us()) - past
    except OverflowError:
        raise Wrong(f"{text!r} ago is before any calendar; write a shorter age") from None
    except Wrong:
        raise Wrong(
            f"{text!r} is no ISO time and no age; write 2026-03-01T12:00:00Z, or 2h for"
            " two hours ago"
        ) from None
