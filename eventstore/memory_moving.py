"""The part of the log in memory that is about followers and about moving: cursors, in and out."""

import contextlib
from collections.abc import Callable, Collection, Iterator

import msgspec

from eventstore import clock
from eventstore.errors import CursorMoved, HistoryDiffers, KeyTaken
from eventstore.event import Event, Tip
from eventstore.lines import (
    BlobLine,
    Body,
    CursorLine,
    EventLine,
    KeyLine,
    StreamLine,
    WaitLine,
)
from eventstore.memory_keeping import MemoryKeeping
from eventstore.picture import Picture, Stamp, Taken
from eventstore.store import Cursor, Head


class MemoryMoving(MemoryKeeping):
    """Streams that can leave and arrive whole."""

    def __init__(self, url: str = "memory://") -> None:
        super().__init__(url)
        self._store = clock.new_id()
        self._cursors: dict[str, Cursor] = {}

    def cursor(self, name: str) -> Cursor:
        """Give a durable cursor; one that was never moved stands at 0."""
        return self._cursors.get(name) or Cursor(name)

    def move_cursor(self, cursor: Cursor, position: int, *, now: int) -> Cursor:
        """Move a cursor if it still stands as it was read."""
        with self._lock:
            stands = self.cursor(cursor.name)
            if stands.version != cursor.version:
                raise CursorMoved(cursor.name, cursor.version, stands.version, stands.position)
            moved = Cursor(cursor.name, position, cursor.version + 1, now)
            self._cursors[cursor.name] = moved
            self._changes += 1
            return moved

    def cursors(self) -> list[Cursor]:
        """Give all cursors that were ever moved, by name."""
        return [self._cursors[name] for name in sorted(self._cursors)]

    @contextlib.contextmanager
    def picture(self) -> Iterator[Picture]:
        """Give all that the log holds at one moment."""
        with self._lock:
            shown = _Shown(
                Stamp(0, self._store, self._given, len(self._all)),
                [_row(head) for head in self._heads.values()],
                [
                    WaitLine(name, stream)
                    for name in self._waits
                    for stream in self._waits[name]
                ],
                list(self._all),
                [KeyLine(*key, stream) for key, stream in sorted(self._inbox.items())],
                [BlobLine(n, content) for n, (content, _) in sorted(self._blobs.items())],
                [CursorLine(*msgspec.structs.astuple(cursor)) for cursor in self.cursors()],
            )
        yield shown

    def take_in(self, lines: Callable[[], Iterator[Body]], *, last: int) -> Taken:
        """Write what another log held, verbatim: all of it or nothing."""
        with self._lock:
            body = list(lines())
            fresh, taken = self._judge(body)
            for line in body:
                self._take(line, fresh, taken)
            if taken.has_kept_positions:
                self._given = max(self._given, last)
            self._changes += 1
            return taken

    def _judge(self, body: list[Body]) -> tuple[dict[str, int], Taken]:
        """Refuse what does not fit, before anything is written.

        Returns:
            For each stream that is new or grows the version it stands at here; and whether
            positions are kept.
        """
        taken, fresh = Taken(), {}
        rows = {line.id: line for line in body if isinstance(line, StreamLine)}
        events = [line for line in body if isinstance(line, EventLine)]
        for line in rows.values():
            head = self._heads.get(line.id)
            if head is None:
                fresh[line.id] = 0
            elif self._grows(head, line):
                fresh[line.id] = head.tip.version
        for event in events:
            if fresh.get(event.stream) == event.version:
                here = self._events[event.stream][event.version - 1]
                if here.hash != event.hash:
                    raise HistoryDiffers(event.stream, f"event {event.version} is another one")
        for key in body:
            if isinstance(key, KeyLine):
                stream = self._inbox.get((key.source, key.key), key.stream)
                if stream != key.stream:
                    raise KeyTaken(key.source, key.key, stream)
        taken.has_kept_positions = self._has_place(events, fresh)
        return fresh, taken

    def _grows(self, head: Head, line: StreamLine) -> bool:
        if head.tip.version >= line.version:
            digest = line.hash  # a tombstone tells no more than its last hash
            if head.tip.version == line.version:
                digest = head.tip.hash
            elif head.purged is None:
                digest = self._events[head.id][line.version - 1].hash
            if digest != line.hash:
                raise HistoryDiffers(line.id, f"event {line.version} is another one")
            return False
        if head.purged is not None or line.purged is not None:
            raise HistoryDiffers(
                line.id, "its events are gone on one side, and more on the other"
            )
        if head.owner is not None:
            raise HistoryDiffers(
                line.id, f"it is at work here (worker {head.owner}); stop that first"
            )
        return True

    def _has_place(self, events: list[EventLine], fresh: dict[str, int]) -> bool:
        for event in events:
            if event.version > fresh.get(event.stream, event.version):
                return event.position > self._given
            here = self._events[event.stream]
            if here and here[event.version - 1].position != event.position:
                return False
        return True

    def _take(self, line: Body, fresh: dict[str, int], taken: Taken) -> None:
        match line:
            case StreamLine():
                self._take_row(line, fresh, taken)
            case WaitLine() if line.stream in fresh:
                self._waits.setdefault(line.name, {}).setdefault(line.stream)
            case EventLine() if line.version > fresh.get(line.stream, line.version):
                self._given = line.position if taken.has_kept_positions else self._given + 1
                event = Event(self._given, *msgspec.structs.astuple(line)[1:])
                self._events[line.stream].append(event)
                self._all.append(event)
                taken.events += 1
            case KeyLine():
                taken.keys += (line.source, line.key) not in self._inbox
                self._inbox[line.source, line.key] = line.stream
            case BlobLine():
                taken.blobs += line.sha256 not in self._blobs
                self._blobs[line.sha256] = line.content, clock.now_us()
            case CursorLine() if taken.has_kept_positions and line.name not in self._cursors:
                self._cursors[line.name] = Cursor(*msgspec.structs.astuple(line))
                taken.cursors += 1

    def _take_row(self, line: StreamLine, fresh: dict[str, int], taken: Taken) -> None:
        if line.id not in fresh:
            taken.there += 1
            return
        is_new = not fresh[line.id]
        taken.streams += is_new
        taken.grown += not is_new
        self._events.setdefault(line.id, [])
        for streams in self._waits.values():
            streams.pop(line.id, None)
        self._heads[line.id] = Head(
            line.id, line.kind, Tip(line.version, line.epoch, line.hash), line.status, line.due,
            line.waits_on, None, line.needs, line.label, line.name, line.key, line.tags,
            line.priority, line.created, line.updated, line.purged,
        )  # fmt: skip


