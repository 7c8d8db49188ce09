"""The promise every log keeps: append, read, claim, wake.

A log holds streams of events and, beside each stream, one row: its tip, its owner, its alarm
clock and a headline for lists. It knows nothing of what the events mean. Every call is safe from
any thread and from any process that reaches the same database. Times are microseconds UTC.

Errors of every method: `StorageError` and its children (see `errors.py`) when the storage fails.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from eventstore.chains import Fault
from eventstore.event import Event, NewEvent, Tip
from eventstore.lines import Body
from eventstore.picture import Picture, Taken
from eventstore.tally import Count, Holding, Lease, Overdue


class Headline(msgspec.Struct, frozen=True):
    """What lists show and filter on; written once, when the stream is created."""

    name: str = ""  # e.g. the workflow
    key: str | None = None
    tags: dict[str, str] = {}
    priority: int = 0  # larger first among the due


class Row(msgspec.Struct, frozen=True, gc=False):
    """What an append leaves in the stream's row, whole: each field replaces the one before."""

    status: str = ""
    due: int | None = None  # when the stream next needs a worker; None: only when appended to
    waits_on: tuple[str, ...] = ()  # names on which `wake` finds it
    owner: str | None = None  # the worker that holds it
    needs: str | None = None  # a capability that a claimer should offer; None: any will do
    label: str = "{}"  # opaque JSON text for lists


class Write(msgspec.Struct, frozen=True):
    """One stream's part in an append.

    No events and a row: bookkeeping (due, owner) under the same checks, the version stays.
    No events and no row: a check only; the append is refused unless the stream stands at `tip`
    (version and epoch; `NEW`: it must not exist).

    A row may confirm the owner, let the stream go, or take one that nobody owns; taking it from
    another owner is `Fenced`, that is for `claim`. The epoch grows when a stream is taken, and
    when it is let go without events (else the version keeps others out); the events of a taking
    append bear the new epoch.
    """

    stream: str
    kind: str  # "run", "breaker", "trigger"
    tip: Tip  # NEW creates the stream, with epoch 1 if `row.owner` is set, else 0
    events: tuple[NewEvent, ...] = ()
    row: Row | None = None
    headline: Headline | None = None  # with NEW only


class InboxKey(msgspec.Struct, frozen=True):
    """A key that counts once for ever: per `source`, `key` leads to `stream`."""

    source: str
    key: str
    stream: str


