"""A run's events, snapshots and row, held against its fold and against who wrote them. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from engine.audit.follows import RULES
from engine.audit.streams import StreamAudit, parts_differ, rows_differ
from engine.core.events import IllegalEvent
from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import Run, next_due, owes_work
from engine.records import told
from engine.repository import SNAPSHOT_KIND, Hold, Label, row_of
from eventstore import Event, Head, clock

_BLOBS = {
    "run.started": "inputs_blob",
    "step.succeeded": "output_blob",
    "machine.moved": "payload_blob",
    "signal.received": "payload_blob",
    "signal.refused": "payload_blob",
}
_STEPS_END = frozenset(
    {"step.succeeded", "step.failed", "step.lost", "step.cancelled", "step.quarantined"}
)

_decode_run = msgspec.json.Decoder(Run).decode
_decode_label = msgspec.json.Decoder(Label).decode


class RunAudit(StreamAudit):
    """Judges one run.

    Args:
        stream: its id.
        plan_of: gives the plan of a definition by its hash.
    """

    snapshot_kind = SNAPSHOT_KIND

    def __init__(self, stream: str, plan_of: Callable[[str], Plan]) -> None:
        super().__init__(stream)
        self.run = Run(stream)
        self._plan: Plan | None = None
        self._plan_of = plan_of
        self._owner = (-1, "")  # the epoch in which a worker was named last, and who it was
        self._begun: dict[str, int] = {}  # epoch in which the attempt in flight began, by step

    def fold(self, event: Event) -> str | None:
        """Fold an event; say what it does not follow from."""
        data = told(event)
        type_, run = event.type, self.run
        if type_ in ("run.started", "run.redefined"):
            self._plan = self._plan_of(data.definition)
        plan = self._plan
        if plan is None:
            raise IllegalEvent("the run does not begin with run.started")
        rule = RULES.get(type_)
        said = None if rule is None else rule(run, plan, event, data)
        evolve(
            run, plan, event.version, type_, event.subject, event.source, event.dest, data,
            event.at,
        )  # fmt: skip
        named = _BLOBS.get(type_)
        if named is not None and (blob := getattr(data, named)) is not None:
            self.blobs.append((event.version, blob))
        if type_ == "run.started" and data.key is not None:
            source = f"start:{data.workflow}"
            self.keys.append((event.version, source, data.key, event.stream))
        return said or self._written_by(event, data)

    def _written_by(self, event: Event, data: Any) -> str | None:
        """Say so if another than the owner of its epoch has written an event."""
        if event.type == "step.started":
            epoch, owner = self._owner
            self._begun[event.subject] = event.epoch
            self._owner = (event.epoch, data.worker)
            if epoch == event.epoch and owner != data.worker:
                return f"worker {data.worker} writes in epoch {epoch}, which is {owner}'s"
        elif event.type in _STEPS_END:
            began = self._begun.pop(event.subject, event.epoch)
            is_result = event.type == "step.succeeded" or (
                event.type == "step.failed" and not data.lost
            )
            if is_result and began != event.epoch:
                return (
                    f"its attempt began in epoch {began}, and epoch {event.epoch} tells its end:"
                    " whoever wrote it had lost the run, or never had it"
                )
        return None

    def differs(self, content: bytes) -> str | None:
        """Say in what a snapshot of the run differs from the fold."""
        if content == msgspec.json.encode(self.run):
            return None
        try:
            snapshot = _decode_run(content)
        except msgspec.MsgspecError as error:
            return f"cannot be read: {error}"
        return parts_differ(snapshot, self.run)

    def row_faults(self, head: Head) -> Iterator[str]:
        """Hold headline, status and alarm against the fold."""
        run, plan = self.run, self._plan
        if plan is None:
            return
        row = row_of(Hold(run, plan, head.tip), owner=None)
        yield from rows_differ(
            ("name", head.name, run.workflow),
            ("key", head.key, run.key),
            ("tags", head.tags, run.tags),
            ("priority", head.priority, run.priority),
            ("status", head.status, row.status),
            ("waits_on", head.waits_on, row.waits_on),
            ("needs", head.needs, row.needs),
        )
        if run.is_ended:
            yield from rows_differ(("owner", head.owner, None), ("due", head.due, None))
        else:
            yield from _alarm_faults(run, head)
        if head.label == row.label:
            return
        try:
            label = _decode_label(head.label)
        except msgspec.MsgspecError as error:
            yield f"its row's label cannot be read: {error}"
        else:
            yield from rows_differ(("label", label, _decode_label(row.label)))


def _alarm_faults(run: Run, head: Head) -> Iterator[str]:
    """Say so if nobody would ever be woken for what the run owes; earlier than needed is fine."""
    due = next_due(run)
    if due is not None and (head.due is None or head.due > due):
        row = "none" if head.due is None else f"set to {_moment(head.due)}"
        yield f"it is due at {_moment(due)}, and its row's alarm is {row}: it would come too late"
    elif head.due is None and head.owner is None and owes_work(run):
        yield "it owes work, nobody holds it, and its row has no alarm: nobody would take it"


def _moment(us: int) -> str:
    return clock.from_us(us).isoformat() if 0 <= us <= clock.LAST else str(us)
