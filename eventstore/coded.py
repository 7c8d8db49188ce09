"""A log whose values are encoded on their way in and decoded on their way out, e.g. encrypted.

Encoded are the data of events, blobs, snapshots and the rows' labels. All that the log itself
works with stays clear: ids, types, subjects, states, times, causes, names, keys, tags, statuses.
The hash chain is over what is stored, so that a log can be verified without the key. What was
written before there was a codec stays readable with one.
"""

import base64
import re
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from eventstore.errors import StillCoded, StorageError
from eventstore.event import Event, NewEvent, Tip
from eventstore.store import Append, Claim, Head, Log, Row, Write
from eventstore.wrapped import WrappedLog

TEXT = '{"coded":"'  # what encoded text begins with; no data and no label of ours does
TEXT_64 = '{"coded64":"'  # the same, for a codec that gives bytes that are no plain text
_BEGINS = '{"coded'
MARK = b"\0playhead coded\0"  # what encoded bytes begin with; no JSON does
NO_CODEC = "read it with its codec: Engine(..., codec=...), or --app APP on the command line"
_PLAIN = re.compile(rb"[A-Za-z0-9+/=_.:~-]*")  # such bytes stand in JSON as they are


class Codec(Protocol):
    """Turns bytes into other bytes and back; called from any thread, may raise.

    A codec that raises in `encode` stops the append: nothing is written clear instead.
    """

    def encode(self, content: bytes, /) -> bytes:
        """Give what is to be stored."""

    def decode(self, content: bytes, /) -> bytes:
        """Give back what `encode` was given; raise if that is not possible."""


def is_coded(content: str | bytes) -> bool:
    """Tell stored text or bytes that are encoded from clear ones. *Pure.*"""
    if isinstance(content, bytes):
        return content.startswith(MARK)
    return content.startswith((TEXT, TEXT_64))


def clear_data(event: Event) -> str:
    """Give the data of an event that is not encoded. *Pure.*

    Raises:
        StillCoded: it was read without the codec.
    """
    data = event.data
    if data.startswith(_BEGINS) and is_coded(data):
        raise StillCoded(event.stream, event.version, NO_CODEC)
    return data


def clear_label(head: Head) -> str:
    """Give the label of a row that is not encoded. *Pure.*

    Raises:
        StillCoded: it was read without the codec.
    """
    if is_coded(head.label):
        raise StillCoded(head.id, None, NO_CODEC)
    return head.label