class Append(msgspec.Struct, frozen=True):
    """What is written in one transaction: all of it or nothing."""

    id: str  # the same id again: the append is found done and nothing is written twice
    writes: tuple[Write, ...]
    inbox: tuple[InboxKey, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """A stream's row as read."""

    id: str
    kind: str
    tip: Tip
    status: str
    due: int | None
    waits_on: tuple[str, ...]
    owner: str | None
    needs: str | None
    label: str
    name: str
    key: str | None
    tags: dict[str, str]
    priority: int
    created: int  # time of the first event
    updated: int  # time of the last event
    purged: int | None = None  # when retention took its events; the row stays as a tombstone


class Claim(msgspec.Struct, frozen=True):
    """A stream that a worker has just been given; `head` already has the new owner and epoch."""

    head: Head
    lost_by: str | None  # the worker that held it before and did not let go
    died: bool  # that worker is dead (a takeover from a living one is not a death)


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker's lease."""

    id: str
    name: str  # for people; identity is the id
    host: str
    pid: int
    since: int
    until: int  # the lease runs out then, unless renewed
    offers: tuple[str, ...]  # capabilities, matched with `Row.needs`
    dead: bool = False
    locked: bool = False  # it holds a lock that is free when it dies
    renewed: int = 0  # by its own clock; the log fills it in at `enter` and at each `renew`
    skew: int | None = None  # so far its clock is ahead of the database's, if that has one


class Cursor(msgspec.Struct, frozen=True):
    """How far a follower of the whole log has come."""

    name: str
    position: int = 0  # it has dealt with all events up to here
    version: int = 0  # grows with each move; 0: there is no such cursor yet
    updated: int = 0


class Counters(msgspec.Struct):
    """What the log has asked of the database since it was opened."""

    commits: int = 0  # transactions that wrote
    statements: int = 0
    events: int = 0
    bytes: int = 0  # of event data
    appends: int = 0  # many appends may share one commit


class Listener(Protocol):
    """A worker's ear: hints from others that some streams want attention."""

    def wait(self, timeout: float) -> frozenset[str]:
        """Wait up to `timeout` real seconds for a hint or a poke; give the stream ids hinted at."""

    def poke(self) -> None:
        """Let a waiting `wait` return now; from any thread."""

    def close(self) -> None:
        """Stop listening; leaves no socket behind."""


class Log(Protocol):
    """The promise. `eventstore.open_log(url)` gives one; `eventstore.testing` proves one."""

    url: str
    path: str | None  # of the file it lies in, absolute; None: in no file
    counters: Counters
    is_remote: bool  # it lies on a server: `changed` asks it, now and then

    def is_there(self) -> bool:
        """Say whether the log has been made already; makes nothing."""

    def size(self) -> int | None:
        """Give the bytes that the log takes where it is kept; None if it is kept in memory."""

    def append(self, append: Append) -> list[Tip]:
        """Write all of it in one transaction, durable when it returns.

        Calls from many threads share a commit (the first who waits commits for all who queued);
        one that is refused does not spoil the others.

        Returns:
            The new tip of each write, in order.

        Raises:
            WrongExpectedVersion: a stream does not stand at its tip's version.
            Fenced: a stream has another epoch than its tip's.
            KeyTaken: an inbox key counts already. Checked first.
            StorageError: the outcome is unknown only if reading says so: the log has already
                looked for the append's id before it raises.
        """

    def head(self, stream: str) -> Head | None:
        """Give a stream's row, or None."""

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, at: int | None = None
    ) -> list[Event]:
        """Give events of a stream, oldest first: versions in (after, upto], recorded up to `at`."""

    def load(self, stream: str, *, after: int = 0) -> tuple[Head, list[Event]]:
        """Give row and events of one moment together.

        Raises:
            StreamUnknown: no such stream.
        """

    def read_streams(self, streams: Collection[str]) -> dict[str, list[Event]]:
        """Give all events of short streams, oldest first; those without events are left out."""

    def read_version(self, stream: str, versions: Collection[int]) -> dict[int, Event]:
        """Give the named versions of a stream; absent ones are left out."""

    def read_all(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Give events of the whole log in order of position, after a position.

        Only those before which nothing can appear any more: who goes on behind the last one
        given never misses an event.
        """

    def read_types(
        self, types: Collection[str], *, name: str, after: int, upto: int, limit: int
    ) -> list[Event]:
        """Give events of these types in streams of a name: positions in (after, upto], in order."""

    def last_position(self, *, before: int | None = None) -> int:
        """Give the position of the newest event; with `before`, of the newest recorded earlier.

        0: there is none.
        """

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""

    def stray_keys(self, *, limit: int = 100) -> list[InboxKey]:
        """Give inbox keys that lead to a stream which is not there; a whole log has none."""

    def statuses(self, streams: Collection[str]) -> dict[str, str]:
        """Give the status of each stream that there is."""

    def streams(self, *, after: str = "", limit: int = 1000) -> list[Head]:
        """Give rows of all kinds in the database's order of ids, after an id; tombstones too."""

    def named(self, streams: Collection[str]) -> dict[str, tuple[str, str]]:
        """Give kind and name of each stream that there is."""

    def heads(
        self,
        *,
        kind: str,
        name: str | None = None,
        status: Collection[str] = (),
        key: str | None = None,
        tags: dict[str, str] | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:
        """Give rows, last created first; filters are all to hold; `status`: any of them."""

    def counts(self, kind: str) -> list[Count]:
        """Give how many streams of a kind there are, by name, status and need."""

    def holdings(self) -> list[Holding]:
        """Give how many streams each worker owns, by kind and name."""

    def overdue(self, kind: str, *, now: int) -> list[Overdue]:
        """Give how many streams of a kind are due at `now` and unowned, the latest first."""

    def matching(self, kind: str, text: str, *, limit: int) -> list[str]:
        """Give ids of a kind that begin with a text; if none does, those that end with it."""

    def claim(
        self,
        worker: str,
        *,
        kind: str,
        now: int,
        limit: int,
        offers: Collection[str] = (),
        names: Collection[str] = (),
        skip: Collection[str] = (),
    ) -> list[Claim]:
        """Give the worker streams of a kind that need one.

        Those are due and unowned, or owned by a worker that is dead or whose lease ran out (due
        or not; an owner that never entered has no lease). The worker's own are not among them.
        A stream is given if it needs nothing, or needs one of `offers`, or its name is in `names`
        and no living worker offers what it needs. Higher priority first, then the earlier due.
        The new epoch is one higher. One transaction. `skip`: ids to leave alone this time.
        """

    def release(self, stream: str, tip: Tip, *, due: int | None) -> None:
        """Let go of a stream that is owned, if it still stands at `tip`; else do nothing."""

    def wake(self, waits_on: str, *, now: int, limit: int) -> list[str]:
        """Make due at `now` streams that wait on a name and are not due yet; give their ids.

        Those that have waited longest come first, `limit` of them at most.
        """

    def waiting(self, waits_on: str, *, limit: int = 1) -> list[str]:
        """Give ids of streams that wait on a name, those that have waited longest first."""

    def next_due(self, *, kinds: Collection[str], after: int | None = None) -> int | None:
        """Give the earliest due time of the unowned streams of these kinds (later than `after`)."""

    def owned(self, worker: str) -> dict[str, tuple[int, int | None]]:
        """Give version and due time of each stream that a worker owns."""

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock (a locked file beside SQLite; none in memory)."""

    def renew(self, worker: str, *, until: int, offers: Sequence[str] | None = None) -> None:
        """Extend a lease; one that was buried comes back to life with its streams lost."""

    def leave(self, worker: str, *, now: int) -> None:
        """Remove a worker; streams it still owns become unowned and due at `now`."""

    def workers(self) -> list[WorkerRow]:
        """Give all leases, those that ran out and the dead with streams still to be claimed too."""

    def leases(self) -> dict[str, Lease]:
        """Give the lease of each living worker by its id; what was seen moments ago will do."""

    def any_death(self) -> bool:
        """Tell, without asking the database, whether `bury` may find a dead worker."""

    def bury(self, *, now: int) -> list[str]:
        """Mark dead every worker whose process is known to be gone; give the ids newly found.

        Gone is who lets its lock be free, and whose lease ran out with no lock to look at. A lease
        that ran out while the lock is held is no death. Dead ones that own nothing any more are
        forgotten.
        """

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their SHA-256 (hex); the same bytes twice are stored once.

        Whoever is about to name a blob in an event puts it first, also one that is there: what
        was put within the last 23 hours is not deleted by retention.
        """

    def blob(self, sha256: str) -> bytes:
        """Give a blob's bytes.

        Raises:
            StorageCorrupt: there are no such bytes, or they no longer have this hash.
        """

    def has_blob(self, sha256: str) -> bool:
        """Tell whether there is a blob of this name; its bytes are not looked at."""

    def put_snapshot(self, stream: str, version: int, kind: str, content: bytes) -> None:
        """Keep a disposable copy of folded state; `kind` names shape and definition."""

    def snapshot(
        self, stream: str, kind: str, *, upto: int | None = None
    ) -> tuple[int, bytes] | None:
        """Give the newest copy of this kind up to a version: (version, bytes), or None."""

    def snapshots(self, streams: Collection[str]) -> list[tuple[str, str, int]]:
        """Give stream, kind and version of each copy that is kept of these streams, sorted."""

    def drop_derived(self) -> None:
        """Delete all that can be rebuilt from the events (snapshots)."""

    def old_heads(
        self,
        *,
        kind: str,
        before: int,
        name: str | None = None,
        status: Collection[str] = (),
        after: str = "",
        limit: int = 500,
    ) -> list[Head]:
        """Give rows with events whose last one is older than `before`, first created first.

        Args:
            after: id of the last row of the page before.
        """

    def purge(self, tips: Mapping[str, Tip], *, now: int) -> list[str]:
        """Take the events and snapshots of streams; their rows stay as tombstones.

        Taken are those that still stand at their tip, have no owner and are not due. The epoch
        grows, so that who still holds one is fenced. One transaction.

        Returns:
            The ids of those that are gone now.
        """

    def old_blobs(self, *, before: int) -> set[str]:
        """Give the names of blobs that were last put before a time."""

    def drop_blobs(self, names: Collection[str], *, before: int) -> tuple[int, int]:
        """Delete blobs among these that were not put since `before`.

        Whether an event refers to one is for the caller to know.

        Returns:
            How many, and how many bytes.
        """

    def reclaim(self) -> int:
        """Give room that deletions left free back to the system; give the bytes."""

    def cursor(self, name: str) -> Cursor:
        """Give a durable cursor; one that was never moved stands at 0, in version 0."""

    def move_cursor(self, cursor: Cursor, position: int, *, now: int) -> Cursor:
        """Move a cursor, durably, if it still stands as it was read; give it as it stands then.

        Raises:
            CursorMoved: another follower moved it meanwhile; nothing was written.
        """

    def cursors(self) -> list[Cursor]:
        """Give all cursors that were ever moved, by name."""

    def picture(self) -> AbstractContextManager[Picture]:
        """Give all that the log holds at one moment, while others go on writing."""

    def take_in(self, lines: Callable[[], Iterator[Body]], *, last: int) -> Taken:
        """Write what another log held, verbatim, in one transaction: all of it or nothing.

        A stream that is there with the same history is left alone, one that is shorter and has no
        owner grows. Positions are kept if they lie behind all that this log has given out; else
        the events get new ones, in order, and the cursors are left out.

        Args:
            lines: gives the lines of a checked export (`eventstore.arrival`), from the first
                one at each call.
            last: positions up to this were given out there.

        Raises:
            HistoryDiffers: a stream is there with another history, or at work here.
            KeyTaken: an inbox key counts here for another stream.
        """

    def verify(self, stream: str | None = None) -> Iterator[Fault]:
        """Check hash chains, gap-free versions and heads; give a sentence for each fault found."""

    def verify_beside(self) -> Iterator[Fault]:
        """Check what `verify` does beside the streams: the database, blobs, events of no stream."""

    def listen(self, worker: str) -> Listener:
        """Open a worker's ear for hints from other processes and from this one."""

    def hint(self, streams: Collection[str], *, skip: str | None = None) -> None:
        """Tell other workers (all but `skip`) that these streams want attention; may be lost."""

    def changed(self) -> int:
        """Give a number that moves when another connection has committed; costs no query."""

    def close(self) -> None:
        """Let go of connections, locks and files; the log can be used again afterwards."""
