"""A log that stands before another log and hands every call on, until a child says otherwise."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from eventstore.chains import Fault
from eventstore.event import Event, Tip
from eventstore.lines import Body
from eventstore.picture import Picture, Taken
from eventstore.store import (
    Append,
    Claim,
    Counters,
    Cursor,
    Head,
    InboxKey,
    Listener,
    Log,
    WorkerRow,
)
from eventstore.tally import Count, Holding, Lease, Overdue


class WrappedLog:
    """A log before another one; see `store.Log`.

    Each method is written out: a promise that grows is to be thought of here too, and a test
    compares the two.
    """

    def __init__(self, inner: Log) -> None:
        self.inner = inner
        self.url, self.path = inner.url, inner.path
        self.counters: Counters = inner.counters
        self.is_remote = inner.is_remote

    def is_there(self) -> bool:
        """Say whether the log has been made already."""
        return self.inner.is_there()

    def size(self) -> int | None:
        """Give the bytes that the log takes where it is kept."""
        return self.inner.size()

    def append(self, append: Append) -> list[Tip]:
        """Write all of it in one transaction."""
        return self.inner.append(append)

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""
        return self.inner.head(stream)

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, at: int | None = None
    ) -> list[Event]:
        """Give events of a stream, oldest first."""
        return self.inner.read(stream, after=after, upto=upto, at=at)

    def load(self, stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        """Give row and events of one moment together."""
        return self.inner.load(stream, after=after)

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream."""
        return self.inner.read_version(stream, versions)

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position."""
        return self.inner.read_all(after=after, limit=limit)

    def read_types(
        self, types: Collection[str], *, name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name."""
        return self.inner.read_types(types, name=name, after=after, upto=upto, limit=limit)

    def last_position(self, *, before: int | None = None) -> int:
        """Give the position of the newest event."""
        return self.inner.last_position(before=before)

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""
        return self.inner.find(source, key)

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""
        return self.inner.find_all(source, keys)

    def statuses(self, streams: Collection[str]) -> dict[str, str]:
        """Give the status of each stream that there is."""
        return self.inner.statuses(streams)

    def named(self, streams: Collection[str]) -> dict[str, tuple[str, str]]:
        """Give kind and name of each stream that there is."""
        return self.inner.named(streams)

    def heads(
        self, *, kind: str, name: str | None = None, status: Collection[str] = (),
        key: str | None = None, tags: dict[str, str] | None = None, since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first."""
        return self.inner.heads(
            kind=kind, name=name, status=status, key=key, tags=tags, since=since, limit=limit
        )

    def counts(self, kind: str) -> list[Count]:
        """Give how many streams of a kind there are, by name, status and need."""
        return self.inner.counts(kind)

    def holdings(self) -> list[Holding]:
        """Give how many streams each worker owns, by kind and name."""
        return self.inner.holdings()

    def overdue(self, kind: str, *, now: int) -> list[Overdue]:
        """Give how many streams of a kind are due at `now` and unowned, the latest first."""
        return self.inner.overdue(kind, now=now)

    def matching(self, kind: str, text: str, *, limit: int) -> list[str]:
        """Give ids of a kind that begin with a text; if none does, those that end with it."""
        return self.inner.matching(kind, text, limit=limit)

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str] = (), names: Collection[str] = (), skip: Collection[str] = (),
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams of a kind that need one."""
        return self.inner.claim(
            worker, kind=kind, now=now, limit=limit, offers=offers, names=names, skip=skip
        )

    def release(self, stream: str, tip: Tip, *, due: int | None) -> None:
        """Let go of a stream that is owned."""
        self.inner.release(stream, tip, due=due)

    def wake(self, waits_on: str, *, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name."""
        return self.inner.wake(waits_on, now=now, limit=limit)

    def waiting(self, waits_on: str, *, limit: int = 1) -> list[str]:
        """Give ids of streams that wait on a name."""
        return self.inner.waiting(waits_on, limit=limit)

    def next_due(self, *, kinds: Collection[str], after: int | None = None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds."""
        return self.inner.next_due(kinds=kinds, after=after)

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""
        return self.inner.owned(worker)

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock."""
        self.inner.enter(worker)

    def renew(self, worker: str, *, until: int, offers: Sequence[str] | None = None) -> None:
        """Extend a lease."""
        self.inner.renew(worker, until=until, offers=offers)

    def leave(self, worker: str, *, now: int) -> None:
        """Remove a worker."""
        self.inner.leave(worker, now=now)

    def workers(self) -> list[WorkerRow]:
        """Give all leases."""
        return self.inner.workers()

    def leases(self) -> dict[str, Lease]:
        """Give the lease of each living worker by its id, as it was seen moments ago."""
        return self.inner.leases()

    def any_death(self) -> bool:
        """Tell whether `bury` may find a dead worker."""
        return self.inner.any_death()

    def bury(self, *, now: int) -> list[str]:
        """Mark dead every worker whose process is known to be gone."""
        return self.inner.bury(now=now)

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their SHA-256 (hex)."""
        return self.inner.put_blob(content)

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes."""
        return self.inner.blob(sha256)

    def put_snapshot(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep a disposable copy of folded state."""
        self.inner.put_snapshot(stream, version, kind, content)

    def snapshot(
        self, stream: str, kind: str, *, upto: int | None = None
    ) -> tuple[int, bytes] | None:
        """Give the newest copy of this kind up to a version, or None."""
        return self.inner.snapshot(stream, kind, upto=upto)

    def drop_derived(self) -> None:
        """Delete all that can be rebuilt from the events."""
        self.inner.drop_derived()

    def old_heads(
        self, *, kind: str, before: int, name: str | None = None, status: Collection[str] = (),
        after: str = "", limit: int = 500,
    ) -> list[Head]:  # fmt: skip
        """Give rows with events whose last one is older than `before`."""
        return self.inner.old_heads(
            kind=kind, before=before, name=name, status=status, after=after, limit=limit
        )

    def purge(self, tips: Mapping[str, Tip], *, now: int) -> list[str]:
        """Take the events and snapshots of streams."""
        return self.inner.purge(tips, now=now)

    def old_blobs(self, *, before: int) -> set[str]:
        """Give the names of blobs that were last put before a time."""
        return self.inner.old_blobs(before=before)

    def drop_blobs(self, names: Collection[str], *, before: int) -> tuple[int, int]:
        """Delete blobs among these that were not put since `before`."""
        return self.inner.drop_blobs(names, before=before)

    def reclaim(self) -> int:
        """Give room that deletions left free back to the system."""
        return self.inner.reclaim()

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first."""
        return self.inner.read_streams(streams)

    def stray_keys(self, *, limit: int = 100) -> list[InboxKey]:
        """Give inbox keys that lead to a stream which is not there."""
        return self.inner.stray_keys(limit=limit)

    def streams(self, *, after: str = "", limit: int = 1000) -> list[Head]:
        """Give rows of all kinds in the database's order of ids."""
        return self.inner.streams(after=after, limit=limit)

    def has_blob(self, sha256: str) -> bool:
        """Tell whether there is a blob of this name."""
        return self.inner.has_blob(sha256)

    def snapshots(self, streams: Collection[str]) -> list[tuple[str, str, int]]:
        """Give stream, kind and version of each copy that is kept of these streams."""
        return self.inner.snapshots(streams)

    def verify_beside(self) -> Iterator[Fault]:
        """Check what `verify` does beside the streams."""
        return self.inner.verify_beside()

    def cursor(self, name: str) -> Cursor:
        """Give a durable cursor."""
        return self.inner.cursor(name)

    def move_cursor(self, cursor: Cursor, position: int, *, now: int) -> Cursor:
        """Move a cursor, durably, if it still stands as it was read."""
        return self.inner.move_cursor(cursor, position, now=now)

    def cursors(self) -> list[Cursor]:
        """Give all cursors that were ever moved."""
        return self.inner.cursors()

    def picture(self) -> AbstractContextManager[Picture]:
        """Give all that the log holds at one moment, as it is stored."""
        return self.inner.picture()

    def take_in(self, lines: Callable[[], Iterator[Body]], *, last: int) -> Taken:
        """Write what another log held, verbatim, in one transaction."""
        return self.inner.take_in(lines, last=last)

    def verify(self, stream: str | None = None) -> Iterator[Fault]:
        """Check hash chains, gap-free versions and heads of what is stored."""
        return self.inner.verify(stream)

    def listen(self, worker: str) -> Listener:
        """Open a worker's ear."""
        return self.inner.listen(worker)

    def hint(self, streams: Collection[str], *, skip: str | None = None) -> None:
        """Tell other workers that these streams want attention."""
        self.inner.hint(streams, skip=skip)

    def changed(self) -> int:
        """Give a number that moves when another connection has committed."""
        return self.inner.changed()

    def close(self) -> None:
        """Let go of connections, locks and files."""
        self.inner.close()


def bare(log: Log) -> Log:
    """Give the log behind all that stands before it. *Pure.*"""
    while isinstance(log, WrappedLog):
        log = log.inner
    return log
