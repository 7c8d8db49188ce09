"""The triggers of one engine at work: opened, polled when due or woken, closed."""

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from engine.doors import DoorShut, TriggerDoor
from engine.errors import DefinitionError
from engine.failures import in_short
from engine.triggering import Starter, Trigger
from eventstore import clock
from eventstore.errors import LogError

log = logging.getLogger("playhead.engine")

PAUSE = 10 * clock.SECOND  # after a look that failed; doubles while looks fail
LONGEST_PAUSE = 300 * clock.SECOND


def known_triggers(
    triggers: Iterable[Trigger], workflows: Mapping[str, Any]
) -> dict[str, Trigger]:
    """Give triggers by name, held against the workflows they start.

    Raises:
        DefinitionError: two bear one name, or one cannot be right.
    """
    known: dict[str, Trigger] = {}
    for trigger in triggers:
        trigger.check(workflows)
        if trigger.name in known:
            raise DefinitionError(f"two triggers are called {trigger.name!r}; give one a name=")
        known[trigger.name] = trigger
    return known


def check_place(triggers: Mapping[str, Trigger], path: str | None) -> None:
    """Let triggers that look at files refuse to look at the database's own.

    Args:
        path: of the database, absolute; None: it lies in no file.

    Raises:
        DefinitionError: one would.
    """
    for trigger in triggers.values():
        check_log = getattr(trigger, "check_log", None)
        if path is not None and check_log is not None:
            check_log(path)


class _Failing(msgspec.Struct):
    """A trigger whose looks fail."""

    until: int  # it is left alone, microseconds
    pause: int


class Doorways:
    """Every trigger with its door; safe from any thread, of which one polls at a time."""

    def __init__(self, triggers: Mapping[str, Trigger], starter: Starter) -> None:
        self._triggers = triggers
        # Made with the engine: a first arming counts its slots from then.
        self.doors = {name: TriggerDoor(starter, t) for name, t in triggers.items()}
        self._due: dict[str, int | None] = {}
        self._failing: dict[str, _Failing] = {}
        self._lock = threading.Lock()
        self._polling = threading.RLock()  # a trigger's user code may ask when something is due
        self._woken: set[str] = set()
        self._ended: set[str] = set()  # those that hear of a run's end

    def open(self) -> None:
        """Let the triggers watch in the background: all of them, or none."""
        with contextlib.ExitStack() as opened:
            for name, trigger in self._triggers.items():
                trigger.open(self.doors[name])
                opened.callback(trigger.close)
            opened.pop_all()

    def close(self) -> None:
        """Let them all stop watching, whatever one raises; what they had to say is said."""
        with contextlib.ExitStack() as rest:
            rest.callback(self.say_gathered)
            for trigger in self._triggers.values():
                rest.callback(trigger.close)

    def say_gathered(self) -> None:
        """Record what was declined in floods and only counted so far. *Appends.*"""
        for door in self.doors.values():
            try:
                door.flush(clock.now_us(), all_=True)
            except LogError as error:
                log.warning("declines were not recorded: %s", error,
                            extra={"action": "trigger.flush_failed"})  # fmt: skip

    def wake(self, name: str) -> None:
        """Let a trigger be polled with the next poll; from any thread."""
        with self._lock:
            self._woken.add(name)

    def heard_end(self, workflow: str) -> bool:
        """Note that a run has ended; tell whether a trigger hears of it. From any thread."""
        hearing = [n for n, t in self._triggers.items() if t.hears == workflow]
        for name in hearing:
            self.doors[name].heard_end()
        with self._lock:
            self._ended.update(hearing)
        return bool(hearing)

    def poll(self, *, always: bool = False) -> int | None:
        """Let each trigger that is due, or was woken, fire; give when the next is due.

        Args:
            always: poll all of them: the folder is the truth, not the watch.
        """
        with self._polling:
            return self._poll(clock.now_us(), always=always)

    def _poll(self, now: int, *, always: bool) -> int | None:
        with self._lock:
            woken, self._woken = self._woken, set()
            ended, self._ended = self._ended, set()
        for name, trigger in self._triggers.items():
            due = self._due.get(name, 0)
            if always or name in woken or (due is not None and due <= now):
                self._due[name] = self._look(trigger, now, is_end=False)
            elif name in ended:
                self._due[name] = self._look(trigger, now, is_end=True)
        return self._earliest()

    def _look(self, trigger: Trigger, now: int, *, is_end: bool) -> int | None:
        """Let one trigger look; one that raises is recorded, and left alone for a while."""
        failing = self._failing.get(trigger.name)
        if failing is not None and now < failing.until <= now + failing.pause:
            return failing.until
        door = self.doors[trigger.name]
        try:
            due = (trigger.ended if is_end else trigger.poll)(door, now)
            door.flush(now)
        except DoorShut:
            return None
        except LogError:
            raise
        except Exception as error:
            pause = min(failing.pause * 2, LONGEST_PAUSE) if failing else PAUSE
            self._failing[trigger.name] = _Failing(now + pause, pause)
            log.exception(
                "trigger %r failed to look; it tries again in %d s",
                trigger.name, pause // clock.SECOND, extra={"action": "trigger.failed"},
            )  # fmt: skip
            door.fail(in_short(error))
            return now + pause
        self._failing.pop(trigger.name, None)
        return due

    def next_due(self) -> int | None:
        """Give when the next trigger that is not paused is due. *Reads the log.*"""
        if not self._due:  # nobody has looked yet
            self.poll()
        known = [(due, name) for name, due in list(self._due.items()) if due is not None]
        for due, name in sorted(known):
            if self.doors[name].state().state != "paused":  # since the last look, perhaps
                return due
        return None

    def _earliest(self) -> int | None:
        known = [due for due in list(self._due.values()) if due is not None]
        return min(known) if known else None
