"""What cannot be right about a machine's table: its states, transitions, timeouts and work."""

from collections import deque
from collections.abc import Iterable, Iterator

from engine.core.define import Definition, Edge
from engine.core.finding import Finding, near

_RESERVED = frozenset({"initial"})  # the trigger of the first move
_COMPARED = 64  # guarded edges of one state and trigger; more are not compared


def check_machine(definition: Definition) -> Iterator[Finding]:
    """Find what cannot be right about a machine's states and transitions."""
    states = {state.name for state in definition.states}
    unknown = list(_unknown_states(definition, states))
    yield from unknown
    yield from _triggers(definition)
    yield from _timeouts(definition)
    if not unknown:
        yield from _unreachable(definition)
    yield from _dead_ends(definition, states)
    yield from _shadowed(definition.edges)


def _unknown_states(definition: Definition, states: set[str]) -> Iterator[Finding]:
    if definition.initial is None:
        yield Finding("initial", "the machine has no initial state; give initial=")
    elif definition.initial not in states:
        hint = near(definition.initial, states)
        yield Finding("initial", f"the initial state {definition.initial!r} is no state{hint}")
    for edge in definition.edges:
        for end, name in (("source", edge.source), ("dest", edge.dest)):
            if name is not None and name not in states:
                yield Finding(
                    "state",
                    f"transition {edge.trigger!r} has the {end} {name!r}, which is no state"
                    f"{near(name, states)}",
                    name,
                )


def _triggers(definition: Definition) -> Iterator[Finding]:
    triggers = {edge.trigger for edge in definition.edges}
    for name in sorted(triggers & _RESERVED):
        yield Finding(
            "reserved", f"the trigger {name!r} is the machine's own; name it otherwise"
        )
    for name in definition.defer:
        if name not in triggers:
            hint = near(name, triggers)
            yield Finding(
                "defer", f"defer= names {name!r}, which no transition takes{hint}", name
            )


def _timeouts(definition: Definition) -> Iterator[Finding]:
    taken = {(edge.source, edge.trigger) for edge in definition.edges}
    triggers = {edge.trigger for edge in definition.edges}
    for state in definition.states:
        if state.timeout is None and state.on_timeout is None:
            continue
        if state.timeout is None:
            message = f"has on_timeout={state.on_timeout!r} and no timeout; give it 'timeout'"
        elif state.on_timeout is None:
            message = "has a timeout and no on_timeout; name the trigger that it pulls"
        elif (state.name, state.on_timeout) in taken:
            continue
        else:
            hint = "" if state.on_timeout in triggers else near(state.on_timeout, triggers)
            message = (
                f"has on_timeout={state.on_timeout!r}, and no transition of that trigger"
                f" leaves it{hint}"
            )
        yield Finding("on_timeout", f"state {state.name!r} {message}", state.name)


def _unreachable(definition: Definition) -> Iterator[Finding]:
    ways: dict[str, set[str]] = {}
    for edge in definition.edges:
        if edge.dest is not None:
            ways.setdefault(edge.source, set()).add(edge.dest)
    reached = {definition.initial}
    ahead = deque(reached)
    while ahead:
        for name in ways.get(ahead.popleft() or "", ()):
            if name not in reached:
                reached.add(name)
                ahead.append(name)
    for state in definition.states:
        if state.name not in reached:
            yield Finding(
                "unreachable",
                f"state {state.name!r} is unreachable: no transitions lead to it"
                f" from {definition.initial!r}",
                state.name,
            )


def _dead_ends(definition: Definition, states: set[str]) -> Iterator[Finding]:
    out: dict[str, set[str]] = {}
    for edge in definition.edges:
        out.setdefault(edge.source, set()).add(edge.trigger)
    for node in definition.nodes:
        if node.name not in states:
            yield Finding(
                "unknown",
                f"step {node.name!r} bears no state's name: it would never run"
                f"{near(node.name, states)}",
                node.name,
            )
        elif not out.get(node.name, set()) - {"error"}:
            yield Finding(
                "dead-end",
                f"state {node.name!r} is a dead end: its work ends in `done`, and neither that"
                " nor a signal has an edge there; add a transition",
                node.name,
            )


def _shadowed(edges: Iterable[Edge]) -> Iterator[Finding]:
    before: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        above = before.setdefault((edge.source, edge.trigger), [])
        shadow = next((e for e in above if _covers(e, edge)), None)
        if shadow is not None:
            why = (
                "has no guard" if not (shadow.conditions or shadow.unless) else "holds as often"
            )
            yield Finding(
                "shadowed",
                f"the transition {edge.trigger!r} from {edge.source!r} to {edge.dest!r} is"
                f" shadowed: the one to {shadow.dest!r} before it {why}, so it is never taken",
                edge.source,
            )
        elif len(above) < _COMPARED:
            above.append(edge)


def _covers(first: Edge, later: Edge) -> bool:
    """Tell whether the first edge holds whenever the later one does."""
    return set(first.conditions) <= set(later.conditions) and set(first.unless) <= set(
        later.unless
    )
