"""The log in plain dicts under one lock: the reference that every other log is held against.

Nothing is durable and nothing is shared with another process; what it answers is what the
promise in `store.py` means.
"""

import hashlib
import itertools
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NoReturn

import msgspec

from eventstore import clock
from eventstore.errors import KeyTaken, LogError, StorageCorrupt, StreamUnknown
from eventstore.event import Event, NewEvent, Tip, chain
from eventstore.rules import check_append, next_epoch, refusal
from eventstore.store import (
    Append,
    Claim,
    Counters,
    Head,
    Headline,
    Listener,
    Row,
    WorkerRow,
    Write,
)
from eventstore.wakeups import Hall


class MemoryLog:
    """A log that lives and dies with its object; see `store.Log`."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self.counters = Counters()
        self._lock = threading.RLock()
        self._heads: dict[str, Head] = {}  # in order of creation
        self._events: dict[str, list[Event]] = {}
        self._all: list[Event] = []
        self._inbox: dict[tuple[str, str], str] = {}
        self._waits: dict[str, dict[str, None]] = {}  # name -> streams, longest waiting first
        self._workers: dict[str, WorkerRow] = {}
        self._entered: dict[str, WorkerRow] = {}  # also those that were buried and forgotten
        self._blobs: dict[str, bytes] = {}
        self._snapshots: dict[tuple[str, str], dict[int, bytes]] = {}
        self._changes = 0
        self._hall = Hall()

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
                last = self._events[write.stream][write.tip.version + len(write.events) - 1]
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
            kept = Event(
                len(self._all) + 1, write.stream, version, event.type, event.type_version,
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
            self._wait(write.stream, row.waits_on)
        tip = Tip(version, epoch, digest)
        updated = write.events[-1].at if write.events else head.updated
        self._heads[write.stream] = msgspec.structs.replace(head, tip=tip, updated=updated)
        return tip

    def _wait(self, stream: str, names: tuple[str, ...]) -> None:
        for name, streams in self._waits.items():
            if name not in names:
                streams.pop(stream, None)
        for name in names:
            self._waits.setdefault(name, {}).setdefault(stream)

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

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream."""
        with self._lock:
            events = self._events.get(stream, [])
            return {n: events[n - 1] for n in sorted(set(versions)) if 0 < n <= len(events)}

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position."""
        with self._lock:
            return self._all[max(0, after) : max(0, after) + limit]

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

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str] = (), names: Collection[str] = (), skip: Collection[str] = (),
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams that need one."""
        with self._lock:
            living = {
                offer
                for row in self._workers.values()
                if not row.dead and row.until > now
                for offer in row.offers
            }

            def is_mine(head: Head) -> bool:
                if head.kind != kind or head.id in skip or not self._is_free(head, worker, now):
                    return False
                if head.needs is None or head.needs in offers:
                    return True
                return head.name in names and head.needs not in living

            ready = [head for head in self._heads.values() if is_mine(head)]
            ready.sort(key=lambda head: (-head.priority, head.due is None, head.due or 0))
            return [self._give(head, worker) for head in ready[:limit]]

    def _is_free(self, head: Head, worker: str, now: int) -> bool:
        if head.owner is None:
            return head.due is not None and head.due <= now
        if head.owner == worker:
            return False
        holder = self._workers.get(head.owner)
        return holder is None or holder.dead or holder.until <= now

    def _give(self, head: Head, worker: str) -> Claim:
        holder = self._workers.get(head.owner) if head.owner else None
        taken = self._own(head, worker, head.due)
        return Claim(taken, head.owner, died=holder is not None and holder.dead)

    def _own(self, head: Head, owner: str | None, due: int | None) -> Head:
        """Change the owner; the epoch grows with every change."""
        tip = Tip(head.tip.version, head.tip.epoch + 1, head.tip.hash)
        head = msgspec.structs.replace(head, tip=tip, owner=owner, due=due)
        self._heads[head.id] = head
        self._changes += 1
        return head

    def release(self, stream: str, tip: Tip, *, due: int | None) -> None:
        """Let go of a stream that is owned, if it still stands at `tip`."""
        with self._lock:
            head = self._heads.get(stream)
            if head is not None and head.owner is not None and head.tip == tip:
                self._own(head, None, due)

    def wake(self, waits_on: str, *, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name and are not due yet."""
        with self._lock:
            asleep = [
                stream
                for stream in self._waits.get(waits_on, ())
                if (due := self._heads[stream].due) is None or due > now
            ][:limit]
            for stream in asleep:
                self._heads[stream] = msgspec.structs.replace(self._heads[stream], due=now)
                self._changes += 1
            return asleep

    def waiting(self, waits_on: str, *, limit: int = 1) -> list[str]:
        """Give ids of streams that wait on a name, those that have waited longest first."""
        with self._lock:
            return list(self._waits.get(waits_on, ()))[:limit]

    def next_due(self, *, kinds: Collection[str], after: int | None = None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds."""
        with self._lock:
            return min(
                (
                    head.due
                    for head in self._heads.values()
                    if head.owner is None
                    and head.due is not None
                    and head.kind in kinds
                    and (after is None or head.due > after)
                ),
                default=None,
            )

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""
        with self._lock:
            return {
                head.id: (head.tip.version, head.due)
                for head in self._heads.values()
                if head.owner == worker
            }

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker."""
        with self._lock:
            self._workers[worker.id] = self._entered[worker.id] = worker
            self._changes += 1

    def renew(self, worker: str, *, until: int, offers: Sequence[str] | None = None) -> None:
        """Extend a lease."""
        with self._lock:
            row = self._workers.get(worker) or self._entered.get(worker)
            if row is None:
                raise LogError(f"no worker {worker!r} in this log; `enter` it first")
            if row.dead:
                self._disown(worker, clock.now_us())
            self._workers[worker] = msgspec.structs.replace(
                row,
                until=until,
                dead=False,
                offers=row.offers if offers is None else tuple(offers),
            )
            self._changes += 1

    def leave(self, worker: str, *, now: int) -> None:
        """Remove a worker; its streams become unowned and due at `now`."""
        with self._lock:
            self._disown(worker, now)
            self._workers.pop(worker, None)
            self._entered.pop(worker, None)
            self._changes += 1

    def _disown(self, worker: str, now: int) -> None:
        for head in list(self._heads.values()):
            if head.owner == worker:
                self._own(head, None, now)

    def workers(self) -> list[WorkerRow]:
        """Give all leases."""
        with self._lock:
            return sorted(self._workers.values(), key=lambda row: row.id)

    def bury(self, *, now: int) -> list[str]:
        """Mark dead every worker whose lease ran out; forget the dead that own nothing."""
        with self._lock:
            found = [row.id for row in self.workers() if not row.dead and row.until <= now]
            for worker in found:
                self._workers[worker] = msgspec.structs.replace(
                    self._workers[worker], dead=True
                )
                self._changes += 1
            owners = {head.owner for head in self._heads.values()}
            for row in self.workers():
                if row.dead and row.id not in owners:
                    del self._workers[row.id]
            return found

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes."""
        if sha256 not in self._blobs:
            raise StorageCorrupt(f"there is no blob {sha256} in {self.url}")
        return self._blobs[sha256]

    def put_snapshot(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep a disposable copy of folded state."""
        with self._lock:
            self._snapshots.setdefault((stream, kind), {})[version] = content

    def snapshot(
        self, stream: str, kind: str, *, upto: int | None = None
    ) -> tuple[int, bytes] | None:
        """Give the newest copy of this kind up to a version."""
        with self._lock:
            copies = self._snapshots.get((stream, kind), {})
            fitting = [version for version in copies if upto is None or version <= upto]
            return (max(fitting), copies[max(fitting)]) if fitting else None

    def drop_derived(self) -> None:
        """Delete all that can be rebuilt from the events."""
        with self._lock:
            self._snapshots.clear()

    def verify(self, stream: str | None = None) -> Iterator[str]:
        """Check chains, versions and heads."""
        with self._lock:
            heads = [h for h in self._heads.values() if stream in (None, h.id)]
            streams = [(head, list(self._events[head.id])) for head in heads]
        for head, events in streams:
            digest = b""
            for number, event in enumerate(events, 1):
                new = NewEvent(
                    event.type, event.subject, event.source, event.dest, event.data, event.at,
                    event.cause, event.type_version,
                )  # fmt: skip
                digest = chain(digest, head.id, number, event.epoch, new)
                if event.version != number or event.hash != digest:
                    yield f"event {number} of {head.id!r} is not what was written"
            if head.tip.version != len(events) or head.tip.hash != digest:
                yield f"the row of {head.id!r} does not stand at its last event"

    def listen(self, worker: str) -> Listener:
        """Open a worker's ear."""
        return self._hall.listen(worker)

    def hint(self, streams: Collection[str], *, skip: str | None = None) -> None:
        """Tell other workers that these streams want attention."""
        self._hall.hint(streams, skip)

    def changed(self) -> int:
        """Give a number that moves with every change."""
        return self._changes

    def close(self) -> None:
        """Close the ears; what was appended stays."""
        self._hall.close()


def _refuse(error: LogError) -> NoReturn:
    raise error


def _first_head(write: Write, at: int) -> Head:
    line, row = write.headline or Headline(), write.row or Row()
    return Head(
        write.stream, write.kind, Tip(), row.status, row.due, row.waits_on, row.owner, row.needs,
        row.label, line.name, line.key, dict(line.tags), line.priority, at, at,
    )  # fmt: skip
