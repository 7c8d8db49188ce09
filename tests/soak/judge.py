"""The judge: hears the record of a round, and finds each promise that was broken."""

from collections.abc import Callable, Iterator

from tests.soak import judge_runs
from tests.soak.breach import Breach
from tests.soak.record import Record

VERIFIED = "the deep check is clean"
FOLLOWED = "a cursor misses nothing and goes back to its place only"
WATCHED = "a feed hands out each event once and in order"
EXITS = "SIGTERM is answered by an end with 0"
SAID = "nobody says a traceback"
ANSWERED = "who asks is answered"
SHOWN = 5  # positions that are told


def judge(record: Record) -> list[Breach]:
    """Give every breach in a record. *Pure.*"""
    return [breach for promise in PROMISES for breach in promise(record)]


def verified(record: Record) -> Iterator[Breach]:
    """Tell what `verify --deep` has found."""
    for fault in record.verified:
        yield Breach(promise=VERIFIED, subject="the log", what=fault)


def followed(record: Record) -> Iterator[Breach]:
    """Tell of steps back, of places that skip what nobody was handed, and of what is missing."""
    handed: set[int] = set()
    highest = kept = 0
    for life, (begun, positions) in enumerate(record.followed, 1):
        subject = f"life {life} of the follower"
        if not kept <= begun <= highest:
            what = (
                f"begins at {begun}; it began at {kept} before, and was handed {highest} last"
            )
            yield Breach(promise=FOLLOWED, subject=subject, what=what)
        kept = begun
        for before, after in zip((begun, *positions), positions, strict=False):
            if after <= before:
                what = f"is handed {after} after {before}"
                yield Breach(promise=FOLLOWED, subject=subject, what=what)
        handed.update(positions)
        highest = max((highest, *positions))
    yield from _missing(FOLLOWED, "the follower", record, handed)


def watched(record: Record) -> Iterator[Breach]:
    """Tell of steps back of the live watcher, and of what it missed."""
    for before, after in zip(record.watched, record.watched[1:], strict=False):
        if after <= before:
            what = f"is handed {after} after {before}"
            yield Breach(promise=WATCHED, subject="the watcher", what=what)
    yield from _missing(WATCHED, "the watcher", record, set(record.watched))


def _missing(promise: str, who: str, record: Record, handed: set[int]) -> Iterator[Breach]:
    missed = sorted(set(record.positions) - handed)
    if missed:
        what = f"was not handed {len(missed)} events, {missed[:SHOWN]} first"
        yield Breach(promise=promise, subject=who, what=what)
    invented = sorted(handed - set(record.positions))
    if invented and not record.is_pruned:
        what = f"was handed {len(invented)} that are not in the log, {invented[:SHOWN]} first"
        yield Breach(promise=promise, subject=who, what=what)


def exits(record: Record) -> Iterator[Breach]:
    """Tell of daemons that ended with another code than 0, or without having been killed."""
    for number, code in record.exits.items():
        if code > 0:
            what = f"ended with {code}"
            yield Breach(promise=EXITS, subject=f"daemon {number}", what=what)
    killed = sum(code < 0 for code in record.exits.values())
    if killed > record.kills:
        what = f"{killed} ended without a code, and {record.kills} were killed"
        yield Breach(promise=EXITS, subject="the daemons", what=what)


def said(record: Record) -> Iterator[Breach]:
    """Tell of files with a traceback, and how it ends."""
    for name, text in record.said.items():
        _, found, rest = text.partition("Traceback (most recent call last):")
        if found:
            frames = rest.splitlines()
            ends = [line for line in frames if line and not line[0].isspace()]
            what = ends[0] if ends else "cut off"
            yield Breach(promise=SAID, subject=f"file {name}", what=what)


def answered(record: Record) -> Iterator[Breach]:
    """Tell what the sender, the watcher and the commands could not do."""
    for fault in record.faults:
        who, _, what = fault.partition(": ")
        yield Breach(promise=ANSWERED, subject=who, what=what)


PROMISES: tuple[Callable[[Record], Iterator[Breach]], ...] = (
    judge_runs.settled,
    judge_runs.keys,
    judge_runs.results,
    judge_runs.files,
    judge_runs.ends,
    judge_runs.beats,
    judge_runs.deaths,
    verified,
    followed,
    watched,
    exits,
    said,
    answered,
)
