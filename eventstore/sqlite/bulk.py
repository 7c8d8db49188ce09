"""Many appends in one transaction of SQLite: all rows of a kind by one `executemany`."""

from collections.abc import Sequence
from operator import itemgetter

from eventstore.batch import Doubt, Entry, standing
from eventstore.event import Tip
from eventstore.rules import refusal
from eventstore.sqlite import statements as sql
from eventstore.sqlite.session import Counted


def write_hopefully(cursor: Counted, entries: Sequence[Entry]) -> int:
    """Write appends that touch different streams; give the number of statements.

    Raises:
        Doubt: at least one was refused; undo all and write them carefully.
    """
    number = 0
    for text, by_id, rows in (
        (sql.KEEP_KEY, None, [row for entry in entries for row in entry.keys]),
        (sql.BEAR, None, [row for entry in entries for row in entry.births]),
        (sql.STEP, itemgetter(9), [row for entry in entries for row in entry.steps]),
        (sql.ADVANCE, itemgetter(3), [row for entry in entries for row in entry.advances]),
        (sql.BOOK, itemgetter(6), [row for entry in entries for row in entry.books]),
    ):
        if rows:
            number += 1
            if len(rows) == 1:
                cursor.execute(text, rows[0])
            else:
                if by_id is not None:
                    rows.sort(key=by_id)
                cursor.executemany(text, rows)
            if cursor.rowcount != len(rows):
                raise Doubt
    seen: set[tuple[str, Tip]] = set()
    for entry in entries:
        for write in entry.checks:
            if (write.stream, write.tip) not in seen:
                seen.add((write.stream, write.tip))
                number += 1
                if refusal(write, standing(sql, cursor, write.stream)) is not None:
                    raise Doubt
    events = [row for entry in entries for row in entry.events]
    if events:
        cursor.executemany(sql.RECORD, events)
        number += 1
    return number
