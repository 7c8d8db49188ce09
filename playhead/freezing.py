"""The frozen clock of a timeline: freezegun's, and what must stay real beside it."""

from datetime import datetime, timedelta
from typing import Any

import freezegun
from freezegun import api

from playhead.moments import moment_of

START = "2030-01-01T00:00:00+00:00"
REAL = (
    # These wait or measure for themselves. Under a clock that stands still some wait for ever,
    # and under one that jumps others give up; see freezegun #129, #290, #345 and #384.
    "threading", "queue", "multiprocessing", "concurrent.futures", "subprocess", "selectors",
    "asyncio", "_pytest", "pytest_timeout", "xdist", "execnet", "hypothesis", "sqlalchemy.pool",
    "sqlalchemy.util", "psycopg", "watchdog", "httpcore", "anyio", "uvicorn",
)  # fmt: skip


class Frozen:
    """A clock that stands still from `start` to `stop`, for all code and all threads."""

    def __init__(self, start: datetime | None, now: datetime) -> None:
        """Take where it begins.

        Args:
            start: aware; None: at `now` if the clock is frozen already, else in 2030.
            now: the time as all code sees it.
        """
        if start is None:
            start = now if api.freeze_factories else moment_of(START)
        self._freezer: Any = freezegun.freeze_time(start, ignore=list(REAL), real_asyncio=True)
        self._factory: Any = None
        self._limit = 0

    def start(self) -> None:
        """Freeze.

        Whoever asks the clock is judged by the module that asks, not by who called that one: a
        step on a thread sees frozen time, whatever stands below it on the stack.
        """
        self._limit, api.call_stack_inspection_limit = api.call_stack_inspection_limit, 1
        try:
            self._factory = self._freezer.start()
        except BaseException:
            api.call_stack_inspection_limit = self._limit
            raise

    def tick(self, delta: timedelta) -> None:
        """Move it on."""
        self._factory.tick(delta)

    def stop(self) -> int:
        """Let the clock run; give how many freezes were begun inside and not ended.

        freezegun ends the newest one, whoever asks (#503): in the wrong order, time would stay
        frozen for the rest of the process.
        """
        inside = 0
        if any(one is self._factory for one in api.freeze_factories):
            while api.freeze_factories[-1] is not self._factory:
                api.freeze_factories.pop()
                api.ignore_lists.pop()
                api.tick_flags.pop()
                api.tz_offsets.pop()
                inside += 1
        self._freezer.stop()
        api.call_stack_inspection_limit = self._limit
        return inside
