"""A definition made ready for work: who waits for whom, looked up in one step. Pure."""

from engine.core.define import Definition, Edge, Node, State, hash_of

_NO_NODES: tuple[str, ...] = ()


def upstreams(node: Node) -> tuple[str, ...]:
    """Give the nodes that a node waits for, each once, in order of naming. *Pure.*"""
    named = [p.name for p in node.params if p.kind == "node"]
    named += [p.name for p in node.when or () if p.kind == "node"]
    named += node.after
    if node.delay is not None and node.delay.params:
        named += [p.name for p in node.delay.params if p.kind == "node"]
    if node.fallback:
        named += [p.name for p in node.fallback if p.kind == "node"]
    return tuple(dict.fromkeys(named))


class Plan:
    """A definition with its look-up tables; made once, shared by all its runs, never changed."""

    __slots__ = (
        "consumers",
        "definition",
        "edges",
        "finals",
        "hash",
        "lasts",
        "nodes",
        "roots",
        "states",
        "step_count",
        "survivable",
        "upstream_count",
        "upstreams",
    )

    def __init__(self, definition: Definition, hash: str | None = None) -> None:  # noqa: A002
        self.definition = definition
        self.hash = hash or hash_of(definition)
        self.nodes: dict[str, Node] = {node.name: node for node in definition.nodes}
        self.states: dict[str, State] = {state.name: state for state in definition.states}
        self.edges: dict[tuple[str, str], tuple[Edge, ...]] = {}
        for edge in definition.edges:
            spot = (edge.source, edge.trigger)
            self.edges[spot] = (*self.edges.get(spot, ()), edge)
        leaving = {edge.source for edge in definition.edges}
        self.finals = frozenset(name for name in self.states if name not in leaving)
        self._join(definition)

    def _join(self, definition: Definition) -> None:
        """Work out a pipeline's joins; a machine has none, its parameters may form a cycle."""
        self.upstreams: dict[str, tuple[str, ...]] = {}
        consumers: dict[str, list[str]] = {}
        if not definition.is_machine:
            for node in definition.nodes:
                self.upstreams[node.name] = names = upstreams(node)
                for name in names:
                    consumers.setdefault(name, []).append(node.name)
        self.consumers = {name: tuple(after) for name, after in consumers.items()}
        self.upstream_count = {name: len(names) for name, names in self.upstreams.items()}
        self.roots = tuple(name for name, count in self.upstream_count.items() if not count)
        works = [n for n in definition.nodes if n.kind in ("step", "workflow")]
        self.step_count = len(works)
        self.lasts = tuple(n.name for n in works if not self._is_followed(n.name))
        self.survivable = frozenset(n.name for n in definition.nodes if self._survives(n.name))

    def _is_followed(self, name: str) -> bool:
        """Tell whether a step waits for this node, also by way of a signal or timer."""
        return any(
            self.nodes[c].kind in ("step", "workflow") or self._is_followed(c)
            for c in self.consumers.get(name, _NO_NODES)
        )

    def _survives(self, name: str) -> bool:
        """Tell whether every consumer takes this node's failure as an `Outcome` parameter.

        A signal that times out may also meet a default: its parameter is optional.
        """
        consumers = self.consumers.get(name, _NO_NODES)
        lenient = self.nodes[name].kind == "signal"
        for consumer in consumers:
            node = self.nodes[consumer]
            takes = [p for p in node.params if p.kind == "node" and p.name == name]
            if not takes or not all(p.outcome or (lenient and not p.required) for p in takes):
                return False
        return bool(consumers)
