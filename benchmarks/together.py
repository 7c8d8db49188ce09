"""One engine, or several in processes of their own, on one database: how much does each add?

`python -m benchmarks.together URL RUNS` is one such process: it says when it is ready, waits for
a line, keeps 100 runs going at once, and says how long it took.
"""

import statistics
import subprocess
import sys
import time

from benchmarks.bench import CLIENTS, client, documents, in_threads, say
from benchmarks.places import Places
from playhead import Engine

TURNS = 3
THREADS = 32  # of each engine: the more appends wait, the more share a commit


def measure(at: Places, kind: str, runs: int) -> None:
    """Compare one process with two, in turns, so that both meet the same noise."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(TURNS):
        url = at.fresh(kind)
        for count, seen in rates.items():
            seen.append(rate(url, count, runs))
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    say(f"{kind}: {CLIENTS} at once, a process", runs_s=round(one), aim=">= 1000 on PostgreSQL")
    say(f"{kind}: two processes", runs_s=round(two), x=f"{statistics.median(ratios):.2f}",
        aim=">= 1.6 on PostgreSQL")  # fmt: skip


def rate(url: str, count: int, runs: int) -> float:
    """Give the runs a second of so many processes, each with clients of its own."""
    started = [
        subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-m", "benchmarks.together", url, str(runs)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    took = time.perf_counter() - begun
    for process in started:
        process.communicate()
    return runs * count / took


def main() -> None:
    """Be one of the processes."""
    url, runs = sys.argv[1], int(sys.argv[2])
    with Engine(url, workflows=[documents], threads=THREADS) as engine:
        in_threads(lambda: client(engine, 3, []))
        print("ready", flush=True)
        sys.stdin.readline()
        in_threads(lambda: client(engine, runs // CLIENTS, []))
        print("done", flush=True)


if __name__ == "__main__":
    main()
