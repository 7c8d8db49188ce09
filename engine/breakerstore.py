"""The shared breakers on the log: what their streams have become, and what is written to them.

Laws of this file: a cached state is only a guess, the append checks it (a breaker that was
merely asked is checked too); nobody owns a breaker's stream, its version says who was first.
"""

import copy
import threading
from collections.abc import Callable, Sequence

import msgspec

from engine.circuit import fold
from engine.core import breaker as core
from engine.core.breaker import PREFIX, BreakerState
from engine.core.define import BreakerSpec
from engine.core.events import Fact
from engine.records import told
from eventstore import clock
from eventstore.errors import StreamUnknown, WrongExpectedVersion
from eventstore.event import NEW, NewEvent, Tip
from eventstore.store import Append, Headline, Log, Row, Write

KIND = "breaker"
TRIES = 100  # appends lost to other processes before one decision is given up
LOOKED_AT = 16  # streams at the head of the queue that are asked whether they were woken
RELEASED = 2  # parked steps that a success lets go on after closing

Decide = Callable[[BreakerState], Sequence[Fact]]


class BreakerStore:
    """The breakers of one log, folded and cached; safe from any thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cache: dict[str, tuple[BreakerState, Tip]] = {}  # kept states are never changed
        self._lock = threading.Lock()

    def load(self, name: str) -> tuple[BreakerState, Tip]:
        """Give a breaker as the log has it now: a copy of its state, and its tip.

        *Reads the log:* the row, and only the events that are not folded yet.
        """
        with self._lock:
            before, tip = self._cache.get(name, (BreakerState(name), NEW))
        try:
            head = self._log.head(PREFIX + name) if tip.version else None
            if head is not None and head.tip == tip:
                return copy_of(before), tip
            head, events = self._log.load(PREFIX + name, after=tip.version)
        except StreamUnknown:
            return BreakerState(name), NEW
        state = copy_of(before)
        for event in events:
            data = told(event)
            core.evolve(state, event.version, event.type, event.source, event.dest, data)
        self.appended(name, head.tip, state)
        return state, head.tip

    def view(self, name: str) -> tuple[BreakerState, Tip]:
        """Give state (a copy) and tip as last seen; asks the log the first time."""
        with self._lock:
            known = self._cache.get(name)
        return self.load(name) if known is None else (copy_of(known[0]), known[1])

    def state(self, name: str) -> BreakerState:
        """Give a private copy of a breaker's state as last seen."""
        return self.view(name)[0]

    def tip(self, name: str) -> Tip:
        """Give where a breaker's stream stood when last seen; `NEW`: it has none yet."""
        return self.view(name)[1]

    def refresh(self, name: str) -> None:
        """Look at the log again: after a refused append, or at the start of a round."""
        self.load(name)

    def write(
        self,
        name: str,
        facts: Sequence[Fact],
        now: int,
        *,
        tip: Tip | None = None,
        state: BreakerState | None = None,
        cause: str | None = None,
    ) -> Write:
        """Give a breaker's part in an append; without facts a mere check that it stands there.

        Args:
            name: The breaker's plain name.
            facts: What was decided for it, in order; other streams' facts are left out.
            now: The time of the events, microseconds.
            tip: Where the stream stood when it was decided; None: as last seen.
            state: What the facts make of it, already folded; None: folded here.
            cause: "stream@version" for facts that name none.
        """
        stream = PREFIX + name
        mine = [fact for fact in facts if fact.stream == stream]
        seen = self.view(name) if tip is None or (mine and state is None) else None
        if tip is None and seen is not None:
            tip = seen[1]
        tip = tip or NEW
        if not mine:
            return Write(stream, KIND, tip)
        if state is None:
            state = seen[0] if seen else BreakerState(name)
            fold(state, mine)
        events = tuple(
            NewEvent(
                fact.type,
                fact.subject,
                fact.source,
                fact.dest,
                msgspec.json.encode(fact.data).decode(),
                now,
                fact.cause or cause,
            )
            for fact in mine
        )
        shown = {"failures": state.failures, "until": state.until}
        row = Row(
            status=state.state,
            due=core.due_of(state),
            label=msgspec.json.encode(shown).decode(),
        )
        headline = None if tip.version else Headline(name=name)
        return Write(stream, KIND, tip, events, row, headline)

    def appended(self, name: str, tip: Tip, state: BreakerState) -> None:
        """Keep what an append has made of a breaker; an older one than is known is dropped."""
        with self._lock:
            known = self._cache.get(name)
            if known is None or known[1].version <= tip.version:
                self._cache[name] = (copy_of(state), tip)

    def forget(self, name: str) -> None:
        """Drop what is known of a breaker; the log is asked the next time."""
        with self._lock:
            self._cache.pop(name, None)

    def decide(
        self, name: str, choose: Decide, *, fresh: bool = True
    ) -> tuple[BreakerState, list[Fact]]:
        """Append what `choose` decides, again if another process appended first.

        Args:
            name: The breaker's plain name.
            choose: Gives the facts for a state; none: nothing is appended.
            fresh: Look at the log first; False: begin with what was last seen.

        Returns:
            The state after it, and what was appended.
        """
        state, tip = self.load(name) if fresh else self.view(name)
        for tries_left in range(TRIES, -1, -1):
            facts = list(choose(state))
            if not facts:
                return state, []
            after = copy_of(state)
            fold(after, facts)
            write = self.write(name, facts, clock.now_us(), tip=tip, state=after)
            try:
                (tip,) = self._log.append(Append(clock.new_id(), (write,)))
            except WrongExpectedVersion:
                if not tries_left:
                    raise
                state, tip = self.load(name)
            else:
                self.appended(name, tip, after)
                return after, facts
        raise AssertionError("unreachable: the last try returns or raises")

    # Letting parked steps go on.

    def release(self, name: str, limit: int = RELEASED) -> list[str]:
        """Wake steps that are parked behind a breaker, the longest parked first.

        Costs one read if nobody waits. The ids woken are hinted to other workers.
        """
        if not self._log.waiting(name):
            return []
        woken = self._log.wake(name, now=clock.now_us(), limit=limit)
        if woken:
            self._log.hint(woken)
        return woken

    def sweep(
        self,
        now: int,
        specs: Callable[[str], BreakerSpec] = BreakerSpec,
        in_flight: Callable[[str], bool] = lambda _: False,
    ) -> list[str]:
        """Do for each breaker what only the passing of time asks for.

        An open one whose time has come probes: `probes` parked steps are woken. A half-open one
        is rid of dead probes, and its free places wake the next. A closed one with steps parked
        and none in flight lets one go.

        Args:
            now: Microseconds.
            specs: How a breaker is declared, by its plain name.
            in_flight: Tells whether a call behind the breaker is being made here.

        Returns:
            The ids of the streams woken.
        """
        woken: list[str] = []
        for head in self._log.heads(kind=KIND):
            name = head.id.removeprefix(PREFIX)
            if head.status == "forced_open":
                continue
            if head.status in ("closed", "disabled"):
                if not in_flight(name):
                    woken += self._next(name, now, 1, specs(name).reset_timeout)
                continue
            if head.due is None or head.due <= now:
                woken += self._probe(name, now, specs(name))
        return woken

    def _probe(self, name: str, now: int, spec: BreakerSpec) -> list[str]:
        """Open the places of a breaker whose time has come, and wake who may take them."""

        def choose(state: BreakerState) -> list[Fact]:
            if state.state == "open" and (state.until is None or state.until <= now):
                return [core.half_open(state)]
            dead = [by for by, until in state.probes.items() if until <= now]
            return [fact for by in dead for fact in core.uncounted(state, by=by)]

        state, _ = self.decide(name, choose, fresh=True)
        if state.state != "half_open":
            return []
        return self._next(name, now, spec.probes - len(state.probes), spec.reset_timeout)

    def _next(self, name: str, now: int, places: int, patience: int) -> list[str]:
        """Wake the next for the free places, less those woken that may still come.

        One that nobody took within `patience` (no worker has its code) holds no place.
        """
        for stream in self._log.waiting(name, limit=places + LOOKED_AT) if places > 0 else ():
            head = self._log.head(stream)
            if head is not None and head.due is not None and now - patience < head.due <= now:
                places -= 1
        return self.release(name, places) if places > 0 else []


def copy_of(state: BreakerState) -> BreakerState:
    """Give a copy that may be changed."""
    twin = copy.copy(state)
    twin.probes = dict(state.probes)
    return twin
