"""Settling: what is left to do after the chaos, how long it may take, and the wait for it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from engine.core.decide_step import SUSPECT_AFTER
from engine.flights import ISOLATION
from eventstore import clock
from tests.soak.application import LONG, SENT, WAITS
from tests.soak.daemons import Daemons
from tests.soak.options import Options

LIVE = ("running", "waiting", "scheduled", "paused", "cancelling")
ROOM = 20.0  # seconds for a machine that is slow or stands still
FOLLOWERS = {"quick": ("succeeded", "good"), "bad": ("failed", "sorry")}


@dataclass(slots=True)
class Settled:
    """How it went."""

    seconds: float = 0.0
    bound: float = 0.0  # seconds
    left: list[tuple[str, str]] = field(default_factory=list)  # run or file, and how it stands


def bound(
    works: list[str], suspects: int, *, lease: float, daemons: int, threads: int
) -> float:
    """Give within how many seconds everything has settled. *Pure.*

    The lease of the last who died runs out, and another of who took from it; what waits by itself
    comes due; the work is shared by all threads, and may begin once more; suspects are run one
    after the other, at worst by one daemon, each after its isolation.
    """
    work = sum(SENT.get(name, (0, 0.1))[1] for name in works)
    alone = suspects * (ISOLATION / clock.SECOND + LONG)
    shared = ceil(2 * work / (daemons * threads))
    return ROOM + 3 * lease + WAITS + LONG + shared + alone


def settle(engine: Any, daemons: Daemons, options: Options) -> Settled:
    """Wait until nothing is left to do, or the bound is over; daemons that end are begun anew."""
    begun = clock.real_seconds()
    heads = engine.log.heads(kind="run", status=LIVE)
    suspects = sum(_is_suspect(engine.history(head.id)) for head in heads)
    names = [head.name for head in heads]
    longest = bound(
        names, suspects, lease=options.lease, daemons=options.daemons, threads=options.threads
    )
    answer = Settled(bound=longest)
    while answer.seconds <= longest:
        daemons.renew_all()
        answer.left = list(_left(engine, options))
        answer.seconds = clock.real_seconds() - begun
        if not answer.left:
            break
        clock.real_sleep(0.2)
    if answer.left:
        answer.left = [(one, f"{what}{_held(engine, one)}") for one, what in answer.left]
        workers = "\n".join(map(_lease, engine.log.workers()))
        (options.folder / "workers.txt").write_text(workers)
    return answer


def _held(engine: Any, one: str) -> str:
    """Tell whose a run is, and what for; a file is nobody's."""
    head = engine.log.head(one)
    if head is None:
        return ""
    due = "never" if head.due is None else _in(head.due)
    owner = head.owner or "nobody"
    return f", now {head.status}, owned by {owner}, due {due}, waits on {head.waits_on}"


def _lease(worker: Any) -> str:
    """Tell how a worker stands."""
    how = "dead" if worker.dead else "not known to be dead"
    return f"worker {worker.id} of pid {worker.pid}: {how}, lease ends {_in(worker.until)}"


def _in(us: int) -> str:
    return f"in {(us - clock.now_us()) / clock.SECOND:.1f} s"


def _is_suspect(events: list[Any]) -> bool:
    deaths: dict[str, int] = {}
    for event in events:
        if event.type == "step.lost":
            deaths[event.subject] = event.data.get("deaths", 0)
        elif event.type in ("step.succeeded", "step.failed", "step.cancelled"):
            deaths.pop(event.subject, None)
    return any(count >= SUSPECT_AFTER for count in deaths.values())


def _left(engine: Any, options: Options) -> Iterator[tuple[str, str]]:
    for head in engine.log.heads(kind="run", status=LIVE):
        if head.name != "beats":  # the clock never ends
            yield head.id, f"{head.name} is {head.status}"
    for path in (options.folder / "inbox").iterdir():
        yield path.name, "lies in the inbox"
    ends: Counter[tuple[str, str]] = Counter()
    for row in engine.log.counts("run"):
        ends[row.name, row.status] += row.streams
    for first, (status, second) in FOLLOWERS.items():
        have = sum(count for (name, _), count in ends.items() if name == second)
        if ends[first, status] > have:
            yield first, f"{ends[first, status]} have {status}, and {have} of {second} began"
