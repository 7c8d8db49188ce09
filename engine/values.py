"""Values on their way through the log: strict JSON by msgspec, and a walk for what it passes.

msgspec writes NaN as null, turns keys into text and sets into lists, and tells nobody. So each
value is looked at before it is encoded. Small plain values take a short path that only looks;
the walk knows where it stands and can say so.
"""

import dataclasses
import inspect
import types
import typing
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec

from engine import jsonable
from engine.errors import DefinitionError, ValueRefused
from engine.jsonable import Odd

# Bytes in UTF-8 of what the log finds things by; PostgreSQL's indexes take no more, and what goes
# into one database is to fit into the other.
LONGEST_NAME, LONGEST_KEY = 500, 1500
_PLAIN = frozenset({str, int, bool, type(None)})
_ODD = -1
_encoder = msgspec.json.Encoder(enc_hook=jsonable.lower)


def text(given: Any, what: str) -> str:
    """Give a name, key or reason that the log can hold.

    Raises:
        ValueRefused: It is no text, UTF-8 cannot carry it, or no database can (a NUL character).
    """
    if not isinstance(given, str):
        raise ValueRefused(f"{what} {given!r} is no text")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueRefused(f"{what} {given!r} holds a lone surrogate: no UTF-8") from None
    if "\0" in given:
        raise ValueRefused(f"{what} {given!r} holds a NUL character; leave it out")
    return given


def is_long(given: str, most: int) -> bool:
    """Say whether a text has more than so many bytes in UTF-8. *Pure.*"""
    return len(given) * 4 > most and len(given.encode(errors="surrogatepass")) > most


def key(given: Any, what: str, most: int = LONGEST_KEY) -> str:
    """Give what the log is to find something by.

    Raises:
        ValueRefused: As of `text`, or it is longer than `most` bytes.
    """
    if is_long(text(given, what), most):
        raise ValueRefused(
            f"{what} {given[:60]!r}... is longer than {most} bytes, which is what every database"
            " can look up; give a shorter one, such as a hash of it"
        )
    return str(given)


def check_name(given: str, whose: str) -> None:
    """Refuse a name that is too long to find something by.

    Raises:
        DefinitionError: It has more than LONGEST_NAME bytes.
    """
    if is_long(given, LONGEST_NAME):
        raise DefinitionError(
            f"the name of {whose} is longer than {LONGEST_NAME} bytes ({given[:60]!r}...); every"
            " database can look up what is shorter"
        )


def encode(value: Any, where: str, max_value: int) -> bytes:
    """Give a value as JSON bytes.

    Args:
        value: Anything that JSON can carry by way of msgspec.
        where: Whose value it is, for errors, such as "output of step 'enrich'".
        max_value: The most bytes it may take.

    Raises:
        ValueRefused: It is not strict JSON, or is too large; names the place inside the value.
    """
    try:
        if type(value) not in _PLAIN and _count(value, max_value) < 0:
            jsonable.walk(value, max_value)
        content = _encoder.encode(value)
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueRefused(f"{where}: {_explain(value, error, max_value)}") from error
    if len(content) > max_value:
        raise ValueRefused(
            f"{where}: {len(content)} bytes of JSON, and max_value is {max_value};"
            " keep it elsewhere and pass its path or address, or raise max_value"
        )
    return content


def decode(raw: bytes | str | msgspec.Raw, annotation: Any = Any, where: str = "value") -> Any:
    """Give JSON as a value of the annotated type.

    Args:
        raw: The JSON.
        annotation: What to convert to; `Any`, or none declared, gives plain JSON.
        where: Whose value it is, for errors.

    Raises:
        ValueRefused: It does not fit the annotation, or nothing could.
    """
    try:
        return _reader(annotation).read(raw)
    except (msgspec.MsgspecError, Odd) as error:
        raise ValueRefused(f"{where}: {error}") from error


def why_unreadable(annotation: Any) -> str:
    """Say why nothing could ever be read from JSON as this type; "" if something can."""
    try:
        reader = _reader(annotation)
    except Odd as odd:
        return odd.what
    return reader.unreadable


