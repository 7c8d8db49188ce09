"""The dialect of `transitions.Machine`, read: its lists and dicts, without work in callbacks.

`"*"` means every state that is not final. A state is final if it says so (`final`, `outcome`),
or if nothing leaves it; a `"*"` edge into a state that nothing else leaves (an abort) does not
make the other final states unfinal, one into a state that goes on (a reset) does.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, EnumMeta
from typing import Any, NamedTuple

from engine import signature
from engine.binding import delay_of
from engine.core.define import Edge, State
from engine.errors import DefinitionError

_STATE_KEYS = ("name", "timeout", "on_timeout", "final", "outcome", "ignore_invalid_triggers")
_EDGE_KEYS = ("trigger", "source", "dest", "conditions", "unless")
_OUTCOMES = ("succeeded", "failed")
WORK_ENDS = frozenset({"done", "error"})  # the triggers that a state's work pulls
_WORK = "a callback would work outside the log"
_INSTEAD = {
    "on_enter": f"{_WORK}; do the work in a step of the state's name",
    "on_exit": f"{_WORK}; do the work in a step of the next state's name",
    "on_final": f"{_WORK}; do the work in a step before the final state",
    "before": f"{_WORK}; do the work in a step of the destination's name",
    "after": f"{_WORK}; do the work in a step of the destination's name",
    "prepare": f"{_WORK}; compute it in the guard (`conditions`) or in a step",
    "children": "there is no hierarchy; write flat states",
    "parallel": "there are no parallel states; work side by side in a pipeline's steps",
    "initial": "there is no hierarchy; name flat states, and initial= of the Workflow",
    "queued": "triggers are always taken one after another; leave it out",
    "tags": "tags decide nothing here; leave them out",
    "accepted": "say 'outcome': 'failed' of a final state that is no success",
    "retries": "give the step a retry policy (`@retry` under `@step`)",
    "on_failure": "write an `error` edge from the state",
    "volatile": "values of a state are outputs of its step",
    "hook": "values of a state are outputs of its step",
}


class Table(NamedTuple):
    """A machine, read."""

    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    guards: tuple[tuple[str, Callable[..., Any]], ...]
    delays: Mapping[str, Callable[..., Any]]  # state timeouts that are functions, by state
    ignoring: tuple[str, ...]  # states that ignore the triggers they do not take


class _Row(NamedTuple):
    """One transition as written."""

    trigger: str
    sources: tuple[str, ...] | None  # None: "*"
    dest: str | None  # "=" stands as written
    conditions: tuple[str, ...]
    unless: tuple[str, ...]


def read(states: Any, transitions: Iterable[Any]) -> Table:
    """Read the lists and dicts of a machine.

    Raises:
        DefinitionError: Something in them is not honoured here; says what to write instead.
    """
    found: list[State] = []
    delays: dict[str, Callable[..., Any]] = {}
    closing: set[str] = set()
    ignoring: list[str] = []
    for written in _listed(states):
        options = _state_options(written)
        state = _state(options, delays)
        found.append(state)
        if options.get("final") or "outcome" in options:
            closing.add(state.name)
        if options.get("ignore_invalid_triggers"):
            ignoring.append(state.name)
    guards: list[tuple[str, Callable[..., Any]]] = []
    rows = [_row(written, guards) for written in transitions]
    names = [state.name for state in found]
    edges = _spell_out(rows, names, closing)
    for edge in edges:
        if edge.source in closing:
            raise DefinitionError(
                f"state {edge.source!r} is final, and {edge.trigger!r} leaves it;"
                " take away the edge, or `final` and `outcome`"
            )
    return Table(tuple(found), tuple(edges), tuple(guards), delays, tuple(ignoring))


def name_of(written: Any, what: str) -> str:
    """Give the name of a state or trigger: text, or an enum member's name.

    Raises:
        DefinitionError: It is neither.
    """
    if isinstance(written, Enum):
        return str(written.name)
    if isinstance(written, str):
        return written
    if isinstance(written, (list, tuple)):
        raise DefinitionError(f"{what} {written!r} is nested; {_INSTEAD['children']}")
    raise DefinitionError(f"{what} {written!r} is no name; write text or an enum member")


def _listed(states: Any) -> list[Any]:
    if isinstance(states, (str, Enum, Mapping)):
        return [states]
    if isinstance(states, EnumMeta):
        return list(states)
    return list(states)


def _state_options(written: Any) -> dict[str, Any]:
    if isinstance(written, (str, Enum, list, tuple)):
        return {"name": written}
    if isinstance(written, Mapping):
        options = dict(written)
        for key, value in options.items():
            if key not in _STATE_KEYS and (value or key not in _INSTEAD):
                _refuse(key, f"state {options.get('name')!r}", _STATE_KEYS)
        return options
    return from_state(written)


def from_state(state: Any) -> dict[str, Any]:
    """Give a `transitions.State` as a dict of the dialect.

    Raises:
        DefinitionError: It has callbacks, or is no state.
    """
    if not (hasattr(state, "on_enter") and hasattr(state, "name")):
        raise DefinitionError(
            f"{state!r} is no state; write a name, an enum member, or a dict with `name`"
        )
    for callback in ("on_enter", "on_exit", "children"):
        if getattr(state, callback, None):
            _refuse(callback, f"state {state.name!r}", _STATE_KEYS)
    options: dict[str, Any] = {"name": state.name, "final": getattr(state, "final", False)}
    if getattr(state, "timeout", 0):
        options |= {"timeout": state.timeout, "on_timeout": state.on_timeout}
    if state.ignore_invalid_triggers:
        options["ignore_invalid_triggers"] = True
    return options


def _state(options: Mapping[str, Any], delays: dict[str, Callable[..., Any]]) -> State:
    if "name" not in options:
        raise DefinitionError(f"a state has no name: {dict(options)!r}; give it 'name': ...")
    name = name_of(options["name"], "state")
    outcome = options.get("outcome", "succeeded")
    if outcome not in _OUTCOMES:
        raise DefinitionError(
            f"state {name!r} has outcome {outcome!r}; write 'succeeded' or 'failed'"
        )
    timeout = options.get("timeout")
    delay = None if timeout is None else delay_of(timeout, f"the timeout of state {name!r}")
    if timeout is not None and delay is None:
        delays[name] = timeout
    pulled = options.get("on_timeout")
    if isinstance(pulled, (list, tuple)) and len(pulled) == 1:
        pulled = pulled[0]
    if pulled and not isinstance(pulled, (str, Enum)):
        raise DefinitionError(
            f"on_timeout of state {name!r} is {pulled!r}; write the name of one trigger,"
            " and an edge for it"
        )
    return State(
        name,
        outcome=outcome,
        timeout=delay,
        on_timeout=name_of(pulled, "trigger") if pulled else None,
    )


def _row(written: Any, guards: list[tuple[str, Callable[..., Any]]]) -> _Row:
    if isinstance(written, Mapping):
        options = dict(written)
    elif isinstance(written, (list, tuple)):
        keys = (*_EDGE_KEYS, "before", "after", "prepare")
        options = dict(zip(keys, written, strict=False))
    else:
        raise DefinitionError(f"{written!r} is no transition; write [trigger, source, dest]")
    for key, value in options.items():
        if key not in _EDGE_KEYS and (value or key not in _INSTEAD):
            _refuse(key, f"transition {options.get('trigger')!r}", _EDGE_KEYS)
    missing = [key for key in _EDGE_KEYS[:3] if key not in options]
    if missing:
        raise DefinitionError(f"transition {written!r} lacks {missing[0]!r}")
    trigger = name_of(options["trigger"], "trigger")
    source, dest = options["source"], options["dest"]
    listed = list(source) if isinstance(source, (list, tuple, EnumMeta)) else [source]
    return _Row(
        trigger,
        None if source == "*" else tuple(name_of(s, "source state") for s in listed),
        None if dest is None else name_of(dest, "destination state"),
        _guards(options.get("conditions"), trigger, guards),
        _guards(options.get("unless"), trigger, guards),
    )


def _guards(
    written: Any, trigger: str, guards: list[tuple[str, Callable[..., Any]]]
) -> tuple[str, ...]:
    if written is None:
        return ()
    names = []
    for guard in written if isinstance(written, (list, tuple)) else [written]:
        if isinstance(guard, str) or not callable(guard):
            raise DefinitionError(
                f"the guard {guard!r} of transition {trigger!r} is no function, and there is no"
                " model to look it up on; write the function itself: conditions=few_drafts"
            )
        name = signature.name_of(guard)
        names.append(name)
        guards.append((name, guard))
    return tuple(names)


def _spell_out(rows: list[_Row], names: list[str], closing: set[str]) -> list[Edge]:
    """Spell out `*`, lists and `=`: one edge for each source, in the order of asking."""
    leaving = {source for row in rows for source in row.sources or ()}
    resets = any(row.sources is None and row.dest in leaving for row in rows)
    resting = set(closing)
    if leaving and not resets:
        resting |= {n for n in names if n not in leaving}
    edges: list[Edge] = []
    always: set[tuple[str, str]] = set()  # taken without a guard: what comes after never is
    for row in rows:
        sources = row.sources
        if sources is None:
            free = [n for n in names if n not in resting]
            sources = tuple(n for n in free if (n, row.trigger) not in always) or tuple(
                free[:1]
            )
        for source in sources:
            dest = source if row.dest == "=" else row.dest
            edges.append(Edge(row.trigger, source, dest, row.conditions, row.unless))
            if not (row.conditions or row.unless):
                always.add((source, row.trigger))
    return edges


def _refuse(key: str, whose: str, known: tuple[str, ...]) -> None:
    instead = _INSTEAD.get(key)
    if instead is None:
        near = difflib.get_close_matches(key, known, 1)
        instead = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise DefinitionError(f"{whose} has {key!r}, which is not honoured here: {instead}")
