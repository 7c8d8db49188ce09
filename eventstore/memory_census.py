"""Counts of a log in memory, as the promise has them."""

from collections import defaultdict
from typing import Any

from eventstore.memory_streams import MemoryStreams
from eventstore.store import Head
from eventstore.tally import Count, Holding, Overdue


class MemoryCensus(MemoryStreams):
    """The questions of whoever looks after a log."""

    def counts(self, kind: str) -> list[Count]:
        """Give how many streams of a kind there are, by name, status and need."""
        groups: dict[Any, list[Head]] = defaultdict(list)
        for head in self._of(kind):
            groups[head.name, head.status, head.needs].append(head)
        found = []
        for (name, status, needs), heads in sorted(groups.items(), key=str):
            whole = [head.tip.version for head in heads if head.purged is None]
            pruned = len(heads) - len(whole)
            found.append(Count(name, status, needs, len(heads), sum(whole), pruned))
        return found

    def holdings(self) -> list[Holding]:
        """Give how many streams each worker owns, by kind and name."""
        groups: dict[tuple[str, str, str], int] = defaultdict(int)
        with self._lock:
            for head in self._heads.values():
                if head.owner is not None:
                    groups[head.owner, head.kind, head.name] += 1
        return [Holding(*key, count) for key, count in sorted(groups.items())]

    def overdue(self, kind: str, *, now: int) -> list[Overdue]:
        """Give how many streams of a kind are due at `now` and unowned, the latest first."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for head in self._of(kind):
            if head.owner is None and head.due is not None and head.due <= now:
                groups[head.name, head.needs].append(head.due)
        found = [
            Overdue(name, needs, len(dues), min(dues)) for (name, needs), dues in groups.items()
        ]
        return sorted(found, key=lambda late: (late.oldest, late.name))

    def matching(self, kind: str, text: str, *, limit: int) -> list[str]:
        """Give ids of a kind that begin with a text; if none does, those that end with it."""
        ids = sorted(head.id for head in self._of(kind))
        found = [one for one in ids if one.startswith(text)]
        return (found or [one for one in ids if one.endswith(text)])[:limit]

    def _of(self, kind: str) -> list[Head]:
        with self._lock:
            return [head for head in self._heads.values() if head.kind == kind]
