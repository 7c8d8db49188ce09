"""The other workers of a log, and the clocks of all: what one worker sees of them by the way."""

import logging

from eventstore import Log, clock

log = logging.getLogger("playhead.engine")
FAR = 4  # a clock that is off by more than this part of the lease is told of


class Neighbours:
    """The leases of a log as one worker looks at them.

    Args:
        log_: where they are.
        worker: the id of the one that looks.
        name: its name, for people.
        lease: how long its own lasts, microseconds.
    """

    def __init__(self, log_: Log, worker: str, name: str, lease: int) -> None:
        self._log, self._worker, self._name, self._lease = log_, worker, name, lease
        self._is_far = False

    def lapses(self) -> tuple[bool, int | None]:
        """Say whether another worker's lease has run out, and when the next one does."""
        now = clock.now_us()
        leases = self._log.leases()
        if self._worker in leases:
            self._tell_skew(leases[self._worker].skew)
        others = [lease.until for worker, lease in leases.items() if worker != self._worker]
        next_ = min((until for until in others if until > now), default=None)
        return any(until <= now for until in others), next_

    def _tell_skew(self, skew: int | None) -> None:
        """Say once that this clock and the database's are far apart; it decides nothing."""
        is_far = skew is not None and abs(skew) * FAR > self._lease
        if skew is not None and is_far and not self._is_far:
            log.warning(
                "the clock of worker %s is %.1f s %s the database server's; timers are late and"
                " leases misjudged by as much: see to the clocks of these hosts",
                self._name, abs(skew) / clock.SECOND, "ahead of" if skew > 0 else "behind",
                extra={"action": "clock_skewed"},
            )  # fmt: skip
        self._is_far = is_far
