"""The loop: claim what is due, take turns, wake what is awaited, stop softly.

One worker belongs to one engine. In the background it has a thread that claims and a thread that
keeps the lease; in the caller's thread it does one round at a time and keeps no thread.
"""

import logging
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import msgspec

from engine.breakers import BreakerStore
from engine.core import commands as c
from engine.core.events import IllegalEvent
from engine.core.fit import misfit
from engine.driver import Driver
from engine.namesakes import made_up, namesakes, tell_of
from engine.neighbours import Neighbours
from engine.repository import Hold, KnownWorkflow, Repository
from engine.turns import Turns
from eventstore import Claim, Log, Tip, WorkerRow, clock
from eventstore.errors import EventUnreadable, StillCoded

log = logging.getLogger("playhead.engine")
ROUND = 1.0  # real seconds: the slow poll beneath the hints
SLICE = 0.05  # real seconds: how soon a frozen clock that was moved is noticed
CLAIM_ONE = 100  # runs looked at to find one
SKIP = 5.0  # real seconds in which a run is left to a better worker
UNREADABLE = (StillCoded, EventUnreadable, IllegalEvent, msgspec.DecodeError)
ASYNC_SLOTS = 1000  # async attempts in flight at once


class Worker:
    """One engine's part in the work of all engines on its log."""

    def __init__(
        self, log_: Log, repository: Repository, turns: Turns, breakers: BreakerStore, *,
        workflows: Mapping[str, KnownWorkflow], name: str | None, lease: float,
    ) -> None:  # fmt: skip
        self.log = log_
        self.repository = repository
        self.turns = turns
        self.breakers = breakers
        self.workflows = workflows
        self.id = turns.worker
        self.name = name or made_up(socket.gethostname(), os.getpid())
        self.lease = int(lease * clock.SECOND)
        self.neighbours = Neighbours(log_, self.id, self.name, self.lease)
        self._until = 0
        self._since = 0
        self.drivers: WeakSet[Driver] = WeakSet()  # all that hold runs for this worker
        self._skips: dict[str, float] = {}  # runs left to a better worker -> real seconds
        self._told: set[str] = set()  # ids of workers of this name, each told of once
        self._entered = False
        self._callers = 0  # threads of callers that drive
        self._lock = threading.Lock()

    # The lease.

    def enter(self) -> None:
        """Register with the log if not yet done, and make sure that the lease has a while to go."""
        now = clock.now_us()
        with self._lock:
            if not self._entered:
                for workflow in self.workflows.values():
                    self.repository.publish(workflow)
                self._since, self._until = now, now + self.lease
                row = WorkerRow(
                    self.id, self.name, socket.gethostname(), os.getpid(), now, self._until,
                    tuple(w.hash for w in self.workflows.values()),
                )  # fmt: skip
                self.log.enter(row)
                self._entered = True
                if namesakes(row, self.log.workers(), now):
                    self._bury(now)  # one that was just killed is dead already
                    tell_of(namesakes(row, self.log.workers(), now), self._told)
            elif self._until - now < self.lease * 2 // 3 or self._until - now > self.lease:
                self._renew(now)

    def _renew(self, now: int) -> None:
        self._until = now + self.lease
        self.log.renew(
            self.id, until=self._until, offers=[w.hash for w in self.workflows.values()]
        )

    def renew(self) -> None:
        """Extend the lease."""
        with self._lock:
            if self._entered:
                self._renew(clock.now_us())

    def _wake_up(self, now: int) -> None:
        """Renew a lease that ran out while this process slept, or its clock was moved.

        Where no lock tells that it lives, in memory, it would take itself for dead, and begin
        its steps in flight a second time.
        """
        if self._entered and self._until <= now:
            self.renew()

    def leave(self) -> None:
        """Deregister; what is still owned becomes claimable at once."""
        with self._lock:
            if self._entered:
                self._entered = False
                self.log.leave(self.id, now=clock.now_us())

    def begin(self) -> None:
        """Enter for a caller's thread that is about to drive."""
        with self._lock:
            self._callers += 1
        try:
            self.enter()
        except BaseException:
            with self._lock:
                self._callers -= 1
            raise

    def end(self, *, rests: bool) -> None:
        """Note that a caller drives no more; the last one leaves, if this worker then `rests`."""
        with self._lock:
            self._callers -= 1
            if rests and self._entered and not self._callers:
                self._entered = False
                self.log.leave(self.id, now=clock.now_us())

    def has_async_steps(self) -> bool:
        """Tell whether any step is one to await: the engine then needs a loop."""
        return any(
            call is not None and call.is_async
            for workflow in self.workflows.values()
            for work in workflow.code.works.values()
            for call in (work.main, work.fallback)
        )

    # Claims.

    def claim(self, driver: Driver, limit: int) -> int:
        """Claim what is due and take the first turn on each; give how many there were."""
        claims = self._claims(limit)
        for claim in claims:
            self._open(driver, claim)
        return len(claims)

    def _claims(self, limit: int) -> list[Claim]:
        self._wake_up(clock.now_us())  # what it takes now must not be anybody's at once
        return self.log.claim(
            self.id, kind="run", now=clock.now_us(), limit=limit,
            offers=[w.hash for w in self.workflows.values()], names=list(self.workflows),
            skip=self._skipped(),
        )  # fmt: skip

    def _skipped(self) -> list[str]:
        """Give the runs that were left to better workers a moment ago."""
        now = clock.real_seconds()
        self._skips = {run: until for run, until in self._skips.items() if until > now}
        return list(self._skips)

    def claim_one(self, driver: Driver, run_id: str) -> None:
        """Claim what is due until one run is among it; the others are let go of again."""
        for claim in self._claims(CLAIM_ONE):
            if claim.head.id == run_id:
                self._open(driver, claim)
            else:
                self._give_up(claim, claim.head.tip)

    def _open(self, driver: Driver, claim: Claim) -> None:
        try:
            hold, head = self.repository.load(claim.head.id)
        except UNREADABLE as error:  # for a worker that can, by its key or its version
            self._leave(claim, claim.head.tip)
            log.error(
                "run %s was let go of, for it cannot be read here; `playhead verify --deep` tells"
                " more: %s",
                claim.head.id, error, extra={"action": "run_unreadable"},
            )  # fmt: skip
            return
        if (head.owner, head.tip.epoch) != (self.id, claim.head.tip.epoch):
            return  # taken by another before it was read: its new epoch is not ours to use
        hold.is_owned, hold.woken = True, True
        commands: list[c.Command] = []
        for name in list(hold.run.running):
            step = hold.run.steps[name]
            reason = "" if claim.lost_by else "its worker let go of it"
            commands.append(
                c.Lose(name, step.visit, step.attempt, died=claim.died, reason=reason)
            )
        if self.workflows[hold.run.workflow].hash != hold.run.definition:
            change = self._adapt(hold)
            if change is None:
                self._leave(claim, hold.tip)
                return
            commands.append(change)
        turn = driver.turn(hold, *commands)
        if turn is not None:
            driver.launch(turn.flights)

    def _leave(self, claim: Claim, tip: Tip) -> None:
        """Leave a claimed run to a better worker, and do not claim it again at once."""
        self._skips[claim.head.id] = clock.real_seconds() + SKIP
        self._give_up(claim, tip)

    def _give_up(self, claim: Claim, tip: Tip) -> None:
        """Let go of a claimed run; what the dead began is due, though its row knew no time."""
        due = claim.head.due if claim.lost_by is None else clock.now_us()
        self.log.release(claim.head.id, tip, due=due)

    def _adapt(self, hold: Hold) -> c.Command | None:
        """Take a run of another definition, park it, or (None) leave it to a better worker.

        It goes to the newest living worker whose definition fits; it is parked only if none does.
        """
        mine = self.workflows[hold.run.workflow]
        reason = misfit(hold.run, hold.plan, mine.plan)
        for other in self.log.workers():
            if other.id == self.id or other.dead or other.until < clock.now_us():
                continue
            if reason is None and other.since <= self._since:
                continue
            for offer in other.offers:
                plan = self.repository.plan(offer)
                if (
                    plan.definition.name == mine.name
                    and misfit(hold.run, hold.plan, plan) is None
                ):
                    return None
        if reason is None:
            self.repository.publish(mine)
            return c.RedefineRun(mine.hash, by="engine")
        return c.ParkRun(
            f"no live worker's definition fits: {reason};"
            " start a worker with code that fits and retry, or cancel the run"
        )

    def holds(self, run_id: str) -> bool:
        """Tell whether a run is in anybody's hands here; the log may know of a turn before us."""
        return run_id in self.turns.taking or any(
            run_id in driver.holds for driver in list(self.drivers)
        )

    def let_go(self, run_id: str) -> None:
        """Let go of a run that this worker owns and nobody here holds: a turn on it failed."""
        head = self.log.head(run_id)
        if head is not None and head.owner == self.id and not self.holds(run_id):
            self.log.release(run_id, head.tip, due=clock.now_us())

    def sweep(self, driver: Driver) -> bool:
        """Do what only the passing of time asks for: bury the dead, wake behind breakers."""
        now = clock.now_us()
        self._wake_up(now)
        buried = self._bury(now)
        if not any(w.definition.breakers for w in self.workflows.values()):
            due = self.log.next_due(kinds=("breaker",))  # one that is only called by itself
            if due is None or due > now:
                return bool(buried)
        woken = self.breakers.sweep(now, self._spec, lambda name: self._in_flight(driver, name))
        return bool(buried or woken)

    def _bury(self, now: int) -> list[str]:
        """Find out who has died; give their ids."""
        buried = self.log.bury(now=now)
        for worker in buried:
            log.warning(
                "worker %s died; its runs go on elsewhere",
                worker,
                extra={"action": "worker_died"},
            )
        return buried

    def _spec(self, name: str) -> Any:
        for workflow in self.workflows.values():
            for spec in workflow.definition.breakers:
                if spec.name == name:
                    return spec
        from engine.core.define import BreakerSpec  # noqa: PLC0415 - a breaker of another program

        return BreakerSpec(name)

    def _in_flight(self, driver: Driver, breaker: str) -> bool:
        for hold in list(driver.holds.values()):
            for name in list(hold.flights):
                if hold.plan.nodes[name].breaker == breaker:
                    return True
        return False
