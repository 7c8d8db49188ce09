"""Who works on which stream: claiming, letting go, waking, and what is due next."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from eventstore.batch import standing
from eventstore.database import Cursor, Database
from eventstore.event import Tip
from eventstore.reading import array, head_of
from eventstore.store import Claim, Head, WorkerRow
from eventstore.workers import worker_of
from eventstore.writer import Writer

Wish = tuple[str, str, int, int, Collection[str], Collection[str], Collection[str]]


class Claims:
    """The claim queue that the stream rows are."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._sql = database.sql

    def claim(
        self, worker: str, *, kind: str, now: int, limit: int,
        offers: Collection[str], names: Collection[str], skip: Collection[str],
    ) -> list[Claim]:  # fmt: skip
        """Give the worker streams that need one; asks first whether there are any at all."""
        wish = (worker, kind, now, limit, offers, names, skip)
        sql = self._sql

        def look() -> bool:
            with self._database.reading() as cursor:
                return bool(
                    self._database.patiently(
                        lambda: _ready(sql, cursor, wish, sql.READY, sql.LOST)
                    )
                )

        if not self._database.patiently(look):  # also on a connection that is made anew
            return []

        hoped: list[Claim] = []  # what a try has given whose commit nobody confirmed

        def take(cursor: Cursor) -> list[Claim]:
            done = [claim for claim in hoped if _is_given(sql, cursor, claim.head)]
            if done:
                return done
            taken = _ready(sql, cursor, wish, sql.READY_TO_TAKE, sql.LOST_TO_TAKE)
            if taken:
                cursor.execute(sql.TAKE, (worker, array([head.id for head, _ in taken])))
            hoped[:] = [_given(head, holder, worker) for head, holder in taken]
            return list(hoped)

        return self._writer.do(take)

    def release(self, stream: str, tip: Tip, due: int | None) -> None:
        """Let go of a stream that is owned, if it still stands at `tip`."""
        values = (due, stream, tip.version, tip.epoch, tip.hash)
        self._writer.do(lambda cursor: cursor.execute(self._sql.RELEASE, values) and None)

    def wake(self, waits_on: str, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name and are not due yet."""
        values = (waits_on, now, limit)
        if not self._database.query(self._sql.ASLEEP, values):
            return []

        hoped: list[str] = []  # whom a try has woken whose commit nobody confirmed

        def rouse(cursor: Cursor) -> list[str]:
            if any(_is_due_at(self._sql, cursor, stream, now) for stream in hoped):
                return list(hoped)
            rows = cursor.execute(self._sql.ASLEEP_TO_WAKE, values).fetchall()
            hoped[:] = [stream for (stream,) in rows]
            if hoped:
                cursor.execute(self._sql.WAKE, (now, array(hoped)))
            return list(hoped)

        return self._writer.do(rouse)

    def waiting(self, waits_on: str, limit: int) -> list[str]:
        """Give ids of streams that wait on a name, those that have waited longest first."""
        return [row[0] for row in self._database.query(self._sql.WAITING, (waits_on, limit))]

    def next_due(self, kinds: Collection[str], after: int | None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds."""
        floor = -self._sql.MOST if after is None else after
        rows = self._database.query(self._sql.NEXT_DUE, (array(kinds), floor))
        due: int | None = rows[0][0]
        return due

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""
        rows = self._database.query(self._sql.OWNED, (worker,))
        return {stream: (version, due) for stream, version, due in rows}


def _priorities(sql: Any, cursor: Cursor, kind: str) -> Iterator[int]:
    """Give the priorities of unowned streams with a due time, highest first: a few, as a rule."""
    below = sql.MOST
    while (top := cursor.execute(sql.TOP_PRIORITY, (kind, below)).fetchone()[0]) is not None:
        yield top
        below = top


def _ready(
    sql: Any, cursor: Cursor, wish: Wish, ready: str, lost: str
) -> list[tuple[Head, WorkerRow | None]]:
    """Give the streams that fit a wish, by these two statements, with who held them."""
    worker, kind, now, limit, offers, names, skip = wish
    # Owners first: one that enters between the two questions is no owner yet, or is known.
    owners = [owner for (owner,) in cursor.execute(sql.OWNERS).fetchall()]
    workers = {row[0]: worker_of(row) for row in cursor.execute(sql.WORKERS).fetchall()}
    alive = {row.id for row in workers.values() if not row.dead and row.until > now}
    living = {offer for row in alive for offer in workers[row].offers}
    needs = (array(offers), array(names), array(living), array(skip))
    found: list[Head] = []
    for priority in _priorities(sql, cursor, kind):
        values = (kind, priority, now, *needs, limit - len(found))
        found += map(head_of, cursor.execute(ready, values).fetchall())
        if len(found) >= limit:
            break
    gone = [owner for owner in owners if owner not in alive and owner != worker]
    if gone:
        rows = cursor.execute(lost, (array(gone), kind, *needs, limit)).fetchall()
        found += map(head_of, rows)
        found.sort(key=lambda head: (-head.priority, head.due is None, head.due or 0))
    return [(head, workers.get(head.owner or "")) for head in found[:limit]]


def _is_due_at(sql: Any, cursor: Cursor, stream: str, now: int) -> bool:
    row = cursor.execute(sql.HEAD_OF, (stream,)).fetchone()
    return row is not None and head_of(row).due == now


def _is_given(sql: Any, cursor: Cursor, head: Head) -> bool:
    return standing(sql, cursor, head.id) == (head.tip, head.owner)


def _given(head: Head, holder: WorkerRow | None, worker: str) -> Claim:
    tip = Tip(head.tip.version, head.tip.epoch + 1, head.tip.hash)
    taken = msgspec.structs.replace(head, tip=tip, owner=worker)
    return Claim(taken, head.owner, died=holder is not None and holder.dead)
