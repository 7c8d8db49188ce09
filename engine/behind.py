"""What stands behind the doors of triggers: the runs that firings start, tell, cancel or follow."""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from engine import values
from engine.core import commands as c
from engine.core.events import IllegalEvent
from engine.core.events import RunEnded as EndedData
from engine.core.run import Run
from engine.errors import CommandRefused, RunEnded
from engine.host import Host
from engine.records import told
from engine.repository import Hold
from engine.runs import failure_of
from engine.starting import Starting
from engine.steering import Steering
from engine.triggering import Beside, Ending, Message, Prepared
from eventstore import NEW, Event, Tip
from eventstore.errors import StorageCorrupt

log = logging.getLogger("playhead.engine")


class Behind:
    """The engine as its doors see it; see `triggering.Starter`."""

    def __init__(self, engine: Host, starting: Starting, steering: Steering) -> None:
        self.log = engine.log
        self._engine = engine
        self._starting, self._steering = starting, steering
        self.on_poke: Callable[[str], None] | None = None

    def prepare_start(
        self, workflow: str, inputs: Mapping[str, Any], *, key: str | None, cause: str | None
    ) -> Prepared:
        """Make the write that starts a run; nothing is appended yet."""
        return self._starting.prepare(workflow, inputs, key=key, cause=cause)

    def begun(self, started: Sequence[tuple[Prepared, Tip]]) -> None:
        """Let a worker take runs that firings have started."""
        for prepared, _ in started:
            self._engine.listening.heard(prepared.run, list(prepared.write.events))
        self._engine.poke()
        self.log.hint([prepared.run for prepared, _ in started])

    def tell(self, message: Message, beside: Beside, *, key: str, by: str) -> str | None:
        """Hand a run a signal, with what is beside it in the same append. *Appends.*

        Raises:
            RunUnknown, RunEnded, ValueRefused: nothing was written.
        """
        engine = self._engine
        hold = engine.peek(message.run)
        value = self._starting.payload(hold, message.name, message.payload)
        command = c.TellSignal(message.name, value, key=key, by=by)
        turn = engine.turns.take(hold, [command], beside=beside)
        engine.poke()
        self.log.hint([message.run])
        if turn.refusal is not None and turn.refusal.kind == "ended":
            raise RunEnded(message.run, hold.run.status, turn.refusal.reason)
        return None if turn.refusal is None else turn.refusal.reason

    def cancel(self, run: str, *, by: str, reason: str) -> None:
        """Cancel a run; an ended one is left alone. *Appends.*"""
        with contextlib.suppress(RunEnded, CommandRefused):
            self._steering.obey(self._engine.peek(run), c.CancelRun(by=by, reason=reason))

    def poke(self, trigger: str) -> None:
        """Let the engine poll a trigger soon; from any thread."""
        if self.on_poke is not None:
            self.on_poke(trigger)

    def endings(
        self, workflow: str, types: Collection[str], *, after: int, upto: int, limit: int
    ) -> list[Ending]:
        """Give ends of a workflow's runs in order of position. *Reads the log.*"""
        events = self.log.read_types(types, name=workflow, after=after, upto=upto, limit=limit)
        return [
            Ending(
                run=event.stream,
                version=event.version,
                position=event.position,
                workflow=workflow,
                status=event.dest,
                at=event.at,
                outcome=self._read(event),
            )
            for event in events
        ]

    def _read(self, event: Event) -> dict[str, Any]:
        """Give the outcome of an end; one that is damaged must not hold up those behind it."""
        try:
            return self._outcome(event)
        except (StorageCorrupt, IllegalEvent, msgspec.MsgspecError, LookupError) as error:
            log.error(
                "the outcome of run %s cannot be read: %s; `playhead verify %s` says more",
                event.stream, error, event.stream, extra={"action": "outcome_unreadable"},
            )  # fmt: skip
            return {"unreadable": str(error)}

    def _outcome(self, event: Event) -> dict[str, Any]:
        """Give the result of an end, or its error, as plain JSON values."""
        if event.type == "run.succeeded":
            data: EndedData = told(event)
            if isinstance(data.result, dict):
                result = data.result.items()
                return {"result": {name: self._value(event, at) for name, at in result}}
            return {"result": self._value(event, data.result)}
        if event.type == "run.failed":
            run = Run(event.stream)  # as it stood then: it may have been retried since
            events = self.log.read(event.stream, upto=event.version)
            plan = self._engine.repository.fold(run, events)
            failed = failure_of(self._engine, Hold(run, plan, NEW))
            error = {"step": failed.step, "attempts": failed.attempts}
            error |= {"type": failed.error_type, "message": str(failed.error)}
            return {"error": error}
        return {}

    def _value(self, event: Event, version: int | None) -> Any:
        if version is None:
            return None
        holder = self.log.read_version(event.stream, [version])[version]
        return values.decode(self._engine.repository.value_in(holder))
