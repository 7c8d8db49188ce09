"""What JSON can carry beyond JSON's own: the walk that refuses the rest, and the two hooks.

The walk looks at every place of a value, inside dataclasses, structs, attrs and pydantic models
too, and names the place it refuses: `$.pages[3].score`.
"""

import dataclasses
import datetime
import decimal
import math
import sys
import uuid
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

import msgspec


def real_kind(kind: type) -> Any:
    """Give the real class behind one of freezegun's; any other class itself."""
    if kind.__module__ == "freezegun.api":
        for base in kind.__mro__:
            if base.__module__ == "datetime":
                return base
    return kind


class Real:
    """The true classes of datetime: freezegun swaps a module's names, not a class's."""

    # A frozen clock may stand over the import itself, hence asked and not just named.
    moment: type[datetime.datetime] = real_kind(datetime.datetime)
    day: type[datetime.date] = real_kind(datetime.date)


_SCALARS = (bytes, bytearray, memoryview, uuid.UUID, datetime.date, datetime.timedelta)
_LEAVES = frozenset({int, bool, type(None), bytes, uuid.UUID, datetime.timedelta, Real.day})
_BASES: dict[type, Callable[[Any], Any]] = {  # a subclass is written as what it is made of
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes,
    decimal.Decimal: decimal.Decimal,
}
INSTEAD = "use a dataclass, msgspec.Struct, attrs or pydantic class, or dicts, lists and text"
_DEEP = 200  # characters of a place that are told


class Odd(ValueError):
    """A place of a value that JSON cannot carry."""

    def __init__(self, what: str) -> None:
        self.what, self.steps = what, [""]
        super().__init__(what)

    def __str__(self) -> str:
        """Name the place, shortened if it is very deep, then what is odd about it."""
        place = "".join(reversed(self.steps))
        if len(place) > _DEEP:
            place = f"{place[: _DEEP // 2]} … {place[-_DEEP // 2 :]}"
        return f"${place} {self.what}"


def walk(value: Any, limit: int) -> None:
    """Look at every place of a value.

    Args:
        value: Anything.
        limit: The most places it may have, since each takes a byte of JSON at least.

    Raises:
        Odd: A place that strict JSON cannot carry.
    """
    _Walk(limit).look(value)


