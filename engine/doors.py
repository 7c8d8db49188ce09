"""The door a trigger knocks at: a firing, its key and the start of its run are one append.

Laws of this file: the inbox is asked before anything is prepared; what another process appended
first is read and decided upon again; the revision armed last is the one that fires.
"""

import datetime
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.core import trigger as core
from engine.errors import PlayheadError
from engine.triggering import Fired, Firing, Prepared, Starter, Trigger
from eventstore import clock
from eventstore.errors import KeyTaken, StreamUnknown, WrongExpectedVersion
from eventstore.event import NEW, NewEvent, Tip
from eventstore.store import Append, Headline, InboxKey, Row, Write

KIND = "trigger"
TRIES = 100  # appends lost to other processes before one firing is given up; each was another's
CLOCKS = ("cron", "interval")  # their slots come in order and pass once
REASON = 500  # characters of a reason that are kept

Begun = tuple[Prepared, Tip]
Decide = Callable[[core.TriggerState], core.Move | None]


class DoorShut(PlayheadError):
    """The trigger is paused, or another revision of it was armed since: nothing was started."""

    def __init__(self, trigger: str, state: str) -> None:
        self.trigger, self.state = trigger, state
        super().__init__(
            f"trigger {trigger!r} is {state}: it starts nothing; see `playhead triggers`"
        )


