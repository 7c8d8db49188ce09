"""A run as it was at one version: status, steps and what it waited for; read-only."""

import functools
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from engine.core.define import Param
from engine.core.events import ErrorDoc
from engine.core.plan import Plan
from engine.core.run import Run, StepState, display_status
from engine.records import told
from eventstore import clock
from eventstore.event import Event

ANSWERS = frozenset({"done", "error", "initial"})  # triggers that are no signals


class Tape:
    """The events of one run, and where in them each value was recorded."""

    def __init__(self, events: Sequence[Event], blob: Callable[[str], bytes]) -> None:
        self.events, self._blob = events, blob

    def told(self, version: int) -> Any:
        """Give the decoded data of an event."""
        event = self.events[version - 1]
        return told(event)

    def value(self, version: int, field: str) -> Any:
        """Give a user's value of an event, decoded from JSON; None if it carries none."""
        told = self.told(version)
        sha256 = getattr(told, field + "_blob")
        if sha256 is not None:
            return msgspec.json.decode(self._blob(sha256))
        raw = getattr(told, field)
        return msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else None

    def result(self, version: int) -> Any:
        """Give what an event brought its subject: output, payload or due time."""
        type_ = self.events[version - 1].type
        if type_ == "step.succeeded":
            return self.value(version, "output")
        if type_ == "timer.fired":
            return clock.from_us(self.told(version).due)
        return self.value(version, "payload")

    @functools.cached_property
    def written(self) -> dict[tuple[str, str], list[int]]:
        """Give by kind ("node" or "payload") and name the versions that brought a value."""
        found: dict[tuple[str, str], list[int]] = {}
        for event in self.events:
            if event.type in ("step.succeeded", "timer.fired", "signal.received"):
                found.setdefault(("node", event.subject), []).append(event.version)
            elif event.type == "machine.moved":
                found.setdefault(("payload", event.subject), []).append(event.version)
        return found

    def latest(self, kind: str, name: str, before: int) -> int | None:
        """Give the version that last brought a value of this name before a version, or None."""
        versions = self.written.get((kind, name), [])
        place = bisect_left(versions, before)
        if not place:
            return None
        version = versions[place - 1]
        if kind == "payload":
            return self.told(version).payload_at or version
        return version


