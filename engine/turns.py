"""One turn of the ring: decide, evolve, advance, append; all of it in one transaction.

Everything that follows from a command at once is one append: a result and the start of the next
step, a failure and the trip of its breaker. If the log has moved on, the run is folded anew and
the turn is taken again.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

from engine.breakers import BreakerStore
from engine.core import commands as c
from engine.core.define import BreakerSpec
from engine.core.plan import Plan
from engine.core.run import Run
from engine.flights import Crew, Flight
from engine.perform import Performer
from engine.repository import Hold, Repository
from engine.ring import Try
from engine.triggering import Beside
from engine.turn import Turn
from eventstore import InboxKey, NewEvent
from eventstore.errors import AppendRefused, KeyTaken, LogError

TRIES = 200  # refused appends in a row before a turn gives up


class Contended(LogError):
    """The run's stream moved on each time; somebody appends to it without end."""


class Lost(Exception):
    """The run was taken over by another worker while this turn was taken."""


class Turns:
    """Takes turns for one worker."""

    def __init__(
        self, repository: Repository, breakers: BreakerStore, performer: Performer, worker: str
    ) -> None:
        self.repository = repository
        self.log = repository.log
        self.breakers = breakers
        self.performer = performer
        self.veil = repository.veil
        self.worker = worker
        self._ids = itertools.count(1)
        self._specs: dict[str, dict[str, BreakerSpec]] = {}
        # breaker -> generation in which nobody waits any more
        self._drained: dict[str, int] = {}
        self.taking: list[str] = []  # runs on which a turn is being taken
        self.on_appended: list[Callable[[Hold, list[NewEvent]], None]] = []

    def append_id(self) -> str:
        """Give a new id for an append: the worker's own count."""
        return f"{self.worker}.{next(self._ids):x}"

    def take(
        self, hold: Hold, commands: Sequence[c.Command] = (), *, crew: Crew | None = None,
        own: Flight | None = None, inbox: tuple[InboxKey, ...] = (),
        release: bool = False, beside: Beside | None = None,
    ) -> Turn:  # fmt: skip
        """Take one turn: obey the commands, let all that follows follow, append.

        Args:
            crew: whose slots steps may start in; None: nothing is started (a sender's turn).
            own: the flight that has just ended; its slot goes to the first step started.
            inbox: keys that count with this append.
            release: let go of the run even if it still owes something.
            beside: what else is written in the same append, and causes it, if anything does.

        Raises:
            Lost: the run has another owner.
            KeyTaken: a key of `inbox`, or of what is beside, counts already.
            LogError: the log failed; the hold is stale and is reloaded on the next turn.
        """
        with hold.lock, self._taking(hold.run.id):
            for _ in range(TRIES):
                if hold.stale:
                    self._reload(hold)
                attempt = Try(self, hold, crew, own, beside)
                if beside is not None:
                    attempt.cause = beside.cause()
                try:
                    return attempt.run(commands, inbox, release=release)
                except AppendRefused as refused:
                    attempt.undo()
                    for name in attempt.breakers:
                        self.breakers.forget(name)
                    if hold.tip.version:
                        hold.stale = True
                    else:  # not born yet: a breaker it consulted may have moved on
                        hold.run = Run(hold.run.id)
                    if isinstance(refused, KeyTaken):
                        raise
                except BaseException:
                    attempt.undo()
                    hold.stale = True
                    raise
            raise Contended(f"run {hold.run.id} moved on {TRIES} times while a turn was taken")

    @contextlib.contextmanager
    def _taking(self, run_id: str) -> Iterator[None]:
        self.taking.append(run_id)
        try:
            yield
        finally:
            self.taking.remove(run_id)

    def _reload(self, hold: Hold) -> None:
        held = (self.worker, hold.tip.epoch)  # the name alone would let in who held it once
        head = self.repository.reload(hold)
        if hold.is_owned and (head.owner, head.tip.epoch) != held:
            hold.is_lost, hold.is_owned = True, False
            for flight in list(hold.flights.values()):
                flight.is_abandoned = True
                flight.cancel()
            raise Lost(hold.run.id)

    def tell(self, hold: Hold, events: list[NewEvent]) -> None:
        """Tell listeners what was appended."""
        for listener in self.on_appended:
            listener(hold, events)

    def specs(self, plan: Plan) -> dict[str, BreakerSpec]:
        """Give the breakers of a definition by name."""
        specs = self._specs.get(plan.hash)
        if specs is None:
            specs = self._specs[plan.hash] = {s.name: s for s in plan.definition.breakers}
        return specs

    def queued(self, plan: Plan) -> frozenset[str]:
        """Give the breakers that have closed but still have steps parked behind them."""
        return frozenset(name for name in self.specs(plan) if self._has_queue(name))

    def _has_queue(self, name: str) -> bool:
        state = self.breakers.state(name)
        if state.state != "closed" or not state.generation:
            return False
        if self._drained.get(name) == state.generation:
            return False
        if self.log.waiting(name):
            return True
        self._drained[name] = state.generation
        return False

    def passed(self, name: str) -> None:
        """Let two parked steps follow a success, as long as any are parked.

        The turn is written: if the log fails now, its attempts go on and the sweep wakes them.
        """
        with contextlib.suppress(LogError):
            if self._has_queue(name):
                self.breakers.release(name)
