"""Taking in what another log held: rows as they were, in one transaction.

Laws of this file: nothing is written over; a stream is new, or the same as far as both go.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

import msgspec

from eventstore import clock
from eventstore.database import Cursor, Database
from eventstore.errors import HistoryDiffers, KeyTaken
from eventstore.lines import (
    BlobLine,
    Body,
    CursorLine,
    EventLine,
    KeyLine,
    StreamLine,
    WaitLine,
)
from eventstore.picture import Taken
from eventstore.reading import array
from eventstore.writer import Writer

AT_ONCE = 2000  # rows in one call of the driver
_encode = msgspec.json.encode
_fields = msgspec.structs.astuple


class Intake:
    """The way in for whole logs."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def take_in(self, lines: Callable[[], Iterator[Body]], last: int) -> Taken:
        """Write what another log held, all of it or nothing."""
        taken = self._writer.do(
            lambda cursor: _Arriving(self._database.sql, cursor, last).take(lines()), long=True
        )
        self._database.counters.events += taken.events
        return taken


class _Arriving:
    """One transaction's work."""

    def __init__(self, sql: Any, cursor: Cursor, last: int) -> None:
        self._sql = sql
        self._run, self._many, self._cursor = cursor.execute, cursor.executemany, cursor
        self._pour = cursor.pour
        self._last = last
        self._given = 0  # positions up to this were given out here
        self._taken = Taken()
        # Of streams that are here: the version up to which, and the hash it must have (None: the
        # row said already that it has it).
        self._here: dict[str, tuple[int, bytes | None]] = {}
        self._is_placed = False  # has it been decided whether positions are kept?
        self._is_compared = False  # has an event that is on both sides been looked at?

    def take(self, lines: Iterator[Body]) -> Taken:
        for text in self._sql.ROOMY:
            self._run(text)
        self._given = (self._run(self._sql.GIVEN).fetchone() or (0,))[0]
        taken = self._take(lines)
        for text in self._sql.USUAL:  # what fails is undone, with what made room for it
            self._run(text)
        return taken

    def _take(self, lines: Iterator[Body]) -> Taken:
        for kind, group in groupby(lines, type):
            self._ways[kind](self, group)
        if self._taken.has_kept_positions:
            for text in self._sql.GIVE_OUT:
                self._run(text, (self._last,))
        return self._taken

    def _streams(self, lines: Iterator[StreamLine]) -> None:
        while batch := list(islice(lines, AT_ONCE)):
            rows = self._run(self._sql.STANDS, (array([line.id for line in batch]),)).fetchall()
            stand = {row[0]: row[1:] for row in rows}
            new = [line for line in batch if not self._is_here(line, stand.get(line.id))]
            self._pour(self._sql.SETTLE, [_settled(line) for line in new])
            self._taken.streams += len(new)

    def _is_here(self, line: StreamLine, row: tuple[Any, ...] | None) -> bool:
        if row is None:
            return False
        version, digest, owner, purged = row
        if version >= line.version:
            if version > line.version and purged is None:
                digest = self._run(self._sql.TIP_AT, (line.id, line.version)).fetchone()[2]
            elif version > line.version:
                digest = line.hash  # a tombstone tells no more than its last hash
            if digest != line.hash:
                raise HistoryDiffers(line.id, f"event {line.version} is another one")
            self._here[line.id] = (version, None)
            self._taken.there += 1
            return True
        if purged is not None or line.purged is not None:
            raise HistoryDiffers(
                line.id, "its events are gone on one side, and more on the other"
            )
        if owner is not None:
            raise HistoryDiffers(
                line.id, f"it is at work here (worker {owner}); stop that first"
            )
        self._here[line.id] = (version, digest)
        self._run(
            self._sql.GROW,
            (
                line.version, line.epoch, line.hash, line.status, line.due, _names(line),
                line.needs, line.label, line.updated, line.id,
            ),
        )  # fmt: skip
        self._taken.grown += 1
        return True

    def _waits(self, lines: Iterator[WaitLine]) -> None:
        seen: set[str] = set()
        while batch := list(islice(lines, AT_ONCE)):
            fresh = [line for line in batch if not self._is_whole(line.stream)]
            streams = {line.stream for line in fresh} - seen
            seen |= streams
            self._many(self._sql.FORGET_WAITS, [(stream,) for stream in streams])
            self._many(self._sql.SETTLE_WAIT, [_fields(line) for line in fresh])

    def _is_whole(self, stream: str) -> bool:
        return stream in self._here and self._here[stream][1] is None

    def _events(self, lines: Iterator[EventLine]) -> None:
        fresh = filter(self._is_fresh, lines)
        while batch := list(islice(fresh, AT_ONCE)):
            if not self._is_placed:
                self._is_placed = True
                self._taken.has_kept_positions = batch[0].position > self._given
            rows = [_fields(line) for line in batch]
            if self._taken.has_kept_positions:
                self._pour(self._sql.SETTLE_EVENT, rows)
            else:
                self._pour(self._sql.SETTLE_ANEW, [row[1:] for row in rows])
            self._taken.events += len(rows)

    def _is_fresh(self, line: EventLine) -> bool:
        here = self._here.get(line.stream)
        if here is None:
            return True
        version, digest = here
        if not self._is_compared:
            found = self._run(self._sql.POSITION_OF, (line.stream, line.version)).fetchone()
            self._is_compared = found is not None  # else it is gone here
            if found is not None and found[0] != line.position:  # so it was when it came
                self._is_placed, self._taken.has_kept_positions = True, False
        if digest is not None and line.version == version and line.hash != digest:
            raise HistoryDiffers(line.stream, f"event {version} is another one")
        return digest is not None and line.version > version

    def _keys(self, lines: Iterator[KeyLine]) -> None:
        while batch := list(islice(lines, AT_ONCE)):
            self._many(self._sql.KEEP_KEY, [_fields(line) for line in batch])
            self._taken.keys += self._cursor.rowcount
            if self._cursor.rowcount == len(batch):
                continue
            for line in batch:
                (stream,) = self._run(self._sql.FIND_KEY, (line.source, line.key)).fetchone()
                if stream != line.stream:
                    raise KeyTaken(line.source, line.key, stream)

    def _blobs(self, lines: Iterator[BlobLine]) -> None:
        for line in lines:
            is_new = self._run(self._sql.BLOB_KEPT, (line.sha256,)).fetchone() is None
            self._run(self._sql.PUT_BLOB, (*_fields(line), clock.now_us()))
            self._taken.blobs += is_new

    def _cursors(self, lines: Iterator[CursorLine]) -> None:
        for line in lines:
            if self._taken.has_kept_positions:
                self._run(self._sql.PUT_CURSOR, _fields(line))
                self._taken.cursors += self._cursor.rowcount

    _ways: dict[type, Callable[..., None]] = {  # noqa: RUF012 - written once
        StreamLine: _streams, WaitLine: _waits, EventLine: _events, KeyLine: _keys,
        BlobLine: _blobs, CursorLine: _cursors,
    }  # fmt: skip


def _names(line: StreamLine) -> str:
    return _encode(line.waits_on).decode() if line.waits_on else "[]"


def _settled(line: StreamLine) -> tuple[Any, ...]:
    return (
        line.id, line.kind, line.version, line.epoch, line.hash, line.status, line.due,
        _names(line), line.needs, line.label, line.name, line.key,
        _encode(line.tags).decode() if line.tags else "{}", line.priority, line.created,
        line.updated, line.purged,
    )  # fmt: skip
