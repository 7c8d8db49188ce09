"""The pure core held against random workflows and random lives."""

from collections.abc import Callable

import msgspec
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
from tests.engine.core.bench import BOOM, NOTHING, SECOND, Bench

ENCODE = msgspec.msgpack.encode
DECODE = msgspec.msgpack.Decoder(Run).decode
SPEC = BreakerSpec("api", failure_threshold=2, reset_timeout=60 * SECOND)
ONCE = (c.Succeed, c.Fail, c.Lose, c.Cease, c.PauseRun, c.ResumeRun, c.CancelRun, c.RedefineRun)

delays = st.builds(Delay, us=st.integers(1, 100).map(lambda n: n * SECOND))


@st.composite
def pipelines(draw: st.DrawFn) -> Definition:
    """Draw a pipeline of up to seven nodes with every kind of edge, wait and breaker."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 7))):
        above = [node.name for node in nodes]
        after = (
            tuple(draw(st.lists(st.sampled_from(above), max_size=2, unique=True)))
            if above
            else ()
        )
        kind = draw(st.sampled_from(["step", "step", "step", "signal", "timer"]))
        if kind != "step":
            delay = draw(delays) if kind == "timer" else draw(st.none() | delays)
            nodes.append(Node(f"{kind}{number}", kind, after=after, delay=delay))  # type: ignore[arg-type]
            continue
        names = draw(st.lists(st.sampled_from(above), max_size=3, unique=True)) if above else []
        params = tuple(
            Param(name, "node", required=draw(st.booleans()), outcome=draw(st.booleans()))
            for name in names
        )
        has_fallback = draw(st.booleans())
        modes = ["park", "fail", "skip"] + ["fallback"] * has_fallback
        nodes.append(
            Node(
                f"step{number}",
                params=params,
                after=after,
                when=draw(st.sampled_from([None, None, ()])),
                fallback=() if has_fallback else None,
                breaker=draw(st.sampled_from([None, "api"])),
                on_open=draw(st.sampled_from(modes)),
                on_lost=draw(st.sampled_from(["retry", "retry", "fail"])),
            )
        )
    nodes.append(
        Node("last", params=tuple(Param(n.name, "node", outcome=True) for n in nodes[-1:]))
    )
    return Definition("p", nodes=tuple(nodes), breakers=(SPEC,))


@st.composite
def machines(draw: st.DrawFn) -> Definition:
    """Draw a machine of up to five states; `go` leads on from each that is not final."""
    names = [f"s{n}" for n in range(draw(st.integers(1, 5)))]
    states, nodes = [], []
    edges: list[Edge] = []
    dests = st.sampled_from([*names, "end", None])
    guards = st.sampled_from([(), (), ("g",), ("h",), ("g", "h")])
    for name in names:
        timeout = draw(st.none() | delays)
        states.append(State(name, timeout=timeout, on_timeout="late" if timeout else None))
        if draw(st.booleans()):
            breaker = draw(st.sampled_from([None, "api"]))
            on_open = draw(st.sampled_from(["park", "fail", "skip"]))
            nodes.append(Node(name, breaker=breaker, on_open=on_open))
        pulled = draw(
            st.lists(st.sampled_from(["done", "error", "go", "stop", "late"]), max_size=6)
        )
        edges += [Edge(pull, name, draw(dests), conditions=draw(guards)) for pull in pulled]
        edges.append(Edge("go", name, draw(st.sampled_from([*names, "end"]))))
    states.append(State("end", outcome=draw(st.sampled_from(["succeeded", "failed"]))))
    return Definition(
        "m",
        nodes=tuple(nodes),
        breakers=(SPEC,),
        states=tuple(states),
        edges=tuple(edges),
        guards=(Guard("g"), Guard("h")),
        initial="s0",
        defer=draw(st.sampled_from([(), (), ("stop",)])),
    )


class Life:
    """One random life of a run, and the laws that hold after each thing that happens."""

    def __init__(
        self, definition: Definition, draw: Callable[[st.SearchStrategy], object]
    ) -> None:
        self.bench = Bench(definition)
        self.draw = draw
        self.is_machine = definition.is_machine
        self.signals = [n.name for n in definition.nodes if n.kind == "signal"]
        self.last: c.Command | None = None
        bench = self.bench
        bench.whens = {
            n.name: draw(st.sampled_from([True, False, BOOM])) for n in definition.nodes
        }  # type: ignore[misc]
        bench.starts(due=draw(st.sampled_from([None, bench.now + SECOND])))

    def happens(self) -> None:
        """Let one thing happen, and hold the laws."""
        bench, draw = self.bench, self.draw
        bench.guards = {g: draw(st.sampled_from([True, False, False, BOOM])) for g in "gh"}  # type: ignore[misc]
        bench.free = draw(st.sampled_from([0, 1, 99]))  # type: ignore[assignment]
        bench.woken = bool(draw(st.booleans()))
        what = draw(
            st.sampled_from(["attempt"] * 4 + ["signal"] * 2 + ["steer", "time", "stale"])
        )
        if what == "time":
            bench.now += draw(st.sampled_from([1, SECOND, 61 * SECOND]))  # type: ignore[operator]
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
        how = self.draw(st.sampled_from(["worker", "worker", "worker", "sender", "later"]))
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
        bench, draw = self.bench, self.draw
        if not bench.run.running:
            return None
        name = draw(st.sampled_from(list(bench.run.running)))
        step = bench.run.steps[name]  # type: ignore[index]
        at = (name, step.visit, step.attempt)
        how = draw(st.sampled_from(["ok", "ok", "retry", "fail", "lose", "die"]))
        if how == "ok":
            return c.Succeed(*at, NOTHING)  # type: ignore[arg-type]
        if how == "retry" and not step.refused:
            wait = draw(st.sampled_from([0, SECOND]))
            return c.Fail(*at, BOOM, wait=wait)  # type: ignore[arg-type]
        if how in ("lose", "die"):
            return c.Lose(*at, died=how == "die")  # type: ignore[arg-type]
        if bench.run.status == "cancelling" and draw(st.booleans()):
            return c.Cease(*at)  # type: ignore[arg-type]
        counts = draw(st.sampled_from([True, True, None, False]))
        return c.Fail(*at, BOOM, counts=counts, for_good=bool(draw(st.booleans())))  # type: ignore[arg-type]

    def signal(self) -> c.Command:
        """Tell the run something."""
        known = ["go", "stop"] if self.is_machine else self.signals
        name = self.draw(st.sampled_from([*known, "nonsense"]))
        return c.TellSignal(name, key=self.draw(st.sampled_from([None, "k1", "k2"])))  # type: ignore[arg-type]

    def steer(self) -> c.Command:
        """Steer the run."""
        same = c.RedefineRun(f"hash{self.draw(st.integers(0, 1))}")
        steering = [
            c.PauseRun(),
            c.ResumeRun(),
            c.ResumeRun(),
            c.CancelRun(),
            c.RetryRun(),
            same,
        ]
        return self.draw(st.sampled_from([*steering, c.RetryRun(), c.ParkRun("x")]))  # type: ignore[return-value]

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
        assert not run.ready, "a free slot, and work that is not started"
        assert not run.begins
        assert run.failing is None or run.running
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


@settings(max_examples=300)
@given(definition=pipelines() | machines(), data=st.data())
def test_a_random_life_breaks_no_law(definition: Definition, data: st.DataObject) -> None:
    """The fold refuses nothing decided; repeated commands add nothing; nothing is stuck."""
    life = Life(definition, data.draw)
    for _ in range(data.draw(st.integers(0, 25))):
        life.happens()
    life.folds(data.draw(st.integers(0, len(life.bench.tape))))
    life.ends()
    life.folds(data.draw(st.integers(0, len(life.bench.tape))))


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
