"""What a user's function asks for: its parameters and types, read once, without calling it."""

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from engine.context import Context
from engine.errors import DefinitionError
from engine.jsonable import real_kind
from engine.outcome import Failure, Outcome

MISSING: Any = inspect.Parameter.empty
Handed = Literal["context", "client", "async_client", "connection", "session", "failure"]
_HANDED: dict[tuple[str, str], Handed] = {  # by top package and class
    (Context.__module__.partition(".")[0], Context.__name__): "context",
    (Failure.__module__.partition(".")[0], Failure.__name__): "failure",
    ("httpx", "Client"): "client",
    ("httpx", "AsyncClient"): "async_client",
    ("sqlalchemy", "Connection"): "connection",
    ("sqlalchemy", "AsyncConnection"): "connection",
    ("sqlalchemy", "Session"): "session",
    ("sqlalchemy", "AsyncSession"): "session",
}
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "takes `*{name}`",
    inspect.Parameter.VAR_KEYWORD: "takes `**{name}`",
    inspect.Parameter.POSITIONAL_ONLY: "has the positional-only parameter {name!r}",
}


class Parameter(NamedTuple):
    """One parameter as its function declares it."""

    name: str
    required: bool
    annotation: Any  # resolved; of Outcome[T] the T; MISSING: none declared
    outcome: bool = False
    handed: Handed | None = None  # not a value of the run: the engine hands it in


class Signature(NamedTuple):
    """What a function takes and gives."""

    parameters: tuple[Parameter, ...]
    returns: Any  # MISSING: none declared
    is_async: bool


def read(fn: Callable[..., Any], who: str, names: Mapping[str, Any] | None = None) -> Signature:
    """Read a function's parameters and types.

    Args:
        fn: A function, bound method, partial, lambda or callable object.
        who: How to call it in an error, such as "step 'enrich'".
        names: Further names that text annotations may use (local classes).

    Raises:
        DefinitionError: A parameter has no name to be called by, or an annotation is unknown.
    """
    try:
        asked = inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{who} cannot be asked for its parameters: {error}") from error
    hints = _hints(fn, who, names)
    parameters = []
    for name, parameter in asked.parameters.items():
        if parameter.kind in _REFUSED:
            how = _REFUSED[parameter.kind].format(name=name)
            raise DefinitionError(
                f"{who} {how}: values are handed over by name; name each one it needs"
            )
        required = parameter.default is MISSING
        parameters.append(_parameter(name, hints.get(name, MISSING), required=required))
    return Signature(tuple(parameters), hints.get("return", MISSING), is_async(fn))


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling this gives something to await."""
    bare = innermost(fn)
    return inspect.iscoroutinefunction(bare) or inspect.iscoroutinefunction(
        getattr(bare, "__call__", None)  # noqa: B004 - its own kind is asked, not whether it is
    )


def name_of(fn: Callable[..., Any]) -> str:
    """Give the name a function goes by: of a partial the function's, of an object its class."""
    bare = innermost(fn)
    name = getattr(bare, "__name__", None)
    return name if isinstance(name, str) else type(bare).__name__


def text(annotation: Any) -> str:
    """Give a type as stable text: `Document`, `list[Page]`, `str | None`; "" for none declared.

    Modules are left out: a class is the same whether its file was run or imported.
    """
    if isinstance(annotation, (list, tuple)):  # the parameters of a Callable
        return f"[{', '.join(text(a) for a in annotation)}]"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return _plain_text(annotation)
    if origin is Annotated:
        return text(arguments[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(value) for value in arguments)}]"
    if origin in (Union, types.UnionType):
        return " | ".join(text(arm) for arm in arguments)
    return f"{text(origin)}[{', '.join(text(a) for a in arguments)}]"


def _plain_text(annotation: Any) -> str:
    if annotation is MISSING:
        return ""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    return (name or str(annotation).rpartition(".")[2]).rpartition("<locals>.")[2]