class StepView:
    """One step of a run, on its visit at that version."""

    def __init__(self, tape: Tape, run: Run, plan: Plan, name: str, step: StepState) -> None:
        self._tape, self._run, self._plan, self._step = tape, run, plan, step
        self.name = name

    def __repr__(self) -> str:
        return f"<step {self.name!r} {self.state}, attempts {self.attempts}>"

    @property
    def state(self) -> str:
        """Give "blocked", "running", "retrying", "parked", "succeeded", "failed", …."""
        return self._step.state

    @property
    def attempts(self) -> int:
        """Give how many attempts of this visit were begun."""
        return self._step.attempt

    @property
    def visit(self) -> int:
        """Give which visit it is, from 1; machines come back to a state."""
        return self._step.visit

    @property
    def output(self) -> Any:
        """Give the result, decoded from JSON; None while there is none."""
        version = self._run.outputs.get(self.name)
        if self.state != "succeeded" or version is None:
            return None
        return self._tape.result(version)

    @property
    def error(self) -> ErrorDoc | None:
        """Give what it last failed of, None if it has not, or has succeeded since."""
        if not self._step.failed or self.state == "succeeded":
            return None
        error: ErrorDoc = self._tape.told(self._step.failed).error
        return error

    @property
    def inputs(self) -> dict[str, Any]:
        """Give what it was given by parameter name, or would be given now if it has not begun.

        As far as the log says: a parameter left to its default, or handed in by the engine (a
        client, a context), is absent. An `Outcome` is a dict of state and value.
        """
        node = self._plan.nodes.get(self.name)
        before = self._step.started or self._run.version + 1
        given: dict[str, Any] = {}
        for param in (node.fallback if node and self._step.fallback else None) or (
            node.params if node else ()
        ):
            self._give(given, param, before)
        return given

    def _give(self, given: dict[str, Any], param: Param, before: int) -> None:
        name = param.name
        if param.kind == "input":
            inputs = self._tape.value(1, "inputs") or {}
            if name in inputs:
                given[name] = inputs[name]
        elif param.kind in ("node", "payload"):
            version = self._tape.latest(param.kind, name, before)
            state = self._outcome(name, version) if param.kind == "node" else ""
            if param.outcome and state in ("succeeded", "skipped", "failed"):
                given[name] = {"state": state}
                if state == "succeeded" and version is not None:
                    given[name]["value"] = self._tape.result(version)
            elif version is not None:
                given[name] = self._tape.result(version)

    def _outcome(self, name: str, version: int | None) -> str:
        if version is not None:
            return "succeeded"
        if self._run.signals.get(name) == "timed_out":
            return "failed"
        return self._run.step(name).state


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run waits for."""

    kind: str  # "start", "timer", "signal", "timeout" (of a state), "retry", "breaker"
    name: str  # the timer, signal, state or step; "run" for its start
    due: datetime | None = None  # aware, UTC; None: not by the clock
    breaker: str | None = None  # the breaker that a parked step waits behind


class RunView:
    """A run as it was at one version."""

    def __init__(self, tape: Tape, run: Run, plan: Plan | None) -> None:
        self._tape, self._run, self._plan = tape, run, plan
        self.version = run.version

    def __repr__(self) -> str:
        return f"<run {self._run.id!r} at {self.version}: {self.status}>"

    @property
    def status(self) -> str:
        """Give the run's status; an en dash before its first event."""
        return display_status(self._run)

    @property
    def state(self) -> str | None:
        """Give the machine's state; None for a pipeline."""
        return self._run.place

    @property
    def workflow(self) -> str:
        """Give the workflow's name."""
        return self._run.workflow

    @property
    def definition(self) -> str:
        """Give the hash of the definition that held at that version."""
        return self._run.definition

    @functools.cached_property
    def inputs(self) -> dict[str, Any]:
        """Give what the run was started with."""
        return (self._tape.value(1, "inputs") or {}) if self._run.version else {}

    @functools.cached_property
    def steps(self) -> Mapping[str, StepView]:
        """Give all steps by name, in the order of the workflow."""
        run, plan = self._run, self._plan
        if plan is None:
            return {}
        names = [n for n, node in plan.nodes.items() if node.kind in ("step", "workflow")]
        names += [name for name in run.steps if name not in plan.nodes]  # no longer in it
        return {name: StepView(self._tape, run, plan, name, run.step(name)) for name in names}

    @functools.cached_property
    def waits(self) -> tuple[Wait, ...]:
        """Give what is waited for, the earliest due first, then what no clock brings."""
        run = self._run
        if self._plan is None or run.is_ended:
            return ()
        found = [*self._timed(self._plan), *self._untimed(self._plan)]
        found.sort(key=lambda wait: (wait.due is None, wait.due or _NEVER))
        return tuple(found)

    def _timed(self, plan: Plan) -> list[Wait]:
        run = self._run
        found = []
        if run.due is not None and not run.begun:
            found.append(Wait(kind="start", name="run", due=clock.from_us(run.due)))
        for name, due in run.timers.items():
            found.append(Wait(kind=_timed_kind(plan, name), name=name, due=clock.from_us(due)))
        for name, due in run.retrying.items():
            found.append(Wait(kind="retry", name=name, due=clock.from_us(due)))
        return found

    def _untimed(self, plan: Plan) -> list[Wait]:
        run = self._run
        found = [Wait(kind=_timed_kind(plan, name), name=name) for name in run.begins]
        found += [Wait(kind="signal", name=name) for name in run.awaiting]
        found += [Wait(kind="breaker", name=n, breaker=b) for n, b in run.parked.items()]
        if run.place is not None and run.place in plan.states:
            pulled_by_time = plan.states[run.place].on_timeout
            found += [
                Wait(kind="signal", name=trigger)
                for source, trigger in plan.edges
                if source == run.place and trigger not in ANSWERS and trigger != pulled_by_time
            ]
        return found


_NEVER = clock.from_us(0)


def _timed_kind(plan: Plan, name: str) -> str:
    if plan.definition.is_machine:
        return "timeout"
    return "signal" if plan.nodes[name].kind == "signal" else "timer"
