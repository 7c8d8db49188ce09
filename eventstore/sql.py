"""The log in a SQL database: joins the rooms that each keep one part of the promise."""

import os
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence

from eventstore.blobs import Blobs
from eventstore.census import Census
from eventstore.chains import Fault
from eventstore.claims import Claims
from eventstore.event import Event, Tip
from eventstore.integrity import Integrity
from eventstore.parts import Parts
from eventstore.reading import Reading
from eventstore.retention import Retention
from eventstore.snapshots import Snapshots
from eventstore.sql_moving import SqlMoving
from eventstore.store import Append, Claim, Head, InboxKey, Listener, WorkerRow
from eventstore.tally import Lease
from eventstore.workers import Leases

_open_logs: "weakref.WeakSet[SqlLog]" = weakref.WeakSet()


class SqlLog(SqlMoving, Census):
    """A log in a SQL database; see `store.Log`.

    Args:
        url: as it was given.
        parts: what is particular to its kind of database.
    """

    def __init__(self, url: str, parts: Parts) -> None:
        SqlMoving.__init__(self, parts)
        self.url, self._parts = url, parts
        self.database = database = parts.database
        Census.__init__(self, database)
        self.path, self.counters = database.path, database.counters
        self._writer = writer = parts.writer
        self._reading = Reading(database, parts.horizon)
        self._claims = Claims(database, writer)
        self._leases = Leases(database, parts.desk, parts.locks)
        self._snapshots = Snapshots(database, writer)
        self._blobs = Blobs(database, writer)
        self._retention = Retention(database, writer, parts.room)
        self._integrity = Integrity(database)
        self._hall = parts.hall
        _open_logs.add(self)

    def is_there(self) -> bool:
        """Say whether the log has been made already; makes nothing."""
        return self.database.is_there()

    def size(self) -> int | None:
        """Give the bytes that the log takes where it is kept; None in memory."""
        return self.database.size()

    def append(self, append: Append) -> list[Tip]:
        """Write all of it in one transaction, durable when it returns."""
        return self._writer.append(append)

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""
        return self._reading.head(stream)

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, at: int | None = None
    ) -> list[Event]:
        """Give events of a stream, oldest first; with `at`, those before the first later one."""
        return self._reading.read(stream, after, upto, at)

    def load(self, stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        """Give row and events of one moment together."""
        return self._reading.load(stream, after)

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first."""
        return self._reading.read_streams(streams)

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream; absent ones are left out."""
        return self._reading.read_version(stream, versions)

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position, after a position."""
        return self._reading.read_all(after, limit)

    def read_types(
        self, types: Collection[str], *, name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name, in order of position."""
        return self._reading.read_types(types, name, after, upto, limit)

    def last_position(self, *, before: int | None = None) -> int:
        """Give the position of the newest event; with `before`, of the newest before a time."""
        return self._reading.last_position(before)

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""
        return self._reading.find_all(source, keys)

    def stray_keys(self, *, limit: int = 100) -> list[InboxKey]:
        """Give inbox keys that lead to a stream which is not there."""
        return self._reading.stray_keys(limit)

    def streams(self, *, after: str = "", limit: int = 1000) -> list[Head]:
        """Give rows of all kinds in order of their ids, those after an id."""
        return self._reading.streams(after, limit)

    def statuses(self, streams: Collection[str]) -> dict[str, str]:
        """Give the status of each stream that there is."""
        return self._reading.statuses(streams)

    def named(self, streams: Collection[str]) -> dict[str, tuple[str, str]]:
        """Give kind and name of each stream that there is."""
        return self._reading.named(streams)

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""
        return self._reading.find(source, key)

    def heads(
        self, *, kind: str, name: str | None = None, status: Collection[str] = (),
        key: str | None = None, tags: dict[str, str] | None = None, since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first; filters are all to hold."""
        return self._reading.heads(
            kind=kind, name=name, status=status, key=key, tags=tags, since=since, limit=limit
        )

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str] = (), names: Collection[str] = (), skip: Collection[str] = (),
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams of a kind that need one."""
        return self._claims.claim(
            worker, kind=kind, now=now, limit=limit, offers=offers, names=names, skip=skip
        )

    def release(self, stream: str, tip: Tip, *, due: int | None) -> None:
        """Let go of a stream that is owned, if it still stands at `tip`; else do nothing."""
        self._claims.release(stream, tip, due)

    def wake(self, waits_on: str, *, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name and are not due yet."""
        return self._claims.wake(waits_on, now, limit)

    def waiting(self, waits_on: str, *, limit: int = 1) -> list[str]:
        """Give ids of streams that wait on a name, those that have waited longest first."""
        return self._claims.waiting(waits_on, limit)

    def next_due(self, *, kinds: Collection[str], after: int | None = None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds."""
        return self._claims.next_due(kinds, after)

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""
        return self._claims.owned(worker)

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock."""
        self._leases.enter(worker)

    def renew(self, worker: str, *, until: int, offers: Sequence[str] | None = None) -> None:
        """Extend a lease."""
        self._leases.renew(worker, until, offers)

    def leave(self, worker: str, *, now: int) -> None:
        """Remove a worker; streams it still owns become unowned and due at `now`."""
        self._leases.leave(worker, now)

    def workers(self) -> list[WorkerRow]:
        """Give all leases."""
        return self._leases.all()

    def leases(self) -> dict[str, Lease]:
        """Give the lease of each living worker by its id, as it was seen moments ago."""
        return self._leases.living()

    def any_death(self) -> bool:
        """Tell, without asking the database, whether a worker's process is known to be gone."""
        return self._leases.any_death()

    def bury(self, *, now: int) -> list[str]:
        """Mark dead every worker known to be gone; give the ids newly found dead."""
        return self._leases.bury(now)

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their SHA-256 (hex)."""
        return self._blobs.put(content)

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes."""
        return self._blobs.get(sha256)

    def has_blob(self, sha256: str) -> bool:
        """Tell whether there is a blob of this name."""
        return self._blobs.has(sha256)

    def put_snapshot(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep a disposable copy of folded state."""
        self._snapshots.put(stream, version, kind, content)

    def snapshot(
        self, stream: str, kind: str, *, upto: int | None = None
    ) -> tuple[int, bytes] | None:
        """Give the newest copy of this kind up to a version, or None."""
        return self._snapshots.get(stream, kind, upto)

    def snapshots(self, streams: Collection[str]) -> list[tuple[str, str, int]]:
        """Give stream, kind and version of each copy that is kept of these streams."""
        return self._snapshots.all(streams)

    def drop_derived(self) -> None:
        """Delete all that can be rebuilt from the events (snapshots)."""
        self._snapshots.drop()

    def old_heads(
        self, *, kind: str, before: int, name: str | None = None,
        status: Collection[str] = (), after: str = "", limit: int = 500,
    ) -> list[Head]:  # fmt: skip
        """Give rows whose last event is older than `before`, first created first."""
        return self._retention.old_heads(kind, before, name, status, after, limit)

    def purge(self, tips: Mapping[str, Tip], *, now: int) -> list[str]:
        """Take the events and snapshots of streams; their rows stay as tombstones."""
        return self._retention.purge(tips, now)

    def old_blobs(self, *, before: int) -> set[str]:
        """Give the names of blobs that were last put before a time."""
        return self._retention.old_blobs(before)

    def drop_blobs(self, names: Collection[str], *, before: int) -> tuple[int, int]:
        """Delete blobs among these that were not put since `before`."""
        return self._retention.drop_blobs(names, before)

    def reclaim(self) -> int:
        """Give room that deletions left free back to the system; give the bytes."""
        return self._retention.reclaim()

    def verify(self, stream: str | None = None) -> Iterator[Fault]:
        """Check hash chains, gap-free versions and heads; give a sentence for each fault."""
        return self._integrity.verify(stream)

    def verify_beside(self) -> Iterator[Fault]:
        """Check the database itself, events of no stream, and blobs."""
        return self._integrity.verify_beside()

    def listen(self, worker: str) -> Listener:
        """Open a worker's ear."""
        self.database.ready()
        return self._hall.listen(worker)

    def hint(self, streams: Collection[str], *, skip: str | None = None) -> None:
        """Tell other workers (all but `skip`) that these streams want attention."""
        self._hall.hint(streams, skip)

    def changed(self) -> int:
        """Give a number that moves when another connection has committed."""
        return self._parts.changed()

    def come_back(self) -> None:
        """Put leases right after the connection to the server was lost, and have all look."""
        self._leases.renew_all()
        self._hall.poke()

    def close(self) -> None:
        """Let go of connections, locks and files; the log can be used again afterwards."""
        if self.database.is_ours():
            self._hall.close()
            self._leases.locks.close()
            for close in self._parts.closing:
                close()
            self.database.close()

    def forked(self) -> None:
        """Let go of what a forked child got of its parent's log."""
        self._hall.let_go()
        self._leases.locks.forked()
        for let_go in self._parts.forked:
            let_go()
        self.database.forked()


def _after_fork_in_child() -> None:
    for log in list(_open_logs):
        log.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
