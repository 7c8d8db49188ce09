"""Bring runs to life: inputs held against the workflow, keys that count once."""

import difflib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from engine import asked, values
from engine.core import commands as c
from engine.core.commands import Refusal, Value
from engine.core.decide import decide
from engine.core.events import Fact
from engine.core.evolve import evolve
from engine.core.facts import Facts
from engine.core.run import Run
from engine.driver import Driver
from engine.errors import DefinitionError, KeyReused, PlayheadError, ValueRefused
from engine.host import Host
from engine.repository import Hold, KnownWorkflow, row_of
from engine.triggering import Prepared
from engine.veil import Veil
from eventstore import NEW, Headline, InboxKey, NewEvent, Write, clock
from eventstore.errors import KeyTaken


class Starting:
    """Starts runs for callers and for triggers; one for an engine."""

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        self.log = engine.log

    def workflow(self, wanted: Any) -> KnownWorkflow:
        """Give a workflow of this engine by itself or by name.

        Raises:
            DefinitionError: the engine does not know it.
        """
        known = self._engine.workflows
        if isinstance(wanted, str):
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it knows {sorted(known)}"
                raise DefinitionError(f"this engine has no workflow {wanted!r}{hint}")
            return known[wanted]
        name = getattr(wanted, "name", None)
        if name is None or not hasattr(wanted, "definition"):
            raise DefinitionError(
                f"{wanted!r} is no workflow; hand over a Workflow or its name"
            )
        if name not in known:
            self._engine.add(wanted)
            self._engine.repository.add(wanted)
        elif known[name] is not wanted:
            raise DefinitionError(
                f"this engine knows another workflow called {name!r}; hand that one over, or its"
                " name"
            )
        return known[name]

    def inputs(self, workflow: KnownWorkflow, given: Mapping[str, Any]) -> bytes:
        """Give the inputs as one JSON object, held against what the workflow takes.

        Raises:
            ValueRefused: unknown, missing, not strict JSON, too large, or of the wrong type.
        """
        takes = {item.name: item for item in workflow.definition.inputs}
        for name in given:
            if not isinstance(name, str):
                raise ValueRefused(
                    f"workflow {workflow.name!r}: an input's name is text, not {name!r}"
                )
            if name not in takes:
                near = difflib.get_close_matches(name, takes, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {sorted(takes)}"
                raise ValueRefused(f"workflow {workflow.name!r} has no input {name!r}; {hint}")
        missing = [name for name, item in takes.items() if item.required and name not in given]
        if missing:
            raise ValueRefused(
                f"workflow {workflow.name!r} needs {'inputs' if len(missing) > 1 else 'input'}"
                f" {', '.join(map(repr, missing))}"
            )
        raws: dict[str, msgspec.Raw] = {}
        for name in takes:
            if name in given:
                where = f"input {name!r} of workflow {workflow.name!r}"
                raw = values.encode(given[name], where, self._engine.max_value)
                values.decode(raw, workflow.code.inputs.get(name, Any), where)
                raws[name] = msgspec.Raw(raw)
        encoded = msgspec.json.encode(raws)
        veil = self._engine.repository.veil
        return encoded if veil is None else _veiled(veil, encoded, workflow)

    def payload(self, hold: Hold, name: str, payload: Any) -> Value:
        """Give a signal's payload, held against the declared type if this engine knows one.

        Raises:
            ValueRefused: it does not fit; nothing was written.
        """
        where = f"payload of signal {name!r}"
        raw = values.encode(payload, where, self._engine.max_value)
        workflow = self._engine.workflows.get(hold.run.workflow)
        if workflow is not None:
            declared = workflow.code.payloads.get(name, Any)
            if declared is not Any:
                values.decode(raw, declared, where)
        return self._engine.repository.store_value(raw)

    def start(
        self, wanted: Any, given: Mapping[str, Any], *, key: str | None, at: datetime | None,
        priority: int, tags: Mapping[str, str] | None, driver: Driver | None,
    ) -> Hold:  # fmt: skip
        """Start a run, or find the one that its key started before."""
        workflow = self.workflow(wanted)
        raw = self.inputs(workflow, given)
        command = self._command(workflow, raw, key=key, at=at, priority=priority, tags=tags)
        if driver is not None:
            self._engine.worker.enter()
        hold = self._new_hold(workflow, raw)
        inbox = self._inbox(workflow, key, hold.run.id)
        turns = self._engine.turns
        try:
            if driver is not None and not driver.stopping:
                turn = turns.take(hold, [command], crew=driver.crew, inbox=inbox)
                driver.settle(hold, turn)
                driver.launch(turn.flights)
            else:
                turns.take(hold, [command], inbox=inbox)
                self._engine.poke()
                self.log.hint([hold.run.id])
        except KeyTaken as taken:
            return self._found(workflow, key or "", taken.stream, raw)
        return hold

    def _new_hold(self, workflow: KnownWorkflow, raw: bytes) -> Hold:
        self._engine.repository.publish(workflow)
        hold = Hold(Run(clock.new_id()), workflow.plan, NEW)
        hold.inputs = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return hold

    def _command(
        self, workflow: KnownWorkflow, raw: bytes, *, key: str | None = None,
        at: datetime | None = None, priority: int = 0, tags: Mapping[str, str] | None = None,
    ) -> c.StartRun:  # fmt: skip
        if key is not None:
            values.key(key, "the key")
        return c.StartRun(
            workflow=workflow.name, definition=workflow.hash,
            inputs=self._engine.repository.store_value(raw),
            key=key, tags=asked.tags(tags), priority=asked.priority(priority),
            due=None if at is None else asked.moment(at, "at"),
        )  # fmt: skip

    def _inbox(
        self, workflow: KnownWorkflow, key: str | None, run_id: str
    ) -> tuple[InboxKey, ...]:
        return () if key is None else (InboxKey(f"start:{workflow.name}", key, run_id),)

    def _found(self, workflow: KnownWorkflow, key: str, run_id: str, raw: bytes) -> Hold:
        hold = self._engine.peek(run_id)
        before = self._engine.repository.inputs(hold)
        now = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        if _sorted(before) != _sorted(now):
            raise KeyReused(workflow.name, key, run_id)
        return hold

    def prepare(
        self, wanted: Any, given: Mapping[str, Any], *, key: str | None, cause: str | None
    ) -> Prepared:
        """Make the write that starts a run, to be appended with what caused it. *Pure.*"""
        workflow = self.workflow(wanted)
        raw = self.inputs(workflow, given)
        hold = self._new_hold(workflow, raw)
        now = clock.now_us()
        command = self._command(workflow, raw, key=key)
        decided = decide(hold.run, hold.plan, command, Facts(now=now))
        if isinstance(decided, Refusal):
            raise PlayheadError(decided.reason)
        veil = self._engine.repository.veil
        if veil is not None:
            decided = [veil.fact(fact) for fact in decided]
        events = tuple(self._fold(hold, fact, now, cause) for fact in decided)
        row = msgspec.structs.replace(row_of(hold, owner=None), due=now)
        headline = Headline(name=workflow.name, key=key)
        write = Write(hold.run.id, "run", NEW, events, row, headline)
        return Prepared(hold.run.id, write, self._inbox(workflow, key, hold.run.id))

    def _fold(self, hold: Hold, fact: Fact, now: int, cause: str | None) -> NewEvent:
        version = hold.run.version + 1
        evolve(
            hold.run, hold.plan, version, fact.type, fact.subject, fact.source, fact.dest,
            fact.data, now,
        )  # fmt: skip
        data = msgspec.json.encode(fact.data).decode()
        return NewEvent(fact.type, fact.subject, fact.source, fact.dest, data, now, cause)


def _veiled(veil: Veil, encoded: bytes, workflow: KnownWorkflow) -> bytes:
    """Give inputs without secrets, held against their types once more: that is what is read.

    Raises:
        ValueRefused: a mark stands where the type takes no text.
    """
    clean = veil.raw(encoded)
    if clean is not encoded:
        for name, raw in msgspec.json.decode(clean, type=dict[str, msgspec.Raw]).items():
            where = (
                f"input {name!r} of workflow {workflow.name!r}, without what is secret in it"
            )
            values.decode(raw, workflow.code.inputs.get(name, Any), where)
    return clean


def _sorted(raws: Mapping[str, msgspec.Raw]) -> bytes:
    """Give inputs as JSON with all keys in order: equal whatever their order; 1 is not true."""
    plain = {name: msgspec.json.decode(raw) for name, raw in raws.items()}
    return msgspec.json.encode(plain, order="sorted")
