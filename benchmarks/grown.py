"""What a log costs when it has grown: appending to ten million events, 100,000 timers due."""

import contextlib
import sqlite3
import statistics
import time
from itertools import count

from benchmarks.bench import say
from benchmarks.places import Places
from eventstore import NEW, Append, Headline, Log, NewEvent, Row, Write, open_log

STREAM = 10  # events of each run of the grown log
DATA = '{"output":"' + "x" * 90 + '"}'
TIMERS = 100_000
_number = count()

# As fast as the database can: what was appended long ago is only there to be in the way.
_FILL_STREAMS = (
    "INSERT INTO {s}stream(id, kind, version, epoch, hash, status, waits_on, label, name, tags,"
    " priority, created, updated) SELECT 'old-' || n, 'run', 10, 1, {empty}, 'succeeded', '[]',"
    " '{{}}', 'documents', '{{}}', 0, n, n FROM {numbers}"
)
_FILL_EVENTS = (
    "INSERT INTO {s}event(stream, version, type, type_version, epoch, subject, source, dest, data,"
    " at, append_id, hash) SELECT 'old-' || (n / 10), n % 10 + 1, 'step.succeeded', 1, 1, 'enrich',"
    " 'running', 'succeeded', '{data}', n, 'old-' || (n / 10), {hash} FROM {numbers}"
)


def appending(at: Places, kind: str, events: int) -> None:
    """Compare appending to an empty log with appending to a grown one, in turns."""
    empty, grown = open_log(at.fresh(kind)), open_log(at.fresh(kind))
    grown.last_position()
    begun = time.perf_counter()
    fill(grown, kind, events)
    say(f"{kind}: grown to", events=events, seconds=round(time.perf_counter() - begun))
    for log in (empty, grown):
        appends(log, 200)
    ratios, times = [], []
    for _ in range(9):
        alone = statistics.median(appends(empty, 100))
        among = statistics.median(appends(grown, 100))
        ratios.append(among / alone)
        times.append(among)
    say(f"{kind}: append among {events}", us=round(statistics.median(times) * 1e6),
        ratio_to_empty=f"{statistics.median(ratios):.2f}", aim="<= 1.10")  # fmt: skip
    empty.close()
    grown.close()


def fill(log: Log, kind: str, events: int) -> None:
    """Put old runs into a log, behind its back."""
    streams = events // STREAM
    if kind == "SQLite":
        numbers = (
            "(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {last})"
            " SELECT n FROM c)"
        )
        log.close()
        connection = sqlite3.connect(log.path or "")
        values = {"s": "", "empty": "x'00'", "hash": "randomblob(32)", "data": DATA}
        connection.execute("PRAGMA synchronous=OFF")
        for text, last in ((_FILL_STREAMS, streams - 1), (_FILL_EVENTS, events - 1)):
            connection.execute(text.format(numbers=numbers.format(last=last), **values))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return
    import psycopg  # noqa: PLC0415 - only where there is a server

    values = {
        "s": "playhead.", "empty": "'\\x00'", "data": DATA,
        "hash": "sha256(int8send(n))",
    }  # fmt: skip
    with psycopg.connect(log.url, autocommit=True) as connection:
        for text, last in ((_FILL_STREAMS, streams - 1), (_FILL_EVENTS, events - 1)):
            numbers = f"generate_series(0, {last}) AS n"
            connection.execute(text.format(numbers=numbers, **values).encode())
        connection.execute("VACUUM ANALYZE playhead.stream")
        connection.execute("VACUUM ANALYZE playhead.event")
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


def appends(log: Log, number: int) -> list[float]:
    """Give the seconds of each of some appends of a run's turn: one row, two events."""
    took = []
    for _ in range(number):
        events = tuple(
            NewEvent("step.succeeded", "enrich", "running", "succeeded", DATA, 1)
            for _ in range(2)
        )
        name = f"new-{next(_number)}"
        write = Write(name, "run", NEW, events, Row(status="succeeded"), Headline("documents"))
        begun = time.perf_counter()
        log.append(Append(name, (write,)))
        took.append(time.perf_counter() - begun)
    return took


def timers(at: Places, kind: str) -> None:
    """Claim 100,000 streams that are due, a hundred at a time; they come in order."""
    log = open_log(at.fresh(kind))
    event = NewEvent("timer.set", "later", "", "pending", "{}", 1)
    for start in range(0, TIMERS, 500):
        writes = tuple(
            Write(f"t-{n}", "run", NEW, (event,), Row(status="running", due=n * 7919 % TIMERS))
            for n in range(start, start + 500)
        )
        log.append(Append(f"a-{start}", writes))
    dues: list[int | None] = []
    begun = time.perf_counter()
    while claims := log.claim("w", kind="run", now=TIMERS, limit=100):
        dues += [claim.head.due for claim in claims]
    took = time.perf_counter() - begun
    assert dues == sorted(dues, key=lambda due: due or 0)
    assert len(dues) == TIMERS
    say(f"{kind}: {TIMERS} timers due", claims_s=round(TIMERS / took), aim=">= 5000, in order")
    log.close()
