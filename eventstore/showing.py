"""A SQL log's picture of itself: its rows as lines, within one reading transaction."""

from collections.abc import Collection, Iterator
from itertools import starmap
from typing import Any

import msgspec

from eventstore.lines import BlobLine, CursorLine, EventLine, KeyLine, StreamLine, WaitLine
from eventstore.picture import Rows, Stamp
from eventstore.reading import array

_names = msgspec.json.Decoder(tuple[str, ...])
_tags = msgspec.json.Decoder(dict[str, str])


class SqlPicture:
    """See `picture.Picture`.

    Args:
        sql: the statements of the database.
        rows: gives the rows of one SELECT, all of them asked of the same moment.
    """

    def __init__(self, sql: Any, rows: Rows) -> None:
        self._sql, self._rows = sql, rows

    def stamp(self) -> Stamp:
        """Say which log it is."""
        said: dict[str, str] = dict(self._rows(self._sql.STAMP, ()))
        given = next(self._rows(self._sql.GIVEN, ()), (0,))[0]
        (count,) = next(self._rows(self._sql.COUNT_EVENTS, ()))
        return Stamp(int(said["schema"]), said["store"], given, count)

    def streams(self, only: Collection[str] | None = None) -> Iterator[StreamLine]:
        """Give the rows, first created first."""
        return map(
            stream_line,
            self._some(self._sql.ALL_STREAMS, self._sql.ONLY_STREAMS, only, self._sql.IN_ORDER),
        )

    def waits(self, only: Collection[str] | None = None) -> Iterator[WaitLine]:
        """Give who waits for what."""
        return starmap(
            WaitLine,
            self._some(
                self._sql.ALL_WAITS, self._sql.ONLY_OF, only, self._sql.BY_NAME_AND_WAIT
            ),
        )

    def events(self, only: Collection[str] | None = None) -> Iterator[EventLine]:
        """Give the events by position."""
        rows = self._some(self._sql.ALL_EVENTS, self._sql.ONLY_OF, only, self._sql.BY_POSITION)
        return starmap(EventLine, rows)

    def keys(self, only: Collection[str] | None = None) -> Iterator[KeyLine]:
        """Give the inbox keys that lead to the streams."""
        return starmap(
            KeyLine,
            self._some(self._sql.ALL_KEYS, self._sql.ONLY_OF, only, self._sql.BY_SOURCE),
        )

    def blobs(self, names: Collection[str] | None = None) -> Iterator[BlobLine]:
        """Give the large values of these names."""
        rows = self._some(self._sql.ALL_BLOBS, self._sql.ONLY_BLOBS, names, self._sql.BY_SHA256)
        return starmap(BlobLine, rows)

    def cursors(self) -> Iterator[CursorLine]:
        """Give the cursors by name."""
        return starmap(CursorLine, self._rows(self._sql.CURSORS, ()))

    def _some(
        self, text: str, condition: str, wanted: Collection[str] | None, order: str
    ) -> Iterator[tuple[Any, ...]]:
        if wanted is None:
            return self._rows(text + order, ())
        return self._rows(text + condition + order, (array(wanted),))


def stream_line(row: tuple[Any, ...]) -> StreamLine:
    """Give the line of a row of `statements.ALL_STREAMS`. *Pure.*

    Whoever owned the stream is left behind; what it was about to do falls to another, so it is
    due since its last event.
    """
    (
        stream, kind, version, epoch, digest, status, due, waits_on, owner, needs, label, name,
        key, tags, priority, created, updated, purged,
    ) = row  # fmt: skip
    return StreamLine(
        stream, kind, version, epoch, digest, status, due if owner is None else updated,
        () if waits_on == "[]" else _names.decode(waits_on), needs, label, name, key,
        {} if tags == "{}" else _tags.decode(tags), priority, created, updated, purged,
    )  # fmt: skip
