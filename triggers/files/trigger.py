"""FileTrigger: each complete file in a watched folder starts one run.

Laws of this file: a look at the folder is the truth and events are hints; what counts once is
decided by the log; no look asks the log about files that were settled before.
"""

import datetime
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from engine.doors import DoorShut
from engine.triggering import Door, Fired
from engine.triggering import Firing as Letter
from eventstore import clock
from triggers.durations import microseconds
from triggers.errors import not_yet, wrong
from triggers.files.pattern import Pattern
from triggers.files.scan import Found, Look, scan
from triggers.files.settle import Settling
from triggers.files.watch import Watch
from triggers.firing import Mapper
from triggers.start import Start, name_of, revision_of

log = logging.getLogger(__name__)

AT_ONCE = 500  # runs started by one poll; the rest of the drop is the next poll's
LOOK_EVERY = 1.0  # seconds, while the engine's threads run
LOOK_SHARE = 20  # a look that takes 1 s is made every 20 s at most
LOOK_RARELY = 60.0  # seconds
HINTS = 10_000  # closed files remembered between two looks; more wait for their settle time
LATEST = 253_402_300_799_999_999  # microseconds; the last a datetime can hold


class _Memory(msgspec.Struct, weakref=True):
    """What is remembered for one door; lost without harm."""

    settling: Settling
    told: set[str] = set()  # what was declined: bytes of names, folders that cannot be read
    is_missing: bool = False


