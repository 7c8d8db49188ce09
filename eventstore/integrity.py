"""Is the log what was written? Chains, versions, heads, blobs, and the database below them."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from eventstore import statements as sql
from eventstore.errors import StorageCorrupt
from eventstore.event import Event, NewEvent, chain
from eventstore.sqlite import Sqlite


def faults_of(
    stream: str, events: Iterable[Event], version: int, digest: bytes
) -> Iterator[str]:
    """Give a sentence for each fault in a stream's events; its row stands at version and hash.

    *Pure.* After a fault the chain goes on from what is stored, so that each is told once.
    """
    before, number = b"", 0
    for event in events:
        number += 1
        if event.version != number:
            missing = (
                f"{number}"
                if event.version == number + 1
                else f"{number} to {event.version - 1}"
            )
            yield f"stream {stream!r}: event {missing} is missing"
            number = event.version
        new = NewEvent(
            event.type, event.subject, event.source, event.dest, event.data, event.at, event.cause,
            event.type_version,
        )  # fmt: skip
        expected = chain(before, stream, number, event.epoch, new)
        if expected != event.hash:
            yield (
                f"stream {stream!r}: event {number} (position {event.position}, {event.type}) does"
                " not fit its hash; it or the one before it was changed"
            )
        before = event.hash
    if number != version:
        yield f"stream {stream!r}: its row stands at version {version}, its last event is {number}"
    elif before != digest:
        yield f"stream {stream!r}: its row bears another hash than its last event"


class Integrity:
    """The check of a whole SQL log or of one stream."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database

    def verify(self, stream: str | None) -> Iterator[str]:
        """Give a sentence for each fault found; nothing means that all is well."""
        if stream is not None:
            yield from self._guarded(self._stream(stream), f"stream {stream!r}")
            return
        yield from self._guarded(self._database_check(), "the database")
        yield from self._guarded(self._all_streams(), "the list of streams")
        yield from self._guarded(self._orphans(), "the events")
        yield from self._guarded(self._blobs(), "the blobs")

    def _guarded(self, found: Iterator[str], what: str) -> Iterator[str]:
        try:
            yield from found
        except StorageCorrupt as error:
            yield f"{what} cannot be read: {error}"

    def _database_check(self) -> Iterator[str]:
        for (line,) in self._database.query(sql.DATABASE_CHECK):
            if line != "ok":
                yield f"{self._database.place}: {line}"

    def _all_streams(self) -> Iterator[str]:
        number = 0
        while rows := self._database.query(sql.STREAMS_AFTER, (number,)):
            for _, name in rows:
                yield from self._guarded(self._stream(name), f"stream {name!r}")
            number = rows[-1][0]

    def _stream(self, name: str) -> Iterator[str]:
        rows = self._database.query(sql.STANDING_AND_PURGED, (name,))
        if not rows:
            return
        version, digest, purged = rows[0]
        if purged is None:
            yield from faults_of(name, self._events(name, version), version, digest)

    def _events(self, stream: str, version: int) -> Iterator[Event]:
        after = 0
        while after < version:
            rows: list[Any] = self._database.query(
                sql.READ + " LIMIT 1000", (stream, after, version)
            )
            if not rows:
                return
            for row in rows:
                yield Event(*row)
            after = rows[-1][2]

    def _orphans(self) -> Iterator[str]:
        for (name,) in self._database.query(sql.ORPHANS):
            yield f"stream {name!r}: it has events but no row"

    def _blobs(self) -> Iterator[str]:
        name = ""
        while rows := self._database.query(sql.BLOBS_AFTER, (name,)):
            name, content = rows[0]
            if hashlib.sha256(content).hexdigest() != name:
                yield f"blob {name}: its bytes no longer have this hash"
