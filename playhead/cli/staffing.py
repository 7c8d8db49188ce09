"""`workers`: who is about, who holds what, and what nobody has taken."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.namesakes import namesakes
from eventstore import WorkerRow, clock
from playhead import render
from playhead.cli import out, target
from playhead.cli.options import App, Json, Url

if TYPE_CHECKING:
    from engine.app import Engine

KNOWN_TO_NOBODY = "unknown"  # the state of an owner that has no lease


def workers(*, app: App = None, url: Url = None, json: Json = False) -> None:
    """Show who works: runs held by each worker, leases, clocks; and what is due and untaken."""
    with target.reading(app, url) as engine:
        now = clock.now_us()
        docs, lag = worker_docs(engine, now), lag_doc(engine, now)
    if json:
        out.result({"workers": docs, "lag": lag})
        return
    if docs:
        out.table(
            ("worker", "host", "process", "lease", "clock", "runs", "of"),
            [
                [
                    doc["name"] or doc["id"], doc["host"] or "-", str(doc["pid"] or "-"),
                    _lease(doc), _clock(doc), str(sum(doc["runs"].values())), _listed(doc["runs"]),
                ]
                for doc in docs
            ],
        )  # fmt: skip
    else:
        out.note("no worker is about; `playhead serve APP` is one")
    for doc in docs:
        for other in doc["namesakes"]:
            out.say(
                f"{doc['name']}: process {doc['pid']} on {doc['host']} has the same name as process"
                f" {other['pid']} on {other['host']}; give one of them another worker="
            )
    say_lag(lag)


def worker_docs(engine: "Engine", now: int) -> list[render.Doc]:
    """Give each worker with what it holds; also who holds something and has no lease."""
    log: Any = engine.log
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for holding in log.holdings():
        if holding.kind == "run":
            held[holding.owner][holding.name] += holding.streams
    rows = log.workers()
    docs = [_doc(row, rows, now, held.pop(row.id, Counter())) for row in rows]
    gone = (WorkerRow(owner, "", "", 0, 0, 0, ()) for owner in sorted(held))
    return docs + [
        {
            **_doc(row, (), now, held[row.id]),
            "state": KNOWN_TO_NOBODY,
            "since": None,
            "until": None,
        }
        for row in gone
    ]


def _doc(
    row: WorkerRow, rows: Iterable[WorkerRow], now: int, held: "Counter[str]"
) -> render.Doc:
    return {
        "id": row.id,
        "name": row.name,
        "host": row.host,
        "pid": row.pid,
        "state": "dead" if row.dead else "lapsed" if row.until < now else "alive",
        "since": _time(row.since),
        "renewed": _time(row.renewed) if row.renewed else None,
        "until": _time(row.until),
        "seconds_left": (row.until - now) / clock.SECOND,
        "expired": row.until < now,
        "dead": row.dead,
        "skew": None if row.skew is None else row.skew / clock.SECOND,
        "offers": list(row.offers),
        "runs": dict(sorted(held.items())),
        "namesakes": [
            {"id": other.id, "host": other.host, "pid": other.pid}
            for other in namesakes(row, rows, now)
        ],
    }


def lag_doc(engine: "Engine", now: int) -> render.Doc:
    """Give the runs that are due and that nobody has taken, by workflow."""
    late = engine.log.overdue("run", now=now)
    by_name: dict[str, tuple[int, int]] = {}
    for one in late:
        count, since = by_name.get(one.name, (0, one.oldest))
        by_name[one.name] = count + one.streams, min(since, one.oldest)
    oldest = min((one.oldest for one in late), default=None)
    return {
        "runs": sum(one.streams for one in late),
        "oldest": None if oldest is None else _time(oldest),
        "seconds": 0.0 if oldest is None else (now - oldest) / clock.SECOND,
        "workflows": {
            name: {"runs": count, "oldest": _time(at), "seconds": (now - at) / clock.SECOND}
            for name, (count, at) in sorted(by_name.items())
        },
    }


def say_lag(lag: render.Doc) -> None:
    """Say what is due and untaken; nothing if there is none."""
    for name, late in lag["workflows"].items():
        runs = f"{late['runs']} run{'s' * (late['runs'] != 1)}"
        out.say(f"untaken   {runs} of {name}, due for {_seconds(late['seconds'])}")


def _time(us: int) -> str:
    return str(render.iso(clock.from_us(us)))


def _lease(doc: render.Doc) -> Any:
    if doc["state"] == "alive":
        return f"{_seconds(doc['seconds_left'])} left"
    if doc["state"] == "lapsed":
        return f"ran out {_seconds(-doc['seconds_left'])} ago"
    return "no lease" if doc["state"] == KNOWN_TO_NOBODY else "dead"


def _clock(doc: render.Doc) -> str:
    return "-" if doc["skew"] is None else f"{doc['skew']:+.3f} s"


def _listed(runs: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in runs.items())


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
