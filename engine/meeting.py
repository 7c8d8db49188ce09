"""Do the types at both ends of an edge meet? Only what plainly cannot is told so.

Values pass through JSON and are converted on arrival, so `str` may meet `UUID`, and `dict` a
dataclass; but text never becomes a list, and one dataclass no other.
"""

import collections.abc
import dataclasses
import datetime
import decimal
import pathlib
import typing
import uuid
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from engine import jsonable
from engine.signature import arms_of

_SHAPES: tuple[tuple[type, str], ...] = (
    (bool, "number"),
    (int, "number"),
    (float, "number"),
    (str, "text"),
    (bytes, "text"),
    (bytearray, "text"),
    (uuid.UUID, "text"),
    (pathlib.PurePath, "text"),
    (datetime.date, "text"),
    (datetime.time, "text"),
    (datetime.timedelta, "text"),
    (dict, "object"),
    (list, "array"),
    (tuple, "array"),
    (set, "array"),
    (frozenset, "array"),
    (type(None), "null"),
    (collections.abc.Mapping, "object"),
    (collections.abc.Collection, "array"),
)
_EITHER = "either"  # a Decimal reads text and numbers; of other classes nothing is known


def can_meet(given: Any, taken: Any) -> bool:
    """Tell whether a value declared as one type may be read as another.

    Args:
        given: The producer's type.
        taken: The receiver's.

    Returns:
        False only if no value of the one could ever be the other.
    """
    return any(_arms_meet(g, t) for g in _plain_arms(given) for t in _plain_arms(taken))


def _plain_arms(annotation: Any) -> list[Any]:
    arms: list[Any] = []
    for arm in arms_of(annotation):
        plain = arm
        while isinstance(plain, typing.NewType):
            plain = plain.__supertype__
        if get_origin(plain) is Literal:
            arms += [type(value) for value in get_args(plain)]
        else:
            arms.append(type(None) if plain is None else plain)
    return arms


def _arms_meet(given: Any, taken: Any) -> bool:
    if given is taken or _is_open(given) or _is_open(taken):
        return True
    one, other = get_origin(given) or given, get_origin(taken) or taken
    if not (isinstance(one, type) and isinstance(other, type)):
        return True
    shapes = {_shape(one), _shape(other)}
    if _EITHER not in shapes and len(shapes) > 1:
        return shapes == {"record", "object"}
    if shapes == {"record"}:
        return issubclass(one, other) or issubclass(other, one)
    ours, theirs = _items(given), _items(taken)
    return ours is None or theirs is None or can_meet(ours, theirs)


def _is_open(annotation: Any) -> bool:
    return annotation is Any or annotation is object or isinstance(annotation, TypeVar)


def _shape(kind: type) -> str:
    """Give the JSON shape that a class takes."""
    if issubclass(kind, (Enum, decimal.Decimal)) or _is_root_or_array(kind):
        return _EITHER
    if _is_record(kind):
        return "record"
    if typing.is_typeddict(kind):
        return "object"
    return next((shape for base, shape in _SHAPES if issubclass(kind, base)), _EITHER)


def _is_record(kind: type) -> bool:
    return (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or jsonable.is_model(kind)
    )


def _is_root_or_array(kind: type) -> bool:
    """Tell whether a class of records is written as something else than an object."""
    if issubclass(kind, msgspec.Struct):
        return bool(kind.__struct_config__.array_like)
    return jsonable.is_model(kind) and "root" in getattr(kind, "model_fields", {})


def _items(annotation: Any) -> Any:
    """Give the type of a list's items or a dict's values; None if it is not told."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if not arguments or not isinstance(origin, type):
        return None
    if origin is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is ... else None
    shape = _shape(origin)
    if shape == "array" and len(arguments) == 1:
        return arguments[0]
    return arguments[1] if shape == "object" and len(arguments) == 2 else None
