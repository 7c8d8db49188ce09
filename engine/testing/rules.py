"""Rules by example: given events, when a command, then events; no step is ever called."""

import re
from collections.abc import Iterable
from typing import Any, Self

import msgspec

from engine import values
from engine.app import Engine
from engine.core import commands as c
from engine.core.breaker import PREFIX
from engine.core.commands import Value
from engine.core.events import DATA, NOT_YET
from engine.core.evolve import evolve
from engine.core.run import Run
from engine.flights import Crew
from engine.history import HistoryEvent
from engine.repository import Hold, row_of
from eventstore import NEW, Append, Event, Headline, NewEvent, Row, Write, clock

SLOTS = 1000  # steps that may start in one turn of a rule
LARGEST = 16 * 2**20  # bytes of a value
LINE = re.compile(r"(?:(\S+) )?([a-z_]+\.[a-z_]+) (\S+) (\S+?)>(\S+)(?: (\{.*\}))?$", re.DOTALL)

_encode = msgspec.json.encode


def value(what: Any) -> Value:
    """Give a value as a command carries it: an output, a payload."""
    return Value(raw=msgspec.Raw(values.encode(what, "this value", LARGEST)))


def given(events: Iterable[HistoryEvent | str], workflow: Any) -> "Given":
    """Put a run where its events have led it.

    Args:
        events: oldest first; as `engine.history(run)` gives them, or one line each: type,
            subject, `source>dest` (`-` for what is not yet there) and, if it matters, the data:
            `step.succeeded draft running>succeeded {"output": "x"}`.
        workflow: the rules: its edges, guards and conditions are the ones that are asked.
    """
    return Given(list(events), workflow)


class Given:
    """A run that stands somewhere, in a log of its own; no step of it is ever called."""

    def __init__(self, events: list[HistoryEvent | str], workflow: Any) -> None:
        self.engine = Engine("memory://", workflows=[workflow])
        self.engine.repository.publish(workflow)
        self.workflow = workflow
        self.reason = ""  # why the last command was refused; "": it was not
        told = [_told(event, workflow) for event in events]
        streams = list(dict.fromkeys(stream for stream, _ in told)) or [""]
        for stream in (name for name in streams if name.startswith(PREFIX)):
            self._append_breaker(stream, [event for name, event in told if name == stream])
        self.run_id = next((s for s in streams if s and not s.startswith(PREFIX)), "run")
        self._append_run([e for s, e in told if not s.startswith(PREFIX)])
        self._seen = self._position()

    def _append_breaker(self, stream: str, events: list[NewEvent]) -> None:
        write = Write(stream, "breaker", NEW, tuple(events), Row(status=events[-1].dest))
        self.engine.log.append(Append(stream, (write,)))

    def _append_run(self, events: list[NewEvent]) -> None:
        if not events:
            return
        hold = Hold(Run(self.run_id), self.workflow.plan, NEW)
        for version, event in enumerate(events, 1):
            evolve(
                hold.run, hold.plan, version, event.type, event.subject, event.source,
                event.dest, event.data, event.at,
            )  # fmt: skip
        head = Headline(name=self.workflow.name, key=hold.run.key)
        row = row_of(hold, owner=None)
        write = Write(self.run_id, "run", NEW, tuple(events), row, head)
        self.engine.log.append(Append("given", (write,)))

    def when(self, command: c.Command) -> Self:
        """Obey a command, and let all follow that follows at once: one turn of the engine."""
        engine = self.engine
        self._seen = self._position()
        if engine.log.head(self.run_id) is None:
            hold = Hold(Run(self.run_id), self.workflow.plan, NEW)
            if isinstance(command, c.StartRun) and isinstance(command.inputs.raw, msgspec.Raw):
                hold.inputs = msgspec.json.decode(
                    command.inputs.raw, type=dict[str, msgspec.Raw]
                )
        else:
            hold = engine.peek(self.run_id)
        turn = engine.turns.take(hold, [command], crew=Crew(SLOTS, "rules"))
        self.reason = "" if turn.refusal is None else turn.refusal.reason or turn.refusal.kind
        return self

    def then(self, *events: str) -> Self:
        """Hold what was recorded against lines as those of `given`; none: nothing happened.

        Data that a line gives is held field by field; what it leaves out may be anything.
        """
        wanted = [_parsed(event) for event in events]
        found = self.events
        shown = [_line(event, self.run_id) for event in found]
        same = len(found) == len(wanted) and all(map(self._fits, found, wanted))
        if not same:
            lines = "\n  ".join(events) or "nothing"
            got = "\n  ".join(shown) or "nothing"
            why = f"\nrefused: {self.reason}" if self.reason else ""
            raise AssertionError(f"expected\n  {lines}\nbut recorded was\n  {got}{why}")
        return self

    def is_refused(self, because: str = "") -> Self:
        """Hold that the last command was refused, for a reason that contains a text."""
        if not self.reason:
            raise AssertionError("the command was obeyed, not refused")
        if because not in self.reason:
            raise AssertionError(f"it was refused because: {self.reason}; not {because!r}")
        return self

    @property
    def events(self) -> list[Event]:
        """Give what the last command brought about: events of the run and of breakers."""
        return self.engine.log.read_all(after=self._seen)

    def _position(self) -> int:
        recorded = self.engine.log.read_all(limit=1_000_000)
        return recorded[-1].position if recorded else 0

    def _fits(self, event: Event, wanted: tuple[str, dict[str, Any] | None]) -> bool:
        line, data = wanted
        if _line(event, self.run_id).partition(" {")[0] != line:
            return False
        told = msgspec.json.decode(event.data)
        return data is None or all(told.get(name) == what for name, what in data.items())


