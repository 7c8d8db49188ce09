"""The walk through a log, one stream after the other, page by page, beside working engines.

Laws of this file: memory is bounded by a page of events and a fold, however large the log; a
fault is told only if a second look, with a fresh row, finds the stream at fault too: an engine
may have moved on between the reading of a row and of what lies beside it.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from engine.audit.breakers import BreakerAudit
from engine.audit.notes import Notes
from engine.audit.runs import RunAudit
from engine.audit.streams import StreamAudit
from engine.audit.triggers import TriggerAudit
from engine.core.plan import Plan
from eventstore import Event, Fault, Head, Log, clock
from eventstore.chains import faults_of
from eventstore.coded import opened
from eventstore.errors import StorageCorrupt
from eventstore.wrapped import bare

STREAMS = 500  # rows read at once
EVENTS = 1000  # events read at once

Snapshots = list[tuple[str, int]]  # kind and version of each


class Verdict(msgspec.Struct, frozen=True):
    """What a look at a log has found."""

    faults: list[Fault]  # sentences, each with `.stream` and `.version` if it lies there
    notes: list[Fault]  # no faults: work that waits, leases that ran out
    streams: int
    events: int
    snapshots: int  # how many were held against the fold
    pruned: (
        int  # streams whose events retention took: their rows stay, there is nothing to check
    )

    @property
    def ok(self) -> bool:
        """Tell whether there is no fault."""
        return not self.faults


class Audit:
    """One look at a log.

    Args:
        log: is only read.
        plan_of: gives the plan of a definition by its hash.
        deep: hold events, snapshots, rows and keys against what an engine can have written; else
            only chains, versions and blobs are looked at.
        on_progress: told now and then how many events were looked at.

    Attributes:
        streams, events, snapshots, pruned: what was looked at so far.
        notes: what is no fault; complete when `faults` has ended.
    """

    def __init__(
        self, log: Log, plan_of: Callable[[str], Plan], *, deep: bool,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        self.streams = self.events = self.snapshots = self.pruned = 0
        self.notes: list[Fault] = []
        self._leads: dict[tuple[str, str], str] = {}  # keys of a batch that were looked up
        self._log, self._plan_of, self._deep = log, plan_of, deep
        self._kept = bare(log)  # the chain is over what is stored, coded or not
        self._on_progress = on_progress

    def faults(self, stream: str | None = None) -> Iterator[Fault]:
        """Give each fault as it is found. *Reads the log.*

        Args:
            stream: only this one; None: all, and what lies beside them.
        """
        notes = Notes(self._log, clock.now_us())
        if stream is not None:
            head = self._log.head(stream)
            if head is not None:
                yield from self._look(head, self._snapshots_of([stream])[stream])
                notes.see(head)
        else:
            yield from _guarded(self._all_streams(notes), "the list of streams")
            if self._deep:
                yield from _guarded(self._stray_keys(), "the inbox")
            yield from self._log.verify_beside()
        if self._deep:
            yield from _guarded(self._note(notes), "the leases")

    def verdict(self, stream: str | None = None) -> Verdict:
        """Give all that is found. *Reads the log.*"""
        faults = list(self.faults(stream))
        return Verdict(
            faults, self.notes, self.streams, self.events, self.snapshots, self.pruned
        )

    def _all_streams(self, notes: Notes) -> Iterator[Fault]:
        after = ""
        while page := self._log.streams(after=after, limit=STREAMS):
            for heads in _batches(page):
                yield from self._batch(heads)
            for head in page:
                notes.see(head)
            after = page[-1].id

    def _batch(self, heads: list[Head]) -> Iterator[Fault]:
        """Look at streams of which all that is needed was read at once."""
        ids = [head.id for head in heads]
        snapshots = self._snapshots_of(ids)
        events = self._read(ids) if len(ids) > 1 else None
        self._leads = self._start_keys(heads) if self._deep else {}
        for head in heads:
            given = None if events is None else events.pop(head.id, [])
            yield from self._look(head, snapshots[head.id], given)

    def _read(self, streams: list[str]) -> dict[str, list[Event]] | None:
        """Read streams at once; None where one cannot be read: then each by itself tells which."""
        try:
            return self._kept.read_streams(streams)
        except StorageCorrupt:
            return None

    def _start_keys(self, heads: list[Head]) -> dict[tuple[str, str], str]:
        """Look up the keys by which runs were started, all of a workflow at once."""
        named: dict[str, list[str]] = {}
        for head in heads:
            if head.key is not None and head.kind == "run":
                named.setdefault(f"start:{head.name}", []).append(head.key)
        return {
            (source, key): stream
            for source, keys in named.items()
            for key, stream in self._log.find_all(source, keys).items()
        }

    def _stray_keys(self) -> Iterator[Fault]:
        for key in self._log.stray_keys():
            yield Fault(
                f"key {key.key!r} of {key.source!r} leads to stream {key.stream!r}, which is not"
                " there",
                key.stream,
            )

    def _note(self, notes: Notes) -> Iterator[Fault]:
        self.notes = notes.all()
        yield from ()

    def _look(
        self, head: Head, snapshots: Snapshots, given: list[Event] | None = None
    ) -> list[Fault]:
        before = self.events, self.snapshots
        found = self._judge(head, snapshots, given)
        if found:
            self.events, self.snapshots = before
            self._leads = {}
            snapshots = self._snapshots_of([head.id])[head.id]  # before the row: none is newer
            found = self._judge(self._log.head(head.id) or head, snapshots)
        self.streams += 1
        return found

    def _snapshots_of(self, streams: list[str]) -> dict[str, Snapshots]:
        snapshots: dict[str, Snapshots] = {stream: [] for stream in streams}
        for stream, kind, version in self._log.snapshots(streams) if self._deep else ():
            snapshots[stream].append((kind, version))
        return snapshots

    def _judge(
        self, head: Head, snapshots: Snapshots, given: list[Event] | None = None
    ) -> list[Fault]:
        if head.purged is not None:
            self.pruned += 1
            return []  # a tombstone: retention took its events
        audit = self._audit_of(head)
        wanted = {version for kind, version in snapshots if kind == audit.snapshot_kind}
        pages = self._pages(head) if given is None else _upto(head, given)
        try:
            broken = list(faults_of(head.id, self._passed(audit, pages, wanted), head.tip))
        except StorageCorrupt as error:
            return [Fault(f"stream {head.id!r} cannot be read: {error}", head.id)]
        if broken:  # what follows a broken chain is not what was written: no use to judge it
            first = min(fault.version or 0 for fault in broken)
            return [f for f in audit.faults if (f.version or 0) < first] + broken
        if self._deep:
            for version in sorted(v for v in wanted if not 0 < v <= head.tip.version):
                audit.say(
                    version, f"there is a snapshot of event {version}, which is not there"
                )
            audit.close(head)
        return audit.faults

    def _passed(
        self, audit: StreamAudit, pages: Iterable[list[Event]], wanted: set[int]
    ) -> Iterator[Event]:
        """Let the audit see each event before it is handed on."""
        for page in pages:
            for event in page if self._deep else ():
                audit.see(opened(self._log, event))
                if event.version in wanted:
                    self._compare(audit, event)
            yield from page
            self._settle(audit)
            self.events += len(page)
            if self._on_progress is not None:
                self._on_progress(self.events)

    def _pages(self, head: Head) -> Iterator[list[Event]]:
        """Give the events up to the row's version; where there are none, look ever further."""
        after, reach = 0, EVENTS
        while after < head.tip.version:
            upto = min(after + reach, head.tip.version)
            page = self._kept.read(head.id, after=after, upto=upto)
            if page:
                yield page
            after, reach = upto, EVENTS if page else reach * 2

    def _compare(self, audit: StreamAudit, event: Event) -> None:
        kind = audit.snapshot_kind or ""
        snapshot = self._log.snapshot(event.stream, kind, upto=event.version)
        if snapshot is not None and snapshot[0] == event.version:
            self.snapshots += 1
            audit.compare(*snapshot)

    def _settle(self, audit: StreamAudit) -> None:
        """Look up the large values and the keys that the last events have named."""
        for version, name in audit.blobs:
            if not self._log.has_blob(name):
                audit.say(version, f"event {version} names blob {name}, which is not there")
        audit.blobs.clear()
        named: dict[str, list[str]] = {}
        for _, source, key, _ in audit.keys:
            if (source, key) not in self._leads:
                named.setdefault(source, []).append(key)
        found = {source: self._log.find_all(source, keys) for source, keys in named.items()}
        for version, source, key, stream in audit.keys:
            leads = self._leads.get((source, key)) or found.get(source, {}).get(key)
            if leads != stream:
                where = "nowhere" if leads is None else f"to {leads!r}"
                audit.say(
                    version,
                    f"key {key!r} of {source!r} counts for {stream!r} by event {version}, and"
                    f" leads {where}",
                )
        audit.keys.clear()

    def _audit_of(self, head: Head) -> StreamAudit:
        match head.kind:
            case "run":
                return RunAudit(head.id, self._plan_of)
            case "breaker":
                return BreakerAudit(head.id)
            case "trigger":
                return TriggerAudit(head.id)
        return StreamAudit(head.id)


def _batches(heads: list[Head]) -> Iterator[list[Head]]:
    """Give rows in groups whose events fit into one page; a longer stream stands alone."""
    batch: list[Head] = []
    events = 0
    for head in heads:
        if batch and events + head.tip.version > EVENTS:
            yield batch
            batch, events = [], 0
        batch.append(head)
        events += head.tip.version
    if batch:
        yield batch


def _upto(head: Head, given: list[Event]) -> Iterator[list[Event]]:
    """Give what was read up to the row's version: engines may have appended since."""
    page = [event for event in given if event.version <= head.tip.version]
    if page:
        yield page


def _guarded(found: Iterator[Fault], what: str) -> Iterator[Fault]:
    try:
        yield from found
    except StorageCorrupt as error:
        yield Fault(f"{what} cannot be read: {error}")
