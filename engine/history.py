"""Frozen rows for readers: an event of a history, a run in a list."""

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec

from engine.core.events import RunStarted
from engine.records import told
from eventstore import clock
from eventstore.coded import clear_data, clear_label
from eventstore.event import Event
from eventstore.store import Head

_BLOB = "_blob"


class Blobs(Protocol):
    """Where large values lie; every log is one."""

    def blob(self, sha256: str) -> bytes:
        """Give the bytes of a hash."""


def _nowhere(sha256: str) -> bytes:
    raise LookupError(f"the value lies in blob {sha256}, and this row was made without its log")


class _Fetch:
    """Fetches large values from a log; a copied or pickled row shares or loses it."""

    def __init__(self, blobs: Blobs | None) -> None:
        self._blobs = blobs

    def __call__(self, sha256: str) -> bytes:
        return _nowhere(sha256) if self._blobs is None else self._blobs.blob(sha256)

    def __deepcopy__(self, memo: object) -> "_Fetch":
        return self

    def __reduce__(self) -> tuple[type["_Fetch"], tuple[None]]:
        return _Fetch, (None,)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One recorded transition, as `engine.history(run)` gives it."""

    version: int  # in its stream, from 1
    type: str
    subject: str
    source: str
    dest: str
    data: dict[str, Any]  # a large value stands as `<name>_blob`, see `value`
    at: datetime  # aware, UTC
    cause: str | None  # "stream@version" of what caused it
    position: int  # in the whole log
    stream: str
    _fetch: Callable[[str], bytes] = dataclasses.field(
        default=_nowhere, repr=False, compare=False
    )

    def value(self, name: str) -> Any:
        """Give a value that the event carries, also one too large for the event itself.

        Args:
            name: `output`, `inputs`, `payload` or any other field of `data`.

        Raises:
            KeyError: The event carries no such value.
            StorageCorrupt: The large value is gone or damaged.
        """
        if name in self.data:
            return self.data[name]
        sha256 = self.data.get(name + _BLOB)
        if sha256 is None:
            raise KeyError(f"{self.type} at version {self.version} carries no {name!r}")
        return msgspec.json.decode(self._fetch(sha256))

    def resolved(self) -> dict[str, Any]:
        """Give the data with every large value in its place."""
        large = [name for name in self.data if name.endswith(_BLOB)]
        names = {name.removesuffix(_BLOB) for name in large}
        small = {name: value for name, value in self.data.items() if name not in large}
        return {**small, **{name: self.value(name) for name in sorted(names)}}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent(HistoryEvent):
    """One recorded transition of any stream, as `engine.feed()` gives it."""

    kind: str  # of the stream: "run", "breaker" or "trigger"
    name: str  # of the workflow, breaker or trigger

    @property
    def run(self) -> str | None:
        """Give the id of the run that it happened to; None: to a breaker or a trigger."""
        return self.stream if self.kind == "run" else None


def history_event(event: Event, blobs: Blobs | None = None) -> HistoryEvent:
    """Give the row of an event.

    Args:
        event: As the log gives it.
        blobs: The log, for values that lie in blobs; read only when asked for.
    """
    return HistoryEvent(**_fields(event, blobs))


def feed_event(event: Event, kind: str, name: str, blobs: Blobs | None = None) -> FeedEvent:
    """Give the row of an event of the whole log.

    Args:
        event: As the log gives it.
        kind: Of its stream.
        name: Of its stream.
        blobs: The log, for values that lie in blobs; read only when asked for.
    """
    return FeedEvent(**_fields(event, blobs), kind=kind, name=name)


def _fields(event: Event, blobs: Blobs | None) -> dict[str, Any]:
    return {
        "version": event.version,
        "type": event.type,
        "subject": event.subject,
        "source": event.source,
        "dest": event.dest,
        "data": msgspec.json.decode(clear_data(event)),
        "at": clock.from_us(event.at),
        "cause": event.cause,
        "position": event.position,
        "stream": event.stream,
        "_fetch": _Fetch(blobs),
    }


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `engine.runs()` and `engine.get(id)` list it."""

    id: str
    key: str | None
    workflow: str
    status: str
    state: str | None  # a machine's present state
    tags: dict[str, str]
    inputs: dict[str, Any]
    error: dict[str, Any] | None  # what failed the run
    started_at: datetime  # aware, UTC
    ended_at: datetime | None
    pruned_at: datetime | None = None  # its history is gone since, and its inputs with it


class Label(msgspec.Struct, omit_defaults=True):
    """What a run's row keeps for lists, as JSON text in `Row.label`."""

    state: str | None = None
    error: dict[str, Any] | None = None
    started: int | None = None  # microseconds
    ended: int | None = None


_LABEL = msgspec.json.Decoder(Label)


def run_row(head: Head, first: Event | None, blobs: Blobs | None = None) -> RunRow:
    """Give the row of a run.

    Args:
        head: The run's row in the log.
        first: Its first event, `run.started`; None if it was pruned.
        blobs: The log, for inputs that lie in a blob.
    """
    label = _LABEL.decode(clear_label(head))
    started = label.started if label.started is not None else head.created
    return RunRow(
        id=head.id,
        key=head.key,
        workflow=head.name,
        status=head.status,
        state=label.state,
        tags=head.tags,
        inputs={} if first is None else inputs_of(first, blobs),
        error=label.error,
        started_at=clock.from_us(started),
        ended_at=None if label.ended is None else clock.from_us(label.ended),
        pruned_at=None if head.purged is None else clock.from_us(head.purged),
    )


def inputs_of(first: Event, blobs: Blobs | None = None) -> dict[str, Any]:
    """Give a run's inputs by name, decoded from JSON; {} if it has none."""
    data: RunStarted = told(first)
    if data.inputs_blob is not None:
        content = (_nowhere if blobs is None else blobs.blob)(data.inputs_blob)
    elif isinstance(data.inputs, msgspec.Raw):
        content = bytes(data.inputs)
    else:
        return {}
    inputs: dict[str, Any] = msgspec.json.decode(content) or {}
    return inputs
