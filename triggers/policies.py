"""What becomes of slots that have passed: how long each waits, which fire, which are missed. Pure.

Laws of this file: slots settle in their order, whatever their delays; each slot that has passed
fires or is counted as missed, never both; two daemons and a replay come to the same answer.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from eventstore import clock
from triggers.schedule import Schedule

MOST = 10_000  # slots that catchup="all" fires at one look, the newest; older ones are missed
ON_TIME = 60 * clock.SECOND  # catchup="none": how late a slot may be noticed and still fire
KEEP = {"all": MOST + 1, "latest": 2, "none": 2}  # slots to know by name; the rest are counted


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
