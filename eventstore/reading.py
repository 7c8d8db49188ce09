"""Rows of a SQL log as events and heads."""

from collections.abc import Callable, Collection
from itertools import starmap, takewhile
from typing import Any

import msgspec

from eventstore.database import Database
from eventstore.errors import StorageCorrupt, StreamUnknown
from eventstore.event import Event, Tip
from eventstore.store import Head, InboxKey

_names = msgspec.json.Decoder(tuple[str, ...])
_tags = msgspec.json.Decoder(dict[str, str])


def head_of(row: tuple[Any, ...]) -> Head:
    """Give a head for a row of `statements.HEAD`. *Pure.*

    Raises:
        StorageCorrupt: its names or tags are no JSON.
    """
    (
        stream, kind, version, epoch, digest, status, due, waits_on, owner, needs, label, name,
        key, tags, priority, created, updated, purged,
    ) = row  # fmt: skip
    try:
        names = () if waits_on == "[]" else _names.decode(waits_on)
        tagged = {} if tags == "{}" else _tags.decode(tags)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(f"the row of stream {stream!r} cannot be read: {error}") from error
    return Head(
        stream, kind, Tip(version, epoch, digest), status, due, names, owner, needs, label, name,
        key, tagged, priority, created, updated, purged,
    )  # fmt: skip


def array(values: Collection[Any]) -> str:
    """Give values as a JSON array, for one bound parameter. *Pure.*"""
    return msgspec.json.encode(list(values)).decode() if values else "[]"


class Reading:
    """The questions about events and heads.

    Args:
        database: where they are asked.
        horizon: gives the position up to which the whole log may be read: nothing can still
            appear before it.
    """

    def __init__(self, database: Database, horizon: Callable[[], int]) -> None:
        self._database, self._horizon = database, horizon
        self._sql = database.sql

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""
        rows = self._database.query(self._sql.HEAD_OF, (stream,))
        return head_of(rows[0]) if rows else None

    def read(self, stream: str, after: int, upto: int | None, at: int | None) -> list[Event]:
        """Give events of a stream, oldest first."""
        last = self._sql.MOST if upto is None else upto
        events = starmap(Event, self._database.query(self._sql.READ, (stream, after, last)))
        if at is None:
            return list(events)
        return list(takewhile(lambda event: event.at <= at, events))

    def load(self, stream: str, after: int) -> tuple[Head, list[Event]]:
        """Give row and events of one moment: events never change, so up to the row's version."""
        head = self.head(stream)
        if head is None:
            raise StreamUnknown(stream)
        return head, self.read(stream, after, head.tip.version, None)

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first."""
        found: dict[str, list[Event]] = {}
        rows = self._database.query(self._sql.READ_STREAMS, (array(streams),))
        for event in starmap(Event, rows):
            found.setdefault(event.stream, []).append(event)
        return found

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream."""
        rows = self._database.query(self._sql.READ_VERSIONS, (stream, array(versions)))
        return {event.version: event for event in starmap(Event, rows)}

    def read_all(self, after: int, limit: int) -> list[Event]:
        """Give events of the whole log in order of position."""
        horizon = self._horizon()
        if horizon <= after:
            return []
        rows = self._database.query(self._sql.READ_ALL, (after, horizon, limit))
        return list(starmap(Event, rows))

    def read_types(
        self, types: Collection[str], name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name."""
        bound = (after, min(upto, self._horizon()), array(types), name, limit)
        return list(
            starmap(Event, self._database.query(self._sql.READ_TYPES, bound, long=True))
        )

    def last_position(self, before: int | None) -> int:
        """Give the position of the newest event, or of the newest recorded before a time."""
        if before is None:
            rows = self._database.query(self._sql.LAST, (self._horizon(),))
        else:
            bound = (before, self._horizon())
            rows = self._database.query(self._sql.LAST_BEFORE, bound, long=True)
        return rows[0][0] if rows else 0

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""
        return dict(self._database.query(self._sql.FIND_KEYS, (source, array(keys))))

    def stray_keys(self, limit: int) -> list[InboxKey]:
        """Give inbox keys that lead to a stream which is not there."""
        rows = self._database.query(self._sql.STRAY_KEYS, (limit,), long=True)
        return list(starmap(InboxKey, rows))

    def streams(self, after: str, limit: int) -> list[Head]:
        """Give rows of all kinds in order of their ids."""
        return [head_of(row) for row in self._database.query(self._sql.STREAMS, (after, limit))]

    def statuses(self, streams: Collection[str]) -> dict[str, str]:
        """Give the status of each stream that there is."""
        return dict(self._database.query(self._sql.STATUSES, (array(streams),)))

    def named(self, streams: Collection[str]) -> dict[str, tuple[str, str]]:
        """Give kind and name of each stream that there is."""
        rows = self._database.query(self._sql.NAMED, (array(streams),))
        return {stream: (kind, name) for stream, kind, name in rows}

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""
        rows = self._database.query(self._sql.FIND_KEY, (source, key))
        return rows[0][0] if rows else None

    def heads(
        self, *, kind: str, name: str | None, status: Collection[str], key: str | None,
        tags: dict[str, str] | None, since: int | None, limit: int | None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first."""
        text, values = [self._sql.HEAD + self._sql.OF_KIND], [kind]
        filters: list[tuple[str, tuple[Any, ...]]] = []
        if name is not None:
            filters.append((self._sql.BY_NAME, (name,)))
        if status:
            filters.append((self._sql.BY_STATUS, (array(status),)))
        if key is not None:
            filters.append((self._sql.BY_KEY, (key,)))
        filters.extend((self._sql.BY_TAG, pair) for pair in (tags or {}).items())
        if since is not None:
            filters.append((self._sql.BY_CREATED, (since,)))
        bound: list[Any] = list(values)
        for condition, parameters in filters:
            text.append(condition)
            bound.extend(parameters)
        bound.append(self._sql.MOST if limit is None else limit)
        asked = " AND ".join(text) + self._sql.NEWEST_FIRST
        rows = self._database.query(asked, bound, long=True)
        return [head_of(row) for row in rows]
