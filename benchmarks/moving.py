"""How fast a log leaves and arrives: `python -m benchmarks.moving [--url postgresql://…]`."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore import NEW, Append, Headline, InboxKey, Row, Write, arrival, open_log
from eventstore.export import export
from eventstore.store import Log
from eventstore.testing import fact

DATA = '{"attempt":1,"output":"%s"}' % ("x" * 200)
EACH = 10  # events of a run


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


@contextmanager
def timed(what: str, events: int) -> Iterator[None]:
    """Print how many events a second what is done inside has done."""
    began = time.perf_counter()
    yield
    print(f"{what:<34} {events / (time.perf_counter() - began):>9,.0f} events/s", flush=True)


def there(kind: str, log: Log, file: Path, events: int) -> None:
    """Import a file, and export it again."""
    with timed(f"import into {kind}", events), file.open("rb") as arriving:
        arrival.take(log, arriving, arrival.check(arriving))
    back(kind, log, file.with_suffix(".back"), events)


def back(kind: str, log: Log, file: Path, events: int) -> None:
    """Export to a file."""
    with timed(f"export from {kind}", events), file.open("wb") as leaving:
        assert export(log, leaving.write).events == events


def main() -> None:
    """Move a log from SQLite to SQLite, and to PostgreSQL if a url is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--url", help="an empty PostgreSQL database, or one with ?schema=NAME")
    options = parser.parse_args()
    events = options.runs * EACH
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {events:,} events")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "log.jsonl")
        source, target = (open_log(f"sqlite:///{folder}/{name}.db") for name in ("a", "b"))
        furnish(source, options.runs)
        back("SQLite", source, file, events)
        there("SQLite", target, file, events)
        closing: list[Callable[[], None]] = [source.close, target.close]
        if options.url:
            server = open_log(options.url)
            closing.append(server.close)
            there("PostgreSQL", server, file, events)
        for close in closing:
            close()


if __name__ == "__main__":
    main()
