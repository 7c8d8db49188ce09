"""What fires slot after slot: each poll settles the slots between the log's watermark and now.

Laws of this file: nothing sleeps until a slot, so a frozen clock, a suspended laptop and a
restart are one and the same; a run is cancelled before the slot that replaces it fires, so a
crash in between only asks again; a slot that waits is not written down: the watermark waits.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from engine.doors import DoorShut
from engine.errors import DefinitionError
from engine.triggering import Door, Fired
from engine.triggering import Firing as Letter
from eventstore import clock
from triggers.firing import Mapper
from triggers.policies import KEEP, MOST, ON_TIME, Passed, Policies, delay_of, judge, look
from triggers.schedule import Schedule, text_of
from triggers.start import Declined, Start, name_of, revision_of

NEVER = clock.LAST + 1


class Clocked:
    """What the engine's clock alone wakes: a start, a name, and no thread of its own."""

    kind = ""
    hears: str | None = None  # the workflow whose runs' ends matter

    def __init__(
        self, what: str, start: Any, mapper: Mapper | None, name: str | None, **options: Any
    ) -> None:
        self.start = Start(start, mapper, fact="slot")
        self.workflow = self.start.workflow
        self.name = name_of(name, self.kind, what, self.workflow)
        self._revision = revision_of(kind=self.kind, workflow=self.workflow, **options)

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that is not there or whose inputs nothing fills."""
        self.start.check(workflows)

    def revision(self) -> str:
        """Give the options as text."""
        return self._revision

    def open(self, door: Door) -> None:
        """Do nothing: the engine's own clock wakes it."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def poll(self, door: Door, now: int) -> int | None:
        """Fire what is due; give when to look again."""
        raise NotImplementedError

    def ended(self, door: Door, now: int) -> int | None:
        """A run that was waited for has ended: look again."""
        return self.poll(door, now)

    def _letter(self, slot: int, **more: Any) -> Letter:
        return Letter(self.name, text_of(slot), slot, {"slot": clock.from_us(slot), **more})


