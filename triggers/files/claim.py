"""Claims: complete files start runs, many in one append, each once for ever.

What counts once is decided by the log: it is asked before anything is prepared, and the append
decides. What is not claimed stays on disk.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from engine.doors import DoorFull, DoorShut
from engine.triggering import Door, Fired
from engine.triggering import Firing as Letter
from eventstore import clock
from triggers.files.after import After, Leaving
from triggers.files.below import NotTheFile
from triggers.files.complete import Rule
from triggers.files.identity import Identity
from triggers.files.pattern import Pattern
from triggers.files.place import inodes, skipped
from triggers.files.scan import Found, Look, glance, scan
from triggers.files.sights import Sight, Sights
from triggers.files.telling import Telling
from triggers.start import Start

AT_ONCE = 500  # runs started by one append, and keys asked for in one query
QUESTIONS = 20  # queries of one poll; the rest of the drop is the next poll's
READ = 64 << 20  # bytes read by one poll to make keys of them


class Plan(NamedTuple):
    """What a trigger is to do, checked."""

    name: str
    pattern: Pattern
    rule: Rule
    key: str
    after: After | None
    limit: int | None
    initial: bool
    every: float | None  # seconds between two looks, if the user says so
    revision: str
    start: Start
    logs: list[str]  # databases of the engines that have this trigger: never to be opened

    def look(self) -> Look:
        """Look at the folder, at all but what was moved away. *Touches the world.*

        Raises:
            OSError: the folder is not there, or cannot be read.
        """
        return scan(
            self.pattern, without=self._without(), marker=self._markers(), off=inodes(self.logs)
        )

    def glance(self, told: Iterable[str]) -> list[Found]:
        """Look at single files, by relative path. *Touches the world.*"""
        return glance(
            self.pattern, told,
            without=self._without(), marker=self._markers(), off=inodes(self.logs),
        )  # fmt: skip

    def known(self) -> list[str]:
        """Give the keys of files that are there now and are not to count. *Touches the world.*"""
        try:
            files = [] if self.initial else self.look().files
        except OSError:
            return []
        identity = Identity(self.key, self.pattern.root)
        keys = (identity.whole(Sight(found, 0, before=None, last=None)) for found in files)
        return [key for key in keys if key is not None]

    def _without(self) -> Collection[str]:
        return skipped(self.pattern.root, self.after.folders) if self.after else ()

    def _markers(self) -> re.Pattern[str] | None:
        return self.rule.marker.names if self.rule.marker else None


class Claims:
    """The files that are complete, and how they start runs."""

    def __init__(self, plan: Plan, telling: Telling) -> None:
        """Take what to start, and who tells what starts nothing."""
        self._plan, self._telling = plan, telling
        self._identity = Identity(plan.key, plan.pattern.root)
        self._backlog: list[Sight] = []  # complete, the oldest last
        self.is_stalled = False  # the door is shut, or the limit is reached
        self.forget()

    def forget(self) -> None:
        """Forget the folder: what it holds when it is seen again is as after a restart."""
        plan = self._plan
        self._backlog = []
        self.sights = Sights(plan.rule)
        self.leaving: Leaving | None = None
        if plan.after is not None:
            self.leaving = Leaving(
                plan.after, plan.pattern.root, plan.rule.marker, self._telling,
                self.sights.forget,
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._backlog)

    def fill(self, ready: list[Sight]) -> None:
        """Take what a look saw to be complete, oldest first."""
        self._identity.keep(ready)
        self._backlog = ready[::-1]

    def add(self, ready: list[Sight]) -> None:
        """Take what a watch has told of; it comes first."""
        self._backlog += ready[::-1]

    def reconcile(self, door: Door, still: list[Sight]) -> None:
        """Find files that were claimed, and lost their marker before a crash."""
        new = [sight for sight in still if "asked" not in sight.told]
        for begin in range(0, len(new), AT_ONCE):
            chunk = new[begin : begin + AT_ONCE]
            for sight in chunk:
                sight.told |= {"asked"}
            keys = {key: one for one in chunk if (key := self._identity.whole(one)) is not None}
            for key, run in door.found(keys).items():
                self._settle(keys[key], run)

    def claim(self, door: Door, now: int, *, tell: bool) -> bool:
        """Start runs for complete files, the oldest first; tell whether there are more."""
        if not self._backlog:
            return False
        state = door.state()
        self.is_stalled = not state.is_open(self._plan.revision)
        if self.is_stalled:
            if tell and state.state == "paused":
                self._wait(door, "paused", now)
            return False
        room = self._room(door)
        budget = READ
        for _ in range(QUESTIONS):
            if not self._backlog:
                return False
            if room <= 0:
                self.is_stalled = True
                if tell:
                    self._wait(door, "full", now)
                return False
            read, batch = self._take(door, min(room, AT_ONCE), budget, now)
            budget -= read
            try:
                claimed = self._fire(door, batch, now)
            except DoorShut:
                self.is_stalled = True
                return False
            if claimed or budget <= 0:
                return bool(self._backlog)
            room = self._room(door)
        return bool(self._backlog)

    def _room(self, door: Door) -> int:
        """Give how many runs may be started now."""
        limit = self._plan.limit
        return AT_ONCE if limit is None else limit - len(door.live())

    def _wait(self, door: Door, reason: str, now: int) -> None:
        """Tell of complete files that stay where they are, each once."""
        new = [sight for sight in reversed(self._backlog) if reason not in sight.told]
        for sight in new:
            sight.told |= {reason}
        self.say(door, reason, new, now)

    def _take(
        self, door: Door, most: int, budget: int, now: int
    ) -> tuple[int, dict[str, Sight]]:
        """Take files off the backlog that are still as they were, by key."""
        batch: dict[str, Sight] = {}
        later: list[Sight] = []  # the same bytes as one of the batch
        total = 0
        while self._backlog and len(batch) < most and len(later) < AT_ONCE and total < budget:
            sight = self._backlog.pop()
            try:
                self._check(sight)
                read, key = self._identity.key(sight, most=budget - total)
            except (NotTheFile, FileNotFoundError, NotADirectoryError):
                self.sights.forget(sight)
                self._identity.forget(sight)
                continue
            except OSError as error:
                self._tell_unread(door, sight, error, now)
                continue
            total += read
            if key is None:
                self._backlog.insert(0, sight)  # a large file does not hold the others
                break
            if key in batch:
                later.append(sight)
            else:
                batch[key] = sight
        self._backlog.extend(reversed(later))
        return total, batch

    def _check(self, sight: Sight) -> None:
        """Raise NotTheFile if it has changed since the look."""
        status = os.lstat(self._path(sight))
        is_same = (status.st_size, status.st_mtime_ns) == (sight.size, sight.mtime)
        if not is_same or not stat.S_ISREG(status.st_mode):
            raise NotTheFile(sight.relative)

    def _tell_unread(self, door: Door, sight: Sight, error: OSError, now: int) -> None:
        reason = f"cannot be read: {error.strerror}"
        if reason not in sight.told:
            sight.told |= {reason}
            self.say(door, reason, [sight], now)

    def _fire(self, door: Door, batch: dict[str, Sight], now: int) -> int:
        """Start the runs of a batch in one append; give how many were started."""
        if not batch:
            return 0
        found = door.found(batch)
        again = []
        for key, run in found.items():
            sight = batch[key]
            self._settle(sight, run)
            if sight.before is not None and clock.made_at(run) <= sight.before:
                again.append(sight)
        self.say(door, "duplicate", again, now)
        fresh = {key: sight for key, sight in batch.items() if key not in found}
        if not fresh:
            return 0
        letters = [self._letter(sight, key) for key, sight in fresh.items()]
        results = self._plan.start.fire_many(door, letters, limit=self._plan.limit)
        started = 0
        full = []
        for sight, result in zip(fresh.values(), results, strict=True):
            if isinstance(result, Fired):
                self._settle(sight, result.run)
                started += not result.duplicate
            elif isinstance(result.error, DoorFull):  # another process was faster
                full.append(sight)
            else:
                self._settle(sight, "")
        self._backlog.extend(reversed(full))
        return started

    def _settle(self, sight: Sight, run: str) -> None:
        """Take note that nothing more is owed to a file, until its run has ended."""
        sight.is_known = True
        self._identity.forget(sight)
        if self.leaving is not None and run and ":" not in run:
            self.leaving.owe(run, sight)

    def _letter(self, sight: Sight, key: str) -> Letter:
        at = min(max(sight.mtime // 1000, 0), clock.LAST)
        facts = {
            "path": self._path(sight),
            "size": sight.size,
            "mtime": clock.from_us(at),
            "evidence": sight.evidence,
        }
        return Letter(self._plan.name, key, at, facts)

    def _path(self, sight: Sight) -> str:
        return os.path.join(self._plan.pattern.root, sight.relative)  # noqa: PTH118

    def say(self, door: Door, reason: str, sights: Sequence[Sight], now: int) -> None:
        """Tell of files that wait, or start nothing."""
        if sights:
            names = [sight.relative for sight in sights]
            path = self._path(sights[0])
            self._telling.say(door, reason, names[0], now, names=names, repeats=True, path=path)
