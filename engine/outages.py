"""Failures of a worker's threads: each told once, and once more when it is over.

A database may be away for hours, and is asked every few seconds.
"""

import logging
import threading
from collections.abc import Callable

from engine.failures import in_short
from engine.flights import Flight
from engine.health import Pulse
from engine.turns import Lost
from eventstore import clock
from eventstore.errors import LogError

log = logging.getLogger("playhead.engine")
RENEWING = "renewing the lease"


class Outages:
    """What the threads of a worker say of what they fail at; their pulse hears it every time.

    Args:
        pulse: told of each round, whether it went well or not.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._lock = threading.Lock()
        self._failing: dict[str, type[Exception]] = {}  # a thread's work -> what was told of it
        self._since = 0.0  # real seconds
        self._is_of_log = True

    def failed(self, work: str, error: Exception, words: str, action: str) -> None:
        """Hear that a round of a thread's work failed; it is tried again.

        Args:
            work: what the thread does.
            error: what nobody has foreseen is told with its traceback.
            words: what is said before the error.
            action: the name of the line, for machines.
        """
        is_of_log = isinstance(error, LogError)
        is_foreseen = is_of_log or isinstance(error, Lost)
        self._pulse.beat(work, str(error) if is_foreseen else in_short(error))
        with self._lock:
            if self._failing.get(work) is type(error):
                return
            if not self._failing:
                self._since, self._is_of_log = clock.real_seconds(), True
            self._failing[work] = type(error)
            self._is_of_log &= is_of_log
        trace = None if is_foreseen else error
        log.error("%s: %s", words, error, exc_info=trace, extra={"action": action})

    def went(self, work: str) -> None:
        """Hear that a round of a thread's work went well."""
        self._pulse.beat(work)
        with self._lock:
            if self._failing.pop(work, None) is None or self._failing:
                return
            seconds = clock.real_seconds() - self._since
            what = "the log answers" if self._is_of_log else f"{work} succeeds"
        log.warning("%s again, after %.1f s", what, seconds, extra={"action": "worker_goes_on"})

    def renews(self, renew: Callable[[], None]) -> None:
        """Renew a lease; a failure is told, and the next round tries again."""
        try:
            renew()
            self.went(RENEWING)
        except Exception as error:  # noqa: BLE001 - it is told
            words = "the lease could not be renewed, trying again"
            self.failed(RENEWING, error, words, "lease_failed")


def waits(flight: Flight, error: LogError) -> None:
    """Tell that an attempt's values or outcome wait for the log."""
    log.error(
        "step %s in run %s waits for the log, trying again: %s",
        flight.step, flight.hold.run.id, error, extra={"action": "storage_failed"},
    )  # fmt: skip


def broke_down(flight: Flight, error: Exception) -> None:
    """Tell that the turn after an attempt broke down, by a fault that nobody has foreseen."""
    log.error(
        "step %s of run %s, or what follows it, could not be recorded; it is begun again",
        flight.step, flight.hold.run.id, exc_info=error, extra={"action": "flight_failed"},
    )  # fmt: skip
