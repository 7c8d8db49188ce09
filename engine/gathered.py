"""What a trigger declines in floods: said at once, then counted, and said ever more rarely. Pure.

A crash loses the count since it was last said, never a firing: what declined may come again.
"""

from collections.abc import Iterator

import msgspec

from engine.triggering import Firing
from eventstore import clock

FIRST = 60 * clock.SECOND  # until it is said for the second time; doubles with each
LONGEST = 24 * 3600 * clock.SECOND
REASONS = 32  # told apart at one time; each may name what it was about, and be another one
OTHERS = "various reasons"
KEYS = 20  # that are named of many


class _Repeated(msgspec.Struct):
    said: int  # when it was said last, microseconds
    pause: int
    count: int = 0  # since then
    keys: list[str] = []  # of the first of them
    last: Firing | None = None


class Gathered:
    """The repeated declines of one trigger, by reason."""

    def __init__(self) -> None:
        self._by_reason: dict[str, _Repeated] = {}

    def is_news(self, firing: Firing, reason: str, now: int) -> bool:
        """Take in a decline; tell whether it is to be said now, else it is counted."""
        if reason not in self._by_reason and len(self._by_reason) >= REASONS:
            reason = OTHERS
        repeated = self._by_reason.get(reason)
        if repeated is None:
            self._by_reason[reason] = _Repeated(now, FIRST)
            return True
        repeated.count += int(firing.facts.get("count", 1))
        if len(repeated.keys) < KEYS:
            repeated.keys.append(firing.key)
        repeated.last = firing
        return False

    def due(self, now: int, *, all_: bool = False) -> Iterator[tuple[Firing, str]]:
        """Give what is to be said now of what was counted, each with its reason.

        A reason that stayed quiet for its pause is forgotten: its next time is news.
        """
        for reason, repeated in list(self._by_reason.items()):
            waited = now - repeated.said
            if not all_ and 0 <= waited < repeated.pause:
                continue
            if repeated.last is None:
                del self._by_reason[reason]
                continue
            last = repeated.last
            facts = {**last.facts, "count": repeated.count, "keys": repeated.keys}
            self._by_reason[reason] = _Repeated(now, min(repeated.pause * 2, LONGEST))
            yield msgspec.structs.replace(last, facts=facts), reason
