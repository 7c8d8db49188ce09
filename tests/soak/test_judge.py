"""The judge finds each kind of breach in a record made by hand, and nothing where there is none."""

from dataclasses import replace
from typing import Any

import pytest

from tests.soak.judge import PROMISES, judge
from tests.soak.record import Life, Record, Told
from tests.soak.settling import bound

WORKED: tuple[Any, ...] = (
    ("run.started", "run", {}),
    ("step.started", "quick", {"attempt": 1}),
    ("step.lost", "quick", {"worker": "w1", "deaths": 1}),
    ("step.started", "quick", {"attempt": 2}),
    ("step.lost", "quick", {"worker": "w2", "deaths": 1}),  # a takeover: charged to nobody
    ("step.started", "quick", {"attempt": 3}),
    ("step.succeeded", "quick", {"attempt": 3}),
)
TOOK_DOWN = tuple(
    event
    for deaths, suspect in [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]
    for event in (
        ("step.started", "long", {"attempt": deaths}),
        ("step.lost", "long", {"worker": f"w{deaths}", "deaths": deaths, "suspect": suspect}),
    )
)
QUARANTINED = ("step.quarantined", "long", {"worker": "w5", "deaths": 5, "suspect": 3})
BEATS = [f"clock/2026-01-01T00:00:0{at}Z" for at in ("0.250000", "0.750000", "1.250000")]


def told(*events):
    return tuple(
        Told(version=version, type=type_, subject=subject, data=data)
        for version, (type_, subject, data) in enumerate(events, 1)
    )


QUICK = Life(id="q", workflow="quick", key="quick-1", events=told(*WORKED))
LONG = Life(
    id="l",
    workflow="long",
    key="long-1",
    status="parked",
    events=told(*TOOK_DOWN, QUARANTINED),
)
GOOD = Life(id="g", workflow="good", key="good/q@7")
FAILED = Life(id="b", workflow="bad", key="bad-3", status="failed")
SORRY = Life(id="s", workflow="sorry", key="sorry/b@4")
FILE = Life(id="f", workflow="files", key="drops/4.txt:1:17")
CLOCK = tuple(Life(id=key, workflow="beats", key=key) for key in BEATS)
CLEAN = Record(
    lives=(QUICK, LONG, GOOD, FAILED, SORRY, FILE, *CLOCK),
    positions=(1, 2, 3, 5, 6),
    keys={"quick-1": "q", "bad-3": "b"},
    dropped=("4.txt",),
    done=("4.txt",),
    followed=((0, (1, 2, 3)), (2, (3, 5, 6))),
    watched=(1, 2, 3, 5, 6),
    kills=5,
    exits={1: 0, 2: -9},
    said={"daemon-1.said": "the log was busy\n"},
)


def but(**fields):
    """Give the clean record with other fields."""
    return replace(CLEAN, **fields)


def with_lives(*lives):
    """Give the clean record with runs beside, or in the place of those of the same id."""
    kept = {life.id: life for life in CLEAN.lives} | {life.id: life for life in lives}
    return but(lives=tuple(kept.values()))


