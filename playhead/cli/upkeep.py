"""`verify` and `stats`: is the log what was written, and what is in it."""

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.namesakes import namesakes
from eventstore import clock
from playhead import render
from playhead.cli import out, target
from playhead.cli.keeping import size_words
from playhead.cli.options import FAILED, App, Ends, Json, Url

if TYPE_CHECKING:
    from engine.app import Engine

KINDS = ("run", "breaker", "trigger")


def verify(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this run; else everything.")
    ] = None,
    *,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Check that the log is what was written: chains, versions, values; exit code 1 if not."""
    with target.reading(app, url) as engine:
        stream = None if run is None else target.run_id(engine, run)
        faults = list(engine.log.verify(stream))
        if stream is None:
            heads = [h for kind in KINDS for h in engine.log.heads(kind=kind)]
        else:
            heads = [h for h in [engine.log.head(stream)] if h is not None]
    whole = [head for head in heads if head.purged is None]
    counted = {"streams": len(heads), "events": sum(head.tip.version for head in whole)}
    counted["pruned"] = len(heads) - len(whole)
    if json:
        out.result({"ok": not faults, **counted, "faults": faults})
    for fault in () if json else faults:
        out.say(fault)
    if faults:
        out.note(f"{len(faults)} fault{'s' * (len(faults) != 1)} found")
        raise Ends(FAILED)
    if not json:
        gone = f" ({counted['pruned']} of them pruned)" if counted["pruned"] else ""
        events, streams = counted["events"], counted["streams"]
        out.say(f"ok: {events} events in {streams} streams{gone}, chains whole")


def stats(*, app: App = None, url: Url = None, json: Json = False) -> None:
    """Count what is in the log: runs by status, events, bytes, workers, the oldest due time."""
    with target.reading(app, url) as engine:
        doc = _stats(engine)
    if json:
        out.result(doc)
        return
    out.say(f"database  {doc['url']}, {size_words(doc['bytes'])}")
    gone = f" ({doc['pruned']} of them pruned)" if doc["pruned"] else ""
    out.say(f"runs      {sum(doc['runs'].values())}{gone}")
    for status, count in doc["runs"].items():
        out.say(f"  {status:<11} {count}")
    out.say(f"events    {doc['events']}")
    late = " (overdue: no worker has taken it yet)" if doc["overdue"] else ""
    out.say(f"next due  {doc['next_due'] or 'nothing'}{late}")
    out.say(f"workers   {len(doc['workers'])}")
    for worker in doc["workers"]:
        lease = f"lease until {worker['until']}"
        state = "dead" if worker["dead"] else lease + (" (ran out)" * worker["expired"])
        who = worker["name"] or worker["id"]
        out.say(f"  {who} on {worker['host']}, process {worker['pid']}: {state}")
        for other in worker["namesakes"]:
            out.say(
                f"    the same name: process {other['pid']} on {other['host']}; give one of them"
                " another worker="
            )


def _stats(engine: "Engine") -> render.Doc:
    log: Any = engine.log
    heads = {kind: log.heads(kind=kind) for kind in KINDS}
    now = clock.now_us()
    counts = Counter(head.status for head in heads["run"])
    workflows = Counter(head.name for head in heads["run"])
    due = log.next_due(kinds=KINDS)
    workers = log.workers()
    return {
        "url": engine.url,
        "bytes": _size(target.path_of(engine)),
        "runs": dict(sorted(counts.items())),
        "workflows": dict(sorted(workflows.items())),
        "events": sum(h.tip.version for kind in KINDS for h in heads[kind] if h.purged is None),
        "pruned": sum(head.purged is not None for head in heads["run"]),
        "next_due": None if due is None else render.iso(clock.from_us(due)),
        "overdue": due is not None and due < now,
        "workers": [
            {
                "id": worker.id,
                "name": worker.name,
                "host": worker.host,
                "pid": worker.pid,
                "since": render.iso(clock.from_us(worker.since)),
                "until": render.iso(clock.from_us(worker.until)),
                "expired": worker.until < now,
                "dead": worker.dead,
                "namesakes": [
                    {"id": other.id, "host": other.host, "pid": other.pid}
                    for other in namesakes(worker, workers, now)
                ],
            }
            for worker in workers
        ],
    }


def _size(path: str | None) -> int | None:
    """Give the bytes of a database and its write-ahead log, None if it lies in no file."""
    if path is None:
        return None
    files = [path, path + "-wal"]
    return sum(os.path.getsize(f) for f in files if os.path.exists(f))  # noqa: PTH110, PTH202
