"""What a step may know of the run that calls it."""

import logging
import random  # noqa: TID251 - the type alone; the clock makes one
from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import Any

from eventstore import clock


def _never() -> bool:
    return False


def _unheard(fraction: float, text: str) -> None:
    """Drop a word of progress: nobody listens."""


def _unvisited(state: str) -> int:  # noqa: ARG001 - the shape that the engine's own has
    return 0


class _Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that says in each record which attempt of which run speaks."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run's names to the record; a caller's own `extra` stays."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class Context:
    """The run, step and attempt at hand; asked for by annotating a parameter with it."""

    __slots__ = (
        "_cancelled",
        "_log",
        "_progress",
        "_random",
        "_visits",
        "attempt",
        "idempotency_key",
        "item",
        "run_id",
        "step",
        "visit",
        "workflow",
    )

    def __init__(
        self,
        *,
        run_id: str = "",
        workflow: str = "",
        step: str = "",
        item: int | None = None,
        visit: int = 1,
        attempt: int = 1,
        idempotency_key: str | None = None,
        log: logging.LoggerAdapter[logging.Logger] | None = None,
        cancelled: Callable[[], bool] = _never,
        progress: Callable[[float, str], None] = _unheard,
        visits: Callable[[str], int] = _unvisited,
    ) -> None:
        self.run_id, self.workflow, self.step = run_id, workflow, step
        self.item, self.visit, self.attempt = item, visit, attempt
        place = "" if item is None else f"[{item}]"
        self.idempotency_key = idempotency_key or f"{run_id}/{step}{place}:{visit}"
        self._log, self._cancelled = log, cancelled
        self._progress, self._visits = progress, visits
        self._random: random.Random | None = None

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """Give a logger named `playhead.<workflow>` whose records carry the run and attempt."""
        if self._log is None:
            names = {
                "run_id": self.run_id,
                "workflow": self.workflow,
                "step": self.step,
                "attempt": self.attempt,
            }
            self._log = _Log(logging.getLogger(f"playhead.{self.workflow}"), names)
        return self._log

    @property
    def random(self) -> random.Random:
        """Give a source of chance that is the same whenever this attempt is called again."""
        if self._random is None:
            self._random = clock.new_chance(f"{self.idempotency_key}#{self.attempt}")
        return self._random

    @property
    def cancelled(self) -> bool:
        """Tell whether the run is being cancelled: end soon, the result is not kept."""
        return self._cancelled()

    def now(self) -> datetime:
        """Give the engine's time, aware and in UTC."""
        return clock.from_us(clock.now_us())

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the work is.

        Args:
            fraction: From 0 (just begun) to 1 (done).
            text: A few words for people.
        """
        self._progress(fraction, text)

    def visits(self, state: str) -> int:
        """Give how often the run has entered a state, the present time included."""
        return self._visits(state)
