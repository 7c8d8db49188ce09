"""`runs`, `show` and `graph`: looking at what is in the log."""

import difflib
import json as json_
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from engine.core import diagram
from engine.core.run import STATUSES
from eventstore import clock
from playhead import importing, loading, render
from playhead.cli import out, target, unread
from playhead.cli.inputs import read_since, read_tags
from playhead.cli.options import App, At, Json, RunId, Url, Wrong

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.core.plan import Plan
    from engine.playhead import Playhead

Cell = str | Text
WIDEST = 120  # characters of one value of an event in a listing
LAST = 8  # events that `show` ends with
_UNSAFE = re.compile(r"[^\w.\[\]-]+")


def runs(
    *,
    workflow: Annotated[str | None, typer.Option(help="Of this workflow.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="In this status; several: in any of them.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Started with this key.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Started since an ISO time, or 2h ago.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="With this tag; several: all of them."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 100,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    for one in status or ():
        if one not in STATUSES:
            near = difflib.get_close_matches(one, STATUSES, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(STATUSES)}"
            raise Wrong(f"--status {one}: there is no such status; {hint}")
    with target.reading(app, url) as engine:
        if unread.is_unread(engine):
            moment = None if since is None else clock.to_us(read_since(since))
            heads = engine.log.heads(
                kind="run", name=workflow, status=status or (), key=key,
                tags=read_tags(tag or ()) or None, since=moment, limit=limit or None,
            )  # fmt: skip
            unread.runs(heads, json=json)
            return
        rows = engine.runs(
            workflow, status or None, key, read_tags(tag or ()) or None,
            read_since(since) if since else None, limit + 1 if limit else None,
        )  # fmt: skip
        shown = rows[:limit] if limit else rows
        docs = [render.row_doc(engine, row) for row in shown]
        is_narrow = bool(workflow or status or key or since or tag)
        nothing = "no runs" + " like that" * is_narrow
        if not docs and workflow is not None:
            why = target.unknown_workflow(engine, workflow)
            nothing += f": {why}" if why else ""
    if json:
        out.result(docs)
    elif docs:
        _list(docs)
    else:
        out.note(nothing)
    if len(rows) > len(shown):
        out.note(f"these are the newest {limit}; --limit 0 shows all")


def _list(docs: list[render.Doc]) -> None:
    """Print runs; a column that says nothing of any of them is left out."""
    head = ["id", "workflow", "status", "state", "started", "ended", "key", "inputs or error"]
    rows = [_row(doc) for doc in docs]
    told = [n for n in range(len(head)) if n == len(head) - 1 or any(row[n] for row in rows)]
    out.table([head[n] for n in told], [[row[n] for n in told] for row in rows])


def _row(doc: render.Doc) -> list[Cell]:
    error = doc["error"]
    last = (
        out.clip(f"{error['type']}: {error['message']}") if error else out.short(doc["inputs"])
    )
    if doc["pruned_at"]:
        last = f"pruned on {doc['pruned_at'][:10]}" + (f"; {last}" if error else "")
    started, ended = doc["started_at"][:19] + "Z", doc["ended_at"] or ""
    if ended[:10] == started[:10]:
        ended = ended[11:]  # the day is the same
    return [
        doc["id"], doc["workflow"], out.styled(doc["status"]), doc["state"] or "", started,
        ended.partition(".")[0], doc["key"] or "", last,
    ]  # fmt: skip


def show(
    run: RunId,
    *,
    at: At = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each stage's output to a JSON file there."),
    ] = None,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show a run: its status, steps, what it waits for, and its last events."""
    with target.reading(app, url) as engine:
        run_id = target.run_id(engine, run)
        if unread.is_unread(engine):
            unread.run(engine, run_id, at, json=json, whole=True)
            return
        head = target.head_at(engine, run_id, at)
        doc = render.run_doc(engine, head)
        if export is not None:
            _export(engine, head, export)
        if json:
            out.result(doc)
            return
        _show(engine, head, doc)


def _export(engine: "Engine", head: "Playhead", folder: Path) -> None:
    """Write a file for each stage up to where the playhead stands."""
    stages = list(render.stages(engine.history(head.run_id)[: head.version]))
    digits = max(2, len(str(len(stages))))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, stage in enumerate(stages, 1):
            name = f"{number:0{digits}}_{_UNSAFE.sub('_', stage['step'])}.json"
            text = json_.dumps(stage, ensure_ascii=False, indent=2)
            (folder / name).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Wrong(f"--export {folder}: {error.strerror}: {error.filename}") from None
    out.note(f"wrote {len(stages)} file{'s' * (len(stages) != 1)} to {importing.shown(folder)}")


def _show(engine: "Engine", head: "Playhead", doc: render.Doc) -> None:
    out.console().print(
        Text(f"run {head.run_id}  {out.plain(doc['workflow'])}  "), out.styled(doc["status"])
    )
    if head.version < len(head):
        out.say(f"at version {head.version} of {len(head)}, {out.when(head.at, fine=True)}")
    for name in ("state", "key", "tags", "inputs", "started_at", "ended_at"):
        value = doc[name]
        if value not in (None, {}):
            out.say(f"  {name:<11}{value if isinstance(value, str) else out.short(value, 100)}")
    causes = [render.cause_words(cause) for cause in doc["causes"]]
    for n, words in enumerate(causes or ["a call, not a trigger"]):
        out.say(f"  {'' if n else 'caused by':<11}{out.clip(out.plain(words))}")
    why = render.why_waiting(engine, head)
    if why:
        out.say(f"  {'waits for' if doc['status'] == 'waiting' else 'now':<11}{why}")
    error = doc["error"]
    if error:
        out.say(f"  {'error':<11}{_error_words(error)}")
    if doc["status"] == "succeeded":
        out.say(f"  {'result':<11}{out.short(doc['result'], 200)}")
    if doc["steps"]:
        out.say()
        out.table(
            ("step", "state", "attempts", "output or error"),
            [_step(name, step) for name, step in doc["steps"].items()],
        )
    events = engine.history(head.run_id)[: head.version]
    if events:
        out.say()
        out.table(("#", "at", "event", "subject", "move", ""), map(event_row, events[-LAST:]))
        if len(events) > LAST:
            out.note(f"{len(events) - LAST} earlier events: playhead replay {head.run_id}")


def _error_words(error: render.Doc) -> str:
    step = f" (step {error['step']!r}, attempts {error['attempts']})" if error["step"] else ""
    return f"{error['type']}: {error['message']}{step}"


def _step(name: str, step: render.Doc) -> list[Cell]:
    last = "" if step["output"] is None else out.short(step["output"])
    if step["error"]:
        last = out.clip(f"{step['error']['type']}: {step['error']['message']}")
    return [name, out.styled(step["state"]), str(step["attempts"]), last]


def event_row(event: Any) -> list[Cell]:
    """Give an event as a row of a table: version, time, type, subject, move, what it says."""
    told = [
        f"{name} {out.clip(value, WIDEST) if isinstance(value, str) else out.short(value, WIDEST)}"
        for name, value in render.told_by(event)
    ]
    move = "" if event.source == event.dest else f"{event.source} → {event.dest}"
    at = out.when(event.at, fine=True)
    return [str(event.version), at, event.type, event.subject, move, ", ".join(told)]


class Format(StrEnum):
    """The languages that pictures are written in."""

    mermaid = "mermaid"
    dot = "dot"


def graph(
    what: Annotated[str, typer.Argument(metavar="APP:WORKFLOW|RUN")],
    *,
    at: At = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option(help="The language of the picture.")
    ] = Format.mermaid,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Draw a workflow, or a run with where it stands, as text for Mermaid or Graphviz."""
    draw = diagram.mermaid if format == Format.mermaid else diagram.dot
    plan, states = _subject(what, at, app, url)
    text = draw(plan, states=states)
    if json:
        out.result({"workflow": plan.definition.name, "format": str(format), "text": text})
    else:
        out.say(text.rstrip("\n"))


def _subject(
    what: str, at: str | None, app: str | None, url: str | None
) -> "tuple[Plan, dict[str, str]]":
    is_workflow = ":" in what or what.endswith(".py")
    if not is_workflow and app is not None and at is None:
        is_workflow = what in loading.load_engine(app).workflows
    if is_workflow:
        if at is not None:
            raise Wrong("--at is for the picture of a run; a workflow has no past")
        _, workflow = target.app_workflow(what, app, None)
        return workflow.plan, {}
    with target.reading(app, url) as engine:
        head = target.head_at(engine, target.run_id(engine, what), at)
        run = head.fold()
        if not run.version:
            raise Wrong("there is nothing to draw before the first event; --at 1 is the first")
        return engine.repository.plan(run.definition), render.styles_of(head)
