"""Health: whether an engine's workers live, and are ready for more; told without a query.

Law of this file: the real monotonic clock judges. A frozen clock, or one that was moved, says
nothing of a worker's health.
"""

import msgspec

from eventstore import clock

PATIENCE = 30.0  # real seconds without a round before a worker counts as hanging; or 3 leases
CLOSED = "the engine is not open: no worker runs in this process"


class Health(msgspec.Struct, frozen=True):
    """How an engine is: `ready` takes on more, `alive` needs no restart."""

    ready: bool
    alive: bool
    reason: str  # a sentence that says why it is not ready; empty when it is


class Pulse:
    """What the threads of an open engine tell of themselves; any thread may ask.

    Each value is replaced whole, so that who asks takes no lock that a hanging thread may hold.
    """

    def __init__(self, lease: float) -> None:
        self._leases = 3 * lease  # real seconds
        self._rounds: dict[str, float] = {}  # a thread's work -> when it was last done
        self._failures: dict[str, str] = {}  # a thread's work -> why it failed the last time
        self._drains_until: float | None = None
        self._is_over = False

    def beat(self, work: str, failure: str = "") -> None:
        """Take note that a thread went round, and of what its round failed."""
        self._rounds[work] = clock.real_seconds()
        self._failures[work] = failure

    def drain(self, grace: float) -> None:
        """Take note that nothing new is begun; `grace` in real seconds."""
        self._drains_until = clock.real_seconds() + grace

    def end(self) -> None:
        """Take note that nothing runs any more."""
        self._is_over = True

    def health(self) -> Health:
        """Say how the engine is."""
        if self._is_over:
            return Health(ready=False, alive=False, reason=CLOSED)
        now = clock.real_seconds()
        patience = max(PATIENCE, self._leases)
        if self._drains_until is not None:
            left = self._drains_until - now
            return Health(
                ready=False,
                alive=left > -patience,
                reason=f"it drains: what is in flight may end, for {max(left, 0):.0f} s at most",
            )
        for work, at in list(self._rounds.items()):
            if now - at > patience:
                return Health(
                    ready=False,
                    alive=False,
                    reason=f"it hangs: {work} took {now - at:.0f} s so far",
                )
        failed = [f"{work} failed: {why}" for work, why in list(self._failures.items()) if why]
        return Health(ready=not failed, alive=True, reason="; ".join(failed))


def health_of(pulse: Pulse | None) -> Health:
    """Say how an engine is whose workers have this pulse; None: it was never opened."""
    return Health(ready=False, alive=False, reason=CLOSED) if pulse is None else pulse.health()