class FileTrigger:
    """Starts a run for each file that appears in a folder, once it is complete.

    A file that came while nothing was running counts too. A file counts again when its size or
    mtime changes. Temporary names of editors and browsers are left alone, unless the pattern
    itself is of such names. While the engine's threads run, the folder is looked at when the
    system tells of a change and every second or so; `run_until_idle()` looks once in each idle
    turn. On a frozen clock a file is complete when the clock has been moved by `settle`.
    """

    kind = "file"
    hears: str | None = None

    def __init__(
        self,
        pattern: str | os.PathLike[str],
        start: Any,
        *,
        complete: str = "settle",
        settle: float | datetime.timedelta = 1.0,
        key: str = "path+size+mtime",
        after: str | os.PathLike[str] = "leave",
        initial: bool = True,
        poll: str | float | datetime.timedelta = "auto",
        limit: int | None = None,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take a pattern and what it starts.

        Args:
            pattern: `*` within a name, `**` any number of folders; relative to the current
                directory of this moment.
            start: a workflow or its name.
            complete: "settle": two looks `settle` apart see the same size and mtime. "close": a
                file that was seen being closed or moved in needs no second look.
            settle: seconds or a timedelta, by the engine's clock; 0: the first look will do.
            key: what makes a file another one: "path+size+mtime", or "path" for once ever.
            after: "leave": the file stays where it is.
            initial: True: files that are there at first count too.
            poll: "auto": by events and a look every second or so; or seconds between looks.
            limit: not yet.
            input: makes the workflow's inputs of a firing; by default its one input is the
                absolute path as text.
            name: by default `file:PATTERN:WORKFLOW`.

        Raises:
            DefinitionError: an option that cannot be right, or one of a later version.
        """
        if complete == "rename" or complete.startswith("marker="):
            raise not_yet(f"complete={complete!r}")
        if complete not in ("settle", "close"):
            raise wrong(f"complete={complete!r} is none of 'settle', 'close'")
        if key in ("sha256", "content"):
            raise not_yet(f"key={key!r}")
        if key not in ("path+size+mtime", "path"):
            raise wrong(f"key={key!r} is none of 'path+size+mtime', 'path'")
        if after != "leave":
            raise not_yet(f"after={os.fspath(after)!r}")
        if not initial:
            raise not_yet("initial=False")
        if limit is not None:
            raise not_yet("limit=")
        self._every = None if poll == "auto" else _seconds("poll", poll)
        self._settle = round(_seconds("settle", settle, least=0) * clock.SECOND)
        text = os.fspath(pattern)
        self._pattern = Pattern(text)
        self._by_path, self._complete = key == "path", complete
        self._start = Start(start, input, fact="path")
        self.workflow = self._start.workflow
        self.name = name_of(name, self.kind, text, self.workflow)
        self._revision = revision_of(
            kind=self.kind, workflow=self.workflow, pattern=text, root=self._pattern.root,
            complete=complete, settle=self._settle, key=key,
        )  # fmt: skip
        self._lock = threading.RLock()
        self._memories: WeakKeyDictionary[Door, _Memory] = WeakKeyDictionary()
        self._closed: dict[str, None] = {}  # absolute paths that the watch saw closed
        self._last_look = 0.0  # real seconds that a look takes
        self._watch: Watch | None = None
        self._open: list[Door] = []

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that is not there or whose inputs nothing fills."""
        self._start.check(workflows)

    def revision(self) -> str:
        """Give the options as text."""
        return self._revision

    def poll(self, door: Door, now: int) -> int | None:
        """Look at the folder and fire for each file that is complete, oldest first.

        Returns:
            When the next file can be complete, None if none is waiting for that.
        """
        with self._lock:
            memory = self._memories.get(door)
            if memory is None:
                door.state()  # arms it, also when there is nothing to fire yet
                memory = self._memories[door] = _Memory(Settling(self._settle))
            closed, self._closed = self._closed, {}
            try:
                look = self._look(door, memory, now)
                ready, due = memory.settling.look(look.files, now, closed)
                if ready and door.state().is_open(self._revision):
                    return self._fire(door, memory, ready, now, due)
            except DoorShut:
                return None
            return due

    def ended(self, door: Door, now: int) -> int | None:
        """Do as `poll` does."""
        return self.poll(door, now)

    def _fire(
        self, door: Door, memory: _Memory, ready: list[Found], now: int, due: int | None
    ) -> int | None:
        started = 0
        for file in ready:
            if started == AT_ONCE:
                door.wake()
                return now
            became = self._start.fire(door, self._letter(file))
            started += isinstance(became, Fired) and not became.duplicate
            memory.settling.know(file)
        return due

    def _letter(self, file: Found) -> Letter:
        relative, size, mtime = file
        at = min(max(mtime // 1000, 0), LATEST)
        key = relative if self._by_path else f"{relative}:{size}:{mtime}"
        path = os.path.join(self._pattern.root, relative)  # noqa: PTH118 - text, as it was found
        return Letter(
            self.name, key, at, {"path": path, "size": size, "mtime": clock.from_us(at)}
        )

    def _look(self, door: Door, memory: _Memory, now: int) -> Look:
        """Look at the folder; what cannot be read is declined once, and looked at again."""
        begun = clock.real_seconds()
        try:
            look = scan(self._pattern)
        except OSError as error:
            if not memory.is_missing:
                memory.is_missing = True
                reason = f"the folder cannot be read: {error.strerror}"
                self._decline(
                    door, self._pattern.root, reason, now, {"path": self._pattern.root}
                )
                log.warning(
                    "Trigger %r waits for its folder %s: %s",
                    self.name, self._pattern.root, error.strerror,
                    extra={"action": "trigger.folder_missing"},
                )  # fmt: skip
            return Look([], [], [])
        if memory.is_missing:
            memory.is_missing = False
            log.info(
                "Trigger %r has its folder %s again", self.name, self._pattern.root,
                extra={"action": "trigger.folder_back"},
            )  # fmt: skip
        self._last_look = clock.real_seconds() - begun
        for what, reason in (
            (look.unreadable, "the name is not UTF-8"),
            (look.closed, "a folder cannot be read"),
        ):
            new = sorted(set(what) - memory.told)
            if new:
                memory.told.update(new)
                facts = {"count": len(new), "names": new[:20]}
                self._decline(door, new[0], reason, now, facts)
        memory.told.intersection_update([*look.unreadable, *look.closed])
        return look

    def _decline(
        self, door: Door, key: str, reason: str, now: int, facts: dict[str, Any]
    ) -> None:
        door.decline(Letter(self.name, key, now, facts), reason)

    def open(self, door: Door) -> None:
        """Watch the folder in the background, until closed as often as opened."""
        with self._lock:
            self._open.append(door)
            if self._watch is None:
                self._watch = Watch(
                    self._pattern.root,
                    is_deep=self._pattern.is_deep,
                    wake=self._wake,
                    every=self._pace,
                    closed=self._saw_closed if self._complete == "close" else None,
                    events=self._every is None,
                )
                self._watch.start()

    def close(self) -> None:
        """Stop watching; leaves no thread, handle or watch behind."""
        with self._lock:
            if self._open:
                self._open.pop()
            if self._open or self._watch is None:
                return
            watch, self._watch = self._watch, None
        watch.close()  # without the lock: its thread may be waking an engine that polls

    def _wake(self) -> None:
        for door in self._open[:]:
            door.wake()

    def _pace(self) -> float:
        """Give the seconds between two looks without a hint."""
        if self._every is not None:
            return self._every
        return min(max(LOOK_EVERY, self._last_look * LOOK_SHARE), LOOK_RARELY)

    def _saw_closed(self, path: str) -> None:
        if len(self._closed) < HINTS:
            self._closed[os.path.relpath(path, self._pattern.root)] = None


def _seconds(option: str, value: Any, *, least: float = 0.01) -> float:
    seconds = microseconds(option, value) / clock.SECOND
    if seconds < least:
        raise wrong(f"{option}={value!r} is to be at least {least:g} seconds")
    return seconds
