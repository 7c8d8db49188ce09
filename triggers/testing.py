"""For tests of triggers: an engine on paper, that starts runs and never runs them."""

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from engine.core.define import Definition, Input
from engine.doors import TriggerDoor
from engine.errors import RunUnknown, ValueRefused
from engine.triggering import Beside, Ending, Message, Prepared, Trigger
from eventstore import clock
from eventstore.event import NEW, NewEvent, Tip
from eventstore.store import Append, Headline, InboxKey, Row, Write


class PaperWorkflow(msgspec.Struct, frozen=True):
    """A workflow of which nothing but the inputs is known."""

    name: str
    definition: Definition


def workflow(name: str = "documents", *inputs: str, optional: tuple[str, ...] = ()) -> Any:
    """Give a workflow that takes these inputs."""
    wanted = [Input(name=one) for one in inputs]
    wanted += [Input(name=one, required=False) for one in optional]
    return PaperWorkflow(name, Definition(name=name, inputs=tuple(wanted)))


class PaperEngine:
    """What a door needs of an engine: `run.started` is written and nothing follows.

    Attributes:
        pokes: set when a trigger asked to be polled.
        begun_runs: ids of the runs taken over, in order.
        cancelled: ids of the runs that a trigger cancelled, in order.
        refuse: inputs that no run may start with, by name and value.
    """

    def __init__(self, log: Any) -> None:
        """Take the log to write to."""
        self.log = log
        self.pokes = threading.Event()
        self.begun_runs: list[str] = []
        self.cancelled: list[str] = []
        self.refuse: dict[str, Any] = {}

    def prepare_start(
        self, workflow: str, inputs: Mapping[str, Any], *, key: str | None, cause: str | None
    ) -> Prepared:
        """Make the write that starts a run."""
        for name, value in self.refuse.items():
            if inputs.get(name) == value:
                raise ValueRefused(f"{name}={value!r} is refused")
        run = clock.new_id()
        told = {"workflow": workflow, "inputs": inputs, "key": key}
        event = NewEvent(
            type="run.started",
            subject="run",
            source="–",  # noqa: RUF001 - the sign of the event catalogue
            dest="running",
            data=msgspec.json.encode(told).decode(),
            at=clock.now_us(),
            cause=cause,
        )
        row, headline = Row(status="running"), Headline(name=workflow, key=key)
        write = Write(run, "run", NEW, (event,), row, headline)
        inbox = (InboxKey(f"workflow:{workflow}", key, run),) if key is not None else ()
        return Prepared(run, write, inbox)

    def begun(self, started: Sequence[tuple[Prepared, Tip]]) -> None:
        """Take note of runs."""
        self.begun_runs += [prepared.run for prepared, _ in started]

    def tell(self, message: Message, beside: Beside, *, key: str, by: str) -> str | None:
        """Refuse: on paper nothing waits for a signal."""
        del beside, key, by
        raise RunUnknown(message.run)

    def cancel(self, run: str, *, by: str, reason: str) -> None:
        """Take note of a cancel, and end the run."""
        del by, reason
        self.cancelled.append(run)
        self.end(run, "cancelled")

    def end(self, run: str, status: str = "succeeded") -> None:
        """End a run, as its worker would."""
        head = self.log.head(run)
        event = NewEvent(f"run.{status}", "run", "running", status, "{}", clock.now_us())
        write = Write(run, "run", head.tip, (event,), Row(status=status))
        self.log.append(Append(clock.new_id(), (write,)))

    def endings(
        self, workflow: str, types: Collection[str], *, after: int, upto: int, limit: int
    ) -> list[Ending]:
        """Give ends of runs; on paper none has a result."""
        events = self.log.read_types(types, name=workflow, after=after, upto=upto, limit=limit)
        return [
            Ending(e.stream, e.version, e.position, workflow, e.dest, e.at, {"result": None})
            for e in events
        ]

    def poke(self, trigger: str = "") -> None:
        """Take note that a poll was asked for."""
        del trigger
        self.pokes.set()

    def door(self, trigger: Trigger) -> TriggerDoor:
        """Give a new door, as another process or a restarted one would have."""
        return TriggerDoor(self, trigger)

    def poll(self, trigger: Trigger, door: TriggerDoor) -> int | None:
        """Poll once, now."""
        return trigger.poll(door, clock.now_us())

    def started(self) -> list[dict[str, Any]]:
        """Give the data of every `run.started`, in order, with its cause and run."""
        return [
            {**msgspec.json.decode(event.data), "cause": event.cause, "run": event.stream}
            for event in self.log.read_all(limit=1_000_000)
            if event.type == "run.started"
        ]

    def inputs(self) -> list[dict[str, Any]]:
        """Give the inputs of every run started, in order."""
        return [told["inputs"] for told in self.started()]

    def told(self, trigger: Trigger) -> list[tuple[str, dict[str, Any]]]:
        """Give type and data of every event of a trigger, in order."""
        return [
            (event.type, msgspec.json.decode(event.data))
            for event in self.log.read(f"trigger:{trigger.name}")
        ]
