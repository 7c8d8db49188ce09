"""A workflow as a picture in text: Mermaid for pages, DOT for Graphviz. Pure.

A pipeline shows its inputs, steps, signals and timers with the values that flow between them;
a machine its states with their transitions, guards and timeouts. Names are never used as ids:
they may hold anything.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from engine.core.define import Delay, Edge, Node, Param
from engine.core.plan import Plan

STYLES: dict[str, tuple[str, str]] = {  # class: fill and border
    "active": ("#dbeafe", "#2563eb"),
    "visited": ("#dcfce7", "#16a34a"),
    "failed": ("#fee2e2", "#dc2626"),
    "waiting": ("#fef9c3", "#ca8a04"),
    "skipped": ("#f3f4f6", "#9ca3af"),
}
_MERMAID = {
    "step": ('["', '"]'),
    "workflow": ('[["', '"]]'),
    "signal": ('{{"', '"}}'),
    "timer": ('(("', '"))'),
    "input": ('(["', '"])'),
}
_DOT = {
    "step": "box",
    "workflow": "component",
    "signal": "hexagon",
    "timer": "circle",
    "input": "ellipse",
}
_ENTITIES = {  # what Mermaid would read as its own
    "#": "#35;",
    ";": "#59;",
    '"': "#quot;",
    "<": "#lt;",
    ">": "#gt;",
    ":": "#58;",
    "`": "#96;",
    "\\": "#92;",
}


class _Line(NamedTuple):
    """One arrow of a pipeline."""

    source: str
    dest: str
    label: str
    dashed: bool  # orders, or may be left out


def mermaid(plan: Plan, *, states: Mapping[str, str] | None = None) -> str:
    """Draw a workflow in Mermaid.

    Args:
        plan: The workflow.
        states: By node or state, how to show it: a key of `STYLES`.

    Returns:
        A `stateDiagram-v2` for a machine, a `flowchart` for a pipeline.

    Raises:
        ValueError: A style is unknown.
    """
    lines = _mermaid_machine(plan) if plan.definition.is_machine else _mermaid_pipeline(plan)
    styles = _styles(plan, states or {})
    shown = [f"  {line}" for line in lines[1:]]
    for style in dict.fromkeys(styles.values()):
        fill, border = STYLES[style]
        shown.append(f"  classDef {style} fill:{fill},stroke:{border},color:#111827")
        shown.append(f"  class {','.join(i for i, s in styles.items() if s == style)} {style}")
    return "\n".join([lines[0], *shown]) + "\n"


def dot(plan: Plan, *, states: Mapping[str, str] | None = None) -> str:
    """Draw a workflow in DOT, the language of Graphviz.

    Args:
        plan: The workflow.
        states: By node or state, how to show it: a key of `STYLES`.

    Raises:
        ValueError: A style is unknown.
    """
    ids = _ids(plan)
    styles = _styles(plan, states or {})
    lines = [
        "rankdir=LR;",
        'node [fontname="sans-serif", shape=box, style="rounded,filled", fillcolor="#ffffff"];',
        'edge [fontname="sans-serif"];',
    ]
    draw = _dot_machine if plan.definition.is_machine else _dot_pipeline
    for identity, line in draw(plan, ids):
        if identity in styles:
            fill, border = STYLES[styles[identity]]
            lines.append(f'{line[:-2]}, fillcolor="{fill}", color="{border}"];')
        else:
            lines.append(line)
    body = "\n".join(f"  {line}" for line in lines)
    return f"digraph {_dot_text(plan.definition.name)} {{\n{body}\n}}\n"


def _ids(plan: Plan) -> dict[str, str]:
    """Give each node, or state, an id of the picture's own; inputs of a pipeline too."""
    definition = plan.definition
    if definition.is_machine:
        return {state.name: f"s{place}" for place, state in enumerate(definition.states)}
    ids = {one.name: f"i{place}" for place, one in enumerate(definition.inputs)}
    return ids | {node.name: f"n{place}" for place, node in enumerate(definition.nodes)}


def _styles(plan: Plan, states: Mapping[str, str]) -> dict[str, str]:
    """Give the style by id; what is not in the picture is left out."""
    ids = _ids(plan)
    for style in states.values():
        if style not in STYLES:
            raise ValueError(f"no style {style!r}; known are {', '.join(STYLES)}")
    return {ids[name]: style for name, style in states.items() if name in ids}