class _Shown(msgspec.Struct, frozen=True):
    """A picture in lists."""

    stamped: Stamp
    rows: list[StreamLine]
    waiting: list[WaitLine]
    all: list[Event]
    inbox: list[KeyLine]
    large: list[BlobLine]
    followers: list[CursorLine]

    def stamp(self) -> Stamp:
        return self.stamped

    def streams(self, only: Collection[str] | None = None) -> Iterator[StreamLine]:
        return (row for row in self.rows if only is None or row.id in only)

    def waits(self, only: Collection[str] | None = None) -> Iterator[WaitLine]:
        return (line for line in self.waiting if only is None or line.stream in only)

    def events(self, only: Collection[str] | None = None) -> Iterator[EventLine]:
        for event in self.all:
            if only is None or event.stream in only:
                yield EventLine(*msgspec.structs.astuple(event))

    def keys(self, only: Collection[str] | None = None) -> Iterator[KeyLine]:
        return (line for line in self.inbox if only is None or line.stream in only)

    def blobs(self, names: Collection[str] | None = None) -> Iterator[BlobLine]:
        return (line for line in self.large if names is None or line.sha256 in names)

    def cursors(self) -> Iterator[CursorLine]:
        return iter(self.followers)


def _row(head: Head) -> StreamLine:
    return StreamLine(
        head.id, head.kind, head.tip.version, head.tip.epoch, head.tip.hash, head.status,
        head.due if head.owner is None else head.updated, head.waits_on, head.needs, head.label,
        head.name, head.key, head.tags, head.priority, head.created, head.updated, head.purged,
    )  # fmt: skip