class _Walk:
    """One walk: how many places are left, and which containers are around this place."""

    def __init__(self, limit: int, *, lenient: bool = False) -> None:
        self._left = limit
        self._limit = limit
        self._lenient = lenient  # pydantic spells types of its own itself
        self._around: set[int] = set()

    def look(self, value: Any) -> None:
        """Refuse what is odd about a place or any place inside it."""
        self._left -= 1
        if self._left < 0:
            raise Odd(
                f"holds more than {self._limit} places: it takes more bytes than max_value"
            )
        if type(value) in _LEAVES:
            return
        inside = self._places(value)
        if inside is None:
            return
        if id(value) in self._around:
            raise Odd("holds itself: JSON has no circles")
        self._around.add(id(value))
        for step, item in inside:
            try:
                self.look(item)
            except Odd as odd:
                odd.steps.append(step if isinstance(step, str) else f"[{step}]")
                raise
        self._around.discard(id(value))

    def _places(self, value: Any) -> Iterator[tuple[str | int, Any]] | None:
        """Give the places inside a value, each with its name; None for one that has none."""
        if isinstance(value, Enum):
            return iter([(".value", value.value)])
        if isinstance(value, dict):
            return self._entries(value)
        if isinstance(value, (list, tuple)):
            return enumerate(value)
        if _is_record(value):
            return _fields(value)
        if is_model(type(value)):
            return self._dumped(value)
        self._scalar(value)
        return None

    def _entries(self, value: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            if not isinstance(key, str):
                raise Odd(
                    f"has the key {key!r}, which is no text (JSON has no other keys);"
                    " write it as text or use a list of pairs"
                )
            _text(key, "has a key that")
            yield (f".{key}" if key.isidentifier() else f"[{key!r}]"), item

    def _dumped(self, model: Any) -> Iterator[tuple[str | int, Any]]:
        try:
            plain = model.model_dump(mode="python", round_trip=True)
        except Exception as error:
            raise Odd(f"cannot be dumped by pydantic: {error}") from error
        if not isinstance(plain, dict):
            plain = {"root": plain}
        was, self._lenient = self._lenient, True
        yield from ((f".{name}", item) for name, item in plain.items())
        self._lenient = was

    def _scalar(self, value: Any) -> None:
        """Refuse a value without places of its own that JSON cannot carry."""
        if isinstance(value, (str, PurePath)):
            _text(str.__str__(value) if isinstance(value, str) else str(value), "is text that")
        elif isinstance(value, (float, decimal.Decimal)):
            if not math.isfinite(value):
                raise Odd(f"is {_spelled(value)}, which is no JSON; use None for no number")
        elif isinstance(value, (Real.moment, datetime.time)):
            offset = value.utcoffset()
            if offset is not None and offset % datetime.timedelta(minutes=1):
                raise Odd(f"is off UTC by odd seconds ({offset}); use .astimezone(UTC)")
        elif not isinstance(value, (int, *_SCALARS)):
            self._refuse(value)

    def _refuse(self, value: Any) -> None:
        if isinstance(value, (set, frozenset)):
            raise Odd("is a set, whose order is not fixed; use sorted(...) to make it a list")
        if hasattr(value, "get_secret_value"):
            raise Odd("is a secret, which would become asterisks; keep it out of the log")
        if not self._lenient:
            kind = type(value).__qualname__
            raise Odd(f"is of type {kind}, which JSON cannot carry; {INSTEAD}")


def lower(value: Any) -> Any:
    """Give what msgspec cannot write by itself as something that it can. The writing hook."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Real.moment):  # freezegun's
        moment = Real.moment.combine(_day(value), value.time(), value.tzinfo)
        return moment.replace(fold=value.fold)
    if isinstance(value, Real.day):
        return _day(value)
    for base, plain in _BASES.items():
        if isinstance(value, base):
            return plain(value)
    if is_model(type(value)):
        names = {} if _reads_by_name(type(value)) else {"by_alias": True}
        return value.model_dump(mode="json", round_trip=True, **names)
    raise Odd(f"holds a {type(value).__qualname__}, which JSON cannot carry; {INSTEAD}")


def lift(kind: Any, plain: Any) -> Any:
    """Give plain JSON as a type that msgspec cannot read by itself. The reading hook.

    Raises:
        TypeError: It is no such thing, or nothing can be read as this type.
    """
    if isinstance(kind, type):
        true = real_kind(kind)
        if true is not kind:
            return msgspec.convert(plain, true)
        if is_model(kind):
            names = {"by_alias": True, "by_name": True} if _reads_by_name(kind) else {}
            model: Any = kind
            return model.model_validate_json(msgspec.json.encode(plain), **names)
        if issubclass(kind, PurePath):
            return kind(msgspec.convert(plain, str))
        for base in (str, int, float):
            if issubclass(kind, base):
                made: Any = kind
                return made(msgspec.convert(plain, base))
    raise TypeError(
        f"`{getattr(kind, '__qualname__', kind)}` cannot be read from JSON; {INSTEAD}"
    )


def is_liftable(kind: Any) -> bool:
    """Tell whether `lift` knows a type."""
    known = (str, int, float, PurePath, Real.day)
    return isinstance(kind, type) and (issubclass(kind, known) or is_model(kind))


def is_model(kind: type) -> bool:
    """Tell whether a class is a pydantic model, without importing pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _is_record(value: Any) -> bool:
    kind = type(value)
    return (
        isinstance(value, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
    )


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        names: tuple[str, ...] = value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        names = tuple(field.name for field in dataclasses.fields(value))
    else:
        names = tuple(field.name for field in type(value).__attrs_attrs__)
    for name in names:
        item = getattr(value, name, msgspec.UNSET)
        if item is not msgspec.UNSET:
            yield f".{name}", item


def _text(value: str, what: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Odd(
            f"{what} is no Unicode: half a surrogate pair at character {error.start};"
            " use bytes, or text.encode('utf-8', 'replace').decode()"
        ) from None


def _spelled(value: float | decimal.Decimal) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _day(value: datetime.date) -> datetime.date:
    return Real.day(value.year, value.month, value.day)


def _reads_by_name(kind: type) -> bool:
    """Tell whether this pydantic takes a field's own name beside its alias (2.11 and later)."""
    pydantic = sys.modules["pydantic"]
    version = tuple(int(part) for part in pydantic.VERSION.split(".")[:2])
    return version >= (2, 11) and issubclass(kind, pydantic.BaseModel)