def _line(event: Event, run_id: str) -> str:
    where = "" if event.stream == run_id else f"{event.stream} "
    source = "-" if event.source == NOT_YET else event.source
    return f"{where}{event.type} {event.subject} {source}>{event.dest} {event.data}"


def _parsed(line: str) -> tuple[str, dict[str, Any] | None]:
    match = LINE.fullmatch(line.strip())
    if match is None:
        raise ValueError(
            f"{line!r} is no event; write type, subject and source>dest, as in"
            " 'step.started draft blocked>running'"
        )
    data = msgspec.json.decode(match[6]) if match[6] else None
    return line.strip()[: match.start(6) - 1 if match[6] else None].rstrip(), data


def _told(event: HistoryEvent | str, workflow: Any) -> tuple[str, NewEvent]:
    """Give stream and event; of a line, "" for the run, and data that was left out filled in."""
    if isinstance(event, HistoryEvent):
        data = event.resolved()
        source, dest, at = event.source, event.dest, clock.to_us(event.at)
        if event.type == "run.started":
            data |= {"workflow": workflow.name, "definition": workflow.hash}
        parts = (event.type, event.subject, source, dest, _encode(data).decode(), at)
        return event.stream, NewEvent(*parts, event.cause)
    _, given_data = _parsed(event)
    stream, type_, subject, source, dest = LINE.fullmatch(event.strip()).groups()[:5]  # type: ignore[union-attr]
    filled = {
        "workflow": workflow.name, "definition": workflow.hash, "inputs": {}, "visit": 1,
        "attempt": 1, "error": {"type": "Error", "message": "given"},
    }  # fmt: skip
    shape = DATA.get(type_)
    if shape is None:
        raise ValueError(f"{type_!r} is no type of event; see docs/event-catalogue.md")
    needed = {field.name for field in msgspec.structs.fields(shape) if field.required}
    needed |= {"inputs"} & set(shape.__struct_fields__)
    whole = {name: what for name, what in filled.items() if name in needed} | (given_data or {})
    source = NOT_YET if source == "-" else source
    return stream or "", NewEvent(
        type_, subject, source, dest, _encode(whole).decode(), clock.now_us()
    )
