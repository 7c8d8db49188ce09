"""A worker on threads of its own: one claims and wakes, one keeps the lease, one runs the loop.

What must not wait is hinted at or poked; beneath it lies one slow look a second, which asks the
database only if somebody has written to it.
"""

import threading
from collections.abc import Callable, Mapping

from engine.core.run import next_due
from engine.draining import HANGS, drain, flights, release_runs, tell_left_behind
from engine.driver import Driver
from engine.expiring import expire
from engine.health import Pulse
from engine.loops import LoopThread
from engine.outages import RENEWING, Outages
from engine.repository import Hold
from engine.worker import Worker
from eventstore import Listener, clock

ROUND = 1.0  # real seconds: the slow poll beneath the hints
FULL_ROUND = 30  # rounds: then the database is asked even if nobody seems to have written
SLICE = 0.05  # real seconds: how soon a frozen clock that was moved is noticed
LOOKING = "looking for work"  # what one of the two threads does; the other is RENEWING


class Background:
    """A worker on threads of its own: from `open` until `close`."""

    def __init__(
        self, worker: Worker, driver: Driver, poll: Callable[..., int | None], grace: float
    ) -> None:
        self.worker = worker
        self.driver = driver
        self.poll = poll  # the triggers; gives when they are next due
        self.grace = grace
        self._stop = threading.Event()
        self.hurry = False  # leave without waiting for what is in flight; a signal sets it
        self._listener: Listener | None = None
        self._threads: list[threading.Thread] = []
        self._loop: LoopThread | None = None
        self._due: int | None = 0  # when something is next due; 0: look now
        self._expected: list[int] = []  # told while the alarm is set
        self._dirty = True  # somebody may have appended
        self._seen = -1
        self._rounds = 0
        self._orphans: dict[str, int] = {}  # runs owned but held by nobody here -> version
        self._is_undone = False  # a round failed: what it knew of is to be found anew
        self._more = True  # something may be claimable that is not due: the dead held it
        self._lapse: int | None = None  # when another worker's lease runs out
        self._is_overdue = (
            False  # something was left: for others, or locked; asked for once a round
        )
        self._starved = False  # something may be due, but no slot was free
        self._opens: int | None = None  # when the crew does, if a suspect has it for itself
        self.watched: Callable[[], None] | None = None  # look for ends that others wrote
        self.pulse = Pulse(worker.lease / clock.SECOND)
        self._outages = Outages(self.pulse)

    def open(self) -> None:
        """Start the threads."""
        self.worker.enter()
        self._listener = self.worker.log.listen(self.worker.id)
        self.driver.crew.on_free = self._freed
        if self.worker.has_async_steps():
            self._loop = LoopThread()
            self.driver.loop = self._loop.loop
        self.pulse.beat(LOOKING)
        self.pulse.beat(RENEWING)
        for name, target in (("claims", self._run), ("lease", self._keep_lease)):
            thread = threading.Thread(target=target, name=f"playhead-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _freed(self) -> None:
        if self._starved:
            self._starved = False
            self.poke()
        elif self.driver.hungry and self._listener is not None:
            self._listener.poke()

    def poke(self) -> None:
        """Let the worker look at once."""
        self._dirty = True
        if self._listener is not None:
            self._listener.poke()

    def nudge(self) -> None:
        """Let the triggers look at once; nothing was appended that the log would have to tell."""
        if self._listener is not None:
            self._listener.poke()

    def expect(self, due: int) -> None:
        """Be told that something will be due."""
        self._expected.append(due)
        if self._due is None or due < self._due:
            self._due = due
            if self._listener is not None:
                self._listener.poke()

    def _keep_lease(self) -> None:
        while not self._stop.wait(self.worker.lease / clock.SECOND / 3):
            self._outages.renews(self._renew)

    def _renew(self) -> None:
        """Renew; the write itself is no reason to look at the database.

        A server tells of streams only. It is asked on connections that may be stuck, and a lease
        does not wait for those.
        """
        log_ = self.worker.log
        if log_.is_remote:
            self.worker.renew()
            return
        before = log_.changed()
        self.worker.renew()
        if before == self._seen:
            self._seen = log_.changed()

    def _run(self) -> None:
        listener = self._listener
        if listener is None:
            raise AssertionError("open() makes the listener")
        hints: frozenset[str] = frozenset()
        next_round = 0.0
        while not self._stop.is_set():
            try:
                real = clock.real_seconds()
                is_round = real >= next_round
                if is_round:
                    next_round = real + ROUND
                self._look(hints, is_round=is_round)
                self._outages.went(LOOKING)
            except Exception as error:  # noqa: BLE001 - it is told, and tried again
                words = "a round failed, trying again"
                self._outages.failed(LOOKING, error, words, "round_failed")
                self._is_undone = True
                next_round = 0.0  # only what asks for everything tells that all is well again
                self._stop.wait(0.5)
            hints = listener.wait(SLICE)

    def _look(self, hints: frozenset[str], *, is_round: bool) -> None:
        """Do one look: what was hinted at, what is due, and once a second everything."""
        driver, begun = self.driver, clock.now_us()
        expire(driver, begun)
        for run_id in hints:
            hold = driver.holds.get(run_id)
            if hold is not None:
                self.refresh(hold)
        driver.feed_hungry()
        trigger_due = self.poll(always=is_round)
        if trigger_due is not None and (self._due is None or trigger_due < self._due):
            self._due = trigger_due
        is_full = is_round and self._is_news()
        is_due = self._is_due()
        if hints or is_due or self._dirty or is_full:
            is_news, self._dirty = self._dirty or is_due, False
            self._more |= bool(hints)
            if is_news and (is_round or is_due):
                self._more |= self.worker.sweep(driver)
            if is_round or is_due:
                self._refresh_owned()
            if not self._more:
                self._set_alarm(trigger_due)
            if self._more or self._is_due():
                self._claim()
                self._set_alarm(trigger_due, after=begun)  # what is left is for others
        if is_round and self.watched is not None:
            self.watched()

    def _is_due(self) -> bool:
        return self._due is not None and clock.now_us() >= self._due

    def _is_news(self) -> bool:
        """Note whether others have written, died or lapsed; say whether to look even if not."""
        log_ = self.worker.log
        self._rounds += 1
        is_full = self._rounds % FULL_ROUND == 0
        changed = log_.changed()
        is_changed, self._seen = changed != self._seen, changed
        is_undone, self._is_undone = self._is_undone, False
        self._more |= is_undone
        is_owed = is_undone or bool(self._orphans) or self._is_overdue
        if is_changed or is_owed or log_.any_death():  # no `|=`: it may be set meanwhile
            self._dirty = True
        is_lapse = self._lapse is not None and clock.now_us() >= self._lapse
        if is_full or self._dirty or is_lapse:
            has_lapsed, self._lapse = self.worker.neighbours.lapses()
            self._more |= has_lapsed
            self._dirty |= has_lapsed
        return is_full

    def _claim(self) -> None:
        """Take turns on held runs whose time has come, and claim others while slots are free."""
        now = clock.now_us()
        for hold in list(self.driver.holds.values()):
            due = next_due(hold.run)
            if due is not None and due <= now:
                self._turn(hold)
        self._starved = True  # before the look: what is freed meanwhile asks again
        room, self._opens = self.driver.crew.room()
        if room:
            self._more = self.worker.claim(self.driver, room) >= room
            self._dirty |= self._more
            self._starved = self._more  # there are others: a freed slot is to be filled at once

    def _set_alarm(self, trigger_due: int | None, *, after: int | None = None) -> None:
        """Note when something is next due; if no slot is free, when one may be: else it pokes."""
        log_, kinds = self.worker.log, ("run", "breaker")
        expected: list[int] = []
        self._expected = expected  # what was told before is in the log
        due = log_.next_due(kinds=kinds)
        self._is_overdue = after is not None and due is not None and due <= after
        dues = [
            log_.next_due(kinds=kinds, after=after) if self._is_overdue else due,
            trigger_due,
        ]
        dues += [next_due(hold.run) for hold in list(self.driver.holds.values())]
        if self._starved:  # what is due already waits for a slot
            now = clock.now_us()
            dues = [self._opens, *(due for due in dues if due is not None and due > now)]
        self._due = min((due for due in dues if due is not None), default=None)
        for due in expected:  # the log was asked too early for these
            self._due = due if self._due is None else min(due, self._due)

    def _turn(self, hold: Hold) -> None:
        turn = self.driver.turn(hold)
        if turn is not None:
            self.driver.launch(turn.flights)

    def refresh(self, hold: Hold) -> None:
        """Fold what others have appended to a run that is held here."""
        with hold.lock:
            hold.stale = True
            self._turn(hold)

    def _refresh_owned(self) -> None:
        """Find what others did to runs held here; hints may have been lost."""
        before = [(hold, hold.tip) for hold in list(self.driver.holds.values())]
        owned = self.worker.log.owned(self.worker.id)
        now = clock.now_us()
        self._adopt_orphans(owned)
        for hold, tip in before:
            version, due = owned.get(hold.run.id, (-1, None))
            with hold.lock:
                if not hold.is_owned or (version <= hold.tip.version and hold.tip != tip):
                    continue  # it went on meanwhile
                if version != hold.tip.version:
                    self.refresh(hold)
                elif due is not None and due <= now and hold.run.parked:
                    hold.woken = True
                    self._turn(hold)

    def _adopt_orphans(self, owned: Mapping[str, tuple[int, int | None]]) -> None:
        """Let go of what is owned but in nobody's hands, and was so a look ago: a turn failed."""
        orphans = {run: at[0] for run, at in owned.items() if not self.worker.holds(run)}
        for run_id, version in orphans.items():
            if self._orphans.get(run_id) == version:
                self.worker.let_go(run_id)
        self._orphans = orphans

    def close(self, grace: float | None = None) -> list[str]:
        """Stop: nothing new starts, what is in flight may end, the rest is let go of.

        Returns:
            What did not return in time; its thread is left as a daemon.
        """
        grace = self.grace if grace is None else grace
        self.pulse.drain(grace)
        self.driver.stopping = True
        self._stop.set()
        self.poke()
        looking = next(iter(self._threads), None)
        try:
            drain(self.driver, looking, grace, lambda: self.hurry)
        finally:  # Ctrl-C cuts the waiting short, not what must be let go of
            stuck = self._let_go(looking)
            self.pulse.end()
        tell_left_behind(stuck, grace)
        return stuck

    def _let_go(self, looking: threading.Thread | None) -> list[str]:
        """Let go of runs, threads and the lease; give what did not return."""
        stuck = [f"step {f.step!r} of run {f.hold.run.id}" for f in flights(self.driver)]
        if looking is not None and looking.is_alive():
            stuck.append("a look for work")  # it may hold any lock: leaving frees its runs
        else:
            release_runs(self.driver)
        if self._loop is not None:
            self._loop.close(grace=0.2 if stuck else 5.0)
            self.driver.loop = self._loop = None
        self.driver.crew.close(0.1 if stuck else 5.0)
        for thread in self._threads[1:]:
            thread.join(HANGS)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.worker.leave()
        return stuck
