"""The stream of one trigger: folded, decided upon, appended to; read again if another was first.

Law of this file: what is decided is folded on a draft, and the draft counts when it is on disk.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec

from engine.core import trigger as core
from engine.errors import PlayheadError
from engine.veiled import veil_of
from eventstore import (
    NEW,
    Append,
    Head,
    Headline,
    InboxKey,
    Log,
    NewEvent,
    Row,
    Tip,
    Write,
    clock,
)
from eventstore.coded import clear_copy, clear_data, clear_label
from eventstore.errors import LogError, StreamUnknown, WrongExpectedVersion

KIND = "trigger"
SNAPSHOT_EVERY = (
    5000  # events; a copy of the folded trigger is kept, so that no start folds more
)
SNAPSHOT_KIND = "trigger/1"  # grows when the shape of `TriggerState` changes
TRIES = 100  # appends lost to other processes before one is given up; each was another's

Decide = Callable[[core.TriggerState], core.Move | None]


class DoorShut(PlayheadError):
    """The trigger is paused, or another revision of it was armed since: nothing was started."""

    def __init__(self, trigger: str, state: str) -> None:
        self.trigger, self.state = trigger, state
        super().__init__(
            f"trigger {trigger!r} is {state}: it starts nothing; see `playhead triggers`"
        )


class DoorFull(PlayheadError):
    """As many runs of the trigger live as may: nothing was started, and nothing recorded."""

    def __init__(self, trigger: str, limit: int) -> None:
        self.trigger, self.limit = trigger, limit
        super().__init__(f"trigger {trigger!r} has {limit} live runs; no more may live at once")


def label_of(head: Head | None) -> dict[str, str]:
    """Give what a trigger's row says of it: kind and workflow; {} if there is none. *Pure.*"""
    return {} if head is None else msgspec.json.decode(clear_label(head), type=dict[str, str])


class Part(NamedTuple):
    """Moves of a trigger, ready to be appended."""

    write: Write
    draft: core.TriggerState
    due: int | None


class TriggerStream:
    """One trigger's stream in the log; whoever calls holds the door's lock."""

    def __init__(self, log: Log, name: str, *, kind: str, workflow: str) -> None:
        self.id = core.PREFIX + name
        self.state = core.TriggerState()
        self.due: int | None = None  # when it next needs to be looked at, as the row has it
        self.on_fired: Callable[[str], None] | None = None  # told of each run, read or written
        self._log = log
        self._name, self._kind = name, kind
        self._tip = NEW
        self._snapped = 0  # the version of the newest copy
        self._label = msgspec.json.encode({"kind": kind, "workflow": workflow}).decode()

    def read(self) -> None:
        """Fold what has been appended since, by this engine or by another."""
        if not self.state.version:
            self._recall()
        try:
            head, events = self._log.load(self.id, after=self.state.version)
        except StreamUnknown:
            return
        for event in events:
            data = core.data_of(event.type, clear_data(event))
            core.evolve(self.state, event.type, event.source, event.dest, data, event.version)
            self._tell(data)
        self._tip, self.due = head.tip, head.due

    def _recall(self) -> None:
        """Begin with the newest copy, if there is one."""
        copy = clear_copy(self.id, self._log.snapshot(self.id, SNAPSHOT_KIND))
        if copy is not None:
            self._snapped, content = copy
            self.state = msgspec.json.decode(content, type=core.TriggerState)

    def _snap(self) -> None:
        """Keep a copy of a long past; what was appended counts, whether or not it can be kept."""
        version = self.state.version
        if version - self._snapped >= SNAPSHOT_EVERY:
            with contextlib.suppress(LogError):
                content = msgspec.json.encode(self.state)
                self._log.put_snapshot(self.id, version, SNAPSHOT_KIND, content)
                self._snapped = version

    def found(self, keys: Collection[str]) -> dict[str, str]:
        """Give the keys that count already, each with its run. *Reads the log.*"""
        return self._log.find_all(self.id, keys)

    def check_open(self, revision: str) -> None:
        """Refuse to fire if the trigger is paused, or if another revision was armed.

        What was read last may be over: the log is asked before anything is refused.

        Raises:
            DoorShut: it says which.
        """
        if self.state.is_open(revision):
            return
        self.read()
        state = self.state
        if not state.is_open(revision):
            what = "replaced by a newer revision" if state.state == "armed" else state.state
            raise DoorShut(self._name, what)

    def part(
        self, moves: Sequence[core.Move], *, due: int | None, causes: Sequence[str | None] = ()
    ) -> Part:
        """Make the write of some moves, and the fold as it will be. *Pure.*"""
        now, veil = clock.now_us(), veil_of(self._log)
        draft = core.copy(self.state)
        events = []
        for n, decided in enumerate(moves):
            move = decided
            if veil is not None:
                move = msgspec.structs.replace(move, data=veil.said(move.data))
            core.evolve(draft, move.type, move.source, move.dest, move.data, draft.version + 1)
            data = msgspec.json.encode(move.data).decode()
            cause = causes[n] if causes else None
            events.append(
                NewEvent(move.type, "trigger", move.source, move.dest, data, now, cause)
            )
        row = Row(
            status=draft.state, due=due if draft.state == "armed" else None, label=self._label
        )
        headline = None if self._tip.version else Headline(name=self._name)
        write = Write(self.id, KIND, self._tip, tuple(events), row, headline)
        return Part(write, draft, due)

    def landed(self, part: Part, tip: Tip, moves: Sequence[core.Move]) -> None:
        """Take over a part that was appended."""
        self._tip, self.state, self.due = tip, part.draft, part.due
        for move in moves:
            self._tell(move.data)
        self._snap()

    def append(
        self, moves: Sequence[core.Move], *, due: int | None,
        causes: Sequence[str | None] = (), writes: Sequence[Write] = (),
        inbox: Sequence[InboxKey] = (),
    ) -> list[Tip]:  # fmt: skip
        """Append moves, with what they cause and the keys that count with them.

        Returns:
            The tips of `writes`.

        Raises:
            WrongExpectedVersion: another process was first; read, and decide again.
            KeyTaken: a key counts already.
        """
        part = self.part(moves, due=due, causes=causes)
        tips = self._log.append(Append(clock.new_id(), (part.write, *writes), tuple(inbox)))
        self.landed(part, tips[0], moves)
        return tips[1:]

    def write(self, decide: Decide, *, inbox: Sequence[InboxKey] = ()) -> bool:
        """Decide and append, again if another was first; False if nothing was decided."""
        for tries_left in range(TRIES, -1, -1):
            move = decide(self.state)
            if move is None:
                return False
            try:
                self.append([move], due=self.due, inbox=inbox)
            except WrongExpectedVersion:
                if not tries_left:
                    raise
                self.read()
            else:
                return True
        return False

    def pause(self, *, by: str) -> bool:
        """Let nothing fire until resumed; False if it was not armed. *Appends.*"""
        self.read()
        return self.write(lambda state: core.pause(state, by=by))

    def resume(self, *, by: str) -> bool:
        """Go on after a pause, from now; False if it was not paused. *Appends.*"""
        self.read()
        since = self._log.last_position() if self._kind == "run" else clock.now_us()
        return self.write(lambda state: core.resume(state, since, by=by))

    def _tell(self, data: object) -> None:
        if isinstance(data, core.Fired) and self.on_fired is not None:
            self.on_fired(data.run)