class Recurring(Clocked):
    """Fires slot after slot, by its policies."""

    def __init__(
        self,
        schedule: Schedule,
        policies: Policies,
        what: str,
        start: Any,
        mapper: Mapper | None,
        name: str | None,
        **options: Any,
    ) -> None:
        super().__init__(what, start, mapper, name, **{**policies.given(), **options})
        self._schedule = schedule
        self._policies = policies
        if policies.overlap != "allow":
            self.hears = self.workflow
        # What is remembered only spares work: the log decides, but for a slot noticed in time.
        self._next: WeakKeyDictionary[Door, int] = WeakKeyDictionary()  # nothing is due before
        self._noticed: WeakKeyDictionary[Door, int] = WeakKeyDictionary()  # runs give way to it
        self._told: WeakKeyDictionary[Door, int] = WeakKeyDictionary()  # as passed while paused

    def poll(self, door: Door, now: int) -> int | None:
        """Settle the slots that have come; give when the next one is due.

        Returns:
            None also while slots wait for the end of a run: `ended` is called then.
        """
        due = self._next.get(door, 0)
        if now < due:
            return due if due < NEVER else None
        self._next.pop(door, None)
        state = door.state()
        if not state.is_open(self._revision):
            if state.state == "paused" and state.revision == self._revision:
                self._tell_paused(door, max(state.watermark, self._told.get(door, 0)), now)
            return None
        found = look(
            self._schedule, state.watermark, now, since=state.since, delay=self._delay,
            keep=KEEP[self._policies.catchup], jitter=self._policies.jitter,
        )  # fmt: skip
        try:
            if found.many and not self._settle(door, found, state.watermark, now):
                return None
        except DoorShut:
            return None
        self._next[door] = NEVER if found.due is None else found.due
        return found.due

    def backfill(
        self, door: Door, since: int, until: int
    ) -> Iterator[tuple[int, Fired | Declined]]:
        """Fire every slot in [since, until], whatever the policies say; each key counts once.

        Slots of an interval are counted from its arming: before that there are none.

        Args:
            door: of this trigger; armed.
            since: microseconds.
            until: microseconds, not later than now.

        Returns:
            Each slot with what became of it, oldest first; fired as it is asked for.

        Raises:
            DefinitionError: the span is empty, or has not passed yet.
            DoorShut: the trigger is paused or replaced.
        """
        now = clock.now_us()
        last = max(since, until)
        if last > now:
            raise DefinitionError(
                f"{text_of(last)} has not come yet: a backfill fires what has passed, up to"
                f" {text_of(now)}; later slots fire by themselves"
            )
        if since > until:
            raise DefinitionError(f"{text_of(since)} lies after {text_of(until)}: swap the two")
        return self._backfill(door, since, until)

    def _backfill(
        self, door: Door, since: int, until: int
    ) -> Iterator[tuple[int, Fired | Declined]]:
        slots = self._schedule.slots(since - 1, since=door.state().since)
        for slot in itertools.takewhile(lambda slot: slot <= until, slots):
            letter = self._letter(slot, origin="backfill")
            yield slot, self.start.fire(door, letter, aside=True)

    def _settle(self, door: Door, found: Passed, watermark: int, now: int) -> bool:
        """Settle slots that have passed; False if some wait for the end of a run."""
        overlap = self._policies.overlap
        if overlap == "wait" and self._alive(door):
            return False

        def is_on_time(slot: int) -> bool:
            late = now - slot - self._delay(slot)
            return late <= ON_TIME or self._noticed.get(door) == slot

        fires, missed, many = judge(self._policies.catchup, found, is_on_time)
        if missed is not None:
            self._tell_missed(door, watermark, missed, many)
        for slot in fires:
            if overlap != "allow" and not self._has_way(door, slot):
                return overlap == "skip"
            self.start.fire(door, self._letter(slot), due=found.due)
        return True

    def _has_way(self, door: Door, slot: int) -> bool:
        """Tell whether a slot may start; if runs are alive, do what is to be done about them."""
        if not self._alive(door) or door.found([text_of(slot)]):
            return True  # a slot that a backfill has fired makes nobody give way
        if self._policies.overlap == "skip":
            self._pass_over(door, slot, 1, "overlap")
        if self._policies.overlap != "cancel":
            return False
        self._noticed[door] = slot
        statuses = door.statuses(door.live())
        for run in sorted(run for run, status in statuses.items() if status != "cancelling"):
            door.cancel(run, reason=f"slot {text_of(slot)} of trigger {self.name!r} has come")
        return not self._alive(door)

    def _alive(self, door: Door) -> bool:
        """Tell whether a run is alive, of those too that another daemon has started just now."""
        door.state()
        return bool(door.live())

    def _tell_missed(self, door: Door, watermark: int, slot: int, many: int) -> None:
        """Say how many slots up to this one do not fire, but for those that a backfill fired."""
        since = door.state().since
        slots = self._schedule.due(watermark, slot, since=since, keep=MOST).slots
        many -= len(door.found([text_of(one) for one in slots]))
        if many:
            self._pass_over(door, slot, many, "missed")

    def _tell_paused(self, door: Door, after: int, now: int) -> None:
        """Say which slots passed while paused; they never fire."""
        gone = self._schedule.due(after, now, since=door.state().since, keep=1)
        if gone.many:
            self._told[door] = gone.slots[-1]
            self._pass_over(door, gone.slots[-1], gone.many, "paused", repeats=True)

    def _pass_over(
        self, door: Door, slot: int, many: int, reason: str, *, repeats: bool = False
    ) -> None:
        letter = self._letter(slot, count=many) if many > 1 else self._letter(slot)
        door.decline(letter, reason, repeats=repeats)

    def _delay(self, slot: int) -> int:
        return delay_of(self.name, slot, self._policies.jitter)
