"""A bench for the pure core: given events, when a command, then events; no log, no clock.

Events are written as one line each: `step.started enrich blocked>running`, and `-` for what is
not yet there. Every one of them goes through its form on disk before it is folded.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core import breaker as breakers
from engine.core import commands as c
from engine.core.advance import Question, advance
from engine.core.breaker import BreakerState
from engine.core.commands import Refusal
from engine.core.decide import decide
from engine.core.define import BreakerSpec, Definition, Delay, Edge, Guard, Node, Param, State
from engine.core.events import DECODERS, NOT_YET, ErrorDoc, Fact
from engine.core.evolve import evolve
from engine.core.facts import Facts
from engine.core.plan import Plan
from engine.core.run import Run

SECOND = 1_000_000
NOW = 1_000 * SECOND
BOOM = ErrorDoc("Boom", "it went wrong")
NOTHING = c.Value(raw=msgspec.Raw(b"null"))


def line(fact: Fact) -> str:
    """Give a fact as one line; a breaker's begins with its stream."""
    where = f"{fact.stream} " if fact.stream else ""
    source = "-" if fact.source == NOT_YET else fact.source
    return f"{where}{fact.type} {fact.subject} {source}>{fact.dest}"


def node(name: str, *upstreams: str, **options: Any) -> Node:
    """Make a step: upstream `a` is required, `a?` has a default, `a!` is an Outcome."""
    params = tuple(
        Param(up.rstrip("?!"), "node", required=not up.endswith("?"), outcome=up.endswith("!"))
        for up in upstreams
    )
    return Node(name, params=params, **options)


def pipeline(*nodes: Node, breaker: BreakerSpec | None = None) -> Definition:
    """Make a pipeline of nodes."""
    return Definition("w", nodes=nodes, breakers=(breaker,) if breaker else ())


def publish() -> Definition:
    """Make the machine of the design: drafts are reviewed, revised up to a limit, released."""
    two_days = Delay(us=172_800 * SECOND)
    return Definition(
        "publish",
        nodes=(node("draft"), node("release")),
        states=(
            State("draft"),
            State("review", timeout=two_days, on_timeout="expire"),
            State("release"),
            State("published"),
            State("rejected", outcome="failed"),
        ),
        edges=(
            Edge("done", "draft", "review"),
            Edge("revise", "review", "draft", conditions=("few_drafts",)),
            Edge("revise", "review", "rejected"),
            Edge("approve", "review", "release"),
            Edge("reject", "review", "rejected"),
            Edge("expire", "review", "rejected"),
            Edge("done", "release", "published"),
            Edge("error", "draft", "rejected"),
            Edge("error", "release", "rejected"),
        ),
        guards=(Guard("few_drafts"),),
        initial="draft",
    )


