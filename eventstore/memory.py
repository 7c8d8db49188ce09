"""The log in plain dicts under one lock: the reference that every other log is held against.

Nothing is durable and nothing is shared with another process; what it answers is what the
promise in `store.py` means.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence

import msgspec

from eventstore import clock
from eventstore.chains import Fault, faults_of
from eventstore.errors import LogError
from eventstore.event import Tip
from eventstore.memory_census import MemoryCensus
from eventstore.memory_moving import MemoryMoving
from eventstore.store import Claim, Head, Listener, WorkerRow
from eventstore.tally import Lease
from eventstore.wakeups import Hall


class MemoryLog(MemoryMoving, MemoryCensus):
    """A log that lives and dies with its object; see `store.Log`."""

    def __init__(self, url: str = "memory://") -> None:
        super().__init__(url)
        self._workers: dict[str, WorkerRow] = {}
        self._entered: dict[str, WorkerRow] = {}  # also those that were buried and forgotten
        self._hall = Hall()

    def is_there(self) -> bool:
        """Say that it is."""
        return True

    def size(self) -> int | None:
        """Say that it is kept nowhere."""
        return None

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
            worker = msgspec.structs.replace(worker, renewed=clock.now_us())
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
                renewed=clock.now_us(),
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

    def leases(self) -> dict[str, Lease]:
        """Give the lease of each living worker by its id."""
        with self._lock:
            living = [row for row in self._workers.values() if not row.dead]
            return {row.id: Lease(row.until, row.skew) for row in living}

    def any_death(self) -> bool:
        """Tell whether a worker's process is known to be gone: never, it is this one."""
        return False

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

    def verify(self, stream: str | None = None) -> Iterator[Fault]:
        """Check chains, versions and heads."""
        with self._lock:
            heads = [
                head
                for head in self._heads.values()
                if stream in (None, head.id) and head.purged is None
            ]
            streams = [(head, list(self._events[head.id])) for head in heads]
        for head, events in streams:
            yield from faults_of(head.id, events, head.tip)

    def verify_beside(self) -> Iterator[Fault]:
        """Check blobs; all else in memory is part of a stream."""
        for name, (content, _) in list(self._blobs.items()):
            if hashlib.sha256(content).hexdigest() != name:
                yield Fault(f"blob {name}: its bytes no longer have this hash")

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