def real(annotation: Any) -> Any:
    """Give a type with freezegun's classes replaced by the real ones, at any depth."""
    arguments = get_args(annotation)
    if not arguments:
        return real_kind(annotation) if isinstance(annotation, type) else annotation
    true = tuple(real(argument) for argument in arguments)
    if all(a is b for a, b in zip(true, arguments, strict=True)):
        return annotation
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, true)
    if origin is Annotated:
        return Annotated.__class_getitem__((true[0], *arguments[1:]))
    return origin[true] if origin else annotation


def arms_of(annotation: Any) -> tuple[Any, ...]:
    """Give what a union may be, `Annotated` taken off; of any other type itself."""
    if get_origin(annotation) is Annotated:
        return arms_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(arm for a in get_args(annotation) for arm in arms_of(a))
    return (annotation,)


def _parameter(name: str, annotation: Any, *, required: bool) -> Parameter:
    for arm in arms_of(annotation):
        if get_origin(arm) is Outcome:
            return Parameter(name, required, get_args(arm)[0], outcome=True)
        if arm is Outcome:
            return Parameter(name, required, MISSING, outcome=True)
        handed = _handed(arm)
        if handed is not None:
            return Parameter(name, required, annotation, handed=handed)
    return Parameter(name, required, annotation)


def _handed(annotation: Any) -> Handed | None:
    """Tell what the engine hands in for a type; libraries are known by name, not imported."""
    if not isinstance(annotation, type):
        return None
    for base in annotation.__mro__:
        known = _HANDED.get((base.__module__.partition(".")[0], base.__name__))
        if known is not None:
            return known
    return None


def innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function that partials stand around."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _hints(fn: Callable[..., Any], who: str, names: Mapping[str, Any] | None) -> dict[str, Any]:
    bare: Any = innermost(fn)
    if isinstance(bare, type):
        bare = getattr(bare, "__init__")  # noqa: B009 - mypy: unsound on an instance, this is none
    elif not hasattr(bare, "__annotations__"):
        bare = type(bare).__call__
    local = _closure(bare)
    if names and "<locals>" in getattr(bare, "__qualname__", ""):
        local = {**names, **local}
    try:
        hints = typing.get_type_hints(bare, localns=local or None, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{who}: {_culprit(bare, str(error.name))} names {error.name!r}, which is unknown;"
            " define it at the top of its module, and import it outside `if TYPE_CHECKING:`"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise DefinitionError(f"{who}: an annotation cannot be read: {error}") from error
    if isinstance(innermost(fn), type):
        hints["return"] = innermost(fn)
    return {name: real(hint) for name, hint in hints.items()}


def _closure(bare: Any) -> dict[str, Any]:
    """Give the names that a nested function has seen of the functions around it."""
    method = getattr(bare, "__func__", bare)
    code, cells = getattr(method, "__code__", None), getattr(method, "__closure__", None)
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue  # not yet filled: a recursive function names itself
    return found


def _culprit(bare: Any, missing: str) -> str:
    for name, hint in getattr(bare, "__annotations__", {}).items():
        if isinstance(hint, str) and missing in hint:
            what = "the type it returns" if name == "return" else f"the type of {name!r}"
            return f"{what}, {hint!r},"
    return "an annotation"


def outside() -> types.FrameType | None:
    """Give the nearest frame outside this package that led here."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("engine."):
        frame = frame.f_back
    return frame


def names_outside() -> dict[str, Any]:
    """Give the local names where a user calls this package; {} at the top of a module."""
    frame = outside()
    if frame is None or frame.f_locals is frame.f_globals:
        return {}
    return dict(frame.f_locals)


def has_text(fn: Callable[..., Any]) -> bool:
    """Tell whether a function has annotations as text, whose names must be looked up."""
    hints = getattr(innermost(fn), "__annotations__", {})
    return any(isinstance(hint, str) for hint in hints.values())
