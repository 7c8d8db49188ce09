"""What holds for a stream of any kind: epochs never go down, and its row tells of its ends.

Laws of this file: pure, all that is judged is handed in; after an event that cannot be folded
only epochs are judged, since all else follows from the fold.
"""

from collections.abc import Iterator

import msgspec

from engine.core.events import IllegalEvent
from eventstore import Event, Fault, Head
from eventstore.chains import in_stream
from eventstore.errors import LogError


class StreamAudit:
    """Holds the events of one stream against each other, then against snapshots and row.

    Attributes:
        faults: what was found so far.
        blobs: version and name of each large value named since the list was last emptied.
        keys: version, source, key and stream of each inbox key that must count, likewise.
        is_lost: an event could not be folded.
    """

    snapshot_kind: str | None = None  # the kind of snapshot that can be judged

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.faults: list[Fault] = []
        self.blobs: list[tuple[int, str]] = []
        self.keys: list[tuple[int, str, str, str]] = []
        self.is_lost = False
        self._epoch = 0
        self._began: int | None = None
        self._last = 0

    def say(self, version: int | None, text: str) -> None:
        """Note a fault."""
        self.faults.append(in_stream(self.stream, version, text))

    def see(self, event: Event) -> None:
        """Take the next event."""
        if event.epoch < self._epoch:
            self.say(event.version, _about(event, f"epoch {event.epoch} follows {self._epoch}"))
        self._epoch = event.epoch
        self._last = event.at
        if self._began is None:
            self._began = event.at
        if self.is_lost:
            return
        try:
            said = self.fold(event)
        except Exception as error:  # noqa: BLE001 - whatever the fold raises, the event is at fault
            self.is_lost = True
            said = _in_words(error, event)
        if said:
            self.say(event.version, _about(event, said))

    def fold(self, event: Event) -> str | None:
        """Fold an event; give what is wrong with it although it can be folded, or None."""

    def compare(self, version: int, content: bytes) -> None:
        """Hold a snapshot of this version against the fold, which stands there."""
        if self.is_lost:
            return
        said = self.differs(content)
        if said:
            self.say(version, f"its snapshot ({self.snapshot_kind}) of event {version} {said}")

    def differs(self, content: bytes) -> str | None:
        """Say in what a snapshot differs from the fold, or None."""

    def close(self, head: Head) -> None:
        """Hold the row against all that was seen."""
        version = head.tip.version
        if head.tip.epoch < self._epoch:
            self.say(
                version,
                f"its row is at epoch {head.tip.epoch}, its last event at {self._epoch}",
            )
        for what, row, told in (
            ("created", head.created, self._began),
            ("updated", head.updated, self._last),
        ):
            if row != told:
                self.say(version, _row_says(what, row, told))
        if not self.is_lost:
            for said in self.row_faults(head):
                self.say(version, said)

    def row_faults(self, head: Head) -> Iterator[str]:
        """Give a sentence for each thing that the row says otherwise than the fold."""
        del head
        yield from ()


def rows_differ(*parts: tuple[str, object, object]) -> Iterator[str]:
    """Give a sentence for each (name, what the row says, what the events say) that differs."""
    for what, row, told in parts:
        if row != told:
            yield _row_says(what, row, told)


def parts_differ(found: msgspec.Struct, wanted: msgspec.Struct) -> str | None:
    """Say which field of a snapshot is not the fold's, or None. *Pure.*"""
    for name in wanted.__struct_fields__:
        one = msgspec.json.encode(getattr(found, name))
        other = msgspec.json.encode(getattr(wanted, name))
        if one != other:
            return f"says {name} {_short(one)}, its events {_short(other)}"
    return None


def _row_says(what: str, row: object, told: object) -> str:
    return f"its row says {what} {row!r}, its events {told!r}"


def _short(raw: bytes) -> str:
    text = raw.decode()
    return text if len(text) <= 200 else text[:199] + "…"


def _about(event: Event, said: str) -> str:
    return f"event {event.version} ({event.type} of {event.subject!r}): {said}"


def _in_words(error: Exception, event: Event) -> str:
    """Say why an event could not be folded."""
    if isinstance(error, IllegalEvent | LogError):
        return str(error).removeprefix(f"event {event.version} of run {event.stream}: ")
    if isinstance(error, msgspec.MsgspecError):
        return f"its data cannot be read: {error}"
    if type(error) is ValueError:
        return str(error)
    return f"it cannot be folded: {type(error).__name__}: {error}"
