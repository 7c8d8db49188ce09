"""Pruning: ended runs that are old lose their history; their keys and statuses stay for ever."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

import msgspec

from engine.core import trigger as core
from engine.core.run import ENDED
from engine.triggerstream import TriggerStream, label_of
from eventstore import Head, Log, clock
from eventstore.errors import StillCoded
from eventstore.sweeping import sweep

BATCH = 500  # runs purged in one transaction
CHANGED = "they changed meanwhile"

Export = Callable[[Collection[str]], None]
Told = Callable[[int], None]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are to go."""

    before: int  # microseconds; those whose last event is older
    workflow: str | None = None
    statuses: tuple[str, ...] = ()  # of those that have ended; none: all
    unseen: bool = False  # also those whose end a trigger has yet to follow


class Pruned(msgspec.Struct):
    """What went, or would go."""

    runs: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    events: int = 0
    oldest: int | None = None  # end of the first and of the last of them
    newest: int | None = None
    stays: Counter[str] = msgspec.field(default_factory=Counter)  # old and ended; by reason
    is_swept: bool = True  # large values were looked for; not without the codec of the log
    blobs: int = 0
    blob_bytes: int = 0
    freed: int = 0  # bytes given back to the system

    def add(self, head: Head) -> None:
        """Count a run."""
        self.runs[head.name, head.status] += 1
        self.events += head.tip.version
        self.oldest = head.updated if self.oldest is None else min(self.oldest, head.updated)
        self.newest = head.updated if self.newest is None else max(self.newest, head.updated)


def why_stays(head: Head, *, before: int, needed: str | None = None) -> str | None:
    """Say why a run may not lose its history; None: it may. *Pure.*

    Args:
        head: Its row.
        before: Microseconds; only a run whose last event is older may.
        needed: What it is needed for, if it is.
    """
    if head.kind != "run":
        return f"a {head.kind} is no run"
    if head.purged is not None:
        return "its history is gone already"
    if head.status not in ENDED:
        return f"it is {head.status}: a live run is never pruned"
    if head.owner is not None or head.due is not None:
        return "a worker is not done with it"
    if head.updated >= before:
        return "it ended too recently"
    return needed


class Needs:
    """What ended runs are still needed for.

    A trigger that follows a workflow needs each end that it has not seen. Whatever else comes to
    need ended runs (a live run that was forked from one, a live parent of one) is asked here.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._followers: dict[str, list[tuple[str, str, int]]] = {}
        for head in log.heads(kind="trigger"):
            if label_of(head).get("kind") == "run":
                self._note(head)

    def _note(self, head: Head) -> None:
        name = head.id.removeprefix(core.PREFIX)
        stream = TriggerStream(self._log, name, kind="run", workflow=head.name)
        stream.read()
        said = msgspec.json.decode(stream.state.revision)
        follower = (name, f"run.{said['on']}", stream.state.watermark)
        self._followers.setdefault(said["followed"], []).append(follower)

    def of(self, head: Head) -> str | None:
        """Say what a run is needed for; None: nothing. *Reads the log.*"""
        followers = self._followers.get(head.name)
        if followers:
            events = self._log.read(head.id)
            for name, type_, watermark in followers:
                if any(e.type == type_ and e.position > watermark for e in events):
                    return f"trigger {name!r} has not seen their ends yet"
        return None


class Pruning:
    """One pruning of one log; killed anywhere, it can be repeated."""

    def __init__(self, log: Log, wish: Wish) -> None:
        self._log, self._wish = log, wish
        self._needs = None if wish.unseen else Needs(log)

    def survey(self) -> Pruned:
        """Say what would go. *Reads the log.*"""
        found = Pruned()
        for page in self._pages(found.stays):
            for head in page:
                found.add(head)
        return found

    def prune(self, *, export: Export | None = None, told: Told | None = None) -> Pruned:
        """Take the histories of the runs, then what they leave behind. *Touches the log.*

        Where events are encoded and the log has no codec, large values stay.

        Args:
            export: Called with the ids of all of them before anything is deleted; what it raises
                ends the pruning, and nothing is deleted.
            told: Called after each batch with how many are gone.

        Raises:
            StorageError: The log failed; the runs of the batches before are gone.
        """
        exported: dict[str, int] | None = None
        if export is not None:
            pages = self._pages(Counter())
            exported = {head.id: head.tip.version for page in pages for head in page}
            if exported:
                export(exported.keys())
        done = Pruned()
        for page in self._pages(done.stays):
            tips = {
                head.id: head.tip
                for head in page
                if exported is None or exported.get(head.id) == head.tip.version
            }
            gone = set(self._log.purge(tips, now=clock.now_us()))
            for head in page:
                if head.id in gone:
                    done.add(head)
                else:
                    done.stays[CHANGED] += 1
            if told is not None:
                told(done.runs.total())
        try:
            done.blobs, done.blob_bytes = sweep(self._log, now=clock.now_us())
        except StillCoded:
            done.is_swept = False
        done.freed = self._log.reclaim()
        return done

    def _pages(self, stays: Counter[str]) -> Iterator[list[Head]]:
        """Give the runs that may go, a page at a time; count those that may not."""
        wish, after = self._wish, ""
        statuses = wish.statuses or tuple(sorted(ENDED))
        while page := self._log.old_heads(
            kind="run", before=wish.before, name=wish.workflow, status=statuses,
            after=after, limit=BATCH,
        ):  # fmt: skip
            after = page[-1].id
            going = []
            for head in page:
                needed = None if self._needs is None else self._needs.of(head)
                reason = why_stays(head, before=wish.before, needed=needed)
                if reason is None:
                    going.append(head)
                else:
                    stays[reason] += 1
            if going:
                yield going