BREACHES = {
    "a run is left": (but(left=(("q", "quick is running"),)), "settles: run q of quick"),
    "a file is left": (but(left=(("9.txt", "lies in the inbox"),)), "settles: 9.txt"),
    "a run parks": (
        with_lives(Life(id="t", workflow="timed", status="parked")),
        "run t of timed: is parked, and no step of it is quarantined",
    ),
    "two runs of a key": (
        with_lives(Life(id="l2", workflow="long", key="long-1")),
        "run l2 of long: has key long-1, as run l has",
    ),
    "a key that leads elsewhere": (but(keys={"quick-1": "x"}), "key quick-1: run x was"),
    "a result twice": (
        with_lives(replace(QUICK, events=told(*WORKED, WORKED[-1]))),
        "attempt 3 of quick ended again at 8",
    ),
    "a result of a lost attempt": (
        with_lives(replace(QUICK, events=told(*WORKED[:5], WORKED[-1]))),
        "attempt 3 of quick ended again at 6",
    ),
    "a file that did not run": (
        but(dropped=("4.txt", "8.txt"), done=("4.txt", "8.txt")),
        "file 8.txt: dropped 1 times, 0 runs",
    ),
    "a file that ran twice": (
        with_lives(replace(FILE, id="f2", key="drops/4.txt:1:18")),
        "file 4.txt: dropped 1 times, 2 runs",
    ),
    "a file that was not moved": (but(done=()), "1 runs, 0 times in done/"),
    "an end that nobody follows": (
        with_lives(replace(QUICK, id="q2", key="quick-2")),
        "run q2 of quick: is succeeded, and 0 runs of good follow it",
    ),
    "an end that two follow": (
        with_lives(replace(SORRY, id="s2", key="sorry/b@5")),
        "run b of bad: is failed, and 2 runs of sorry follow it",
    ),
    "no end that one follows": (
        with_lives(replace(GOOD, id="g2", key="good/x@4")),
        "run x: is followed by good",
    ),
    "a beat that is missing": (
        but(lives=tuple(life for life in CLEAN.lives if life is not CLOCK[1])),
        "comes 0:00:01 after",
    ),
    "a quarantine too soon": (
        with_lives(replace(LONG, events=told(*TOOK_DOWN[:6], QUARANTINED))),
        "[(1, 0), (2, 0), (3, 1)]",
    ),
    "a quarantine by one worker": (
        with_lives(
            replace(
                LONG,
                events=told(
                    *((t, s, {**data, "worker": "w"}) for t, s, data in TOOK_DOWN), QUARANTINED
                ),
            )
        ),
        "is quarantined after",
    ),
    "deaths of the living": (but(kills=4), "5 workers are charged as dead, and 4 were killed"),
    "a fault of the log": (but(verified=("hash 3 is wrong",)), "clean: the log: hash 3"),
    "an event not followed": (but(followed=((0, (1, 2, 5, 6)),)), "1 events, [3] first"),
    "an event handed out twice": (
        but(followed=((0, (1, 2, 2, 3, 5, 6)),)),
        "is handed 2 after 2",
    ),
    "an event before the cursor": (
        but(followed=((0, (1, 2, 3)), (2, (1, 3, 5, 6)))),
        "life 2 of the follower: is handed 1 after 2",
    ),
    "a cursor that goes back": (
        but(followed=((0, (1, 2, 3)), (2, (3, 5)), (1, (2, 3, 5, 6)))),
        "life 3 of the follower: begins at 1",
    ),
    "a cursor ahead": (
        but(positions=(1, 2, 3, 6), watched=(1, 2, 3, 6), followed=((0, (1, 2, 3)), (5, (6,)))),
        "life 2 of the follower: begins at 5",
    ),
    "an event not watched": (but(watched=(1, 2, 3, 5)), "the watcher: was not handed 1"),
    "an event watched twice": (but(watched=(1, 2, 3, 3, 5, 6)), "the watcher: is handed 3"),
    "an event that is nowhere": (
        but(watched=(1, 2, 3, 4, 5, 6)),
        "that are not in the log, [4]",
    ),
    "another exit code": (but(exits={1: 130}), "daemon 1: ended with 130"),
    "an end without a kill": (but(exits=dict.fromkeys(range(6), -9)), "6 ended without a code"),
    "a traceback": (
        but(said={"x": "Traceback (most recent call last):\n  File\nKeyError: 3\n"}),
        "file x: KeyError: 3",
    ),
    "a question not answered": (but(faults=("the sender: Busy: no",)), "the sender: Busy: no"),
}


def test_nothing_is_found_where_nothing_is() -> None:
    """A record of a good round, with deaths, takeovers and a quarantine in order, is clean."""
    assert judge(CLEAN) == []
    assert judge(Record()) == []


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_found(name: str) -> None:
    """Each kind of breach is found once, by one promise, and told with whom it befell."""
    record, sentence = BREACHES[name]
    (breach,) = judge(record)
    assert sentence in str(breach)


def test_each_promise_has_its_breach() -> None:
    """There is no promise that the records above do not break."""
    broken = {p for record, _ in BREACHES.values() for p in PROMISES if list(p(record))}
    assert broken == set(PROMISES)


def test_a_breach_tells_the_last_events_of_its_run() -> None:
    """The first line names the promise and the run; a line for each event follows."""
    (breach,) = judge(but(left=(("q", "quick is running"),)))
    first, *events = str(breach).splitlines()
    assert first == "BROKEN: everything settles: run q of quick: quick is running"
    assert [line.split()[:2] for line in events][-1] == ["7", "step.succeeded"]


def test_events_that_retention_took_are_not_missed() -> None:
    """After pruning, the readers may have been handed more than the log still has."""
    assert judge(but(positions=(3, 5, 6), is_pruned=True)) == []
    assert len(judge(but(positions=(3, 5, 6)))) == 2


def test_the_bound_grows_with_leases_work_and_suspects() -> None:
    """Longer leases and more suspects give more time; more daemons share the work."""
    asked: dict[str, Any] = {"lease": 1.5, "daemons": 3, "threads": 1}
    least = bound([], 0, **asked)
    assert bound([], 0, **{**asked, "lease": 2.5}) == least + 3
    assert bound([], 2, **asked) == least + 25
    assert bound(["long"] * 6, 0, **asked) == least + 10
    assert bound(["long"] * 6, 0, **{**asked, "threads": 2}) == least + 5
