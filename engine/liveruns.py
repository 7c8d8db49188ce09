"""Which runs of a trigger have not ended: for limits and overlaps. Found in the log, then kept."""

from engine.core.run import ENDED, STATUSES
from eventstore import Log

LIVE = tuple(status for status in STATUSES if status not in ENDED)


class LiveRuns:
    """The runs of one trigger that have not ended."""

    def __init__(self, log: Log, trigger: str, workflow: str) -> None:
        self._log = log
        self._prefix = f"{trigger}/"
        self._workflow = workflow
        self._runs: set[str] | None = None  # None: nobody has asked yet

    def add(self, run: str) -> None:
        """Note that the trigger started a run; in this process or in another."""
        if self._runs is not None:
            self._runs.add(run)

    def now(self) -> frozenset[str]:
        """Give those that live now. *Reads the log.*"""
        if self._runs is None:
            heads = self._log.heads(kind="run", name=self._workflow, status=LIVE)
            mine = (head for head in heads if (head.key or "").startswith(self._prefix))
            self._runs = {head.id for head in mine}
        elif self._runs:
            statuses = self._log.statuses(self._runs)
            self._runs = {run for run, status in statuses.items() if status not in ENDED}
        return frozenset(self._runs)