def _mermaid_pipeline(plan: Plan) -> list[str]:
    ids = _ids(plan)
    lines = ["flowchart LR"]
    for name, kind in _parts(plan):
        begin, end = _MERMAID[kind]
        lines.append(f"{ids[name]}{begin}{_mermaid_text(name)}{end}")
    for line in _flow(plan):
        arrow = "-.->" if line.dashed else "-->"
        label = f"|{_mermaid_text(line.label)}|" if line.label else ""
        lines.append(f"{ids[line.source]} {arrow}{label} {ids[line.dest]}")
    return lines


def _mermaid_machine(plan: Plan) -> list[str]:
    ids = _ids(plan)
    lines = ["stateDiagram-v2", "direction LR"]
    lines += [f'state "{_mermaid_text(name)}" as {i}' for name, i in ids.items()]
    lines += [f"[*] --> {ids[name]}" for name in ids if name == plan.definition.initial]
    for edge in plan.definition.edges:
        dest = edge.source if edge.dest is None else edge.dest
        label = _mermaid_text(_edge_label(plan, edge))
        lines.append(f"{ids[edge.source]} --> {ids[dest]} : {label}")
    lines += [f"{ids[name]} --> [*]" for name in ids if name in plan.finals]
    return lines


def _dot_pipeline(plan: Plan, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, kind in _parts(plan):
        yield ids[name], f"{ids[name]} [label={_dot_text(name)}, shape={_DOT[kind]}];"
    for line in _flow(plan):
        style = "dashed" if line.dashed else "solid"
        label = f"label={_dot_text(line.label)}, " if line.label else ""
        yield "", f"{ids[line.source]} -> {ids[line.dest]} [{label}style={style}];"


def _dot_machine(plan: Plan, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, identity in ids.items():
        rings = ", peripheries=2" if name in plan.finals else ""
        yield identity, f"{identity} [label={_dot_text(name)}{rings}];"
        if name == plan.definition.initial:
            yield "", 'start [label="", shape=point];'
            yield "", f"start -> {identity};"
    for edge in plan.definition.edges:
        dest = edge.source if edge.dest is None else edge.dest
        label = _dot_text(_edge_label(plan, edge))
        yield "", f"{ids[edge.source]} -> {ids[dest]} [label={label}];"


def _parts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield from ((one.name, "input") for one in plan.definition.inputs)
    yield from ((node.name, node.kind) for node in plan.definition.nodes)


def _flow(plan: Plan) -> Iterator[_Line]:
    """Give a pipeline's arrows: values first, then what only asks, then what only orders."""
    for node in plan.definition.nodes:
        drawn: set[str] = set()
        for params, label in _askings(node):
            for param in params:
                if param.kind in ("node", "input") and param.name not in drawn:
                    drawn.add(param.name)
                    optional = not param.required
                    yield _Line(param.name, node.name, label, dashed=optional or bool(label))
        for name in node.after:
            if name not in drawn:
                drawn.add(name)
                yield _Line(name, node.name, "after", dashed=True)


def _askings(node: Node) -> Iterator[tuple[tuple[Param, ...], str]]:
    yield node.params, ""
    yield node.when or (), "when"
    if node.delay is not None:
        yield node.delay.params or (), "delay"


def _edge_label(plan: Plan, edge: Edge) -> str:
    label = edge.trigger
    state = plan.states.get(edge.source)
    if state is not None and state.on_timeout == edge.trigger and state.timeout is not None:
        label += f" ({_delay_words(state.timeout)})"
    guards = [*edge.conditions, *(f"not {name}" for name in edge.unless)]
    if guards:
        label += f" [{' and '.join(guards)}]"
    return label if edge.dest is not None else f"{label} / stays"


def _delay_words(delay: Delay) -> str:
    if delay.us is not None:
        return f"after {_duration_words(delay.us)}"
    return "at a time" if delay.at is not None else "when due"


def _duration_words(us: int) -> str:
    """Give a duration as people say it: "2 d", "1 h 30 min", "0.5 s"."""
    seconds, words = us / 1_000_000, []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            words.append(f"{int(seconds // size)} {unit}")
            seconds %= size
    return " ".join([*words, f"{seconds:g} s"] if seconds or not words else words)


def _mermaid_text(name: str) -> str:
    return "".join(_ENTITIES.get(c, c if c.isprintable() else " ") for c in name)


def _dot_text(name: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in name)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
