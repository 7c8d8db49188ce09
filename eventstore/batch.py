"""Appends as rows, and many of them in one transaction.

The rows, hashes included, are made in the caller's thread. A batch is written hopefully first:
all rows of a kind by one `executemany`, and if the counts of changed rows add up, nobody was
refused. If not, it is undone and each append is looked at before it is written.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from eventstore.commit import Ticket
from eventstore.database import Cursor
from eventstore.errors import KeyTaken, LogError
from eventstore.event import Tip, chain
from eventstore.rules import check_append, next_epoch, refusal, row_order
from eventstore.store import Append, Headline, Row, Write

_NO_ROW = Row()
_NO_LINE = Headline()
_encode = msgspec.json.encode

Values = tuple[Any, ...]


class Job(Ticket):
    """Something else to be done in a write transaction; its result counts once it commits."""

    __slots__ = ("long", "result", "work")

    def __init__(self, work: Callable[[Cursor], Any], *, long: bool = False) -> None:
        super().__init__()
        self.work, self.long = work, long
        self.result: Any = None


class Entry(Ticket):
    """An append as rows."""

    __slots__ = (
        "advances",
        "append",
        "births",
        "books",
        "changes",
        "checks",
        "events",
        "found",
        "keys",
        "needs_look",
        "size",
        "steps",
        "tips",
    )  # fmt: skip

    def __init__(self, append: Append) -> None:
        super().__init__()
        check_append(append)
        self.append = append
        self.tips: list[Tip] = []
        self.births: list[Values] = []
        self.steps: list[Values] = []
        self.advances: list[Values] = []
        self.books: list[Values] = []
        self.events: list[Values] = []
        self.checks: list[Write] = []
        self.changes: set[str] = set()
        self.keys: list[Values] = [(key.source, key.key, key.stream) for key in append.inbox]
        self.size = 0
        self.needs_look = False
        self.found = False  # it was in the log already
        for write in append.writes:
            self._add(write)

    def _add(self, write: Write) -> None:
        tip, row, stream = write.tip, write.row, write.stream
        if not write.events:
            self.tips.append(tip)
            if row is None:
                self.checks.append(write)
                return
            self.changes.add(stream)
            if row.owner is None:
                self.needs_look = True  # whether an owner lets go decides on the epoch
            else:
                self.books.append((*row_values(row), stream, tip.version, tip.epoch, row.owner))
            return
        self.changes.add(stream)
        if not tip.version:
            epoch = 1 if row is not None and row.owner else 0
            rows, new = event_rows(self.append.id, write, epoch)
            self.births.append(birth_values(write, new))
        else:
            rows, new = event_rows(self.append.id, write, tip.epoch)
            moved = (new.version, new.hash, write.events[-1].at)
            stood = (stream, tip.version, tip.epoch, tip.hash)
            if row is None:
                self.advances.append(moved + stood)
            else:
                self.steps.append(moved + row_values(row) + stood + (row.owner, row.owner))
        self.tips.append(new)
        self.events += rows
        for event in write.events:
            self.size += len(event.data)

    def goes_with(self, changed: set[str], checked: set[str]) -> bool:
        """Say whether this may share a transaction with appends that touch these streams."""
        if not changed.isdisjoint(self.changes) or not checked.isdisjoint(self.changes):
            return False
        return not any(write.stream in changed for write in self.checks)


def row_values(row: Row) -> Values:
    """Give a row as status, due, waits_on, owner, needs, label. *Pure.*"""
    waits_on = _encode(row.waits_on).decode() if row.waits_on else "[]"
    return (row.status, row.due, waits_on, row.owner, row.needs, row.label)


def birth_values(write: Write, tip: Tip) -> Values:
    """Give the row of a new stream. *Pure.*"""
    row, line = write.row or _NO_ROW, write.headline or _NO_LINE
    tags = _encode(line.tags).decode() if line.tags else "{}"
    return (
        write.stream, write.kind, tip.version, tip.epoch, tip.hash, *row_values(row), line.name,
        line.key, tags, line.priority, write.events[0].at, write.events[-1].at,
    )  # fmt: skip


def event_rows(append_id: str, write: Write, epoch: int) -> tuple[list[Values], Tip]:
    """Give the rows of a write's events, and the tip after them. *Pure.*"""
    stream, version, digest = write.stream, write.tip.version, write.tip.hash
    rows: list[Values] = []
    for event in write.events:
        version += 1
        digest = chain(digest, stream, version, epoch, event)
        rows.append(
            (
                stream, version, event.type, event.type_version, epoch, event.subject,
                event.source, event.dest, event.data, event.at, event.cause, append_id, digest,
            )
        )  # fmt: skip
    return rows, Tip(version, epoch, digest)


