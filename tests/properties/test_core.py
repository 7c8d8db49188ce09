"""The pure core held against random workflows and random lives."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import breaker as breakers
from engine.core import commands as c
from engine.core.advance import advance
from engine.core.define import BreakerSpec, Definition, Delay, Edge, Guard, Node, Param, State
from engine.core.evolve import evolve
from engine.core.joins import rejoin
from engine.core.plan import Plan
from engine.core.run import Run, next_due
from eventstore import clock
from tests.engine.core.bench import BOOM, NOTHING, SECOND, Bench

ENCODE = msgspec.msgpack.encode
DECODE = msgspec.msgpack.Decoder(Run).decode
SPEC = BreakerSpec("api", failure_threshold=2, reset_timeout=60 * SECOND)
ONCE = (c.Succeed, c.Fail, c.Lose, c.Cease, c.PauseRun, c.ResumeRun, c.CancelRun, c.RedefineRun)

Pick = Callable[[Sequence[Any]], Any]  # chooses one of several: hypothesis, or plain chance


def some(pick: Pick, options: Sequence[Any], most: int) -> list[Any]:
    """Pick up to `most` different ones."""
    count = pick(range(min(most, len(options)) + 1))
    picked: list[Any] = []
    while len(picked) < count:
        picked.append(pick([option for option in options if option not in picked]))
    return picked


def delay(pick: Pick) -> Delay:
    """Pick a delay of up to 100 seconds."""
    return Delay(us=pick(range(1, 101)) * SECOND)


def a_pipeline(pick: Pick) -> Definition:
    """Make a pipeline of up to eight nodes with every kind of edge, wait and breaker."""
    nodes: list[Node] = []
    for number in range(pick(range(1, 8))):
        above = [node.name for node in nodes]
        after = tuple(some(pick, above, 2))
        kind = pick(["step", "step", "step", "signal", "timer"])
        if kind != "step":
            wait = delay(pick) if kind == "timer" or pick([True, False]) else None
            nodes.append(Node(f"{kind}{number}", kind, after=after, delay=wait))
            continue
        params = tuple(
            Param(name, "node", required=pick([True, False]), outcome=pick([True, False]))
            for name in some(pick, above, 3)
        )
        has_fallback = pick([True, False])
        modes = ["park", "fail", "skip"] + ["fallback"] * has_fallback
        nodes.append(
            Node(
                f"step{number}",
                params=params,
                after=after,
                when=pick([None, None, ()]),
                fallback=() if has_fallback else None,
                breaker=pick([None, "api"]),
                on_open=pick(modes),
                on_lost=pick(["retry", "retry", "fail"]),
            )
        )
    last = Node("last", params=(Param(nodes[-1].name, "node", outcome=True),))
    return Definition("p", nodes=(*nodes, last), breakers=(SPEC,))


def a_machine(pick: Pick) -> Definition:
    """Make a machine of up to six states; `go` leads on from each that is not final."""
    names = [f"s{n}" for n in range(pick(range(1, 6)))]
    states, nodes = [], []
    edges: list[Edge] = []
    guards: list[tuple[str, ...]] = [(), (), ("g",), ("h",), ("g", "h")]
    for name in names:
        timeout = pick([None, delay(pick)])
        states.append(State(name, timeout=timeout, on_timeout="late" if timeout else None))
        if pick([True, False]):
            breaker, on_open = pick([None, "api"]), pick(["park", "fail", "skip"])
            nodes.append(Node(name, breaker=breaker, on_open=on_open))
        for _ in range(pick(range(7))):
            trigger = pick(["done", "error", "go", "stop", "late"])
            dest = pick([*names, "end", None])
            edges.append(Edge(trigger, name, dest, conditions=pick(guards)))
        edges.append(Edge("go", name, pick([*names, "end"])))
    states.append(State("end", outcome=pick(["succeeded", "failed"])))
    return Definition(
        "m",
        nodes=tuple(nodes),
        breakers=(SPEC,),
        states=tuple(states),
        edges=tuple(edges),
        guards=(Guard("g"), Guard("h")),
        initial="s0",
        defer=pick([(), (), ("stop",)]),
    )


class Life:
    """One random life of a run, and the laws that hold after each thing that happens."""

    def __init__(self, pick: Pick) -> None:
        definition = pick([a_pipeline, a_machine])(pick)
        self.bench = Bench(definition)
        self.pick = pick
        self.is_machine = definition.is_machine
        self.signals = [n.name for n in definition.nodes if n.kind == "signal"]
        self.last: c.Command | None = None
        bench = self.bench
        bench.whens = {n.name: pick([True, False, BOOM]) for n in definition.nodes}
        bench.starts(due=pick([None, bench.now + SECOND]))

    def happens(self) -> None:
        """Let one thing happen, and hold the laws."""
        bench, pick = self.bench, self.pick
        bench.guards = {g: pick([True, False, False, BOOM]) for g in "gh"}
        bench.free = pick([0, 1, 99])
        bench.woken = pick([True, False])
        what = pick(["attempt"] * 4 + ["signal"] * 2 + ["steer", "time", "stale"])
        if what == "time":
            bench.now += pick([1, SECOND, 61 * SECOND])
            self.follow()
            return
        command = getattr(self, what)()
        if command is None:
            return
        bench.when(command)
        self.last = command
        written = len(bench.tape)
        counts_once = isinstance(command, ONCE) or getattr(command, "key", None) is not None
        if counts_once and bench.refusal is None:
            bench.when(command)
            assert len(bench.tape) == written, "a repeated command added an event"
        self.follow()

    def follow(self) -> None:
        """Let follow what follows: as a worker does, a sender who asks no code, or not yet."""
        bench = self.bench
        how = self.pick(["worker", "worker", "worker", "sender", "later"])
        if how == "worker":
            bench.goes_on()
            self.rests()
        elif how == "sender":
            bench.free = 0
            while (
                isinstance(found := advance(bench.run, bench.plan, bench.world()), list)
                and found
            ):
                bench.fold(*found)
        self.joins()

    def attempt(self) -> c.Command | None:
        """End an attempt that is in flight."""
        bench, pick = self.bench, self.pick
        if not bench.run.running:
            return None
        name = pick(list(bench.run.running))
        step = bench.run.steps[name]
        at = (name, step.visit, step.attempt)
        how = pick(["ok", "ok", "retry", "fail", "lose", "die"])
        if how == "ok":
            return c.Succeed(*at, NOTHING)
        if how == "retry" and not step.refused:
            wait = pick([0, SECOND])
            return c.Fail(*at, BOOM, wait=wait)
        if how in ("lose", "die"):
            return c.Lose(*at, died=how == "die")
        if bench.run.status == "cancelling" and pick([True, False]):
            return c.Cease(*at)
        counts = pick([True, True, None, False])
        return c.Fail(*at, BOOM, counts=counts, for_good=pick([True, False]))

    def signal(self) -> c.Command:
        """Tell the run something."""
        known = ["go", "stop"] if self.is_machine else self.signals
        name = self.pick([*known, "nonsense"])
        return c.TellSignal(name, key=self.pick([None, "k1", "k2"]))

    def steer(self) -> c.Command:
        """Steer the run."""
        same = c.RedefineRun(f"hash{self.pick(range(2))}")
        steering = [
            c.PauseRun(),
            c.ResumeRun(),
            c.ResumeRun(),
            c.CancelRun(),
            c.RetryRun(),
            same,
        ]
        return self.pick([*steering, c.RetryRun(), c.ParkRun("x")])

    def stale(self) -> c.Command | None:
        """Say again what was said last."""
        return self.last if isinstance(self.last, ONCE) else None

    # Laws.

    def rests(self) -> None:
        """When all has followed, nothing is due; what has not ended waits for something."""
        run, bench = self.bench.run, self.bench
        assert advance(run, bench.plan, bench.world()) == []
        if run.status != "running" or not bench.free:
            assert run.status != "cancelling" or run.running
            return
        due = next_due(run)
        assert run.running or due is None or due > bench.now
        assert run.failing is None or run.running
        if run.failing is not None:
            return
        assert not run.ready, "a free slot, and work that is not started"
        assert not run.begins
        if not self.is_machine:
            waits = run.running or run.timers or run.retrying or run.parked or run.awaiting
            assert waits, "the run waits for nothing and has not ended"
        assert run.pending is None
        assert not run.inbox

    def joins(self) -> None:
        """What the fold counted down step by step is what counting anew gives."""
        run = self.bench.run
        if self.is_machine or not run.begun or run.status == "succeeded":
            return
        anew = DECODE(ENCODE(run))
        rejoin(anew, self.bench.plan)
        for field in ("ready", "awaiting", "begins"):
            assert set(getattr(anew, field)) == set(getattr(run, field)), field
        assert anew.open == run.open
        assert {n: left for n, left in anew.waiting.items() if left} == {
            n: left for n, left in run.waiting.items() if left
        }

    def ends(self) -> None:
        """Let all go well from here: a pipeline ends, a machine never stands still."""
        bench = self.bench
        bench.guards, bench.whens = {"g": True, "h": True}, {}
        bench.free, bench.woken = 10**6, True
        if bench.run.status == "paused":
            bench.when(c.ResumeRun())
        if bench.run.status == "parked":
            bench.when(c.RetryRun())
        for _ in range(60):
            bench.goes_on()
            if bench.run.is_ended:
                return
            for name in list(bench.run.running):
                if name in bench.run.running:
                    bench.succeeds(name)
            for name in self.signals:
                if name in bench.run.awaiting:
                    bench.does(c.TellSignal(name))
            if self.is_machine and not bench.run.is_ended:
                self.steps_on()
            bench.now += 3600 * SECOND
        assert self.is_machine, "everything went well, and the run did not end"

    def steps_on(self) -> None:
        """Tell a machine to go: it takes the signal."""
        bench, moved = self.bench, self.bench.run.moved
        if bench.run.status != "running":
            return
        bench.does(c.TellSignal("go"))
        assert bench.run.moved > moved or bench.run.is_ended

    def folds(self, cut: int) -> None:
        """The fold of a prefix and then the rest is the whole, through bytes and twice over."""
        tape, plan = self.bench.tape, self.bench.plan
        first, second = Run("r1"), Run("r1")
        for version, (fact, at) in enumerate(tape, 1):
            text = msgspec.json.encode(fact.data).decode()
            row = (version, fact.type, fact.subject, fact.source, fact.dest, text, at)
            evolve(first, plan, *row)
            evolve(second, plan, *row)
            if version == cut:
                second = DECODE(ENCODE(second))
        whole = ENCODE(self.bench.run)
        assert ENCODE(first) == whole
        assert ENCODE(second) == whole


def live(pick: Pick) -> None:
    """Let a random life happen, fold it in parts, and let it end well."""
    life = Life(pick)
    for _ in range(pick(range(26))):
        life.happens()
    life.folds(pick(range(len(life.bench.tape) + 1)))
    life.ends()
    life.folds(pick(range(len(life.bench.tape) + 1)))


@settings(max_examples=100)
@given(data=st.data())
def test_a_random_life_breaks_no_law(data: st.DataObject) -> None:
    """The fold refuses nothing decided; repeated commands add nothing; nothing is stuck."""
    live(lambda options: data.draw(st.sampled_from(options)))


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_lives_by_chance_break_no_law(part: int) -> None:
    """The same laws over longer lives than a search for small examples looks at."""
    lives = int(os.environ.get("PLAYHEAD_TEST_LIVES", "1000")) // 10
    for seed in range(part * lives, (part + 1) * lives):
        try:
            live(clock.new_chance(f"life {seed}").choice)
        except Exception as error:
            error.add_note(f"it is life {seed}")
            raise


@settings(max_examples=200)
@given(data=st.data(), probes=st.integers(1, 3), threshold=st.integers(1, 3))
def test_a_random_breaker_breaks_no_law(
    data: st.DataObject, probes: int, threshold: int
) -> None:
    """Never more live probes than declared; later one may call again."""
    spec = BreakerSpec("api", threshold, 60, probes)
    state, now, calls = breakers.BreakerState("api"), 0, {}
    for number in range(data.draw(st.integers(0, 40))):
        what = data.draw(st.sampled_from(["ask", "ask", "ok", "fail", "fail", "end", "time"]))
        facts = []
        if what == "time":
            now += data.draw(st.sampled_from([1, 30, 60]))
        elif what == "ask":
            leave = breakers.admit(state, spec, now, by=str(number), deadline=now + 30)
            facts = list(leave.facts)
            shut = state.state == "open" and now < (state.until or 0)
            full = sum(until > now for until in state.probes.values()) == probes
            assert leave.given is not (shut or full)
        elif calls:
            by = data.draw(st.sampled_from(list(calls)))
            generation = calls.pop(by)
            if what == "end":
                facts = breakers.uncounted(state, by=by)
            else:
                facts = breakers.outcome(
                    state, spec, now, generation=generation, ok=what == "ok", by=by
                )
        for fact in facts:
            breakers.evolve(
                state, state.version + 1, fact.type, fact.source, fact.dest, fact.data
            )
        if what == "ask" and leave.given:
            calls[str(number)] = state.generation
        assert sum(until > now for until in state.probes.values()) <= probes
        assert (state.until is not None) == (state.state == "open")
        assert state.failures < threshold
    assert breakers.admit(state, spec, now + 60, by="later", deadline=now + 90).given


def test_plans_of_equal_definitions_are_equal() -> None:
    """A definition read back from its bytes has the same hash and tables."""
    definition = Definition("p", nodes=(Node("a"),))
    assert Plan(definition).hash == Plan(Definition("p", nodes=(Node("a"),))).hash