class TriggerDoor:
    """One trigger's door into one engine; safe from any thread.

    Made with the engine: slots count from then, if the log has not known the trigger before.
    """

    def __init__(self, starter: Starter, trigger: Trigger) -> None:
        self._starter = starter
        self._trigger = trigger
        self.stream = core.PREFIX + trigger.name
        self._revision = trigger.revision()
        self._made = clock.now_us()
        self._lock = threading.RLock()
        self._state = core.TriggerState()
        self._tip = NEW
        self._due: int | None = None
        self._was_armed = False  # once a door; who arms later has the newer definition

    def state(self) -> core.TriggerState:
        """Give the trigger as the log has it; arms it first. *Appends.*"""
        with self._lock:
            self._read()
            if not self._was_armed and self._state.state != "paused":
                since = min(max(self._made, self._state.watermark), clock.now_us())
                self._write(lambda state: core.arm(state, self._revision, since))
                self._was_armed = True
            return self._state

    def fire(
        self, firing: Firing, inputs: Mapping[str, Any], *, due: int | None = None
    ) -> Fired:
        """Start one run for this firing, once for ever. *Appends.*

        Args:
            firing: which slot, file or message; its key makes it count once.
            inputs: of the workflow that the trigger starts.
            due: when the trigger next needs to be looked at, microseconds.

        Returns:
            The run; `duplicate` if it was started before ("" for a slot that was passed over).

        Raises:
            DoorShut: the trigger is paused, or another revision of it is the armed one.
            ValueRefused: the workflow does not take these inputs; nothing was appended.
        """
        with self._lock:
            if not self._was_armed:
                self.state()
            run = self._starter.log.find(self.stream, firing.key)
            if run is not None:
                return Fired(run, duplicate=True)
            fired, begun = self._fire_first(firing, inputs, due)
        if begun is not None:  # without the lock: the engine may hold one of its own
            self._starter.begun(*begun)
        return fired

    def _fire_first(
        self, firing: Firing, inputs: Mapping[str, Any], due: int | None
    ) -> tuple[Fired, Begun | None]:
        """Fire, again if another process appended to the trigger first."""
        for _ in range(TRIES):
            try:
                return self._fire(firing, inputs, due)
            except WrongExpectedVersion:
                self._read()
        return self._fire(firing, inputs, due)

    def _fire(
        self, firing: Firing, inputs: Mapping[str, Any], due: int | None
    ) -> tuple[Fired, Begun | None]:
        if not self._state.is_open(self._revision):
            raise DoorShut(
                self._trigger.name,
                "replaced by a newer revision"
                if self._state.state == "armed"
                else self._state.state,
            )
        slot = firing.at if self._trigger.kind in CLOCKS else None
        prepared = self._starter.prepare_start(
            self._trigger.workflow,
            inputs,
            key=f"{self._trigger.name}/{firing.key}",
            cause=f"{self.stream}@{self._tip.version + 1}",
        )
        move = core.fire(self._state, firing.key, _plain(firing.facts), prepared.run, slot)
        if move is None:
            return Fired("", duplicate=True), None
        try:
            tip = self._append(move, due=due, prepared=prepared, key=firing.key)
        except KeyTaken as taken:
            if taken.source != self.stream:  # somebody started a run with this very start key
                move = msgspec.structs.replace(
                    move, data=msgspec.structs.replace(move.data, run=taken.stream)
                )
                self._append(move, due=due, key=firing.key, run=taken.stream)
            return Fired(taken.stream, duplicate=True), None
        return Fired(prepared.run, duplicate=False), (prepared, tip)

    def decline(self, firing: Firing, reason: str) -> None:
        """Record that a firing starts nothing, once while it repeats. *Appends.*

        `firing.facts["count"]` says how many it stands for, else it is one.
        """
        slot = firing.at if self._trigger.kind in CLOCKS else None
        facts = _plain(firing.facts)
        with self._lock:
            if not self._was_armed:
                self.state()
            self._write(
                lambda state: core.decline(state, firing.key, reason[:REASON], facts, slot)
            )

    def pause(self, *, by: str = "") -> bool:
        """Let nothing fire until resumed; False if it was not armed. *Appends.*"""
        with self._lock:
            self.state()
            return self._write(lambda state: core.pause(state, by=by))

    def resume(self, *, by: str = "") -> bool:
        """Go on after a pause, from now; False if it was not paused. *Appends.*"""
        with self._lock:
            self._read()
            now = clock.now_us()
            resumed = self._write(lambda state: core.resume(state, now, by=by))
        self.wake()
        return resumed

    def wake(self) -> None:
        """Ask for a poll soon; from any thread."""
        self._starter.poke()

    def _write(self, decide: Decide) -> bool:
        """Decide and append, again if another was first; False if nothing was decided."""
        for tries_left in range(TRIES, -1, -1):
            move = decide(self._state)
            if move is None:
                return False
            try:
                self._append(move, due=self._due)
            except WrongExpectedVersion:
                if not tries_left:
                    raise
                self._read()
            else:
                return True
        return False

    def _append(
        self,
        move: core.Move,
        *,
        due: int | None,
        prepared: Prepared | None = None,
        key: str | None = None,
        run: str | None = None,
    ) -> Tip:
        """Append a move, with the start and the key of a firing, and fold it.

        Returns:
            The tip of what was appended last: the run's, if one was started.
        """
        event = NewEvent(
            type=move.type,
            subject="trigger",
            source=move.source,
            dest=move.dest,
            data=msgspec.json.encode(move.data).decode(),
            at=clock.now_us(),
        )
        is_new = self._tip.version == 0
        writes = [
            Write(
                stream=self.stream,
                kind=KIND,
                tip=self._tip,
                events=(event,),
                row=Row(
                    status=move.dest,
                    due=due if move.dest == "armed" else None,
                    label=self._label(),
                ),
                headline=Headline(name=self._trigger.name) if is_new else None,
            )
        ]
        inbox: list[InboxKey] = []
        if prepared is not None:
            writes.append(prepared.write)
            run = prepared.run
        if key is not None and run is not None:
            inbox.append(InboxKey(self.stream, key, run))
        if prepared is not None:
            inbox.extend(prepared.inbox)
        tips: list[Tip] = self._starter.log.append(
            Append(clock.new_id(), tuple(writes), tuple(inbox))
        )
        self._tip, self._due = tips[0], due
        core.evolve(
            self._state, move.type, move.source, move.dest, move.data, self._tip.version
        )
        return tips[-1]

    def _label(self) -> str:
        """Give what lists show of a trigger, as JSON text."""
        shown = {"kind": self._trigger.kind, "workflow": self._trigger.workflow}
        return msgspec.json.encode(shown).decode()

    def _read(self) -> None:
        """Fold what has been appended since; by this door or by another process's."""
        try:
            head, events = self._starter.log.load(self.stream, after=self._state.version)
        except StreamUnknown:
            return
        for event in events:
            core.evolve(
                self._state, event.type, event.source, event.dest, event.data, event.version
            )
        self._tip, self._due = head.tip, head.due


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give facts as JSON knows them; datetimes as text in UTC. *Pure.*"""
    plain: dict[str, Any] = msgspec.to_builtins(dict(facts), enc_hook=_as_text)
    return plain


def _as_text(value: object) -> str:
    if isinstance(value, datetime.datetime):  # freezegun's, which msgspec does not know
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
