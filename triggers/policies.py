"""Policies: how long a slot waits, which of those that passed fire, what contradicts what. Pure.

Laws of this file: slots settle in their order, whatever their delays; each slot that has passed
fires or is counted as missed, never both; two daemons and a replay come to the same answer.
"""

import datetime
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from eventstore import clock
from triggers.durations import microseconds
from triggers.errors import one_of, wrong
from triggers.firing import Signalling
from triggers.schedule import Schedule

MOST = 10_000  # slots that catchup="all" fires at one look, the newest; older ones are missed
ON_TIME = 60 * clock.SECOND  # catchup="none": how late a slot may be noticed and still fire
KEEP = {"all": MOST + 1, "latest": 2, "none": 2}  # slots to know by name; the rest are counted


CONTRADICTIONS = {
    ("skip", "all"): "one would start what the other leaves out; write overlap='wait', and each"
    " slot runs in its turn, or catchup='latest'",
    ("wait", "none"): "a slot that has waited is not on time any more; write overlap='skip', or"
    " catchup='latest'",
    ("cancel", "all"): "each slot would cancel the run of the one before; write catchup='latest',"
    " or overlap='wait'",
}  # fmt: skip


class Policies(NamedTuple):
    """What a trigger does with slots that come late, or while one of its runs is alive."""

    catchup: str = "latest"  # "latest", "all" or "none"
    overlap: str = "allow"  # "allow", "skip", "wait" or "cancel"
    jitter: int = 0  # microseconds

    def given(self) -> dict[str, Any]:
        """Give those that are not the usual ones, by name."""
        usual = Policies()._asdict()
        return {name: value for name, value in self._asdict().items() if value != usual[name]}


def policies_of(
    catchup: str, overlap: str, jitter: float | datetime.timedelta, start: Any
) -> Policies:
    """Take the policies of a trigger that starts `start`.

    Raises:
        DefinitionError: a word that there is not, no duration, or two that contradict each
            other; it says what to write instead.
    """
    one_of("catchup", catchup, ("latest", "all", "none"))
    one_of("overlap", overlap, ("allow", "skip", "wait", "cancel"))
    if (overlap, catchup) in CONTRADICTIONS:
        why = CONTRADICTIONS[overlap, catchup]
        raise wrong(f"overlap={overlap!r} and catchup={catchup!r} contradict each other: {why}")
    if overlap != "allow" and isinstance(start, Signalling):
        raise wrong(
            f"overlap={overlap!r} looks at the runs that the trigger has started, and a signal"
            " starts none: leave overlap= out"
        )
    spread = microseconds("jitter", jitter)
    if spread < 0:
        raise wrong(
            f"jitter={jitter!r} is to be nought or more: slots are put off, never early"
        )
    return Policies(catchup, overlap, spread)


class Passed(NamedTuple):
    """What a look at the schedule finds."""

    slots: list[int]  # that have come due and are not settled, growing; the newest of them
    many: int  # how many there are in all
    due: int | None  # when the next one comes due, its delay included; None: never


class Verdict(NamedTuple):
    """What catch-up makes of the slots that have come due."""

    fires: list[int]  # growing
    missed: int | None  # the newest slot that does not fire
    many: int  # how many do not


def delay_of(name: str, slot: int, jitter: int) -> int:
    """Give how long a slot of a trigger waits, microseconds in [0, jitter); always the same."""
    if not jitter:
        return 0
    digest = hashlib.blake2b(f"{slot} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) * jitter >> 64


def look(
    schedule: Schedule,
    watermark: int,
    now: int,
    *,
    since: int,
    keep: int,
    jitter: int,
    delay: Callable[[int], int],
) -> Passed:
    """Find the slots that are later than the watermark and due by now.

    A slot is due at its moment, slot + delay, and not before the slots ahead of it.

    Args:
        schedule: gives the slots.
        watermark: slots up to here are settled, microseconds.
        now: microseconds.
        since: when the schedule was armed, microseconds.
        keep: how many of the newest slots are wanted.
        jitter: what every delay stays below, microseconds.
        delay: of a slot, microseconds.
    """
    sure = max(now - jitter, watermark)  # slots up to here are due, whatever their delays
    done = schedule.due(watermark, sure, since=since, keep=keep)
    late: list[int] = []
    due = None
    for slot in schedule.slots(sure, since=since):
        due = slot + delay(slot)
        if due > now:
            break
        late.append(slot)
    else:
        due = None
    return Passed([*done.slots, *late][-keep:], done.many + len(late), due)


def judge(catchup: str, passed: Passed, is_on_time: Callable[[int], bool]) -> Verdict:
    """Say which of the slots that have passed fire, and which are missed.

    Args:
        catchup: "latest": the last one. "all": each, of the newest 10,000. "none": the last one
            if it was noticed in time.
        passed: what a look has found; not empty.
        is_on_time: tells whether a slot was noticed in time.
    """
    slots = passed.slots
    if catchup == "all":
        fires = slots[-MOST:]
    elif catchup == "latest" or is_on_time(slots[-1]):
        fires = slots[-1:]
    else:
        fires = []
    count = passed.many - len(fires)
    return Verdict(fires, slots[-len(fires) - 1] if count else None, count)
