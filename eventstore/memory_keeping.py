"""The half of the log in memory that is about what is kept: large values, copies, retention."""

import hashlib
from collections.abc import Collection, Mapping

import msgspec

from eventstore import clock
from eventstore.errors import StorageCorrupt
from eventstore.event import Tip
from eventstore.memory_streams import MemoryStreams
from eventstore.store import Head


class MemoryKeeping(MemoryStreams):
    """Blobs and snapshots in plain dicts, and what retention takes away again."""

    def __init__(self, url: str = "memory://") -> None:
        super().__init__(url)
        self._blobs: dict[str, tuple[bytes, int]] = {}  # with the time of the last put
        self._snapshots: dict[tuple[str, str], dict[int, bytes]] = {}

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content, clock.now_us()
        return digest

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes."""
        if sha256 not in self._blobs:
            raise StorageCorrupt(f"there is no blob {sha256} in {self.url}")
        return self._blobs[sha256][0]

    def has_blob(self, sha256: str) -> bool:
        """Tell whether there is a blob of this name."""
        return sha256 in self._blobs

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

    def snapshots(self, streams: Collection[str]) -> list[tuple[str, str, int]]:
        """Give stream, kind and version of each copy that is kept of these streams."""
        with self._lock:
            kept = [key for key in self._snapshots if key[0] in streams]
            return sorted((*key, version) for key in kept for version in self._snapshots[key])

    def drop_derived(self) -> None:
        """Delete all that can be rebuilt from the events."""
        with self._lock:
            self._snapshots.clear()

    def old_heads(
        self, *, kind: str, before: int, name: str | None = None,
        status: Collection[str] = (), after: str = "", limit: int = 500,
    ) -> list[Head]:  # fmt: skip
        """Give rows whose last event is older than `before`, first created first."""
        with self._lock:
            rows = list(self._heads.values())
        if after in self._heads:
            rows = rows[[head.id for head in rows].index(after) + 1 :]
        found = [
            head
            for head in rows
            if head.kind == kind
            and head.purged is None
            and head.updated < before
            and (name is None or head.name == name)
            and (not status or head.status in status)
        ]
        return found[:limit]

    def purge(self, tips: Mapping[str, Tip], *, now: int) -> list[str]:
        """Take events and snapshots of streams that stand at these tips and rest."""
        with self._lock:
            gone = []
            for stream, tip in tips.items():
                head = self._heads.get(stream)
                if head is None or head.tip != tip or head.purged is not None:
                    continue
                if head.owner is not None or head.due is not None:
                    continue
                fenced = Tip(tip.version, tip.epoch + 1, tip.hash)
                self._heads[stream] = msgspec.structs.replace(head, tip=fenced, purged=now)
                self._events[stream] = []
                gone.append(stream)
            lost = set(gone)
            self._all = [event for event in self._all if event.stream not in lost]
            for key in [key for key in self._snapshots if key[0] in lost]:
                del self._snapshots[key]
            self._changes += bool(gone)
            return gone

    def old_blobs(self, *, before: int) -> set[str]:
        """Give the names of blobs that were last put before a time."""
        return {name for name, (_, kept) in list(self._blobs.items()) if kept < before}

    def drop_blobs(self, names: Collection[str], *, before: int) -> tuple[int, int]:
        """Delete blobs among these that were not put since; give how many, and their bytes."""
        with self._lock:
            old = self.old_blobs(before=before).intersection(names)
            return len(old), sum(len(self._blobs.pop(name)[0]) for name in old)

    def reclaim(self) -> int:
        """Give back what is free: nothing, it is memory."""
        return 0
