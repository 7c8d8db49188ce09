"""How a worker ends softly: what is in flight may end, the rest is let go of."""

import logging
import threading
from collections.abc import Callable

from engine.driver import Driver
from engine.flights import Flight
from eventstore import clock
from eventstore.errors import LogError

log = logging.getLogger("playhead.engine")
HANGS, HANGS_HURRIED = 5.0, 1.0  # real seconds that a look under way gets beyond grace


def flights(driver: Driver) -> list[Flight]:
    """Give what is in flight and still wanted."""
    return [
        f for h in list(driver.holds.values()) for f in list(h.flights.values())
        if not f.is_abandoned
    ]  # fmt: skip


def drain(
    driver: Driver,
    looking: threading.Thread | None,
    grace: float,
    is_hurried: Callable[[], bool],
) -> None:
    """Wait for the look for work that is under way, then for what is in flight.

    Args:
        looking: the thread that looks; it has been asked to end.
        grace: real seconds.
        is_hurried: tells whether to wait no longer.
    """
    since = clock.real_seconds()
    while looking is not None and looking.is_alive():
        spent = clock.real_seconds() - since
        if spent > grace + HANGS or (is_hurried() and spent > HANGS_HURRIED):
            return
        looking.join(0.05)
    while flights(driver) and clock.real_seconds() < since + grace and not is_hurried():
        clock.real_sleep(0.005)


def release_runs(driver: Driver) -> None:
    """Let go of all runs held; what is in flight in them is lost, charged to nobody. *Appends.*"""
    for hold in list(driver.holds.values()):
        try:
            driver.release(hold, "its worker shut down")
        except LogError as error:
            log.error(
                "run %s could not be let go of: %s", hold.run.id, error,
                extra={"action": "release_failed"},
            )  # fmt: skip


def tell_left_behind(stuck: list[str], grace: float) -> None:
    """Warn of what has not returned; its thread ends with the process."""
    for what in stuck:
        log.warning(
            "%s did not return within %g s; its thread is left behind and its run released",
            what, grace, extra={"action": "step_left_behind"},
        )  # fmt: skip
