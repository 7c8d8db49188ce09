"""The one way in: every write of a SQL log goes through here, and shares its commits.

A failure in the middle of a commit leaves the outcome open (the disk may have it although the
call failed). Then the connection is made anew, what can be read is brought to the disk once more,
and the batch is done again: what the log has already is found by its id. Only if that fails too
does the caller hear of it.
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from eventstore.batch import Doubt, Entry, Job, tips_of_done, write_carefully, write_hopefully
from eventstore.commit import Queue, Ticket
from eventstore.errors import LogError, StorageFull
from eventstore.event import Tip
from eventstore.sqlite import faults
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.session import Counted, Session
from eventstore.store import Append

R = TypeVar("R")


class Writer:
    """Group commit over one database."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database
        self._queue: Queue[Ticket] = Queue(self._write, database.tidy)

    def append(self, append: Append) -> list[Tip]:
        """Write an append; durable when it returns."""
        entry = Entry(append)
        self._database.ready()
        self._queue.submit(entry)
        return entry.tips

    def do(self, work: Callable[[sqlite3.Cursor], R]) -> R:
        """Do some work in a write transaction; durable when its result is given.

        The work may be done twice if the first try has to be undone.
        """
        job = Job(work)
        self._database.ready()
        self._queue.submit(job)
        result: R = job.result
        return result

    def _write(self, batch: list[Ticket]) -> list[Ticket]:
        now, later = _choose(batch)
        try:
            self._try(now)
        except LogError as error:
            _fail(now, error)
        except sqlite3.Error as error:
            self._recover(now, error)
        return later

    def _try(self, tickets: list[Ticket], *, careful: bool = False) -> None:
        """Write tickets in one transaction, all that are not refused."""
        database = self._database
        session = database.begin()
        committing = False
        try:
            if not careful and not self._hope(session, tickets):
                database.rollback(session)
                session = database.begin()
                careful = True
            if careful:
                for ticket in tickets:
                    self._do_one(session, ticket)
            entries = [ticket for ticket in tickets if isinstance(ticket, Entry)]
            done = [entry for entry in entries if entry.error is None and not entry.found]
            committing = True
            database.commit(session, sum(entry.size for entry in done))
            committing = False
        except BaseException as error:
            went_through = committing and not session.raw.in_transaction
            database.rollback(session)
            if went_through and not isinstance(error, Exception):
                for ticket in tickets:
                    ticket.done = True  # interrupted just after the commit
            raise
        counters = database.counters
        for entry in done:
            counters.appends += 1
            counters.events += len(entry.events)
            counters.bytes += entry.size

    def _hope(self, session: Session, tickets: list[Ticket]) -> bool:
        """Write without looking first; False if that did not come out even."""
        entries = [t for t in tickets if isinstance(t, Entry)]
        if any(entry.needs_look for entry in entries):
            return False
        try:
            number = write_hopefully(session.raw.cursor(), entries)
        except Doubt:
            return False
        except sqlite3.Error as error:
            if faults.is_about_the_row(error):
                return False
            raise
        except (ValueError, TypeError, OverflowError):
            return False
        self._database.count(number)
        for ticket in tickets:
            if isinstance(ticket, Job):
                self._do_one(session, ticket)
        return True

    def _do_one(self, session: Session, ticket: Ticket) -> None:
        """Do one ticket by itself, so that its refusal undoes nothing else."""
        cursor = session.raw.cursor(Counted)
        ticket.error = None
        cursor.execute("SAVEPOINT one")
        try:
            if isinstance(ticket, Entry):
                write_carefully(cursor, ticket)
            elif isinstance(ticket, Job):
                ticket.result = ticket.work(cursor)
        except sqlite3.Error as error:
            if not faults.is_about_the_row(error):
                raise
            ticket.error = faults.translate(error, self._database.place)
        except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
            ticket.error = error
        if ticket.error is not None:
            cursor.execute("ROLLBACK TO one")
        cursor.execute("RELEASE one")
        self._database.count(cursor.number)

    def _recover(self, tickets: list[Ticket], error: sqlite3.Error) -> None:
        """Find out what became of a transaction that failed, and try once more."""
        reason = faults.translate(error, self._database.place)
        self._database.checkpoints.is_cramped |= isinstance(reason, StorageFull)
        if not faults.leaves_doubt(error):
            _fail(tickets, reason)
            return
        try:
            self._database.reopen()
            self._try(tickets, careful=True)  # what the log has already is found by its id
        except (sqlite3.Error, LogError):
            for ticket in tickets:
                ticket.error = type(reason)(f"{reason}; {self._fate(ticket)}")

    def _fate(self, ticket: Ticket) -> str:
        again = "append it again with the same id when the disk is well"
        if not isinstance(ticket, Entry):
            return "try again when the disk is well"
        try:
            tips = tips_of_done(self._database.ready().raw.cursor(), ticket.append)
        except (sqlite3.Error, LogError):
            return f"whether it was written cannot be said: {again}"
        if tips is None:
            return f"it cannot be found in the log: {again}"
        return f"it can be read, but the disk does not confirm that it is safe: {again}"


def _choose(batch: list[Ticket]) -> tuple[list[Ticket], list[Ticket]]:
    """Part a batch into what may share a transaction and what comes later. *Pure.*"""
    if len(batch) == 1:
        return batch, []
    changed: set[str] = set()
    checked: set[str] = set()
    now: list[Ticket] = []
    later: list[Ticket] = []
    for ticket in batch:
        if isinstance(ticket, Entry):
            if not ticket.goes_with(changed, checked):
                later.append(ticket)
                changed |= ticket.changes  # those behind it on these streams stay behind it
                continue
            changed |= ticket.changes
            checked.update(write.stream for write in ticket.checks)
        now.append(ticket)
    return now, later


def _fail(tickets: list[Ticket], error: LogError) -> None:
    for ticket in tickets:
        ticket.error = type(error)(*error.args)
        ticket.error.__cause__ = error.__cause__
