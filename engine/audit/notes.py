"""What is no fault of a log and yet worth a look: work that waits, leases that ran out."""

from collections import Counter

from engine.core.run import ENDED
from eventstore import Fault, Head, Log, clock

LATE = 60 * clock.SECOND  # a run that was due so long ago, unowned, waits for no busy worker
MOST = 10  # late runs that are named; the others are counted


class Notes:
    """Gathers what is worth a look while rows pass by.

    Args:
        log: asked for the leases at the end.
        now: microseconds.
    """

    def __init__(self, log: Log, now: int) -> None:
        self._log, self._now = log, now
        self._late: list[Fault] = []
        self._later = 0
        self._owners: Counter[str] = Counter()

    def see(self, head: Head) -> None:
        """Look at a row."""
        if head.owner is not None:
            self._owners[head.owner] += 1
            return
        if head.kind != "run" or head.status in ENDED or head.due is None:
            return
        if head.due > self._now - LATE:
            return
        self._later += 1
        if len(self._late) < MOST:
            since = clock.from_us(max(head.due, 0)).strftime("%Y-%m-%dT%H:%M:%SZ")
            text = (
                f"run {head.id} ({head.name}) has been due since {since}, and nobody holds it"
            )
            self._late.append(Fault(text, head.id))

    def all(self) -> list[Fault]:
        """Give what was found. *Reads the log.*"""
        notes = list(self._late)
        if self._later > len(notes):
            more = self._later - len(notes)
            notes.append(
                Fault(f"runs that have been due for long, and that nobody holds: {more} more")
            )
        leases = {worker.id: worker for worker in self._log.workers()}
        now = clock.now_us()
        for owner in self._owners:
            lease = leases.get(owner)
            if lease is not None and not lease.dead and lease.until > now:
                continue
            count = len(self._log.owned(owner))
            if not count:
                continue  # it let go of them meanwhile, or another took them
            runs = f"{count} run{'s' * (count != 1)}"
            if lease is None:
                text = f"{runs} held by worker {owner}, which has no lease"
            elif lease.dead:
                text = f"{runs} held by worker {lease.name} ({owner}), which is dead"
            else:
                ran_out = clock.from_us(lease.until).isoformat(timespec="seconds")
                who = f"worker {lease.name} ({owner})"
                text = f"{runs} held by {who}, whose lease ran out at {ran_out}"
            notes.append(Fault(text))
        return notes
