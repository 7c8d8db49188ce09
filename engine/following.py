"""Ends of runs as one trigger follows them: each until it was dealt with, asked for only if new."""

from collections.abc import Callable, Collection

from engine.triggering import Ending, Starter


class Following:
    """What one door has seen of ends; lost without harm, the trigger's watermark is the truth."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._seen = 0  # ends up to this position were dealt with here
        self._changed = -1  # what the log said then
        self._has_heard = False

    def heard(self) -> None:
        """Note that a run has ended here; from any thread."""
        self._has_heard = True

    def new(
        self, workflow: str, types: Collection[str], *, watermark: Callable[[], int], limit: int
    ) -> list[Ending]:
        """Give ends of a workflow's runs behind the watermark, oldest first. *Reads the log.*

        Args:
            workflow: its name.
            types: `run.succeeded`, `run.failed`, `run.cancelled`.
            watermark: gives the position up to which ends are settled; asked if there may be news.
            limit: so many at most; when all were dealt with, those behind them are given.
        """
        log = self._starter.log
        changed = log.changed()
        if changed == self._changed and not self._has_heard:
            return []  # nobody has written since nothing was found
        self._changed, self._has_heard = -1, False  # until nothing is found
        after = max(watermark(), self._seen)
        upto = log.last_position()
        found = self._starter.endings(workflow, types, after=after, upto=upto, limit=limit)
        if not found:
            self._seen, self._changed = upto, changed
        return found
