"""The one way in: every write of a SQL log goes through here, and shares its commits.

A failure in the middle of a commit leaves the outcome open (the disk or the server may have it
although the call failed). Then the connection is made anew, and the batch is done again: what the
log has already is found by its id. Only if that fails too does the caller hear of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from eventstore import clock
from eventstore.batch import Doubt, Entry, Job, tips_of_done, write_carefully
from eventstore.commit import Queue, Ticket
from eventstore.database import Cursor, Database, Session
from eventstore.errors import LogError, StorageUnreachable
from eventstore.event import Tip
from eventstore.store import Append

R = TypeVar("R")

TRIES = 8  # of a transaction that others got in the way of


class Writer:
    """Group commit over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: Queue[Ticket] = Queue(self._write, database.tidy)

    def append(self, append: Append) -> list[Tip]:
        """Write an append; durable when it returns."""
        entry = Entry(append)
        self._database.ready()
        self._queue.submit(entry)
        return entry.tips

    def do(self, work: Callable[[Cursor], R], *, long: bool = False) -> R:
        """Do some work in a write transaction; durable when its result is given.

        The work may be done twice if the first try has to be undone; `long` work changes much of
        the log, and may take.
        """
        job = Job(work, long=long)
        self._database.ready()
        self._queue.submit(job)
        result: R = job.result
        return result

    def touch(self, sql: str, values: Sequence[Any]) -> int:
        """Execute one statement in a write transaction; give how many rows it changed."""
        return self.do(lambda cursor: cursor.execute(sql, values).rowcount)

    def _write(self, batch: list[Ticket]) -> list[Ticket]:
        now, later = _choose(batch)
        try:
            self._try_again(now)
        except LogError as error:
            _fail(now, error)
        except self._database.faults.ERROR as error:
            self._recover(now, error)
        return later

    def _try_again(self, tickets: list[Ticket], *, careful: bool = False) -> None:
        """Write tickets; once more when another transaction was in the way (a deadlock)."""
        for left in range(TRIES - 1, -1, -1):
            try:
                return self._try(tickets, careful=careful)
            except self._database.faults.ERROR as error:
                if not left or not self._database.faults.is_passing(error):
                    raise
                careful = True
                clock.real_sleep(0.02 * clock.chance())
        raise AssertionError("the last try returns or raises")

    def _try(self, tickets: list[Ticket], *, careful: bool) -> None:
        """Write tickets in one transaction, all that are not refused."""
        database = self._database
        long = any(isinstance(ticket, Job) and ticket.long for ticket in tickets)
        session = database.begin(long=long)
        is_begun, committing = True, False
        try:
            if not careful and not self._hope(session, tickets):
                is_begun = False
                database.rollback(session)
                session = database.begin(long=long)
                is_begun = True
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
            if not is_begun:
                raise
            went_through = committing and session.is_at_rest
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
        if entries:
            try:
                alone = len(entries) == len(tickets)
                self._database.count(self._database.hope(session, entries, alone=alone))
            except Doubt:
                return False
            except self._database.faults.ERROR as error:
                if self._database.faults.is_about_the_row(error):
                    return False
                raise
            except (ValueError, TypeError, OverflowError):
                return False
        for ticket in tickets:
            if isinstance(ticket, Job):
                self._do_one(session, ticket)
        return True

    def _do_one(self, session: Session, ticket: Ticket) -> None:
        """Do one ticket by itself, so that its refusal undoes nothing else."""
        faults = self._database.faults
        cursor = session.cursor()
        for left in range(TRIES - 1, -1, -1):
            ticket.error, was_locked = None, False
            cursor.execute("SAVEPOINT one")
            try:
                if isinstance(ticket, Entry):
                    write_carefully(self._database.sql, cursor, ticket)
                elif isinstance(ticket, Job):
                    ticket.result = ticket.work(cursor)
            except faults.ERROR as error:
                if not faults.is_about_the_row(error):
                    raise
                ticket.error = faults.translate(error, self._database.place)
                was_locked = faults.is_passing(error)
            except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
                ticket.error = error
            if ticket.error is not None:
                cursor.execute("ROLLBACK TO one")
            cursor.execute("RELEASE one")
            if was_locked:
                cursor.execute(self._database.sql.HURRY)
            if not left or not isinstance(ticket.error, Doubt):
                break
        self._database.count(cursor.number)

    def _recover(self, tickets: list[Ticket], error: Exception) -> None:
        """Find out what became of a transaction that failed, and try once more."""
        faults = self._database.faults
        reason = faults.translate(error, self._database.place)
        self._database.failed(reason)
        if not faults.leaves_doubt(error):
            _fail(tickets, reason)
            return
        cursor: Cursor | None = None
        try:
            self._database.reopen()
            cursor = self._database.ready().cursor()
            self._try_again(tickets, careful=True)  # what the log has is found by its id
        except (faults.ERROR, LogError) as second:
            if isinstance(reason, StorageUnreachable):  # why it does not come back says more
                reason = (
                    second
                    if isinstance(second, LogError)
                    else faults.translate(second, self._database.place)
                )
            for ticket in tickets:
                ticket.error = type(reason)(f"{reason}; {self._fate(ticket, cursor)}")
                ticket.error.__cause__ = error

    def _fate(self, ticket: Ticket, cursor: Cursor | None) -> str:
        again = "append it again with the same id when the database is well"
        if not isinstance(ticket, Entry):
            return "try again when the database is well"
        if cursor is None:
            return f"whether it was written cannot be said: {again}"
        try:
            tips = tips_of_done(self._database.sql, cursor, ticket.append)
        except (self._database.faults.ERROR, LogError):
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
