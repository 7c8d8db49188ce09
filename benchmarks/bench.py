"""What Playhead costs, beside the raw limit of the same machine in the same run: `make bench`.

Read the ratios: machines are noisy, a disk's sync time differs ten times from one to the next.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks import raw
from playhead import Engine, Timer, Workflow, step

DOCUMENT = "x" * 1024
CLIENTS = 100


@step
def ingest(path: str) -> str:
    """Give a document of 1 KB."""
    return path[:0] + DOCUMENT


@step
def enrich(ingest: str) -> str:
    """Give as much again."""
    return ingest[::-1]


@step
def summarize(enrich: str) -> str:
    """Give 1 KB."""
    return enrich


documents = Workflow("documents", steps=[ingest, enrich, summarize])


def p(values: list[float], percent: int) -> float:
    """Give a percentile in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


def say(what: str, **figures: object) -> None:
    """Print one line of figures."""
    told = "  ".join(f"{name} {value}" for name, value in figures.items())
    print(f"{what:<34} {told}", flush=True)


def one_at_a_time(folder: Path, runs: int) -> None:
    """Compare `engine.run` in the caller's thread with the bare driver."""
    ratios, ours, bare = [], [], []
    with Engine(f"sqlite:///{folder / 'one.db'}", workflows=[documents]) as engine:
        engine.run(documents, path="warm")
        before = counted(engine)
        for batch in range(5):  # in turns, so that both meet the same noise
            took = []
            for _ in range(runs // 5):
                begun = time.perf_counter()
                engine.run(documents, path="a.txt")
                took.append(time.perf_counter() - begun)
            limit = raw.one_at_a_time(
                folder / f"raw{batch}.db", runs // 5, json.dumps(DOCUMENT)
            )
            ours += took
            bare += limit
            ratios.append(statistics.median(took) / statistics.median(limit))
        after = counted(engine)
    say("one at a time, engine.run", runs_s=round(1 / statistics.median(ours)),
        p50_ms=f"{p(ours, 50):.2f}", p99_ms=f"{p(ours, 99):.2f}")  # fmt: skip
    say("  per run", **{k: f"{(after[k] - before[k]) / runs:.2f}" for k in after})
    say("one at a time, bare driver", runs_s=round(1 / statistics.median(bare)),
        p50_ms=f"{p(bare, 50):.2f}", p99_ms=f"{p(bare, 99):.2f}")  # fmt: skip
    say("  ratio of medians (aim <= 2)", x=f"{statistics.median(ratios):.2f}")


def counted(engine: Engine) -> dict[str, int]:
    """Give what the log has asked of the database."""
    counters = engine.log.counters
    return {n: getattr(counters, n) for n in ("commits", "statements", "events", "bytes")}


def at_once(folder: Path, runs: int) -> None:
    """Keep 100 runs going at once, each started and awaited by a client of its own."""
    rates, took = [], []
    with Engine(f"sqlite:///{folder / 'many.db'}", workflows=[documents]) as engine:
        engine.start(documents, path="warm").result(timeout=10)
        before = counted(engine)
        for _ in range(3):
            begun = time.perf_counter()
            in_threads(lambda: client(engine, runs // CLIENTS, took))
            rates.append(runs / (time.perf_counter() - begun))
        after = counted(engine)
    say(f"{CLIENTS} at once", runs_s=round(statistics.median(rates)),
        best=round(max(rates)), p50_ms=f"{p(took, 50):.1f}", p99_ms=f"{p(took, 99):.1f}",
        aim=">= 1250 runs/s")  # fmt: skip
    say("  per run", **{k: f"{(after[k] - before[k]) / runs / 3:.2f}" for k in after})
    limit = raw.grouped(folder / "grouped.db", runs, json.dumps(DOCUMENT))
    say("bare driver, 100 runs a commit", runs_s=round(limit))


def client(engine: Engine, runs: int, took: list[float]) -> None:
    """Start runs one after the other and wait for each."""
    for _ in range(runs):
        begun = time.perf_counter()
        engine.start(documents, path="a.txt").result(timeout=60)
        took.append(time.perf_counter() - begun)


def in_threads(work: Callable[[], None]) -> None:
    """Run the same work on as many threads as there are clients."""
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def long_run(folder: Path, steps: int) -> None:
    """Look whether a step costs the same at the end of a long run as at its start."""
    nodes = [step(name="s0")(lambda: 0)]
    nodes += [step(name=f"s{n}", after=[f"s{n - 1}"])(lambda: 0) for n in range(1, steps)]
    chain = Workflow("chain", steps=nodes)
    engine = Engine(f"sqlite:///{folder / 'long.db'}", workflows=[chain])
    at: list[float] = []
    engine.observe(lambda *_: at.append(time.perf_counter()))
    engine.run(chain)
    tenth = len(at) // 10
    first = (at[tenth] - at[0]) / tenth * 1e6
    last = (at[-1] - at[-1 - tenth]) / tenth * 1e6
    say(f"a run of {steps} steps", us_a_step_first_tenth=round(first), last_tenth=round(last),
        ratio=f"{last / first:.2f}")  # fmt: skip
    run = engine.runs(limit=1)[0].id
    rates = []
    for _ in range(5):
        engine.log.drop_derived()  # a snapshot would make it short
        begun = time.perf_counter()
        hold = engine.peek(run)
        rates.append(hold.run.version / (time.perf_counter() - begun))
    say("folding, with reading", events_s=round(statistics.median(rates)), aim=">= 200000")
    engine.close()


def sleeping(folder: Path, runs: int) -> None:
    """Look what many waiting runs cost, and how often an idle engine asks the database."""
    wait = Workflow("wait", steps=[Timer("later", timedelta(days=1)), after_later])
    engine = Engine(f"sqlite:///{folder / 'sleep.db'}", workflows=[wait])
    with engine:
        begun_threads = threading.active_count()
        engine.start(wait)
        before = memory()
        for _ in range(runs):
            engine.start(wait)
        settle(engine)
        say(f"{runs} sleeping runs", more_mb=f"{memory() - before:.1f}", aim="< 40 MB",
            more_threads=threading.active_count() - begun_threads)  # fmt: skip
        asked = engine.log.counters.statements
        time.sleep(10)
        asked = engine.log.counters.statements - asked
        lease = 3 * 4 / 10  # three renewals, each of four statements in one transaction
        say("idle", statements_a_second=f"{asked / 10:.2f}", of_them_for_the_lease=lease,
            aim="asks at most once a second")  # fmt: skip


@step(after=["later"])
def after_later() -> int:
    """Give a number, a day later."""
    return 1


def settle(engine: Engine) -> None:
    """Wait until nothing runs any more."""
    while engine.runs(status="running", limit=1):
        time.sleep(0.05)


def memory() -> float:
    """Give the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def imports() -> None:
    """Compare `import playhead` with importing what it stands on."""
    ours, theirs = [], []
    for _ in range(7):
        ours.append(timed("import playhead"))
        theirs.append(timed("import sqlalchemy, httpx"))
    full = statistics.median(
        timed("from playhead import Engine, Workflow, step") for _ in range(5)
    )
    say("import playhead", ms=round(statistics.median(ours) * 1000),
        sqlalchemy_and_httpx_ms=round(statistics.median(theirs) * 1000),
        ratio=f"{statistics.median(ours) / statistics.median(theirs):.2f}", aim="<= 1.3",
        with_all_names_ms=round(full * 1000))  # fmt: skip


def timed(code: str) -> float:
    """Give the seconds of a fresh interpreter with this code."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own words
    return time.perf_counter() - begun


def main() -> None:
    """Run all, or what is named."""
    from benchmarks import grown, moving, together  # noqa: PLC0415 - they say things by this file
    from benchmarks.places import places  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        help="sleep, one, many, long, import, together, timers, moving, grown; all but grown",
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--events", type=int, default=10_000_000, help="of `grown`")
    parser.add_argument("--only", choices=["SQLite", "PostgreSQL"], help="of the two databases")
    options = parser.parse_args()
    whole = max(options.runs * 2 // CLIENTS, 1) * CLIENTS
    parts: dict[str, Callable[[Path], None]] = {
        "sleep": lambda folder: sleeping(folder, 10_000),
        "one": lambda folder: one_at_a_time(folder, options.runs),
        "many": lambda folder: at_once(folder, whole),
        "long": lambda folder: long_run(folder, 10_000),
        "import": lambda _: imports(),
    }
    both: dict[str, Callable[[str], None]] = {
        "together": lambda kind: together.measure(at, kind, whole),
        "timers": lambda kind: grown.timers(at, kind),
        "moving": lambda kind: moving.measure(at, kind, options.runs * 20),
        "grown": lambda kind: grown.appending(at, kind, options.events),
    }
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, everything synchronous")
    wanted = options.what or [*parts, "together", "timers", "moving"]
    with places(postgres=options.only != "SQLite") as at:
        for name in wanted:
            if name in parts:
                parts[name](at.folder)
                continue
            for kind in at.kinds:
                if options.only in (None, kind):
                    both[name](kind)


if __name__ == "__main__":
    main()
