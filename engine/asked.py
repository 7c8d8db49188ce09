"""What callers hand over at the face, held against what can be right. *Pure.*"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from engine import values
from engine.errors import DefinitionError, RunUnknown, ValueRefused
from engine.secrets import Secrets
from eventstore import clock

LARGEST = 2**63 - 1  # what a column of the log holds
TAPES = ("on_failure", "always", "off")


def run_id(run: Any) -> str:
    """Give the id of a Run, a row or an id.

    Raises:
        RunUnknown: it is none of them.
    """
    found = run if isinstance(run, str) else getattr(run, "id", None)
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        raise RunUnknown(ascii(run) if isinstance(run, str) else repr(run))
    return found


def moment(when: Any, what: str) -> int:
    """Give an aware datetime in microseconds.

    Raises:
        ValueRefused: it is no datetime, or has no time zone.
    """
    if not isinstance(when, datetime):
        raise ValueRefused(f"{what}={when!r} is no datetime; write datetime(..., tzinfo=UTC)")
    try:
        return clock.to_us(when)
    except ValueError as error:
        raise ValueRefused(f"{what}: {error}") from None


def priority(given: Any) -> int:
    """Give a priority that the log can sort by.

    Raises:
        ValueRefused: it is no whole number of 64 bits.
    """
    if not isinstance(given, int) or isinstance(given, bool) or abs(given) > LARGEST:
        raise ValueRefused(f"priority={given!r} is no whole number of 64 bits")
    return given


def tags(given: Any) -> dict[str, str]:
    """Give tags: text to text.

    Raises:
        ValueRefused: they are no such mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueRefused(f"tags={given!r}; tags are a mapping of text to text")
    for name, text in given.items():
        values.text(name, "a tag's name")
        values.text(text, f"tag {name!r}")
    return dict(given)


def inputs(mapping: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Give a run's inputs from the mapping and from the names.

    Raises:
        ValueRefused: the mapping is none, or an input is in both.
    """
    if mapping is None:
        return dict(named)
    if not isinstance(mapping, Mapping):
        raise ValueRefused(f"{mapping!r} is no mapping of inputs; hand them over by name")
    twice = sorted(str(name) for name in mapping if name in named)
    if twice:
        raise ValueRefused(f"input {twice[0]!r} is given twice: in the mapping and by name")
    return {**mapping, **named}


def limit(given: Any) -> int | None:
    """Give how many rows are wanted.

    Raises:
        ValueRefused: it is no whole number from 0.
    """
    if given is not None and (not isinstance(given, int) or given < 0):
        raise ValueRefused(f"limit={given!r}: give 0 or more, or None for all")
    return given


def options(
    *, threads: Any, lease: Any, grace: Any, max_value: Any, tape: Any, worker: Any = None
) -> None:
    """Refuse options of an engine that cannot be right.

    Raises:
        DefinitionError: names the option.
    """
    if not isinstance(threads, int) or threads < 1:
        raise DefinitionError(f"threads={threads!r}: an engine needs at least one whole thread")
    if not isinstance(max_value, int) or max_value < 1:
        raise DefinitionError(f"max_value={max_value!r}: give the bytes a value may have")
    for name, seconds, least in (
        ("lease", lease, "more than 0"),
        ("grace", grace, "0 or more"),
    ):
        fits = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
        if not fits or (name == "lease" and not seconds):
            raise DefinitionError(f"{name}={seconds!r}: give {least} seconds")
    if tape not in TAPES:
        raise DefinitionError(f"tape={tape!r}: there are {', '.join(TAPES)}")
    if worker is not None and not (isinstance(worker, str) and worker.isprintable()):
        raise DefinitionError(f"worker={worker!r}: give a name that people can read")
    if worker is not None:
        values.check_name(worker, "a worker")


def several(given: Any, what: str, shape: tuple[str, ...]) -> list[Any]:
    """Give a list of workflows or triggers.

    Args:
        given: what was handed over.
        what: the option's name.
        shape: attributes that each of them has.

    Raises:
        DefinitionError: it is no list, or something in it is of another kind.
    """
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise DefinitionError(f"{what}={given!r} is no list; write {what}=[...]")
    found = list(given)
    for one in found:
        if any(not hasattr(one, name) for name in shape):
            raise DefinitionError(f"{one!r} among the {what} is none")
    return found


def codec(given: Any) -> Any:
    """Give a codec, or None.

    Raises:
        DefinitionError: it cannot encode and decode.
    """
    able = (callable(getattr(given, name, None)) for name in ("encode", "decode"))
    if given is not None and not all(able):
        raise DefinitionError(
            f"codec={given!r} is to have encode(bytes) and decode(bytes), which give bytes"
        )
    return given


def secrets(given: Any) -> Secrets | None:
    """Give the declared secrets, or None.

    Raises:
        DefinitionError: they are no `Secrets`; what was given is not told.
    """
    if given is not None and not isinstance(given, Secrets):
        raise DefinitionError(
            f"secrets= takes Secrets(env=[...], values={{...}}), not {type(given).__name__}"
        )
    return given


def several_texts(given: Any, what: str) -> tuple[str, ...]:
    """Give texts: one, or several.

    Raises:
        ValueRefused: one of them is no text.
    """
    found = (given,) if isinstance(given, str) else tuple(given or ())
    for one in found:
        values.text(one, what)
    return found