def _count(value: Any, limit: int) -> int:
    """Count the places of a plain value; below nought if it is odd or over the limit.

    Each place takes a byte of JSON at least, so a value that shares its parts without end is
    known by its count.
    """
    kind = type(value)
    if kind is float:
        return 1 if value - value == 0.0 else _ODD
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return _ODD
        value = value.values()
    elif kind is not list:
        return _ODD
    total = 1
    for item in value:
        if type(item) in _PLAIN:
            total += 1
        else:
            count = _count(item, limit)
            if count < 0:
                return _ODD
            total += count
    return total if total <= limit else _ODD


def _explain(value: Any, error: Exception, max_value: int) -> str:
    """Find the place inside a value that msgspec or the count stumbled over."""
    if not isinstance(error, Odd):
        try:
            jsonable.walk(value, max_value)
        except Odd as odd:
            return str(odd)
        except RecursionError:
            return "$ is nested too deeply; pass a flatter value"
    return str(error)


class _Reader:
    """Reads JSON as one type."""

    __slots__ = ("_arms", "_decoder", "unreadable")

    def __init__(self, annotation: Any) -> None:
        self._arms: tuple[_Reader, ...] = ()
        self._decoder: msgspec.json.Decoder[Any] | _EnumDecoder
        self.unreadable = ""
        try:
            self._decoder = msgspec.json.Decoder(annotation, dec_hook=jsonable.lift)
        except TypeError as error:
            self._do_otherwise(annotation, error)
        else:
            self.unreadable = _why_custom(annotation)

    def read(self, raw: bytes | str | msgspec.Raw) -> Any:
        """Give the value that JSON stands for."""
        for arm in self._arms[:-1]:
            try:
                return arm.read(raw)
            except msgspec.MsgspecError:
                continue
        return self._arms[-1].read(raw) if self._arms else self._decoder.decode(raw)

    def _do_otherwise(self, annotation: Any, error: TypeError) -> None:
        """Read what msgspec has no decoder for: mixed enums, unions like `str | Path`.

        Two records would each fit the other's JSON: a union of them stays refused.
        """
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            self._decoder = _EnumDecoder(annotation)
            return
        arms = get_args(annotation)
        is_union = get_origin(annotation) in (Union, types.UnionType)
        if not is_union or sum(map(_is_record, arms)) > 1:
            raise Odd(
                f"cannot be read from JSON: {error}; use msgspec.Structs with a tag"
            ) from error
        self._arms = tuple(_reader(arm) for arm in arms)


class _EnumDecoder:
    """Reads an enum whose values are not all text or all whole numbers."""

    def __init__(self, kind: type[Enum]) -> None:
        self._kind = kind
        self._plain = [(msgspec.to_builtins(member.value), member) for member in kind]

    def decode(self, raw: bytes | str | msgspec.Raw) -> Enum:
        """Give the member whose value this is."""
        plain = msgspec.json.decode(raw)
        for value, member in self._plain:
            same = list(value) if isinstance(value, tuple) else value
            if same == plain and type(same) is type(plain):
                return member
        raise msgspec.ValidationError(f"Invalid enum value {plain!r} of {self._kind.__name__}")


_readers: dict[Any, _Reader] = {}


def _reader(annotation: Any) -> _Reader:
    if annotation is inspect.Parameter.empty:
        annotation = Any
    try:
        return _readers[annotation]
    except KeyError:
        reader = _readers[annotation] = _Reader(annotation)
        return reader
    except TypeError:  # not hashable: Annotated with a list in it
        return _Reader(annotation)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, msgspec.Struct)
        or hasattr(kind, "__attrs_attrs__")
        or typing.is_typeddict(kind)
        or jsonable.is_model(kind)
    )


def _why_custom(annotation: Any) -> str:
    """Say why a type that msgspec leaves to the hook cannot be read; "" if it can."""
    try:
        found = msgspec.inspect.type_info(annotation)
    except Exception:  # noqa: BLE001 - a forward reference inside it, say: reading will tell
        return ""
    arms = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    for arm in arms:
        if isinstance(arm, msgspec.inspect.CustomType) and not jsonable.is_liftable(arm.cls):
            return f"`{arm.cls.__qualname__}` cannot be read from JSON; {jsonable.INSTEAD}"
    return ""
