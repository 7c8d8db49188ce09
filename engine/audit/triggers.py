"""A trigger's events, snapshots and row, held against its fold. Pure."""

from collections.abc import Iterator

import msgspec

from engine.audit.streams import StreamAudit, parts_differ, rows_differ
from engine.core import trigger as core
from engine.triggerstream import SNAPSHOT_KIND
from eventstore import Event, Head
from eventstore.errors import EventUnreadable


class TriggerAudit(StreamAudit):
    """Judges one trigger."""

    snapshot_kind = SNAPSHOT_KIND

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.state = core.TriggerState()

    def fold(self, event: Event) -> str | None:
        """Fold an event; say what it does not follow from."""
        if event.type not in core.SHAPES:
            what = f"type {event.type!r} is unknown"
            raise EventUnreadable(event.stream, event.version, what)
        data = core.data_of(event.type, event.data)
        state, said = self.state, None
        slot = None if isinstance(data, core.Armed | core.Steered) else data.slot
        if slot is not None and slot <= state.watermark:
            said = f"its slot {slot} was settled before: the watermark is {state.watermark}"
        if isinstance(data, core.Fired):
            self.keys.append((event.version, event.stream, data.key, data.run))
        core.evolve(state, event.type, event.source, event.dest, data, event.version)
        return said

    def differs(self, content: bytes) -> str | None:
        """Say in what a snapshot of the trigger differs from the fold."""
        if content == msgspec.json.encode(self.state):
            return None
        try:
            snapshot = msgspec.json.decode(content, type=core.TriggerState)
        except msgspec.MsgspecError as error:
            return f"cannot be read: {error}"
        return parts_differ(snapshot, self.state)

    def row_faults(self, head: Head) -> Iterator[str]:
        """Hold the row against the fold; when it is due is the trigger's own business."""
        yield from rows_differ(
            ("name", head.name, self.stream.removeprefix(core.PREFIX)),
            ("status", head.status, self.state.state),
            ("owner", head.owner, None),
        )
        if self.state.state != "armed" and head.due is not None:
            yield f"its row is due although it is {self.state.state}"
