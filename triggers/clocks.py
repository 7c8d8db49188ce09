"""CronTrigger, IntervalTrigger and AtTrigger: what the engine's clock alone wakes."""

import datetime
import difflib
import zoneinfo
from typing import Any
from weakref import WeakSet

from engine.doors import DoorShut
from engine.triggering import Door
from eventstore import clock
from triggers.cron import Cron
from triggers.durations import microseconds
from triggers.errors import one_of, wrong
from triggers.firing import Mapper
from triggers.policies import policies_of
from triggers.recurring import Clocked, Recurring
from triggers.schedule import Interval, text_of

SHORTEST = 10_000  # microseconds between two slots of an interval


class CronTrigger(Recurring):
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
            start: a workflow or its name, or `signal(name, to=…)`.
            tz: an IANA time zone, e.g. "Europe/Paris".
            catchup: what fires of the slots missed: "latest" the last one, "all" each of the
                newest 10,000, "none" what is noticed within 60 seconds.
            overlap: what a slot does while a run of this trigger is alive: "allow" starts the
                next beside it, "skip" passes the slot over, "wait" puts it off to the end of
                the run, "cancel" cancels the run and starts when it has ended.
            jitter: seconds or a timedelta; each slot starts later by its own part of it.
            gap: a time of day that the clock skips fires when the gap ends ("shift") or not
                that day ("skip"). Texts with `*` in minutes or hours follow elapsed time.
            fold: a time of day that comes twice fires the "first" time, or "both".
            input: makes the workflow's inputs of a firing; by default its one input is `slot`.
            name: by default `cron:EXPRESSION:WORKFLOW`.

        Raises:
            DefinitionError: no such zone, no cron text or one that never comes, an unknown
                word, or options that contradict each other.
        """
        policies = policies_of(catchup, overlap, jitter, start)
        one_of("gap", gap, ("shift", "skip"))
        one_of("fold", fold, ("first", "both"))
        options = {"expression": expression, "tz": str(tz), "catchup": catchup}
        if gap != "shift":
            options["gap"] = gap
        if fold != "first":
            options["fold"] = fold
        if not isinstance(expression, str):
            raise wrong(f"{expression!r} is no cron text; write e.g. '30 6 * * 1-5'")
        try:
            schedule = Cron(expression, _zone(tz), gap=gap, fold=fold)
        except ValueError as error:
            raise wrong(
                f"{expression!r} is no cron text: {error}; write five fields,"
                " e.g. '30 6 * * 1-5' for half past six on working days"
            ) from None
        super().__init__(schedule, policies, expression, start, input, name, **options)


class IntervalTrigger(Recurring):
    """Starts a run every so often, the first one interval after it was armed."""

    kind = "interval"

    def __init__(
        self,
        every: float | datetime.timedelta,
        start: Any,
        *,
        catchup: str = "latest",
        overlap: str = "allow",
        jitter: float | datetime.timedelta = 0,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take an interval and what it starts.

        Args:
            every: seconds or a timedelta, more than nought.
            start: a workflow or its name, or `signal(name, to=…)`.
            catchup: as for `CronTrigger`.
            overlap: as for `CronTrigger`.
            jitter: as for `CronTrigger`; the beat stays, each slot is late by its own part.
            input: makes the workflow's inputs of a firing; by default its one input is `slot`.
            name: by default `interval:SECONDSs:WORKFLOW`.

        Raises:
            DefinitionError: `every` is no duration or not more than nought, an unknown word,
                or options that contradict each other.
        """
        policies = policies_of(catchup, overlap, jitter, start)
        length = microseconds("every", every)
        if length <= 0:
            raise wrong(f"every={every!r} is to be more than nought")
        if length < SHORTEST:
            raise wrong(
                f"every={every!r} is shorter than a run takes: slots would come faster than they"
                " can be fired; write 0.01 or more"
            )
        what = f"{length / clock.SECOND:g}s"
        super().__init__(Interval(length), policies, what, start, input, name, every=length)


class AtTrigger(Clocked):
    """Starts one run at one moment; a moment already past is due at once.

    It takes no policies: its one slot is never missed, and overlaps with none of its own.
    """

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
            start: a workflow or its name, or `signal(name, to=…)`.
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
