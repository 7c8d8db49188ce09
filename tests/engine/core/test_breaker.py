"""The rules of a circuit breaker, each happening, refusing and staying quiet."""

import copy

import msgspec
import pytest

from engine.core import breaker as core
from engine.core.breaker import BreakerState
from engine.core.define import BreakerSpec
from engine.core.events import BreakerTold, Fact

SPEC = BreakerSpec("api", failure_threshold=3, reset_timeout=60, probes=1)


class Breaker:
    """A breaker on the bench; time is in whole ticks."""

    def __init__(self, spec: BreakerSpec = SPEC) -> None:
        self.spec, self.state, self.now = spec, BreakerState("api"), 0
        self.calls = 0

    def fold(self, facts: list[Fact] | tuple[Fact, ...]) -> list[str]:
        for fact in facts:
            told = msgspec.json.decode(msgspec.json.encode(fact.data), type=BreakerTold)
            version = self.state.version + 1
            core.evolve(self.state, version, fact.type, fact.source, fact.dest, told)
            assert fact.stream == "breaker:api"
        return [f"{f.type.removeprefix('breaker.')} {f.source}>{f.dest}" for f in facts]

    def asks(self, by: str = "c1", deadline: int = 30) -> tuple[bool, list[str]]:
        leave = core.admit(self.state, self.spec, self.now, by=by, deadline=self.now + deadline)
        return leave.given, self.fold(leave.facts)

    def hears(self, *, ok: bool, by: str = "c1", generation: int | None = None) -> list[str]:
        if generation is None:
            generation = self.state.generation
        facts = core.outcome(
            self.state, self.spec, self.now, generation=generation, ok=ok, by=by
        )
        return self.fold(facts)

    def opened(self) -> "Breaker":
        for _ in range(self.spec.failure_threshold):
            self.hears(ok=False)
        assert self.state.state == "open"
        return self


def test_the_third_failure_in_a_row_opens_it() -> None:
    """The failure of the threshold's number opens it, in the same append."""
    breaker = Breaker()
    assert breaker.hears(ok=False) == ["failed closed>closed"]
    assert breaker.hears(ok=False) == ["failed closed>closed"]
    assert breaker.hears(ok=False) == ["failed closed>closed", "opened closed>open"]
    assert breaker.state.until == 60


def test_a_success_between_failures_begins_the_count_anew() -> None:
    """Two failures, a success and two failures do not open it."""
    breaker = Breaker()
    breaker.hears(ok=False)
    breaker.hears(ok=False)
    assert breaker.hears(ok=True) == ["recovered closed>closed"]
    breaker.hears(ok=False)
    assert breaker.hears(ok=False) == ["failed closed>closed"]


def test_a_healthy_breaker_writes_nothing() -> None:
    """A success without a failure before it, and a call while closed, leave no event."""
    breaker = Breaker()
    assert breaker.asks() == (True, [])
    assert breaker.hears(ok=True) == []


def test_an_open_breaker_lets_nobody_through() -> None:
    """One tick before its time a call is refused, and nothing is written."""
    breaker = Breaker().opened()
    breaker.now = 59
    assert breaker.asks() == (False, [])


def test_exactly_at_its_time_one_probe_goes_through() -> None:
    """At `until` the first call half-opens it and probes; the second is refused."""
    breaker = Breaker().opened()
    breaker.now = 60
    assert breaker.asks("p1") == (
        True,
        ["half_opened open>half_open", "probed half_open>half_open"],
    )
    assert breaker.asks("p2") == (False, [])


def test_as_many_probes_as_declared() -> None:
    """With two probes the third call at once is refused."""
    breaker = Breaker(BreakerSpec("api", 3, 60, probes=2)).opened()
    breaker.now = 60
    assert [breaker.asks(by)[0] for by in ("p1", "p2", "p3")] == [True, True, False]


def test_a_probe_that_succeeds_closes_it() -> None:
    """The breaker is closed with its failures forgotten."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1")
    assert breaker.hears(ok=True, by="p1") == ["closed half_open>closed"]
    assert (breaker.state.failures, breaker.state.until, breaker.state.probes) == (0, None, {})


def test_a_probe_that_fails_opens_it_again() -> None:
    """One failure of a probe opens it for the whole time."""
    breaker = Breaker().opened()
    breaker.now = 100
    breaker.asks("p1")
    assert breaker.hears(ok=False, by="p1") == ["opened half_open>open"]
    assert breaker.state.until == 160


def test_an_outcome_of_a_call_begun_before_the_last_transition_counts_nothing() -> None:
    """A late success does not close, a late failure does not open it again."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1")
    assert breaker.hears(ok=True, by="old", generation=0) == []
    assert breaker.hears(ok=False, by="old", generation=0) == []
    assert breaker.state.state == "half_open"


