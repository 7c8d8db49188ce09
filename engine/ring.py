"""One try at a turn: decide, evolve, advance, then append; thrown away if the log refuses it."""

from collections.abc import Sequence

import msgspec

from engine.core import breaker as breaker_core
from engine.core import commands as c
from engine.core.advance import Question, advance
from engine.core.commands import Refusal
from engine.core.decide import decide
from engine.core.decide_step import SUSPECT_AFTER
from engine.core.events import Fact, StepStarted
from engine.core.evolve import evolve
from engine.core.facts import Facts
from engine.core.run import owes_work
from engine.flights import Crew, Flight, Slot
from engine.repository import Hold, row_of
from engine.triggering import Beside
from engine.turn import Consulted, Table, Turn
from eventstore import Append, Headline, InboxKey, NewEvent, Write, clock

_encode = msgspec.json.encode
_RAW = msgspec.Raw


class Try:
    """One try at a turn; thrown away if the log refuses it."""

    def __init__(
        self, turns: Table, hold: Hold, crew: Crew | None, own: Flight | None,
        beside: Beside | None = None,
    ) -> None:  # fmt: skip
        self.turns = turns
        self.hold = hold
        self.crew = crew
        self.own = own
        self.beside = beside
        self.own_free = own is not None
        self.now = clock.now_us()
        self.events: list[NewEvent] = []
        self.facts_of: dict[str, list[Fact]] = {}
        self.flights: list[Flight] = []
        self.taken: list[Slot] = []
        self.slot: Slot | None = None  # the one taken last
        self.hungry = False
        self.has_suspect = False  # among what is hungry
        self.breakers = Consulted(turns.breakers)
        self.specs = turns.specs(hold.plan)
        self.cause: str | None = None

    def run(
        self, commands: Sequence[c.Command], inbox: tuple[InboxKey, ...], *, release: bool
    ) -> Turn:
        """Decide and fold everything, then append it."""
        hold = self.hold
        facts = self._facts()
        refusal: Refusal | None = None
        for command in commands:
            self._blame(command)
            decided = decide(hold.run, hold.plan, command, facts)
            if isinstance(decided, Refusal):
                refusal = decided
                self._fold(decided.record)
            else:
                self._fold(decided)
        if self.crew is not None or refusal is None:
            self._advance(facts)
        self._append(inbox, refusal, release=release)
        kept = self.own is not None and not self.own_free
        return Turn(
            self.flights, refusal, len(self.events), self.hungry, self.has_suspect, kept
        )  # fmt: skip

    def _facts(self) -> Facts:
        hold = self.hold
        queued: frozenset[str] = frozenset()
        if self.specs:
            queued = self.turns.queued(hold.plan)
        return Facts(
            now=self.now, worker=self.turns.worker, breakers=self.breakers, specs=self.specs,
            take=self._take, queued=queued, answered=hold.answered, woken=hold.woken,
        )  # fmt: skip

    def _blame(self, command: c.Command) -> None:
        """Name what caused the events of a command: the start of the attempt that ended."""
        if isinstance(command, c.Succeed | c.Fail | c.Cease | c.Lose):
            step = self.hold.run.steps.get(command.step)
            if step is not None and step.started:
                self.cause = f"{self.hold.run.id}@{step.started}"

    def _take(self, name: str) -> bool:
        if self.crew is None:
            return False
        step = self.hold.run.step(name)
        is_async = self._is_async(name, fallback=step.fallback)
        suspect = step.deaths >= SUSPECT_AFTER
        needs_thread = not (is_async and self.crew.has_async)
        if self.own is not None and self.own_free and needs_thread and not suspect:
            has_ended = self.own.slot is Slot.ALONE  # a suspect, in this very slot
            if has_ended or not self.crew.is_shut():
                self.own_free = False
                self.slot = self.own.slot
                return True
        self.slot = self.crew.take(is_async=is_async, suspect=suspect)
        if self.slot is None:
            self.hungry = True
            self.has_suspect |= suspect
            return False
        self.taken.append(self.slot)
        return True

    def _is_async(self, name: str, *, fallback: bool) -> bool:
        work = self.turns.performer.work(self.hold, name)
        call = work.fallback if fallback else work.main
        return call is not None and call.is_async

    def _advance(self, facts: Facts) -> None:
        """Let follow what follows; ask user code where the next choice needs it."""
        hold = self.hold
        while True:
            found = advance(hold.run, hold.plan, facts)
            if isinstance(found, Question):
                if self.crew is None:
                    return  # a sender asks nothing: a worker will
                if found.version:
                    self.cause = f"{hold.run.id}@{found.version}"
                answer = self.turns.performer.answer(hold, found)
                if answer is None:
                    hold.answered.add(found.name)
                    continue
                decided = decide(hold.run, hold.plan, answer, facts)
                found = [] if isinstance(decided, Refusal) else decided
            if not found:
                return
            self._fold(found)

    def _fold(self, facts: Sequence[Fact]) -> None:
        hold = self.hold
        run, veil = hold.run, self.turns.veil
        for decided in facts:
            fact = decided if veil is None else veil.fact(decided)
            if fact.stream is not None:
                name = fact.stream.removeprefix(breaker_core.PREFIX)
                state = self.breakers[name]
                breaker_core.evolve(
                    state, state.version + 1, fact.type, fact.source, fact.dest, fact.data
                )
                self.facts_of.setdefault(name, []).append(fact)
                continue
            version = run.version + 1
            if fact.type == "run.redefined":
                hold.plan = self.turns.repository.plan(fact.data.definition)
                self.specs = self.turns.specs(hold.plan)
            cause = self.cause or self._cause_of(fact)
            evolve(
                run, hold.plan, version, fact.type, fact.subject, fact.source, fact.dest,
                fact.data, self.now,
            )  # fmt: skip
            event = NewEvent(
                fact.type, fact.subject, fact.source, fact.dest,
                _encode(fact.data).decode(), self.now, cause,
            )  # fmt: skip
            self.events.append(event)
            hold.unwritten[version] = event
            self.cause = f"{run.id}@{version}"
            if fact.type == "step.started":
                self._note_flight(fact.subject, fact.data)
            elif fact.type == "step.succeeded" and type(fact.data.output) is _RAW:
                hold.keep(version, bytes(fact.data.output))

    def _cause_of(self, fact: Fact) -> str | None:
        """Name the event that made a start due, when it lies in an earlier append."""
        run = self.hold.run
        if fact.type != "step.started" or not run.version:
            return None
        if fact.source == "retrying":
            version = run.step(fact.subject).failed
        elif run.place is not None:
            version = run.moved
        else:
            above = self.hold.plan.upstreams.get(fact.subject, ())
            version = max((run.outputs.get(name, 0) for name in above), default=0) or 1
        return f"{run.id}@{version}"

    def _note_flight(self, name: str, data: StepStarted) -> None:
        self.hold.answered.discard(name)
        self.flights.append(
            Flight(
                self.hold, name, data.visit, data.attempt, fallback=data.fallback,
                refused=data.refused, deadline=data.deadline, slot=self.slot,
            )
        )  # fmt: skip
        self.slot = None

    def _append(
        self, inbox: tuple[InboxKey, ...], refusal: Refusal | None, *, release: bool
    ) -> None:
        hold, turns = self.hold, self.turns
        hold.unwritten = {}
        flights = self._still_running()
        busy = bool(flights) or self.hungry or self._in_flight()
        if hold.is_owned or self.crew is not None:
            owns = busy and not release and not hold.run.is_ended
            owner = turns.worker if owns else None
        else:  # a sender leaves the owner as it is
            owns, owner = False, None if hold.run.is_ended else hold.owner
        row = row_of(hold, owner=owner)
        if owner is None and owes_work(hold.run):
            row = msgspec.structs.replace(row, due=self.now)
        besides: tuple[Write, ...] = ()
        if self.beside is not None and (self.events or refusal is None):
            besides, keys = self.beside.part(None if refusal is None else refusal.reason)
            inbox += keys
        if not self.events and not inbox and hold.is_owned == owns and hold.tip.version:
            hold.woken = hold.woken and self.hungry
            self._tell()  # what others appended may ask attempts to stop
            return
        new = not hold.tip.version
        run = hold.run
        headline = (
            Headline(name=run.workflow, key=run.key, tags=run.tags, priority=run.priority)
            if new
            else None
        )
        writes = [Write(run.id, "run", hold.tip, tuple(self.events), row, headline)]
        for name, state in self.breakers.items():
            facts = self.facts_of.get(name, ())
            tip = self.breakers.tips[name]
            writes.append(turns.breakers.write(name, facts, self.now, tip=tip, state=state))
        tips = turns.log.append(Append(turns.append_id(), (*writes, *besides), inbox))
        hold.tip = tips[0]
        if self.beside is not None:
            self.beside.landed(tips[len(writes) :])
        hold.is_owned, hold.owner = owns, owner
        hold.woken = hold.woken and self.hungry  # woken, but no slot was free: it asks again
        for name, tip in zip(self.breakers, tips[1 : len(writes)], strict=True):
            if name in self.facts_of:
                turns.breakers.appended(name, tip, self.breakers[name])
        for flight in flights:
            hold.flights[flight.step] = flight
        self._tell()

    def _still_running(self) -> list[Flight]:
        """Leave out what was started and ended in this very turn; its slots are free again."""
        over = [f for f in self.flights if self.hold.run.steps[f.step].state != "running"]
        for flight in over:
            self.flights.remove(flight)
            if flight.slot in self.taken and self.crew is not None:
                self.taken.remove(flight.slot)
                self.crew.give_back(flight.slot)
        return self.flights

    def _in_flight(self) -> bool:
        """Tell whether an attempt of this process still runs for the fold as it stands."""
        for name, flight in self.hold.flights.items():
            step = self.hold.run.steps.get(name)
            if step is not None and step.state == "running" and step.attempt == flight.attempt:
                return True
        return False

    def _tell(self) -> None:
        """Cancel what the fold no longer runs, and tell who listens."""
        hold = self.hold
        for name, flight in list(hold.flights.items()):
            step = hold.run.steps.get(name)
            if step is None or step.state != "running" or step.attempt != flight.attempt:
                del hold.flights[name]  # not before: a run with an attempt in flight is kept
                flight.is_abandoned = True
                flight.cancel()
            elif hold.run.status == "cancelling":
                flight.cancel()
        if self.events:
            self.turns.tell(hold, self.events)
        if self.own is not None and self.own.hold is hold:  # else another run has its slot now
            breaker = hold.plan.nodes[self.own.step].breaker
            if breaker is not None and any(e.type == "step.succeeded" for e in self.events):
                self.turns.passed(breaker)

    def undo(self) -> None:
        """Give back the slots this try has taken, and forget what it folded."""
        self.hold.unwritten = {}
        if self.crew is None:
            return
        for slot in self.taken:
            self.crew.give_back(slot)
        self.taken.clear()