class Doubt(Exception):
    """The counts do not add up: somebody was faster; undo it and look again."""


def write_carefully(sql: Any, cursor: Cursor, entry: Entry) -> None:
    """Look first, then write one append.

    Raises:
        LogError: why it is refused; nothing was written.
        Doubt: somebody else got in between the look and the write.
    """
    append = entry.append
    for key in append.inbox:
        taken = cursor.execute(sql.FIND_KEY, (key.source, key.key)).fetchone()
        if taken is not None:
            return _found_done(sql, cursor, entry, KeyTaken(key.source, key.key, taken[0]))
    by_name = sorted(write.stream for write in append.writes)  # all lock in one order
    standings = {name: standing(sql, cursor, name) for name in by_name}
    stood = [standings[write.stream] for write in append.writes]
    for write, now in zip(append.writes, stood, strict=True):
        reason = refusal(write, now)
        if reason is not None:
            return _found_done(sql, cursor, entry, reason)
    for row in entry.keys:
        if not cursor.execute(sql.KEEP_KEY, row).rowcount:
            raise Doubt
    written = {
        number: _write_row(sql, cursor, append.id, append.writes[number], stood[number])
        for number in row_order(append.writes)
    }
    entry.tips = [written[number][1] for number in range(len(stood))]
    events = [row for number in range(len(stood)) for row in written[number][0]]
    if events:
        cursor.executemany(sql.RECORD, events)
    return None


def _write_row(
    sql: Any, cursor: Cursor, append_id: str, write: Write, now: tuple[Tip, str | None] | None
) -> tuple[list[Values], Tip]:
    """Write a stream's row; give the rows of its events, and its new tip."""
    tip, row = write.tip, write.row
    if now is None:
        if not write.events:
            return [], tip  # it was to be absent, and is
        rows, new = event_rows(append_id, write, 1 if row is not None and row.owner else 0)
        if not cursor.execute(sql.BEAR, birth_values(write, new)).rowcount:
            raise Doubt
        return rows, new
    epoch = next_epoch(tip.epoch, now[1], write)
    rows, new = event_rows(append_id, write, epoch)
    if row is not None:
        cursor.execute(sql.HOLD, (*row_values(row), epoch, write.stream))
    if rows:
        moved = (new.version, new.hash, write.events[-1].at)
        cursor.execute(sql.ADVANCE, (*moved, write.stream, tip.version, epoch, tip.hash))
    return rows, new


def standing(sql: Any, cursor: Cursor, stream: str) -> tuple[Tip, str | None] | None:
    """Give tip and owner of a stream, or None."""
    row = cursor.execute(sql.STANDING, (stream,)).fetchone()
    return None if row is None else (Tip(row[0], row[1], row[2]), row[3])


def _found_done(sql: Any, cursor: Cursor, entry: Entry, reason: LogError) -> None:
    tips = tips_of_done(sql, cursor, entry.append)
    if tips is None:
        raise reason
    entry.tips, entry.found = tips, True


def tips_of_done(sql: Any, cursor: Cursor, append: Append) -> list[Tip] | None:
    """Give the tips that an append left if it is in the log, else None.

    An append without events leaves no trace by which it could be found.
    """
    first = next((write for write in append.writes if write.events), None)
    if first is None:
        return None
    row = cursor.execute(sql.WRITTEN_BY, (first.stream, first.tip.version + 1)).fetchone()
    if row is None or row[0] != append.id:
        return None
    tips = []
    for write in append.writes:
        if write.events:
            version = write.tip.version + len(write.events)
            tip = cursor.execute(sql.TIP_AT, (write.stream, version)).fetchone()
            if tip is None:
                return None  # retention took it since
            tips.append(Tip(*tip))
        else:
            tips.append(write.tip)
    return tips
