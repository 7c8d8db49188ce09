"""Is the log what was written? Chains, versions, heads, blobs, and the database below them."""

import hashlib
from collections.abc import Iterator
from typing import Any

from eventstore.chains import Fault, faults_of, in_stream
from eventstore.database import Database
from eventstore.errors import StorageCorrupt
from eventstore.event import Event, Tip


class Integrity:
    """The check of a whole SQL log or of one stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = database.sql

    def verify(self, stream: str | None) -> Iterator[Fault]:
        """Give a sentence for each fault found; nothing means that all is well."""
        if stream is not None:
            yield from self._guarded(self._stream(stream), f"stream {stream!r}", stream)
            return
        yield from self._guarded(self._all_streams(), "the list of streams")
        yield from self.verify_beside()

    def verify_beside(self) -> Iterator[Fault]:
        """Give a sentence for each fault beside the streams: database, stray events, blobs."""
        yield from self._guarded(self._database_check(), "the database")
        yield from self._guarded(self._orphans(), "the events")
        yield from self._guarded(self._blobs(), "the blobs")

    def _guarded(
        self, found: Iterator[Fault], what: str, stream: str | None = None
    ) -> Iterator[Fault]:
        try:
            yield from found
        except StorageCorrupt as error:
            yield Fault(f"{what} cannot be read: {error}", stream)

    def _database_check(self) -> Iterator[Fault]:
        for (line,) in self._database.query(self._sql.DATABASE_CHECK, long=True):
            if line != "ok":
                yield Fault(f"{self._database.place}: {line}")

    def _all_streams(self) -> Iterator[Fault]:
        number = 0
        while rows := self._database.query(self._sql.STREAMS_AFTER, (number,)):
            for _, name in rows:
                yield from self._guarded(self._stream(name), f"stream {name!r}", name)
            number = rows[-1][0]

    def _stream(self, name: str) -> Iterator[Fault]:
        rows = self._database.query(self._sql.STANDING_AND_PURGED, (name,))
        if not rows:
            return
        version, digest, purged = rows[0]
        if purged is None:
            yield from faults_of(name, self._events(name, version), Tip(version, 0, digest))

    def _events(self, stream: str, version: int) -> Iterator[Event]:
        after = 0
        while after < version:
            rows: list[Any] = self._database.query(
                self._sql.READ + " LIMIT 1000", (stream, after, version)
            )
            if not rows:
                return
            for row in rows:
                yield Event(*row)
            after = rows[-1][2]

    def _orphans(self) -> Iterator[Fault]:
        for (name,) in self._database.query(self._sql.ORPHANS, long=True):
            yield in_stream(name, None, "it has events but no row")

    def _blobs(self) -> Iterator[Fault]:
        name = ""
        while rows := self._database.query(self._sql.BLOBS_AFTER, (name,)):
            name, content = rows[0]
            if hashlib.sha256(content).hexdigest() != name:
                yield Fault(f"blob {name}: its bytes no longer have this hash")
