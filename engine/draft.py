"""A workflow being made: its functions read, bound to each other, put down as data and code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from engine import signature
from engine.binding import ASKED, Binder
from engine.calls import Code, Work
from engine.core.define import BreakerSpec, Definition, Delay, Edge, Guard, Input, Node
from engine.core.finding import Finding
from engine.dialect import WORK_ENDS, Table
from engine.errors import DefinitionError
from engine.nodes import Listed, Pieces, bind_node, breaker_spec, known, read_node, returned
from engine.signature import MISSING
from engine.steps import Signal, Step, Timer

_MACHINES_OWN = {
    "after": "write transitions",
    "when": "write a guard (`conditions`) on the transition into its state",
    "timeout": "give the state that waits 'timeout' and 'on_timeout'",
}


class Draft:
    """Reads what was handed to `Workflow(...)` and gives its definition and its code."""

    def __init__(self, name: str, listed: list[Any], table: Table, **settings: Any) -> None:
        """Read all functions, then bind them.

        Args:
            name: The workflow's name.
            listed: What stands in `steps=`.
            table: The machine's; an empty one for a pipeline.
            settings: The machine's others, as `Definition` names them.

        Raises:
            DefinitionError: Something cannot be read.
        """
        self.listed: list[Listed] = [known(one) for one in listed]
        self.breakers: dict[str, Any] = {}
        self._name, self._table, self._settings = name, table, settings
        self._specs: dict[BreakerSpec, None] = {}
        self._nodes: list[Node] = []
        self._works: dict[str, Work] = {}
        if table.states:
            self._refuse_pipeline_parts()
        names = signature.names_outside()
        self._binder = Binder(self._producers(names), self._payloads(), names)
        self._bind_all()

    @property
    def findings(self) -> list[Finding]:
        """What was found wrong while binding: types that cannot meet, endless retries."""
        return self._binder.findings

    def where(self, subject: str) -> str | None:
        """Give the source line of a node by name; None for anything else."""
        return next((one.where for one in self.listed if one.name == subject), None)

    def definition(self) -> Definition:
        """Give the workflow as data, with the machine's names as written."""
        states = []
        for state in self._table.states:
            timeout = state.timeout
            if state.name in self._delays:
                timeout = Delay(params=self._delays[state.name][0])
            states.append(msgspec.structs.replace(state, timeout=timeout))
        payloads = self._binder.payloads().items()
        return Definition(
            name=self._name,
            inputs=self._binder.inputs(),
            nodes=tuple(self._nodes),
            breakers=tuple(self._specs),
            states=tuple(states),
            edges=self._table.edges,
            guards=tuple(Guard(name, params) for name, (params, _) in self._guards),
            triggers=tuple(
                Input(name, signature.text(kind))
                for name, kind in payloads
                if kind is not MISSING
            ),
            **self._settings,
        )

    def ignoring(self) -> tuple[Edge, ...]:
        """Give the edges that stay, for states which ignore the triggers they do not take.

        A final state has none: nothing comes to it any more. What work and timeouts pull is
        never ignored.
        """
        taken = {(edge.source, edge.trigger) for edge in self._table.edges}
        leaving = {edge.source for edge in self._table.edges}
        pulled = {state.on_timeout for state in self._table.states} | WORK_ENDS
        triggers = dict.fromkeys(edge.trigger for edge in self._table.edges)
        return tuple(
            Edge(trigger, state, None)
            for state in self._table.ignoring
            if state in leaving
            for trigger in triggers
            if trigger not in pulled and (state, trigger) not in taken
        )

    def code(self) -> Code:
        """Give the workflow's functions by name."""
        payloads = self._binder.payloads()
        payloads |= {s.name: returned(s) for s in self.listed if isinstance(s, Signal)}
        return Code(
            works=self._works,
            guards={name: call for name, (_, call) in self._guards},
            inputs=self._binder.input_types(),
            payloads={n: Any if kind is MISSING else kind for n, kind in payloads.items()},
            delays={state: call for state, (_, call) in self._delays.items()},
        )

    def _refuse_pipeline_parts(self) -> None:
        """Refuse what orders and paces a pipeline's steps: in a machine its table does."""
        triggers = {edge.trigger for edge in self._table.edges}
        for one in self.listed:
            asked = next((k for k in _MACHINES_OWN if getattr(one, k, None)), None)
            if isinstance(one, Timer):
                wrong = "stands in a machine; give a state 'timeout' and 'on_timeout'"
            elif isinstance(one, Signal) and one.name not in triggers:
                wrong = "names no trigger of this machine; write a transition for it"
            elif asked and not (asked == "timeout" and isinstance(one, Step)):
                wrong = f"has {asked}=, which a machine does not honour; {_MACHINES_OWN[asked]}"
            else:
                continue
            raise DefinitionError(f"{one!r} {wrong}", where=one.where)

    def _producers(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """Give the declared type of what each node gives; a machine's signals are triggers."""
        producers = {}
        for one in self.listed:
            if isinstance(one, Step) or not self._table.states:
                with _at(one):
                    if isinstance(one, Step):
                        one.signature(names)
                    producers[one.name] = returned(one)
        return producers

    def _payloads(self) -> dict[str, Any]:
        """Give the declared type of each trigger's payload; what work pulls carries none."""
        names = {edge.trigger for edge in self._table.edges} - WORK_ENDS
        declared = {s.name: returned(s) for s in self.listed if isinstance(s, Signal)}
        return {name: declared.get(name, MISSING) for name in sorted(names)}

    def _bind_all(self) -> None:
        binder = self._binder
        nodes = [s for s in self.listed if isinstance(s, Step) or not self._table.states]
        read: list[tuple[Listed, Pieces]] = []
        for one in nodes:
            with _at(one):
                read.append((one, read_node(one, binder)))
        guards = [
            (name, binder.read(fn, f"guard {name!r}", ASKED, name))
            for name, fn in dict.fromkeys(self._table.guards)
        ]
        delays = [
            (name, binder.read(fn, f"the timeout of state {name!r}", ASKED, name))
            for name, fn in self._table.delays.items()
        ]
        for one, pieces in read:
            with _at(one):
                node, self._works[one.name] = bind_node(one, pieces, binder)
                self._nodes.append(node)
                self._note_breaker(one)
        self._guards = [(name, binder.bind(piece)) for name, piece in guards]
        self._delays = {name: binder.bind(piece) for name, piece in delays}

    def _note_breaker(self, one: Listed) -> None:
        spec = breaker_spec(one) if isinstance(one, Step) else None
        if spec is not None and isinstance(one, Step):
            self._specs[spec] = None
            self.breakers.setdefault(spec.name, one.breaker)


@contextmanager
def _at(one: Listed) -> Iterator[None]:
    """Name a node's source line in what is refused about it."""
    try:
        yield
    except DefinitionError as error:
        if error.where is not None:
            raise
        raise DefinitionError(str(error), where=one.where) from error