def clear_copy(stream: str, copy: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
    """Give a snapshot as it is, if it is not encoded. *Pure.*

    Raises:
        StillCoded: it was read without the codec.
    """
    if copy is not None and is_coded(copy[1]):
        raise StillCoded(stream, None, NO_CODEC)
    return copy


def opened(log: Log, event: Event) -> Event:
    """Give a stored event as a log's readers see it: decoded, if the log has a codec. *Pure.*

    Raises:
        StillCoded: it has none, or another key.
    """
    while isinstance(log, WrappedLog):
        if isinstance(log, CodedLog):
            return log.opened(event)
        log = log.inner
    clear_data(event)
    return event


class CodedLog(WrappedLog):
    """A log before another one that keeps values encoded; see `store.Log`.

    Args:
        inner: where it is all kept.
        codec: encodes and decodes; every process on the log needs one that can do both.
    """

    def __init__(self, inner: Log, codec: Codec) -> None:
        super().__init__(inner)
        self._codec = codec

    # In.

    def append(self, append: Append) -> list[Tip]:
        """Write all of it, its values encoded, in one transaction."""
        writes = tuple(self._write(write) for write in append.writes)
        return self.inner.append(Append(append.id, writes, append.inbox))

    def put_blob(self, content: bytes) -> str:
        """Store bytes encoded, under the SHA-256 of what is stored."""
        return self.inner.put_blob(MARK + self._encode(content))

    def put_snapshot(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep an encoded copy of folded state."""
        self.inner.put_snapshot(stream, version, kind, MARK + self._encode(content))

    def _write(self, write: Write) -> Write:
        row = write.row
        if row is not None and row.label != Row.label:
            row = msgspec.structs.replace(row, label=self._text(row.label))
        events = tuple(self._event(event) for event in write.events)
        return msgspec.structs.replace(write, events=events, row=row)

    def _event(self, event: NewEvent) -> NewEvent:
        return msgspec.structs.replace(event, data=self._text(event.data))

    def _text(self, text: str) -> str:
        stored = self._encode(text.encode())
        if _PLAIN.fullmatch(stored):
            return f'{TEXT}{stored.decode()}"}}'
        return f'{TEXT_64}{base64.b64encode(stored).decode()}"}}'

    def _encode(self, content: bytes) -> bytes:
        try:
            stored = self._codec.encode(content)
        except Exception as error:
            what = f"the codec could not encode it ({type(error).__name__}: {error})"
            raise StorageError(f"{what}; nothing was written") from error
        if not isinstance(stored, bytes):
            kind = type(stored).__name__
            raise StorageError(f"the codec is to give bytes, not {kind}; nothing was written")
        return stored

    # Out.

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""
        head = self.inner.head(stream)
        return None if head is None else self._head(head)

    def heads(
        self, *, kind: str, name: str | None = None, status: Collection[str] = (),
        key: str | None = None, tags: dict[str, str] | None = None, since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first."""
        heads = self.inner.heads(
            kind=kind, name=name, status=status, key=key, tags=tags, since=since, limit=limit
        )
        return [self._head(head) for head in heads]

    def old_heads(
        self, *, kind: str, before: int, name: str | None = None, status: Collection[str] = (),
        after: str = "", limit: int = 500,
    ) -> list[Head]:  # fmt: skip
        """Give rows with events whose last one is older than `before`."""
        heads = self.inner.old_heads(
            kind=kind, before=before, name=name, status=status, after=after, limit=limit
        )
        return [self._left(head) for head in heads]

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str] = (), names: Collection[str] = (), skip: Collection[str] = (),
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams of a kind that need one."""
        claims = self.inner.claim(
            worker, kind=kind, now=now, limit=limit, offers=offers, names=names, skip=skip
        )
        return [msgspec.structs.replace(one, head=self._left(one.head)) for one in claims]

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, at: int | None = None
    ) -> list[Event]:
        """Give events of a stream, oldest first."""
        return self._events(self.inner.read(stream, after=after, upto=upto, at=at))

    def load(self, stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        """Give row and events of one moment together."""
        head, events = self.inner.load(stream, after=after)
        return self._head(head), self._events(events)

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream."""
        found = self.inner.read_version(stream, versions)
        return {version: self.opened(event) for version, event in found.items()}

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position."""
        return self._events(self.inner.read_all(after=after, limit=limit))

    def read_types(
        self, types: Collection[str], *, name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name."""
        found = self.inner.read_types(types, name=name, after=after, upto=upto, limit=limit)
        return self._events(found)

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first."""
        found = self.inner.read_streams(streams)
        return {stream: self._events(events) for stream, events in found.items()}

    def streams(self, *, after: str = "", limit: int = 1000) -> list[Head]:
        """Give rows of all kinds in the database's order of ids."""
        return [self._left(head) for head in self.inner.streams(after=after, limit=limit)]

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes."""
        return self._bytes(self.inner.blob(sha256), None, None)

    def snapshot(
        self, stream: str, kind: str, *, upto: int | None = None
    ) -> tuple[int, bytes] | None:
        """Give the newest copy of this kind up to a version, or None."""
        copy = self.inner.snapshot(stream, kind, upto=upto)
        return None if copy is None else (copy[0], self._bytes(copy[1], stream, None))

    def _events(self, events: Sequence[Event]) -> list[Event]:
        return [self.opened(event) for event in events]

    def opened(self, event: Event) -> Event:
        """Give a stored event decoded; a clear one as it is."""
        if not is_coded(event.data):
            return event
        data = self._untext(event.data, event.stream, event.version)
        return msgspec.structs.replace(event, data=data)

    def _head(self, head: Head) -> Head:
        if not is_coded(head.label):
            return head
        return msgspec.structs.replace(head, label=self._untext(head.label, head.id, None))

    def _left(self, head: Head) -> Head:
        """Give a row as well as may be: what cannot be decoded is told when events are read."""
        try:
            return self._head(head)
        except StillCoded:
            return head

    def _untext(self, text: str, stream: str, version: int | None) -> str:
        if text.startswith(TEXT):
            stored = text[len(TEXT) : -2].encode()
        else:
            stored = base64.b64decode(text[len(TEXT_64) : -2])
        return self._decode(stored, stream, version).decode()

    def _bytes(self, content: bytes, stream: str | None, version: int | None) -> bytes:
        if not is_coded(content):
            return content
        return self._decode(content[len(MARK) :], stream, version)

    def _decode(self, stored: bytes, stream: str | None, version: int | None) -> bytes:
        try:
            return self._codec.decode(stored)
        except Exception as error:
            why = (
                f"the codec could not decode it ({type(error).__name__}: {error}); give the codec"
                " the key that wrote it, beside the new one if the key was changed"
            )
            raise StillCoded(stream, version, why) from error