def test_half_open_it_hears_its_probes_only() -> None:
    """Whoever does not hold a probe's place is not heard."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1")
    assert breaker.hears(ok=True, by="stranger") == []


def test_a_probe_without_an_outcome_gives_its_place_back() -> None:
    """A cancelled probe frees its place, and the next call probes."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1")
    assert breaker.fold(core.uncounted(breaker.state, by="p1")) == [
        "half_opened half_open>half_open"
    ]
    assert breaker.asks("p2") == (True, ["probed half_open>half_open"])


def test_who_holds_no_place_frees_none() -> None:
    """An uncounted end writes nothing while closed, or of a call that was no probe."""
    breaker = Breaker()
    assert core.uncounted(breaker.state, by="c1") == []
    breaker.opened().now = 60
    breaker.asks("p1")
    assert core.uncounted(breaker.state, by="c1") == []


def test_a_dead_probe_holds_its_place_until_its_deadline() -> None:
    """One tick before the deadline the next is refused; at the deadline it probes."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1", deadline=30)
    breaker.now = 89
    assert breaker.asks("p2") == (False, [])
    breaker.now = 90
    assert breaker.asks("p2") == (True, ["probed half_open>half_open"])


def test_forced_open_lets_nobody_through_at_any_time() -> None:
    """A tripped breaker has no time at which it probes."""
    breaker = Breaker()
    breaker.fold(core.steer(breaker.state, "trip", by="ann"))
    breaker.now = 10**15
    assert breaker.asks() == (False, [])
    assert core.due_of(breaker.state) is None


def test_disabled_it_lets_everybody_through_and_counts_nothing() -> None:
    """Ten failures of a disabled breaker leave no event."""
    breaker = Breaker()
    breaker.fold(core.steer(breaker.state, "disable", by="ann"))
    for _ in range(10):
        assert breaker.asks() == (True, [])
        assert breaker.hears(ok=False) == []


@pytest.mark.parametrize("before", ["trip", "disable"])
def test_reset_closes_it(before: str) -> None:
    """From wherever it was steered, reset closes it; from closed and clean it says nothing."""
    breaker = Breaker()
    assert core.steer(breaker.state, "reset", by="ann") == []
    breaker.fold(core.steer(breaker.state, before, by="ann"))
    assert core.steer(breaker.state, before, by="ann") == []
    breaker.fold(core.steer(breaker.state, "reset", by="ann"))
    assert breaker.state.state == "closed"


def test_reset_forgets_failures() -> None:
    """Reset of a closed breaker with two failures is an event, and the count begins anew."""
    breaker = Breaker()
    breaker.hears(ok=False)
    breaker.hears(ok=False)
    assert breaker.fold(core.steer(breaker.state, "reset", by="ann")) == ["reset closed>closed"]
    assert breaker.hears(ok=False) == ["failed closed>closed"]


def test_it_needs_a_look_at_its_time_and_at_a_probes_deadline() -> None:
    """Closed never; open at `until`; half open at the earliest deadline."""
    breaker = Breaker()
    assert core.due_of(breaker.state) is None
    breaker.opened()
    assert core.due_of(breaker.state) == 60
    breaker.now = 60
    breaker.asks("p1", deadline=30)
    assert core.due_of(breaker.state) == 90


def test_an_event_that_cannot_follow_is_refused() -> None:
    """A move from a state it is not in, and one the table does not know, raise."""
    state = BreakerState("api")
    told = BreakerTold(generation=1)
    with pytest.raises(ValueError, match="cannot follow"):
        core.evolve(state, 1, "breaker.closed", "half_open", "closed", told)
    with pytest.raises(ValueError, match="cannot follow"):
        core.evolve(state, 1, "breaker.closed", "closed", "closed", told)


def test_deciding_changes_nothing() -> None:
    """Admitting, judging, freeing and steering leave the state as it is."""
    breaker = Breaker().opened()
    breaker.now = 60
    breaker.asks("p1")
    before = copy.deepcopy(breaker.state)
    core.admit(breaker.state, SPEC, 60, by="p2", deadline=90)
    core.outcome(breaker.state, SPEC, 60, generation=breaker.state.generation, ok=True, by="p1")
    core.uncounted(breaker.state, by="p1")
    core.steer(breaker.state, "trip", by="ann")
    assert breaker.state == before
