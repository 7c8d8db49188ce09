"""CronTrigger, IntervalTrigger and AtTrigger: what the engine's clock alone wakes.

Law of this file: nothing sleeps until a slot. Each poll asks which slots lie between the log's
watermark and now, so a frozen clock, a suspended laptop and a restart are one and the same.
"""

import datetime
import difflib
import zoneinfo
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from engine.doors import DoorShut
from engine.triggering import Door
from engine.triggering import Firing as Letter
from eventstore import clock
from triggers.cron import Cron
from triggers.durations import microseconds
from triggers.errors import not_yet, wrong
from triggers.firing import Mapper
from triggers.schedule import Interval, Schedule, text_of
from triggers.start import Start, name_of, revision_of


class _Clocked:
    """What the three have in common: a start, a name, and no thread of their own."""

    kind = ""
    hears: str | None = None

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

    def poll(self, door: Door, now: int) -> int | None:
        """Fire what has come; give when to be asked again."""
        raise NotImplementedError

    def ended(self, door: Door, now: int) -> int | None:
        """Do as `poll` does."""
        return self.poll(door, now)

    def open(self, door: Door) -> None:
        """Do nothing: the engine's own clock wakes it."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _letter(self, slot: int, **more: Any) -> Letter:
        return Letter(self.name, text_of(slot), slot, {"slot": clock.from_us(slot), **more})


class _Recurring(_Clocked):
    """Fires slot after slot; after a downtime the latest, or all of them."""

    _schedule: Schedule
    _catchup = "latest"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._next: WeakKeyDictionary[Door, int] = WeakKeyDictionary()  # nothing fires before

    def poll(self, door: Door, now: int) -> int | None:
        """Fire the slots that have come; give the next one."""
        due = self._next.get(door)
        if due is not None and now < due:
            return due
        self._next.pop(door, None)
        state = door.state()
        if not state.is_open(self._revision):
            return None
        keep = None if self._catchup == "all" else 2
        passed = self._schedule.due(state.watermark, now, since=state.since, keep=keep)
        rest = self._schedule.slots(max(now, state.watermark), since=state.since)
        due = next(rest, None)
        try:
            self._settle(door, passed.slots, passed.many, due)
        except DoorShut:
            return None
        if due is not None:
            self._next[door] = due
        return due

    def _settle(self, door: Door, slots: list[int], count: int, due: int | None) -> None:
        if self._catchup == "latest" and count > 1:
            missed = self._letter(slots[-2], count=count - 1)
            door.decline(missed, "missed")
            slots = slots[-1:]
        for slot in slots:
            self.start.fire(door, self._letter(slot), due=due)


class CronTrigger(_Recurring):
    """Starts a run at each slot of a cron text, in a time zone.

    A slot counts once, whatever restarts. After a downtime only the latest missed slot fires
    (`catchup="latest"`); the others are one `trigger.declined` with their count.
    """

    kind = "cron"

    def __init__(
        self,
        expression: str,
        start: Any,
        *,
        tz: str | zoneinfo.ZoneInfo = "UTC",
        catchup: str = "latest",
        overlap: str = "allow",
        jitter: float | datetime.timedelta = 0,
        gap: str = "shift",
        fold: str = "first",
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take a schedule and what it starts.

        Args:
            expression: five fields (minute, hour, day, month, weekday), or six, seconds first.
            start: a workflow or its name.
            tz: an IANA time zone, e.g. "Europe/Paris".
            catchup: what fires of the slots missed: "latest" or "all".
            overlap: "allow": a slot starts its run whether or not the last one has ended.
            jitter: not yet.
            gap: "shift": a time of day that the clock skips fires when the gap ends.
            fold: "first": a time of day that comes twice fires the first time.
            input: makes the workflow's inputs of a firing; by default its one input is `slot`.
            name: by default `cron:EXPRESSION:WORKFLOW`.

        Raises:
            DefinitionError: no such zone, no cron text, or an option of a later version.
        """
        _one_of("catchup", catchup, has=("latest", "all"), later=("none",))
        _one_of("overlap", overlap, has=("allow",), later=("skip", "wait", "cancel"))
        _one_of("gap", gap, has=("shift",), later=("skip",))
        _one_of("fold", fold, has=("first",), later=("both",))
        if jitter:
            raise not_yet("jitter=")
        zone = _zone(tz)
        try:
            self._schedule = Cron(expression, zone)
        except (ValueError, AttributeError) as error:
            raise wrong(
                f"{expression!r} is no cron text: {error}; write five fields,"
                " e.g. '30 6 * * 1-5' for half past six on working days"
            ) from None
        self._catchup = catchup
        options = {"expression": expression, "tz": str(tz), "catchup": catchup}
        super().__init__(expression, start, input, name, **options)


class IntervalTrigger(_Recurring):
    """Starts a run every so often, the first one interval after it was armed."""

    kind = "interval"

    def __init__(
        self,
        every: float | datetime.timedelta,
        start: Any,
        *,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take an interval and what it starts.

        Args:
            every: seconds or a timedelta, more than nought.
            start: a workflow or its name.
            input: makes the workflow's inputs of a firing; by default its one input is `slot`.
            name: by default `interval:SECONDSs:WORKFLOW`.

        Raises:
            DefinitionError: `every` is no duration or not more than nought.
        """
        length = microseconds("every", every)
        if length <= 0:
            raise wrong(f"every={every!r} is to be more than nought")
        self._schedule = Interval(length)
        super().__init__(f"{length / clock.SECOND:g}s", start, input, name, every=length)


class AtTrigger(_Clocked):
    """Starts one run at one moment; a moment already past is due at once."""

    kind = "at"

    def __init__(
        self,
        when: datetime.datetime,
        start: Any,
        *,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take a moment and what it starts.

        Args:
            when: an aware datetime.
            start: a workflow or its name.
            input: makes the workflow's inputs of the firing; by default its input is `slot`.
            name: by default `at:MOMENT:WORKFLOW`.

        Raises:
            DefinitionError: `when` is no datetime or has no time zone.
        """
        if not isinstance(when, datetime.datetime) or when.utcoffset() is None:
            raise wrong(f"when={when!r} is to be a datetime with a time zone, e.g. tzinfo=UTC")
        self._slot = clock.to_us(when)
        self._over: WeakSet[Door] = WeakSet()  # doors at which it has fired, or was declined
        moment = text_of(self._slot)
        super().__init__(moment, start, input, name, when=moment)

    def poll(self, door: Door, now: int) -> int | None:
        """Fire if the moment has come; give the moment while it has not."""
        if door in self._over or not door.state().is_open(self._revision):
            return None
        if now < self._slot:
            return self._slot
        try:
            self.start.fire(door, self._letter(self._slot))
        except DoorShut:
            return None
        self._over.add(door)
        return None


def _one_of(option: str, value: str, *, has: tuple[str, ...], later: tuple[str, ...]) -> None:
    if value in later:
        raise not_yet(f"{option}={value!r}")
    if value not in has:
        raise wrong(f"{option}={value!r} is none of {', '.join(map(repr, (*has, *later)))}")


def _zone(tz: str | zoneinfo.ZoneInfo) -> datetime.tzinfo:
    if isinstance(tz, zoneinfo.ZoneInfo):
        return tz
    if tz == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        near = difflib.get_close_matches(str(tz), zoneinfo.available_timezones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; write e.g. 'Europe/Paris'"
        raise wrong(f"tz={tz!r} is no time zone known here{hint}") from None
