"""Runs whose values are encoded, seen without the codec: what is clear is shown, the rest named."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from eventstore import Head, clock
from eventstore.coded import is_coded
from playhead import render
from playhead.cli import out
from playhead.cli.inputs import read_moment

if TYPE_CHECKING:
    from engine.app import Engine

MISSING = (
    "inputs, outputs and errors are encoded; name the app whose engine has the codec to see them:"
    " --app app.py"
)


def is_unread(engine: "Engine") -> bool:
    """Tell whether the newest event is encoded and this engine has no codec. *Reads the log.*"""
    if engine.codec is not None:
        return False
    newest = engine.log.read_all(after=engine.log.last_position() - 1, limit=1)
    return bool(newest) and is_coded(newest[0].data)


def runs(heads: Iterable[Head], *, json: bool) -> None:
    """List runs by what their rows say."""
    docs = [row(head) for head in heads]
    if json:
        out.result(docs)
    else:
        names = [
            "id",
            "workflow",
            "status",
            "started",
            *["key"] * any(doc["key"] for doc in docs),
        ]
        out.table(names, [_cells(doc)[: len(names)] for doc in docs])
    out.note(MISSING)


def _cells(doc: render.Doc) -> list[str | Text]:
    started = doc["started_at"][:19] + "Z"
    return [doc["id"], doc["workflow"], out.styled(doc["status"]), started, doc["key"] or ""]


def run(engine: "Engine", run_id: str, place: str | None, *, json: bool, whole: bool) -> None:
    """Show a run's events up to a version or time by what is clear; `whole`: its row too."""
    head = engine.log.head(run_id)
    if head is None:
        return
    upto = int(place) if place is not None and place.isdecimal() else None
    at = clock.to_us(read_moment(place)) if place is not None and upto is None else None
    events = [event(one) for one in engine.log.read(run_id, upto=upto, at=at)]
    if json:
        out.result({**row(head), "events": events} if whole else events)
    else:
        if whole:
            out.say(f"run {head.id}  {head.name}  {head.status}")
            if head.key is not None:
                out.say(f"  key        {head.key}")
        table = [
            [
                str(e["version"]),
                e["at"],
                e["type"],
                e["subject"],
                f"{e['source']} → {e['dest']}",
            ]
            for e in events
        ]
        out.table(("#", "at", "event", "subject", "move"), table)
    out.note(MISSING)


def row(head: Head) -> render.Doc:
    """Give a run of a list; `coded` says that there is more. *Pure.*"""
    return {
        "id": head.id,
        "workflow": head.name,
        "status": head.status,
        "key": head.key,
        "tags": head.tags,
        "started_at": render.iso(clock.from_us(head.created)),
        "coded": True,
    }


def event(one: Any) -> render.Doc:
    """Give an event without its data; `coded` says that there is some. *Pure.*"""
    return {
        "version": one.version,
        "type": one.type,
        "subject": one.subject,
        "source": one.source,
        "dest": one.dest,
        "at": render.iso(clock.from_us(one.at)),
        "cause": one.cause,
        "coded": is_coded(one.data),
    }
