"""Who works on which stream: claiming, letting go, waking, and what is due next."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import msgspec

from eventstore.event import Tip
from eventstore.reading import array, head_of
from eventstore.sqlite import statements as sql
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.session import Counted
from eventstore.store import Claim, Head, WorkerRow
from eventstore.workers import worker_of
from eventstore.writer import Writer

Wish = tuple[str, str, int, int, Collection[str], Collection[str], Collection[str]]


class Claims:
    """The claim queue that the stream rows are."""

    def __init__(self, database: Sqlite, writer: Writer) -> None:
        self._database, self._writer = database, writer

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str], names: Collection[str], skip: Collection[str],
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams that need one; asks first whether there are any at all."""
        wish = (worker, kind, now, limit, offers, names, skip)

        def look(cursor: sqlite3.Cursor) -> list[tuple[Head, WorkerRow | None]]:
            return _ready(cursor, wish)

        with self._reading() as cursor:
            found = self._database.patiently(lambda: look(cursor))
        if not found:
            return []

        def take(cursor: sqlite3.Cursor) -> list[Claim]:
            taken = look(cursor)
            cursor.executemany(sql.TAKE, [(worker, head.id) for head, _ in taken])
            return [_given(head, holder, worker) for head, holder in taken]

        return self._writer.do(take)

    def release(self, stream: str, tip: Tip, due: int | None) -> None:
        """Let go of a stream that is owned, if it still stands at `tip`."""
        values = (due, stream, tip.version, tip.epoch, tip.hash)
        self._writer.do(lambda cursor: cursor.execute(sql.RELEASE, values) and None)

    def wake(self, waits_on: str, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name and are not due yet."""
        values = (waits_on, now, limit)
        if not self._database.query(sql.ASLEEP, values):
            return []

        def rouse(cursor: sqlite3.Cursor) -> list[str]:
            asleep = [stream for (stream,) in cursor.execute(sql.ASLEEP, values).fetchall()]
            cursor.executemany(sql.WAKE, [(now, stream) for stream in asleep])
            return asleep

        return self._writer.do(rouse)

    def waiting(self, waits_on: str, limit: int) -> list[str]:
        """Give ids of streams that wait on a name, those that have waited longest first."""
        return [row[0] for row in self._database.query(sql.WAITING, (waits_on, limit))]

    def next_due(self, kinds: Collection[str], after: int | None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds."""
        floor = -sql.MOST if after is None else after
        found: list[int] = []
        with self._reading() as cursor:
            for kind in kinds:
                for priority in _priorities(cursor, kind):
                    row = cursor.execute(sql.NEXT_DUE, (kind, priority, floor)).fetchone()
                    found += [due for due in row if due is not None]
        return min(found, default=None)

    @contextmanager
    def _reading(self) -> Iterator[Counted]:
        session = self._database.take()
        cursor = session.raw.cursor(Counted)
        try:
            with self._database.patience.translated():
                yield cursor
        finally:
            self._database.count(cursor.number)
            self._database.give(session)

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""
        rows = self._database.query(sql.OWNED, (worker,))
        return {stream: (version, due) for stream, version, due in rows}


def _priorities(cursor: sqlite3.Cursor, kind: str) -> Iterator[int]:
    """Give the priorities of unowned streams with a due time, highest first: a few, as a rule."""
    below = sql.MOST
    while (top := cursor.execute(sql.TOP_PRIORITY, (kind, below)).fetchone()[0]) is not None:
        yield top
        below = top


def _ready(cursor: sqlite3.Cursor, wish: Wish) -> list[tuple[Head, WorkerRow | None]]:
    worker, kind, now, limit, offers, names, skip = wish
    workers = {row[0]: worker_of(row) for row in cursor.execute(sql.WORKERS).fetchall()}
    alive = {row.id for row in workers.values() if not row.dead and row.until > now}
    living = {offer for row in alive for offer in workers[row].offers}
    needs = (array(offers), array(names), array(living), array(skip))
    found: list[Head] = []
    for priority in _priorities(cursor, kind):
        values = (kind, priority, now, *needs, limit - len(found))
        found += map(head_of, cursor.execute(sql.READY, values).fetchall())
        if len(found) >= limit:
            break
    owners = [owner for (owner,) in cursor.execute(sql.OWNERS).fetchall()]
    gone = [owner for owner in owners if owner not in alive and owner != worker]
    if gone:
        lost = cursor.execute(sql.LOST, (array(gone), kind, *needs, limit))
        found += map(head_of, lost.fetchall())
        found.sort(key=lambda head: (-head.priority, head.due is None, head.due or 0))
    return [(head, workers.get(head.owner or "")) for head in found[:limit]]


def _given(head: Head, holder: WorkerRow | None, worker: str) -> Claim:
    tip = Tip(head.tip.version, head.tip.epoch + 1, head.tip.hash)
    taken = msgspec.structs.replace(head, tip=tip, owner=worker)
    return Claim(taken, head.owner, died=holder is not None and holder.dead)
