"""How fast a log leaves, and arrives in another one."""

import statistics
import time
from pathlib import Path

from benchmarks.bench import say
from benchmarks.places import Places
from eventstore import NEW, Append, Headline, InboxKey, Row, Write, arrival, open_log
from eventstore.export import export
from eventstore.store import Log
from eventstore.testing import fact

DATA = '{"attempt":1,"output":"%s"}' % ("x" * 200)
EACH = 10  # events of a run
TURNS = 3


def measure(at: Places, kind: str, runs: int) -> None:
    """Export a log of ended runs, and import it into an empty one, some times over."""
    events = runs * EACH
    file = at.folder / "log.jsonl"
    source = open_log(at.fresh(kind))
    furnish(source, runs)
    left, arrived = [], []
    for _ in range(TURNS):
        left.append(events / leave(source, file))
        target = open_log(at.fresh(kind))
        arrived.append(events / arrive(target, file))
        target.close()
    source.close()
    say(f"{kind}: export", events_s=round(statistics.median(left)), aim=">= 50000")
    say(f"{kind}: import", events_s=round(statistics.median(arrived)), aim=">= 50000")


def furnish(log: Log, runs: int) -> None:
    """Fill a log with ended runs, each with a start key."""
    for start in range(0, runs, 500):
        writes = tuple(
            Write(
                f"run-{number:08}", "run", NEW, (fact(data=DATA),) * EACH, Row("succeeded"),
                Headline("documents", f"key-{number}"),
            )
            for number in range(start, min(start + 500, runs))
        )  # fmt: skip
        keys = tuple(
            InboxKey("documents", f"key-{write.stream}", write.stream) for write in writes
        )
        log.append(Append(f"batch-{start}", writes, keys))


def leave(log: Log, file: Path) -> float:
    """Give the seconds that an export to a file takes."""
    begun = time.perf_counter()
    with file.open("wb") as leaving:
        export(log, leaving.write)
    return time.perf_counter() - begun


def arrive(log: Log, file: Path) -> float:
    """Give the seconds in which a file is checked and taken in."""
    begun = time.perf_counter()
    with file.open("rb") as arriving:
        arrival.take(log, arriving, arrival.check(arriving))
    return time.perf_counter() - begun
