"""The door a trigger knocks at: a firing, its key and what it causes are one append.

Laws of this file: the inbox is asked before anything is prepared; what another process appended
first is read and decided upon again; the revision armed last is the one that fires.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from engine.beside import FiringBeside
from engine.core import trigger as core
from engine.errors import PlayheadError, SignalRefused
from engine.following import Following
from engine.gathered import Gathered
from engine.liveruns import LiveRuns
from engine.recorded import REASON, recorded, veiled
from engine.triggering import Ending, Fired, Firing, Message, Starter, Trigger
from engine.triggerstream import KIND, DoorFull, DoorShut, TriggerStream
from engine.veiled import veil_of
from engine.volley import Start, fire_all, slot_of
from eventstore import InboxKey, clock
from eventstore.errors import KeyTaken, WrongExpectedVersion

__all__ = ["KIND", "DoorFull", "DoorShut", "TriggerDoor"]


class TriggerDoor:
    """One trigger's door into one engine; safe from any thread.

    Made with the engine: slots count from then, if the log has not known the trigger before.
    """

    def __init__(self, starter: Starter, trigger: Trigger) -> None:
        self._starter = starter
        self._log = starter.log
        self._trigger = trigger
        self._veil = veil_of(starter.log)
        revision = trigger.revision()
        self._revision = revision if self._veil is None else self._veil.text(revision)
        self._known: Callable[[str], Collection[str]] | None = getattr(trigger, "known", None)
        self._made = clock.now_us()
        self._lock = threading.RLock()
        self._stream = TriggerStream(
            starter.log, trigger.name, kind=trigger.kind, workflow=trigger.workflow
        )
        self.stream = self._stream.id
        self._live = LiveRuns(starter.log, trigger.name, trigger.workflow)
        self._stream.on_fired = self._live.add
        self._gathered = Gathered()
        self._was_armed = False  # once a door; who arms later has the newer definition
        self._following = Following(starter)

    # What the log says.

    def state(self) -> core.TriggerState:
        """Give the trigger as the log has it; arms it first, with what it knows. *Appends.*"""
        with self._lock:
            self._stream.read()
            if not self._was_armed and self._stream.state.state != "paused":
                while not self._arm():
                    self._stream.read()
                self._was_armed = True
            return self._stream.state

    def _arm(self) -> bool:
        """Arm this revision if it is not; False if another process was first."""
        move = core.arm(self._stream.state, self._revision, self._since())
        if move is None:
            return True
        keys = set[str]()
        if self._known is not None and not self._goes_on():
            keys.update(self._known(self._stream.state.revision))
            keys -= self.found(keys).keys()
        inbox = [InboxKey(self.stream, key, self.stream) for key in sorted(keys)]
        try:
            self._stream.append([move], due=self._stream.due, inbox=inbox)
        except (WrongExpectedVersion, KeyTaken):
            return False
        return True

    def _since(self) -> int:
        """Give from where slots count: the making of the engine, if nothing was settled since."""
        watermark = self._stream.state.watermark
        if self._goes_on():
            return watermark
        if self._trigger.kind == "run":
            return max(watermark, self._log.last_position(before=self._made))
        return min(max(self._made, watermark), clock.now_us())

    def _goes_on(self) -> bool:
        """Tell whether this revision had failed: armed again it goes on where it stood."""
        state = self._stream.state
        return state.state == "failed" and state.revision == self._revision

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None. *Reads the log.*"""
        return self._log.find(source, key)

    def found(self, keys: Collection[str]) -> dict[str, str]:
        """Give the keys of this trigger that count already, each with its run. *Reads the log.*"""
        return self._stream.found(keys)

    def live(self) -> frozenset[str]:
        """Give the runs that this trigger started and that have not ended. *Reads the log.*"""
        with self._lock:
            if not self._stream.state.version:
                self._stream.read()  # what it tells from now on is new
            return self._live.now()

    def statuses(self, runs: Collection[str]) -> dict[str, str]:
        """Give the status of each run that there is. *Reads the log.*"""
        return self._log.statuses(runs)

    def endings(self, workflow: str, types: Collection[str], *, limit: int) -> list[Ending]:
        """Give ends of a workflow's runs that have not fired here yet. *Reads the log.*

        See `Following.new`.
        """
        return self._following.new(
            workflow, types, watermark=lambda: self.state().watermark, limit=limit
        )

    def heard_end(self) -> None:
        """Note that a run has ended here; from any thread."""
        self._following.heard()

    # Firing.

    def fire(
        self,
        firing: Firing,
        inputs: Mapping[str, Any],
        *,
        due: int | None = None,
        aside: bool = False,
    ) -> Fired:
        """Start one run for this firing, once for ever. *Appends.*

        Args:
            firing: which slot, file or message; its key makes it count once.
            inputs: of the workflow that the trigger starts.
            due: when the trigger next needs to be looked at, microseconds.
            aside: the firing is out of order: the watermark neither refuses it nor moves.

        Returns:
            The run; `duplicate` if it was started before ("" for a slot that was passed over).

        Raises:
            DoorShut: the trigger is paused, or another revision of it is the armed one.
            ValueRefused: the workflow does not take these inputs; nothing was appended.
        """
        (fired,) = self._fire_all([(firing, inputs)], due, aside=aside)
        if isinstance(fired, PlayheadError):
            raise fired
        return fired

    def fire_many(
        self, firings: Sequence[Start], *, due: int | None = None, limit: int | None = None
    ) -> list[Fired | PlayheadError]:
        """Start a run for each firing in one append. *Appends.*

        Args:
            firings: each with the inputs of its run.
            due: as in `fire`.
            limit: how many runs of this trigger may live at once, whoever started them.

        Returns:
            For each what became of it, or the error that refused its inputs (or DoorFull).

        Raises:
            DoorShut: the trigger is paused, or another revision of it is the armed one.
        """
        return self._fire_all(firings, due, limit=limit)

    def _fire_all(
        self,
        firings: Sequence[Start],
        due: int | None,
        *,
        aside: bool = False,
        limit: int | None = None,
    ) -> list[Fired | PlayheadError]:
        firings = [(veiled(firing, self._veil), inputs) for firing, inputs in firings]
        with self._lock:
            if not self._was_armed:
                self.state()
            results, begun = fire_all(
                self._stream, self._starter, self._trigger, firings,
                revision=self._revision, due=due, aside=aside, limit=limit,
                live=self._live.now,
            )  # fmt: skip
        if begun:  # without the lock: the engine may hold one of its own
            self._starter.begun(begun)
        return results

    def tell(self, firing: Firing, message: Message, *, aside: bool = False) -> Fired:
        """Send a signal for this firing, once for ever. *Appends.*

        Raises:
            DoorShut: the trigger is paused, or another revision of it is the armed one.
            SignalRefused: the run does not take it; that is recorded, and the key counts.
            RunUnknown, RunEnded, ValueRefused: nothing was written.
        """
        firing = veiled(firing, self._veil)
        with self._lock:
            if not self._was_armed:
                self.state()
            run = self._log.find(self.stream, firing.key)
            if run is not None:
                return Fired(run, duplicate=True)
            self._stream.check_open(self._revision)
            slot = None if aside else slot_of(self._trigger, firing)
            if slot is not None and slot <= self._stream.state.watermark:
                return Fired("", duplicate=True)
            beside = FiringBeside(self._stream, self._revision, firing, message, slot)
            try:
                key = f"{self._trigger.name}/{firing.key}"
                refusal = self._starter.tell(message, beside, key=key, by=self._trigger.name)
            except KeyTaken as taken:
                self._stream.read()
                return Fired(taken.stream, duplicate=True)
        if refusal is not None:
            raise SignalRefused(message.run, message.name, refusal)
        return Fired(message.run, duplicate=False)

    def cancel(self, run: str, *, reason: str) -> None:
        """Cancel a run, durably; an ended one is left alone. *Appends.*"""
        self._starter.cancel(run, by=self._trigger.name, reason=reason)

    # What starts nothing.

    def decline(
        self, firing: Firing, reason: str, *, repeats: bool = False, aside: bool = False
    ) -> None:
        """Record that a firing starts nothing, once while it repeats. *Appends.*

        `firing.facts["count"]` says how many it stands for, else it is one. `aside`: it is out
        of order: the watermark neither hides it nor moves.
        """
        firing = veiled(firing, self._veil)
        if self._veil is not None:
            reason = self._veil.words(reason)
        with self._lock:
            if not self._was_armed:
                self.state()
            now = clock.now_us()
            if not repeats or self._gathered.is_news(firing, reason, now):
                self._decline(firing, reason, aside=aside)
            else:
                self.flush(now)  # an engine that is not open polls nothing

    def _decline(
        self, firing: Firing, reason: str, *, aside: bool = False, is_late: bool = False
    ) -> None:
        slot = None if aside else slot_of(self._trigger, firing)
        facts = recorded(firing)

        def decide(state: core.TriggerState) -> core.Move | None:
            # What gathered while paused is told after a resume too, which has settled its slots.
            place = None if is_late and state.state == "armed" else slot
            return core.decline(state, firing.key, reason[:REASON], facts, place)

        self._stream.write(decide)

    def flush(self, now: int, *, all_: bool = False) -> None:
        """Say what has gathered of repeated declines, if its time has come. *Appends.*"""
        with self._lock:
            for firing, reason in self._gathered.due(now, all_=all_):
                self._decline(firing, reason, is_late=True)

    # Steering.

    def pause(self, *, by: str = "") -> bool:
        """Let nothing fire until resumed; False if it was not armed. *Appends.*"""
        with self._lock:
            self.state()
            return self._stream.pause(by=by)

    def resume(self, *, by: str = "") -> bool:
        """Go on after a pause, from now; False if it was not paused. *Appends.*"""
        with self._lock:
            self.flush(clock.now_us(), all_=True)  # what passed while paused, before it is over
            resumed = self._stream.resume(by=by)
        self.wake()
        return resumed

    def fail(self, reason: str) -> None:
        """Record that the trigger could not look; it is armed again when it can. *Appends.*"""
        with self._lock:
            self._stream.read()
            self._stream.write(lambda state: core.fail(state, reason[:REASON]))
            self._was_armed = False

    def wake(self) -> None:
        """Ask for a poll soon; from any thread."""
        self._starter.poke(self._trigger.name)
