"""What cannot be right about a definition, found before it runs. Linear; no recursion.

Types at both ends of an edge are compared where the types are (`engine/meeting.py`); here is
what names and edges alone can tell.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from engine.core.define import Definition, Node
from engine.core.finding import Finding, near
from engine.core.machine import ABSENT
from engine.core.plan import upstreams
from engine.core.slips import check_slips
from engine.core.table import check_machine

_RESERVED = frozenset({"run"})  # the subject of the run's own events
_ON_OPEN = ("park", "fail", "fallback", "skip")
_ON_LOST = ("retry", "fail")
_NAME = re.compile(r"\w[\w.-]*")
_WORKFLOW_NAME = re.compile(r"\w[\w .-]*")


def check(definition: Definition) -> tuple[Finding, ...]:
    """Find all that cannot be right about a workflow; empty if it can.

    Args:
        definition: A pipeline or a machine, with its names as written.
    """
    findings = [*_names(definition), *_options(definition)]
    findings += check_machine(definition) if definition.is_machine else _pipeline(definition)
    return (*findings, *check_slips(definition))


def _names(definition: Definition) -> Iterator[Finding]:
    if not _WORKFLOW_NAME.fullmatch(definition.name):
        yield Finding(
            "name", f"{definition.name!r} is no name for a workflow; use letters, digits, _ . -"
        )
    if not definition.nodes and not definition.is_machine:
        yield Finding("empty", "there are neither steps nor states; give steps=[...]")
    yield from _repeated("steps", (node.name for node in definition.nodes), "give name=")
    yield from _repeated("states", (state.name for state in definition.states), "keep one")
    yield from _repeated(
        "different guards",
        (guard.name for guard in definition.guards),
        "a guard is known by its name: write each as a def of its own name",
    )
    yield from _repeated(
        "different circuit breakers",
        (breaker.name for breaker in definition.breakers),
        "use one object for all steps, or other names",
    )
    for node in definition.nodes:
        if node.name in _RESERVED:
            yield Finding(
                "reserved", f"the name {node.name!r} is the run's own; give name=", node.name
            )
        elif not _NAME.fullmatch(node.name):
            message = f"{node.name!r} is no name for a step; give name=, of letters and digits"
            yield Finding("name", message, node.name)
    for state in definition.states:
        if not state.name.strip() or not state.name.isprintable() or state.name == ABSENT:
            yield Finding("name", f"{state.name!r} is no name for a state", state.name)


def _repeated(what: str, names: Iterable[str], instead: str) -> Iterator[Finding]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Finding("duplicate", f"{times} {what} are named {name!r}; {instead}", name)


def _options(definition: Definition) -> Iterator[Finding]:
    for node in definition.nodes:
        if node.on_open not in _ON_OPEN:
            yield _bad_option(node, "on_open", node.on_open, _ON_OPEN)
        if node.on_lost not in _ON_LOST:
            yield _bad_option(node, "on_lost", node.on_lost, _ON_LOST)
        if node.on_open == "fallback" and node.fallback is None:
            yield Finding(
                "fallback",
                f"step {node.name!r} has on_open='fallback' and no fallback;"
                f" write one under @{node.name}.fallback",
                node.name,
            )


def _bad_option(node: Node, option: str, value: object, known: tuple[str, ...]) -> Finding:
    return Finding(
        "option",
        f"step {node.name!r} has {option}={value!r}; write one of {known}",
        node.name,
    )


def _pipeline(definition: Definition) -> Iterator[Finding]:
    known = {node.name for node in definition.nodes}
    for node in definition.nodes:
        for name in node.after:
            if name not in known:
                yield Finding(
                    "after",
                    f"{node.name!r} stands after {name!r}, which is no step here"
                    f"{near(name, known)}",
                    node.name,
                )
    circle = _circle(
        {n.name: [u for u in upstreams(n) if u in known] for n in definition.nodes}
    )
    if circle:
        yield Finding(
            "cycle",
            f"the steps wait for each other in a circle: {' -> '.join(circle)};"
            " a loop is a machine's: give states and transitions",
            circle[0],
        )


def _circle(waits_for: dict[str, list[str]]) -> list[str]:
    """Find one circle, in the direction of the values; empty if there is none."""
    left = {name: len(set(above)) for name, above in waits_for.items()}
    below: dict[str, list[str]] = {name: [] for name in waits_for}
    for name, above in waits_for.items():
        for upper in set(above):
            below[upper].append(name)
    ready = [name for name, count in left.items() if not count]
    while ready:
        for name in below[ready.pop()]:
            left[name] -= 1
            if not left[name]:
                ready.append(name)
    stuck = {name for name, count in left.items() if count}
    if not stuck:
        return []
    trail: dict[str, None] = {}
    at = next(name for name in waits_for if name in stuck)
    while at not in trail:
        trail[at] = None
        at = next(upper for upper in waits_for[at] if upper in stuck)
    names = list(trail)
    circle = [*names[names.index(at) :], at]
    return circle[::-1]
