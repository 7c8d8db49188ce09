"""`verify` and `stats`: is the log what was written, and what is in it."""

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.audit.walk import Audit
from eventstore import clock
from eventstore.errors import StorageCorrupt
from playhead import render
from playhead.cli import out, target
from playhead.cli.keeping import size_words
from playhead.cli.options import FAILED, App, Ends, Json, Url
from playhead.cli.progress import Checking
from playhead.cli.staffing import lag_doc, say_lag, worker_docs

if TYPE_CHECKING:
    from engine.app import Engine

KINDS = ("run", "breaker", "trigger")


def verify(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this run; else everything.")
    ] = None,
    *,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Also hold events, snapshots, rows and keys to each other."
        ),
    ] = False,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Check that the log is what was written: chains, versions, values; exit code 1 if not.

    With --deep also that it is what engines can have written: moves that are legal, epochs with
    one owner, results with a start; snapshots, rows and keys that say what the events say. It only
    reads, and engines may work meanwhile.
    """
    with target.reading(app, url, verifies=True) as engine:
        stream = None if run is None else target.run_id(engine, run)
        with Checking(engine, _expected(engine, stream)) as told:
            audit = Audit(
                engine.log, engine.repository.plan, deep=deep, on_progress=told.looked
            )
            faults = []
            for fault in audit.faults(stream):
                faults.append(fault)
                if not json:
                    told.found(fault)
    if json:
        counted = {
            "streams": audit.streams,
            "events": audit.events,
            "snapshots": audit.snapshots,
            "pruned": audit.pruned,
        }
        places = [{"stream": f.stream, "version": f.version, "fault": str(f)} for f in faults]
        notes = [{"stream": n.stream, "note": str(n)} for n in audit.notes]
        out.result(
            {"ok": not faults, "deep": deep, **counted, "faults": places, "notes": notes}
        )
    else:
        for note in audit.notes:
            out.note(f"note: {note}")
    if faults:
        out.note(f"{out.counted(len(faults), 'fault')} found")
        raise Ends(FAILED)
    if not json:
        _say_whole(audit, deep=deep)


def _expected(engine: "Engine", stream: str | None) -> int:
    """Give about how many events there are to look at; 0 if that cannot be read.

    Raises:
        StorageCorrupt: nothing of this database can be read.
    """
    engine.log.changed()
    with contextlib.suppress(StorageCorrupt):
        if stream is None:
            return engine.log.last_position()
        if (head := engine.log.head(stream)) is not None:
            return head.tip.version
    return 0


def _say_whole(audit: Audit, *, deep: bool) -> None:
    gone = f" ({audit.pruned} of them pruned)" if audit.pruned else ""
    streams = out.counted(audit.streams, "stream") + gone
    whole = f"ok: {out.counted(audit.events, 'event')} in {streams}, chains whole"
    if deep:
        snapshots = out.counted(audit.snapshots, "snapshot")
        whole += f", moves legal; rows, keys and {snapshots} say what the events say"
    out.say(whole)


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
        lease = f"lease until {worker['until']}" + " (ran out)" * worker["expired"]
        state = {"dead": "dead", "unknown": "no lease"}.get(worker["state"], lease)
        who = worker["name"] or worker["id"]
        holds = sum(worker["runs"].values())
        out.say(
            f"  {who} on {worker['host']}, process {worker['pid']}: {state},"
            f" holds {out.counted(holds, 'run')}"
        )
        for other in worker["namesakes"]:
            out.say(
                f"    the same name: process {other['pid']} on {other['host']}; give one of them"
                " another worker="
            )
    say_lag(doc["lag"])


def _stats(engine: "Engine") -> render.Doc:
    log: Any = engine.log
    now = clock.now_us()
    counts = {kind: log.counts(kind) for kind in KINDS}
    statuses, workflows = Counter[str](), Counter[str]()
    for count in counts["run"]:
        statuses[count.status] += count.streams
        workflows[count.name] += count.streams
    due = log.next_due(kinds=KINDS)
    return {
        "url": engine.place,
        "bytes": engine.log.size(),
        "runs": dict(sorted(statuses.items())),
        "workflows": dict(sorted(workflows.items())),
        "events": sum(count.events for kind in KINDS for count in counts[kind]),
        "pruned": sum(count.pruned for count in counts["run"]),
        "next_due": None if due is None else render.iso(clock.from_us(due)),
        "overdue": due is not None and due < now,
        "lag": lag_doc(engine, now),
        "workers": worker_docs(engine, now),
    }