class Bench:
    """One run on the bench, with the breakers, free slots and answers of user code at hand."""

    def __init__(self, definition: Definition) -> None:
        self.plan = Plan(definition)
        self.run = Run("r1")
        self.now = NOW
        self.free = 99  # slots
        self.woken = False
        self.queued: frozenset[str] = frozenset()
        self.specs = {spec.name: spec for spec in definition.breakers}
        self.breakers = {name: BreakerState(name) for name in self.specs}
        self.whens: Mapping[str, bool | ErrorDoc] = {}
        self.guards: Mapping[str, bool | ErrorDoc] = {}
        self.delays: Mapping[str, int | ErrorDoc] = {}
        self.answered: set[str] = set()
        self.tape: list[tuple[Fact, int]] = []  # the run's own events and when
        self.facts: list[Fact] = []  # of the last command or going on
        self.refusal: Refusal | None = None

    def _take(self, _: str) -> bool:
        if not self.free:
            return False
        self.free -= 1
        return True

    def world(self) -> Facts:
        """Give what a choice may lean on."""
        return Facts(
            now=self.now,
            worker="w1",
            breakers=self.breakers,
            specs=self.specs,
            take=self._take,
            queued=self.queued,
            answered=self.answered,
            woken=self.woken,
        )

    def fold(self, *facts: Fact) -> "Bench":
        """Fold facts as a log would give them back."""
        for fact in facts:
            text = msgspec.json.encode(fact.data).decode()
            if fact.stream is not None:
                state = self.breakers[fact.stream.removeprefix(breakers.PREFIX)]
                told = DECODERS[fact.type](text)
                breakers.evolve(
                    state, state.version + 1, fact.type, fact.source, fact.dest, told
                )
                continue
            evolve(
                self.run, self.plan, self.run.version + 1, fact.type, fact.subject,
                fact.source, fact.dest, text, self.now,
            )  # fmt: skip
            self.tape.append((fact, self.now))
            if fact.type == "step.started":
                self.answered.discard(fact.subject)
        return self

    def when(self, command: c.Command) -> "Bench":
        """Decide a command and fold what it brings about; nothing follows yet."""
        decided = decide(self.run, self.plan, command, self.world())
        self.refusal = decided if isinstance(decided, Refusal) else None
        self.facts = list(decided.record if isinstance(decided, Refusal) else decided)
        return self.fold(*self.facts)

    def goes_on(self) -> "Bench":
        """Let everything follow that follows, user code answering."""
        self.facts = []
        while found := advance(self.run, self.plan, self.world()):
            if isinstance(found, Question):
                answer = self.answer(found)
                if answer is None:
                    self.answered.add(found.name)
                    continue
                decided = decide(self.run, self.plan, answer, self.world())
                assert not isinstance(decided, Refusal)
                assert decided, f"the answer to {found} means nothing"
                found = decided
            self.facts.extend(found)
            self.fold(*found)
        return self

    def answer(self, asked: Question) -> c.Command | None:
        """Answer as the user's code would; None: `when` says yes."""
        if asked.kind == "when":
            said = self.whens.get(asked.name, True)
            if said is True:
                return None
            return c.AnswerWhen(asked.name, said if isinstance(said, ErrorDoc) else None)
        if asked.kind == "delay":
            due = self.delays[asked.name]
            if isinstance(due, ErrorDoc):
                return c.SetTimer(asked.name, error=due)
            return c.SetTimer(asked.name, due)
        answers: dict[str, bool] = {}
        for edge in self.plan.edges.get((self.run.place or "", asked.name), ()):
            for name in (*edge.conditions, *edge.unless):
                said = self.guards.get(name, True)
                if isinstance(said, ErrorDoc):
                    return c.PullTrigger(
                        asked.name, asked.version, answers, error=said, guard=name
                    )
                answers[name] = said
        return c.PullTrigger(asked.name, asked.version, answers)

    # Words for what happens all the time.

    def starts(self, **options: Any) -> "Bench":
        """Start the run and let it go on."""
        return self.when(c.StartRun("w", "hash", NOTHING, **options)).goes_on()

    def does(self, command: c.Command) -> "Bench":
        """Decide a command and let everything follow; both are the last facts."""
        decided = self.when(command).facts
        self.goes_on()
        self.facts = [*decided, *self.facts]
        return self

    def succeeds(self, name: str, value: bytes = b"1") -> "Bench":
        """Let the attempt in flight of a step succeed."""
        step = self.run.steps[name]
        value_ = c.Value(raw=msgspec.Raw(value))
        return self.does(c.Succeed(name, step.visit, step.attempt, value_))

    def fails(self, name: str, **options: Any) -> "Bench":
        """Let the attempt in flight of a step fail."""
        step = self.run.steps[name]
        return self.does(c.Fail(name, step.visit, step.attempt, BOOM, **options))

    def loses(self, name: str, *, died: bool = True) -> "Bench":
        """Let the worker of a step be gone."""
        step = self.run.steps[name]
        return self.does(c.Lose(name, step.visit, step.attempt, died=died))

    def passes(self, seconds: float) -> "Bench":
        """Let time pass and everything follow."""
        self.now += round(seconds * SECOND)
        return self.goes_on()

    def then(self, *lines: str) -> "Bench":
        """Hold the last facts against lines."""
        assert [line(fact) for fact in self.facts] == list(lines)
        return self

    def is_refused(self, kind: str) -> "Bench":
        """Hold the last command's refusal against its kind."""
        assert self.refusal is not None, "it was not refused"
        assert self.refusal.kind == kind
        return self
