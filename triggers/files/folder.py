"""One trigger's folder at one door: looked at, told of, and what is complete left to claims.

Laws of this file: a look at the folder is the truth and events are hints; no look asks the log
about files that were settled before; commit first, move after.
"""

import logging
from collections import deque

from engine.triggering import Door
from eventstore import clock
from triggers.files.claim import AT_ONCE, Claims, Plan
from triggers.files.scan import Look
from triggers.files.sights import Sight
from triggers.files.telling import Telling

log = logging.getLogger("playhead.triggers")

LOOK_SHARE = 20  # a look that takes 1 s is made every 20 s at most
HINTS = 10_000  # closed files remembered between two looks; more wait for their settle time
SWEEP = 0.5  # seconds between two questions after runs that have ended, while nothing tells
SWEPT = 5_000  # runs asked after by one poll


class Folder:
    """What is remembered for one door, lost without harm, and what is done with it."""

    def __init__(self, plan: Plan, door: Door) -> None:
        """Take a plan; arms the trigger, also when there is nothing to fire yet. *Appends.*"""
        self._plan = plan
        self._telling = Telling(plan.name)
        self._claims = Claims(plan, self._telling)
        self._is_missing = False
        self._was_there = False
        self._due: int | None = None
        self._looked = float("-inf")  # real seconds
        self._swept = float("-inf")  # real seconds
        self._hints: deque[tuple[str, str]] = deque()  # relative path, why it is complete
        self.looking = 0.0  # real seconds that a look takes
        self.is_hinted = True
        door.state()

    def hint(self, relative: str, why: str) -> None:
        """Take note that a watch saw a file closed or moved in; from any thread."""
        if len(self._hints) < HINTS:
            self._hints.append((relative, why))

    def poll(self, door: Door, now: int, *, is_watched: bool) -> int | None:
        """Look, tidy and claim.

        Returns:
            When the next file can be complete, None if none is waiting for that.
        """
        if self._wants_look(now, is_watched=is_watched):
            self._look(door, now)
        elif self._hints:
            self._glance(now)
        real = clock.real_seconds()
        most = SWEPT if not is_watched or real - self._swept > SWEEP else 0
        if most:
            self._swept = real
        return self._go_on(door, now, most, tell=True)

    def ended(self, door: Door, now: int) -> int | None:
        """Do what waited for the end of a run, without a look."""
        return self._go_on(door, now, AT_ONCE, tell=False)

    def _go_on(self, door: Door, now: int, most: int, *, tell: bool) -> int | None:
        leaving = self._claims.leaving
        more = leaving is not None and most > 0 and leaving.sweep(door, now, most)
        more |= self._claims.claim(door, now, tell=tell)
        if more:
            door.wake()
            return now
        return self._due

    def _wants_look(self, now: int, *, is_watched: bool) -> bool:
        since = clock.real_seconds() - self._looked
        pause = self.looking * LOOK_SHARE
        if len(self._claims) and not self._claims.is_stalled:
            return since > max(1.0, pause)
        is_due = self._due is not None and self._due <= now
        if not is_watched or self.is_hinted or is_due:
            return True
        return since >= (pause if self._plan.every is None else self._plan.every)

    def _look(self, door: Door, now: int) -> None:
        """Look at the folder; what starts nothing is told once, and looked at again."""
        begun = clock.real_seconds()
        self.is_hinted = False
        hints = self._take_hints()
        try:
            look = self._plan.look()
        except OSError as error:
            self._looked = clock.real_seconds()
            self._miss(door, error, now)
            return
        self._was_there = True
        if self._is_missing:
            self._is_missing = False
            self._say_back(door, now)
        ready = self._claims.sights.look(look.files, now, hints=hints, markers=look.markers)
        self._claims.fill(ready.files)
        self._due = ready.due
        self._looked = clock.real_seconds()
        self.looking = self._looked - begun
        self._tell(door, look, ready.young, now)
        if self._claims.leaving is not None and ready.still:
            self._claims.reconcile(door, ready.still)

    def _glance(self, now: int) -> None:
        """Look at the files that a watch has told of, and at no others: there may be many."""
        hints = self._take_hints()
        files = self._plan.glance(hints)
        self._claims.add(self._claims.sights.glance(files, now, hints))

    def _take_hints(self) -> dict[str, str]:
        return dict(self._hints.popleft() for _ in range(len(self._hints)))

    def _miss(self, door: Door, error: OSError, now: int) -> None:
        """Wait for the folder; what it holds when it is back is as after a restart."""
        self._due = None
        self._claims.forget()
        if self._is_missing:
            return
        self._is_missing = True
        root = self._plan.pattern.root
        reason = f"the folder cannot be read: {error.strerror}"
        self._telling.say(door, reason, self._now_key(now), now, path=root)
        log.warning(
            "Trigger %r waits for its folder %s: %s", self._plan.name, root, error.strerror,
            extra={"action": "trigger.folder_missing"},
        )  # fmt: skip

    def _say_back(self, door: Door, now: int) -> None:
        root = self._plan.pattern.root
        self._telling.say(door, "the folder is back", self._now_key(now), now, path=root)
        log.info(
            "Trigger %r has its folder %s again", self._plan.name, root,
            extra={"action": "trigger.folder_back"},
        )  # fmt: skip

    def _now_key(self, now: int) -> str:
        """Give a key of this moment: what was there, went and came is told each time."""
        root = self._plan.pattern.root
        return f"{root}@{clock.from_us(now).isoformat()}" if self._was_there else root

    def _tell(self, door: Door, look: Look, young: list[Sight], now: int) -> None:
        tell = self._telling
        tell.stays(door, "the name is not UTF-8", look.unreadable, now)
        tell.stays(door, "a folder cannot be read", look.closed, now)
        tell.stays(door, "ignored name", look.ignored, now)
        tell.stays(door, "the engine's own database", look.kept_off, now)
        odd: dict[str, list[str]] = {one: [] for one in tell.reasons("not a regular file")}
        for relative, what in look.odd:
            odd.setdefault(f"not a regular file: {what}", []).append(relative)
        for reason, names in odd.items():
            tell.stays(door, reason, names, now)
        self._claims.say(door, "too young", young, now)
