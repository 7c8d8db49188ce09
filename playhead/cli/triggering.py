"""`triggers`: what wakes the engine; why it did, why it did not, and what is to fire after all."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.core import trigger as core
from engine.triggerview import TriggerEvent, TriggerView
from eventstore import clock
from playhead import render
from playhead.cli import out, target
from playhead.cli.inputs import read_moment, read_since
from playhead.cli.options import App, Json, Url, Wrong

if TYPE_CHECKING:
    from engine.app import Engine

SHOWN = 50  # events of an explanation, unless told otherwise


class Action(StrEnum):
    """What can be asked of a trigger."""

    pause = "pause"
    resume = "resume"
    explain = "explain"
    backfill = "backfill"


def triggers(
    action: Annotated[Action | None, typer.Argument(help="Or nothing: list them.")] = None,
    name: Annotated[
        str | None, typer.Argument(help="The trigger's name, or a part that only it has.")
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="explain: from an ISO time on, or 2h ago."),
    ] = None,
    about: Annotated[
        str | None, typer.Option(metavar="TEXT", help="explain: events that name it, a file.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="explain: the newest so many; 0: all.")
    ] = SHOWN,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="backfill: slots from here on,")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="up to here, or up to now.")
    ] = None,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List triggers; pause or resume one; explain what it did and did not start; backfill slots."""
    with target.steering(app, url) as engine:
        if action is None:
            _list(engine, json=json)
            return
        if name is None:
            raise Wrong(f"which trigger? playhead triggers {action} NAME")
        found = _named(engine, name)
        if action is Action.explain:
            view = engine.trigger(found)
            moment = read_since(since) if since else None
            _explain(view, moment, about, limit, json=json)
        elif action is Action.backfill:
            _backfill(engine, found, from_, to, json=json)
        else:
            _steer(engine.trigger(found), action, json=json)


def _named(engine: "Engine", wanted: str) -> str:
    """Give the trigger of a name, or of a part of one."""
    heads = engine.log.heads(kind="trigger")
    known = {**engine.triggers, **{h.id.removeprefix(core.PREFIX): h for h in heads}}
    if wanted in known:
        return wanted
    fitting = [name for name in known if wanted in name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise Wrong(f"{wanted!r} is part of several triggers: {', '.join(fitting)}")
    listed = ", ".join(known) or "none"
    raise Wrong(f"there is no trigger {wanted!r} in {engine.place}; known: {listed}")


def _list(engine: "Engine", *, json: bool) -> None:
    heads = [h.id.removeprefix(core.PREFIX) for h in engine.log.heads(kind="trigger")]
    docs = [_doc(engine, name) for name in dict.fromkeys([*engine.triggers, *heads])]
    if json:
        out.result(docs)
    elif docs:
        out.table(
            ("trigger", "kind", "starts", "state", "fired", "declined", "last", "declined for"),
            [
                [
                    d["name"], d["kind"], d["workflow"], out.styled(d["state"]),
                    str(d["fired"]), str(d["declined"]), d["last"] or "-",
                    d["reason"] or "-",
                ]
                for d in docs
            ],
        )  # fmt: skip
    else:
        out.note("no triggers")


def _doc(engine: "Engine", name: str) -> render.Doc:
    """Give a trigger as the log has it, or as the app declares it if it was never armed."""
    view, declared = TriggerView(engine.log, name), engine.triggers.get(name)
    state = view.state
    return {
        "name": name,
        "kind": view.kind or (declared.kind if declared else ""),
        "workflow": view.workflow or (declared.workflow if declared else ""),
        "state": state.state if view.is_known else "not armed yet",
        "fired": state.fired,
        "declined": state.declined,
        "last": state.last or None,
        "reason": next(reversed(state.said), None),
    }


def _steer(view: TriggerView, action: Action, *, json: bool) -> None:
    was = view.state.state
    done = view.pause(by="user") if action is Action.pause else view.resume(by="user")
    state = view.state.state
    if not done:
        raise Wrong(f"trigger {view.name} is {was}; there is nothing to {action}")
    if json:
        out.result({"name": view.name, "state": state})
    else:
        out.note(f"trigger {view.name} is {state}")


# Why it started something, and why it did not.


def _explain(
    view: TriggerView, since: datetime | None, about: str | None, limit: int, *, json: bool
) -> None:
    events = [e for e in view.events(since=since) if about is None or _is_about(e, about)]
    shown = events[-limit:] if limit else events
    state = view.state
    if json:
        out.result(
            {
                "name": view.name, "kind": view.kind, "workflow": view.workflow,
                "state": state.state, "fired": state.fired, "declined": state.declined,
                "events": [_event_doc(event) for event in shown],
            }
        )  # fmt: skip
        return
    out.say(
        f"trigger {view.name} starts {view.workflow}: {state.state}, fired {state.fired},"
        f" declined {state.declined}"
    )
    if not shown:
        out.note("nothing happened" + (" like that" if since or about else " yet"))
        return
    out.table(("at", "event", "key", "what"), map(_row, shown))
    if len(events) > len(shown):
        out.note(f"{len(events) - len(shown)} earlier events; --limit 0 shows all")


def _is_about(event: TriggerEvent, text: str) -> bool:
    facts = event.facts.values()
    names = [
        str(one) for value in facts for one in (value if isinstance(value, list) else [value])
    ]
    return any(text in one for one in (event.key or "", event.run or "", *names))


def _event_doc(event: TriggerEvent) -> render.Doc:
    return {
        "version": event.version, "at": render.iso(event.at), "type": event.type,
        "key": event.key, "reason": event.reason, "count": event.count, "run": event.run,
        "facts": event.facts, "by": event.by, "cause": event.cause,
    }  # fmt: skip


def _row(event: TriggerEvent) -> list[Any]:
    what = event.reason or ""
    if event.run:
        what = f"run {event.run}"
    if event.count > 1:
        what += f" ({event.count} times)"
    if event.by:
        what += f" by {event.by}"
    kind = event.type.removeprefix("trigger.")
    return [out.when(event.at), kind, out.clip(event.key or "", 60), out.clip(what, 120)]


# Slots of the past.


def _backfill(
    engine: "Engine", name: str, from_: str | None, to: str | None, *, json: bool
) -> None:
    trigger: Any = engine.triggers.get(name)
    if trigger is None:
        raise Wrong(
            f"backfill needs the schedule: name the app with --app, of trigger {name!r}"
        )
    if not hasattr(trigger, "backfill"):
        raise Wrong(f"trigger {name!r} is of kind {trigger.kind}, and has no slots to backfill")
    view = TriggerView(engine.log, name)
    if view.is_known and view.state.revision != trigger.revision():
        raise Wrong(
            f"the schedule of {name!r} in this app is not the one that is armed: serve the app"
            " first, so that its daemon knows it too"
        )
    if from_ is None:
        raise Wrong("backfill from when? --from 2026-11-01T00:00Z, or --from 7d for 7 days ago")
    since = clock.to_us(read_since(from_))
    until = clock.to_us(read_moment(to)) if to else clock.now_us()
    counts = {"started": 0, "duplicate": 0, "declined": 0}
    runs = []
    for _, became in trigger.backfill(engine.doorways.doors[name], since, until):
        run = getattr(became, "run", None)
        if run is None:
            counts["declined"] += 1
        elif became.duplicate:
            counts["duplicate"] += 1
        else:
            counts["started"] += 1
            runs.append(run)
    if json:
        out.result({"name": name, **counts, "runs": runs})
        return
    out.note(
        f"{counts['started']} slots started their run, {counts['duplicate']} had theirs already,"
        f" {counts['declined']} were declined"
    )
