"""The promises that runs keep: each is a pure function from a record to its breaches."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from engine.core.decide_step import QUARANTINE_AFTER, SUSPECT_AFTER
from tests.soak.application import BEAT
from tests.soak.breach import Breach, of_life
from tests.soak.record import Life, Record, Told

SETTLED = "everything settles"
KEYS = "a key is one run"
RESULTS = "an attempt has one result"
FILES = "a file is one run, and is moved away"
ENDS = "an end is followed by one run"
BEATS = "a beat is one run"
DEATHS = "only deaths are charged, and only they quarantine"
QUARANTINE = [
    (n, max(0, n - SUSPECT_AFTER)) for n in range(1, SUSPECT_AFTER + QUARANTINE_AFTER + 1)
]


def settled(record: Record) -> Iterator[Breach]:
    """Tell what was left when the time was over, and whoever parked for no reason."""
    lives = {life.id: life for life in record.lives}
    for subject, what in record.left:
        if subject in lives:
            yield of_life(SETTLED, lives[subject], what)
        else:
            yield Breach(promise=SETTLED, subject=subject, what=what)
    for life in record.lives:
        if life.status == "parked" and not _types(life)["step.quarantined"]:
            yield of_life(SETTLED, life, "is parked, and no step of it is quarantined")


def keys(record: Record) -> Iterator[Breach]:
    """Tell of keys that lead to two runs, to none, or to another than was answered."""
    ids: dict[tuple[str, str], str] = {}
    for life in record.lives:
        first = ids.setdefault((life.workflow, life.key), life.id)
        if life.key and first != life.id:
            yield of_life(KEYS, life, f"has key {life.key}, as run {first} has")
    found = {life.key: life.id for life in record.lives}
    for key, answered in record.keys.items():
        if found.get(key) != answered:
            what = f"run {answered} was answered, and the log has {found.get(key)}"
            yield Breach(promise=KEYS, subject=f"key {key}", what=what)


def results(record: Record) -> Iterator[Breach]:
    """Tell of results of attempts that were not in flight: a second one, or one of nobody's."""
    for life in record.lives:
        flying: set[str] = set()
        for event in life.events:
            if event.type == "step.started":
                flying.add(event.subject)
            elif (
                event.type in ("step.succeeded", "step.failed") and event.subject not in flying
            ):
                attempt = event.data.get("attempt")
                what = f"attempt {attempt} of {event.subject} ended again at {event.version}"
                yield of_life(RESULTS, life, what)
            elif event.type.startswith("step."):
                flying.discard(event.subject)


def files(record: Record) -> Iterator[Breach]:
    """Tell of files that did not run once, or that lie where they should not."""
    runs = Counter(
        life.key.removeprefix("drops/").split(":")[0]
        for life in record.lives
        if life.workflow == "files"
    )
    done = Counter(record.done)
    for name in sorted({*record.dropped, *runs, *done}):
        expected = int(name in record.dropped)
        if (runs[name], done[name]) != (expected, expected):
            what = f"dropped {expected} times, {runs[name]} runs, {done[name]} times in done/"
            yield Breach(promise=FILES, subject=f"file {name}", what=what)


def ends(record: Record) -> Iterator[Breach]:
    """Tell of ends without a run that follows, with two, and of runs that follow nothing."""
    for first, status, second in (("quick", "succeeded", "good"), ("bad", "failed", "sorry")):
        follow = Counter(
            life.key.removeprefix(f"{second}/").split("@")[0]
            for life in record.lives
            if life.workflow == second
        )
        for life in record.lives:
            if life.workflow == first:
                have, owed = follow.pop(life.id, 0), int(life.status == status)
                if have != owed:
                    what = f"is {life.status}, and {have} runs of {second} follow it"
                    yield of_life(ENDS, life, what)
        for id_ in follow:
            what = f"is followed by {second}, and is no run of {first}"
            yield Breach(promise=ENDS, subject=f"run {id_}", what=what)


def beats(record: Record) -> Iterator[Breach]:
    """Tell of beats of the clock that are missing or came twice."""
    slots = sorted(
        (datetime.fromisoformat(life.key.removeprefix("clock/")), life.id, life)
        for life in record.lives
        if life.workflow == "beats"
    )
    for (before, *_), (after, _, life) in pairwise(slots):
        if after - before != timedelta(seconds=BEAT):
            yield of_life(BEATS, life, f"its beat comes {after - before} after the one before")


def deaths(record: Record) -> Iterator[Breach]:
    """Tell of quarantines before their time, and of more deaths than there were kills."""
    dead: set[str] = set()
    for life in record.lives:
        charged: dict[str, list[Told]] = {}
        for event in life.events:
            past = charged.setdefault(event.subject, [])
            if event.type == "machine.moved":
                charged.clear()  # a new visit begins at nought
            elif event.type == "step.lost" and event.data.get("deaths", 0) > _died(past):
                past.append(event)
                dead.add(event.data["worker"])
            elif event.type == "step.quarantined":
                counts = [(e.data["deaths"], e.data.get("suspect", 0)) for e in past]
                workers = {e.data["worker"] for e in past}
                if counts != QUARANTINE or len(workers) != len(past):
                    what = (
                        f"{event.subject} is quarantined after these (deaths, alone): {counts}"
                    )
                    yield of_life(DEATHS, life, what)
    if len(dead) > record.kills:
        what = f"{len(dead)} workers are charged as dead, and {record.kills} were killed"
        yield Breach(promise=DEATHS, subject="the log", what=what)


def _died(past: list[Told]) -> int:
    return past[-1].data["deaths"] if past else 0


def _types(life: Life) -> Counter[str]:
    return Counter(event.type for event in life.events)
