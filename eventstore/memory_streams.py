"""The half of the log in memory that is about streams: appending, reading, lists."""

import bisect
import itertools
import threading
from collections.abc import Collection
from typing import NoReturn

import msgspec

from eventstore.errors import KeyTaken, LogError, StreamUnknown
from eventstore.event import Event, Tip, chain
from eventstore.rules import check_append, next_epoch, refusal, row_order
from eventstore.store import Append, Counters, Head, Headline, InboxKey, Row, Write


class MemoryStreams:
    """Streams, their rows and the inbox in plain dicts under one lock."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self.path: str | None = None
        self.counters = Counters()
        self.is_remote = False
        self._lock = threading.RLock()
        self._heads: dict[str, Head] = {}  # in order of creation
        self._events: dict[str, list[Event]] = {}
        self._all: list[Event] = []
        self._given = 0  # positions up to this were given out
        self._inbox: dict[tuple[str, str], str] = {}
        self._waits: dict[str, dict[str, None]] = {}  # name -> streams, longest waiting first
        self._given = 0  # positions up to this were given out
        self._changes = 0

    def append(self, append: Append) -> list[Tip]:
        """Write all of it or nothing."""
        check_append(append)
        with self._lock:
            for key in append.inbox:
                taken = self._inbox.get((key.source, key.key))
                if taken is not None:
                    return self._done_before(append) or _refuse(
                        KeyTaken(key.source, key.key, taken)
                    )
            for write in append.writes:
                head = self._heads.get(write.stream)
                reason = refusal(write, (head.tip, head.owner) if head else None)
                if reason is not None:
                    return self._done_before(append) or _refuse(reason)
            for key in append.inbox:
                self._inbox[key.source, key.key] = key.stream
            tips = [self._write(append.id, write) for write in append.writes]
            for number in row_order(append.writes):
                self._wait(append.writes[number])
            self._changes += 1
            self.counters.commits += 1
            self.counters.appends += 1
            return tips

    def _done_before(self, append: Append) -> list[Tip] | None:
        for write in append.writes:
            if write.events:
                events = self._events.get(write.stream, ())
                first = write.tip.version
                if len(events) <= first or events[first].append_id != append.id:
                    return None
                break
        else:
            return None
        tips = []
        for write in append.writes:
            if write.events:
                found = self.read_version(write.stream, [write.tip.version + len(write.events)])
                if not found:
                    return None  # retention took it since
                (last,) = found.values()
                tips.append(Tip(last.version, last.epoch, last.hash))
            else:
                tips.append(write.tip)
        return tips

    def _write(self, append_id: str, write: Write) -> Tip:
        head = self._heads.get(write.stream)
        if not write.events and write.row is None:
            return write.tip
        row = write.row
        if head is None:
            epoch = 1 if row and row.owner else 0
        else:
            epoch = next_epoch(head.tip.epoch, head.owner, write)
        version, digest = write.tip.version, write.tip.hash
        events = self._events.setdefault(write.stream, [])
        for event in write.events:
            version += 1
            digest = chain(digest, write.stream, version, epoch, event)
            self._given += 1
            kept = Event(
                self._given, write.stream, version, event.type, event.type_version,
                epoch, event.subject, event.source, event.dest, event.data, event.at,
                event.cause, append_id, digest,
            )  # fmt: skip
            events.append(kept)
            self._all.append(kept)
            self.counters.bytes += len(event.data.encode())
        self.counters.events += len(write.events)
        if head is None:
            head = _first_head(write, events[0].at)
        if row is not None:
            head = msgspec.structs.replace(
                head, status=row.status, due=row.due, waits_on=row.waits_on, owner=row.owner,
                needs=row.needs, label=row.label,
            )  # fmt: skip
        tip = Tip(version, epoch, digest)
        updated = write.events[-1].at if write.events else head.updated
        self._heads[write.stream] = msgspec.structs.replace(head, tip=tip, updated=updated)
        return tip

    def _wait(self, write: Write) -> None:
        if write.row is None:
            return
        names = write.row.waits_on
        for name, streams in self._waits.items():
            if name not in names:
                streams.pop(write.stream, None)
        for name in names:
            self._waits.setdefault(name, {}).setdefault(write.stream)

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""
        return self._heads.get(stream)

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, at: int | None = None
    ) -> list[Event]:
        """Give events of a stream, oldest first."""
        with self._lock:
            events = self._events.get(stream, [])[max(0, after) : upto]
        if at is None:
            return events
        return list(itertools.takewhile(lambda event: event.at <= at, events))

    def load(self, stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        """Give row and events of one moment together."""
        with self._lock:
            if stream not in self._heads:
                raise StreamUnknown(stream)
            return self._heads[stream], self._events[stream][max(0, after) :]

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first."""
        with self._lock:
            return {s: list(self._events[s]) for s in streams if self._events.get(s)}

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream."""
        with self._lock:
            events = self._events.get(stream, [])
            return {n: events[n - 1] for n in sorted(set(versions)) if 0 < n <= len(events)}

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position."""
        with self._lock:
            first = self._behind(after)
            return self._all[first : first + limit]

    def _behind(self, position: int) -> int:
        """Give the place in `_all` of the first event behind a position."""
        return bisect.bisect_right(self._all, position, key=lambda event: event.position)

    def read_types(
        self, types: Collection[str], *, name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name, in order of position."""
        with self._lock:
            found = (
                event
                for event in self._all[self._behind(after) : self._behind(upto)]
                if event.type in types and self._heads[event.stream].name == name
            )
            return list(itertools.islice(found, limit))

    def last_position(self, *, before: int | None = None) -> int:
        """Give the position of the newest event; with `before`, of the newest before a time."""
        with self._lock:
            found = (e for e in reversed(self._all) if before is None or e.at < before)
            last = next(found, None)
            return 0 if last is None else last.position

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""
        with self._lock:
            known = ((key, self._inbox.get((source, key))) for key in keys)
            return {key: stream for key, stream in known if stream is not None}

    def stray_keys(self, *, limit: int = 100) -> list[InboxKey]:
        """Give inbox keys that lead to a stream which is not there."""
        with self._lock:
            keys = (InboxKey(*key, of) for key, of in self._inbox.items())
            return [key for key in keys if key.stream not in self._heads][:limit]

    def streams(self, *, after: str = "", limit: int = 1000) -> list[Head]:
        """Give rows of all kinds in order of their ids, those after an id."""
        with self._lock:
            return [self._heads[id_] for id_ in sorted(self._heads) if id_ > after][:limit]

    def statuses(self, streams: Collection[str]) -> dict[str, str]:
        """Give the status of each stream that there is."""
        with self._lock:
            return {s: self._heads[s].status for s in streams if s in self._heads}

    def named(self, streams: Collection[str]) -> dict[str, tuple[str, str]]:
        """Give kind and name of each stream that there is."""
        with self._lock:
            found = [self._heads[s] for s in streams if s in self._heads]
        return {head.id: (head.kind, head.name) for head in found}

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""
        return self._inbox.get((source, key))

    def heads(
        self, *, kind: str, name: str | None = None, status: Collection[str] = (),
        key: str | None = None, tags: dict[str, str] | None = None, since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first."""
        with self._lock:
            rows = list(self._heads.values())
        found = (
            head
            for head in reversed(rows)
            if head.kind == kind
            and (name is None or head.name == name)
            and (not status or head.status in status)
            and (key is None or head.key == key)
            and all(head.tags.get(tag) == text for tag, text in (tags or {}).items())
            and (since is None or head.created >= since)
        )
        return list(itertools.islice(found, limit))


def _refuse(error: LogError) -> NoReturn:
    raise error


def _first_head(write: Write, at: int) -> Head:
    line, row = write.headline or Headline(), write.row or Row()
    return Head(
        write.stream, write.kind, Tip(), row.status, row.due, row.waits_on, row.owner, row.needs,
        row.label, line.name, line.key, dict(line.tags), line.priority, at, at,
    )  # fmt: skip
