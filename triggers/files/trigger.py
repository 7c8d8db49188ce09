"""FileTrigger: each complete file in a watched folder starts one run."""

import datetime
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from engine.triggering import Door
from eventstore import clock
from triggers.durations import microseconds
from triggers.errors import one_of, wrong
from triggers.files.after import after_of
from triggers.files.claim import Plan
from triggers.files.complete import Rule
from triggers.files.folder import LOOK_SHARE, Folder
from triggers.files.identity import KINDS
from triggers.files.pattern import Pattern, pattern_text
from triggers.files.place import check_log, strange
from triggers.files.watch import Watch
from triggers.firing import Mapper, Signalling
from triggers.start import Start, name_of, revision_of

log = logging.getLogger("playhead.triggers")

LOOK_EVERY = 1.0  # seconds, while the engine's threads run
LOOK_RARELY = 60.0  # seconds


class FileTrigger:
    """Starts a run for each file that appears in a folder, once it is complete.

    A file that came while nothing was running counts too. A file counts again when its size or
    mtime changes. Temporary names of editors and browsers are left alone, unless the pattern
    itself is of such names. While the engine's threads run, the folder is looked at when the
    system tells of a change and every second or so; `run_until_idle()` looks once in each idle
    turn. On a frozen clock a file is complete when the clock has been moved by `settle`.
    """

    kind = "file"

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
        marker: str | None = None,
        failed: str | os.PathLike[str] | None = None,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take a pattern and what it starts.

        Args:
            pattern: `*` within a name, `**` any number of folders; relative to the current
                directory of this moment, as `after` and `failed` are.
            start: a workflow or its name, or `signal(...)`.
            complete: "settle": two looks `settle` apart see the same size and mtime. "close": a
                file that was seen being closed or moved in needs no second look. "rename":
                writers use another name first, so a name that fits is complete.
            settle: seconds or a timedelta, by the engine's clock; 0: the first look will do.
            key: what makes a file another one: "path+size+mtime", "path" for once ever, or
                "sha256" for its bytes under whatever name.
            after: what becomes of it when its run has succeeded. "leave": it stays. "delete". Or
                the folder to which it is moved, under a name that replaces nothing.
            initial: False: files that are there when the trigger is first armed do not count.
            poll: "auto": by events and a look every second or so; or seconds between looks.
            limit: how many runs of this trigger may live at once; other files wait on disk.
            marker: "*.done": a file is complete when a file of that name, in which `*` is its
                own name or that without the last suffix, stands beside it.
            failed: the folder for files whose run failed or was cancelled, if `after` is not
                "leave"; by default `failed` in the folder of `after`, or in the watched one.
            input: makes the workflow's inputs of a firing; by default its one input is the
                absolute path as text.
            name: by default `file:PATTERN:WORKFLOW`.

        Raises:
            DefinitionError: an option that cannot be right, or two that contradict each other.
        """
        one_of("key", key, KINDS)
        if poll != "auto" and isinstance(poll, str):
            one_of("poll", poll, ("auto",))
        if not isinstance(initial, bool):
            raise wrong(f"initial={initial!r} is to be True or False")
        if limit is not None and (not isinstance(limit, int) or limit < 1 or limit is True):
            raise wrong(f"limit={limit!r} is to be a number of runs, at least 1, or None")
        if limit is not None and isinstance(start, Signalling):
            raise wrong(
                f"limit={limit} counts the runs that a trigger starts, and signal"
                f" {start.name!r} starts none; leave limit= out"
            )
        text = pattern_text(pattern)
        seen = Pattern(text)
        rule = Rule(complete, marker, microseconds("settle", settle, least=0))
        gone = after_of(after, failed, seen.root, key)
        every: float | None = None
        if not isinstance(poll, str):
            every = microseconds("poll", poll, least=0.01) / clock.SECOND
        begin = Start(start, input, fact="path")
        self.workflow = begin.workflow
        self.name = name_of(name, self.kind, text, self.workflow)
        more = {"after": gone, "marker": marker, "initial": initial}
        if gone is None and rule.marker is None and initial:
            more = {}  # as it was before there were such options: nothing is armed anew
        self._plan = Plan(
            name=self.name, pattern=seen, rule=rule, key=key, after=gone, limit=limit,
            initial=initial, every=every, start=begin, logs=[],
            revision=revision_of(
                kind=self.kind, workflow=self.workflow, pattern=text, root=seen.root,
                complete=rule.kind, settle=rule.settle / clock.SECOND, key=key, **more,
            ),
        )  # fmt: skip
        told = start.workflow if isinstance(start, Signalling) else self.workflow
        is_deaf = gone is None and limit is None
        self.hears: str | None = None if is_deaf else getattr(told, "name", told)
        self._lock = threading.RLock()
        self._folders: WeakKeyDictionary[Door, Folder] = WeakKeyDictionary()
        self._watch: Watch | None = None
        self._open: list[Door] = []

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that is not there or whose inputs nothing fills."""
        self._plan.start.check(workflows)

    def check_log(self, path: str) -> None:
        """Refuse a database file, absolute, that lies where the pattern looks; else keep off it.

        Raises:
            DefinitionError: it says what to write.
        """
        check_log(self._plan.pattern, path)
        self._plan.logs.append(path)

    def revision(self) -> str:
        """Give the options as text."""
        return self._plan.revision

    def known(self, before: str) -> list[str]:
        """Give the keys that count from the arming. *Touches the world: looks, may read files.*

        None, if all that changed since the revision `before` is something else than where files
        are looked for and what makes them the same: what came meanwhile is to start its run.
        """
        old = msgspec.json.decode(before) if before else {}
        new = msgspec.json.decode(self._plan.revision)
        if all(
            old.get(name) == new.get(name) for name in ("root", "pattern", "key", "initial")
        ):
            return []
        return self._plan.known()

    def poll(self, door: Door, now: int) -> int | None:
        """Look at the folder and fire for each file that is complete, oldest first.

        Returns:
            When the next file can be complete, None if none is waiting for that.
        """
        with self._lock:
            return self._folder(door).poll(door, now, is_watched=door in self._open)

    def ended(self, door: Door, now: int) -> int | None:
        """Move the file of a run that has ended, and claim what waited for its place."""
        with self._lock:
            return self._folder(door).ended(door, now)

    def _folder(self, door: Door) -> Folder:
        folder = self._folders.get(door)
        if folder is None:
            folder = self._folders[door] = Folder(self._plan, door)
        return folder

    def open(self, door: Door) -> None:
        """Watch the folder in the background, until closed as often as opened."""
        with self._lock:
            self._open.append(door)
            if self._watch is None:
                self._watch = self._new_watch()
                self._watch.start()

    def _new_watch(self) -> Watch:
        root = self._plan.pattern.root
        strangeness = strange(root) if self._plan.every is None else ""
        if strangeness:
            log.info(
                "Trigger %r looks at %s every second or so: it lies on a file system (%s) that"
                " may not tell of all changes", self.name, root, strangeness,
                extra={"action": "trigger.looks_only"},
            )  # fmt: skip
        return Watch(
            root,
            is_deep=self._plan.pattern.is_deep,
            wake=self.look_soon,
            every=self._pace,
            pause=self._looking,
            closed=self._saw_closed if self._plan.rule.kind == "close" else None,
            glance=self._glance,
            events=self._plan.every is None and not strangeness,
        )

    def close(self) -> None:
        """Stop watching; leaves no thread, handle or watch behind."""
        with self._lock:
            if self._open:
                self._open.pop()
            if self._open or self._watch is None:
                return
            watch, self._watch = self._watch, None
        watch.close()  # without the lock: its thread may be waking an engine that polls

    def _opened(self) -> list[tuple[Door, Folder | None]]:
        return [(door, self._folders.get(door)) for door in self._open[:]]

    def look_soon(self) -> None:
        """Look at the folder with the next poll, whatever the watch has told; from any thread."""
        for door, folder in self._opened():
            if folder is not None:
                folder.is_hinted = True
            door.wake()

    def _glance(self) -> None:
        for door, _ in self._opened():
            door.wake()

    def _looking(self) -> float:
        """Give the real seconds that the last look took."""
        return max((folder.looking for _, folder in self._opened() if folder), default=0.0)

    def _pace(self) -> float:
        """Give the seconds between two looks without a hint."""
        if self._plan.every is not None:
            return self._plan.every
        return min(max(LOOK_EVERY, self._looking() * LOOK_SHARE), LOOK_RARELY)

    def _saw_closed(self, path: str, why: str) -> None:
        relative = os.path.relpath(path, self._plan.pattern.root)
        for _, folder in self._opened():
            if folder is not None:
                folder.hint(relative, why)
