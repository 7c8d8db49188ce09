"""A run as plain JSON and in words: what the command line shows of it, and other faces may."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.causes import Cause
from engine.errors import RunFailed
from engine.history import HistoryEvent, RunRow
from engine.playhead import Playhead
from engine.repository import Hold
from engine.runs import failure_of
from engine.runview import RunView, Wait
from eventstore import Tip, clock

if TYPE_CHECKING:
    from engine.app import Engine

Doc = dict[str, Any]
_LOUD = ("output", "payload", "inputs", "result")  # told by their own column, or large


def iso(moment: datetime | None) -> str | None:
    """Give an aware datetime as ISO text in UTC. *Pure.*"""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


# Runs.


def row_doc(engine: "Engine", row: RunRow) -> Doc:
    """Give a run of a list. *Reads the log* for what a failed one failed of."""
    return {
        "id": row.id,
        "workflow": row.workflow,
        "status": row.status,
        "state": row.state,
        "key": row.key,
        "inputs": row.inputs,
        "tags": row.tags,
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at),
        "error": _error_of(engine, row) if row.status == "failed" else None,
        "pruned_at": iso(row.pruned_at),
    }


def _error_of(engine: "Engine", row: RunRow) -> Doc:
    """Give what a run failed of; of a pruned one, what its row still says."""
    if row.pruned_at is None and isinstance(error := engine.get(row.id).error, RunFailed):
        return error_doc(error)
    return dict.fromkeys(("type", "message", "step", "attempts")) | (row.error or {})


def run_doc(engine: "Engine", head: Playhead) -> Doc:
    """Give a run with steps, waits and result where its playhead stands. *Reads the log.*"""
    run, view = head.fold(), head.state
    failed = failed_of(engine, head) if run.status == "failed" else None
    return {
        "id": head.run_id,
        "workflow": run.workflow,
        "status": view.status,
        "state": view.state,
        "key": run.key,
        "inputs": view.inputs,
        "tags": dict(run.tags),
        "started_at": iso(clock.from_us(run.started_at)) if run.version else None,
        "ended_at": iso(clock.from_us(run.ended_at)) if run.ended_at is not None else None,
        "error": None if failed is None else error_doc(failed, whole=True),
        "causes": [cause_doc(cause) for cause in engine.causes(head.run_id)],
        "version": run.version,
        "steps": {name: step_doc(step) for name, step in view.steps.items()},
        "waits": [wait_doc(wait) for wait in view.waits],
        "result": result_of(engine, head) if run.status == "succeeded" else None,
    }


def cause_doc(cause: Cause) -> Doc:
    """Give a link of the chain that a run follows from. *Pure.*"""
    where = {"event": f"{cause.stream}@{cause.version}", "type": cause.type}
    where["at"] = str(iso(cause.at))
    if cause.trigger is not None:
        firing = {"trigger": cause.trigger, "kind": cause.kind, "key": cause.key}
        return {**where, **firing, "facts": cause.facts}
    return {**where, "run": cause.stream, "workflow": cause.workflow, "status": cause.status}


_TELLING = ("path", "slot", "id", "run", "key")  # facts that say most of a firing


def cause_words(doc: Doc) -> str:
    """Give a link of the chain on one line. *Pure.*"""
    if "run" in doc:
        return f"run {doc['run']} of {doc['workflow']}: {doc['status']}, {doc['at']}"
    facts = doc["facts"]
    told = next((f"{name} {facts[name]}" for name in _TELLING if name in facts), None)
    return f"{doc['trigger']}: {told or doc['key']}, {doc['at']}"


def step_doc(step: Any) -> Doc:
    """Give a step as it stood. *Reads the log.*"""
    error = step.error
    if error is not None:
        error = {"type": error.type, "message": error.message, "traceback": error.traceback}
    return {
        "state": step.state,
        "attempts": step.attempts,
        "visit": step.visit,
        "inputs": step.inputs,
        "output": step.output,
        "error": error,
    }


def wait_doc(wait: Wait) -> Doc:
    """Give what a run waits for. *Pure.*"""
    return {
        "kind": wait.kind,
        "name": wait.name,
        "due": iso(wait.due),
        "breaker": wait.breaker,
    }


def error_doc(error: RunFailed, *, whole: bool = False) -> Doc:
    """Give what a run failed of; `whole`: with the traceback. *Pure.*"""
    told = {
        "type": error.error_type,
        "message": error.error,
        "step": error.step,
        "attempts": error.attempts,
    }
    return {**told, "traceback": error.traceback} if whole else told


def failed_of(engine: "Engine", head: Playhead) -> RunFailed:
    """Give what a run had failed of where its playhead stands. *Reads the log.*"""
    run = head.fold()
    return failure_of(engine, Hold(run, engine.repository.plan(run.definition), Tip()))


def result_of(engine: "Engine", head: Playhead) -> Any:
    """Give a run's result where its playhead stands, as plain JSON. *Reads the log.*"""
    told = head.fold().result
    wanted = told.values() if isinstance(told, dict) else [told]
    events = {event.version: event for event in engine.history(head.run_id)}
    brought = [None if version is None else brought_by(events[version]) for version in wanted]
    return dict(zip(told, brought, strict=True)) if isinstance(told, dict) else brought[0]


def brought_by(event: HistoryEvent) -> Any:
    """Give the value that an event brought its subject, None if it brought none."""
    if event.type == "timer.fired":
        return iso(clock.from_us(event.data["due"]))
    try:
        return event.value("output" if event.type == "step.succeeded" else "payload")
    except KeyError:
        return None


# Events.


def event_doc(event: HistoryEvent) -> Doc:
    """Give an event whole, large values in their place."""
    return {
        "version": event.version,
        "type": event.type,
        "subject": event.subject,
        "source": event.source,
        "dest": event.dest,
        "data": event.resolved(),
        "at": iso(event.at),
        "cause": event.cause,
    }


def told_by(event: HistoryEvent) -> list[tuple[str, Any]]:
    """Give what an event says beside its move, the most telling first, without large values."""
    data = {**event.data}
    if event.subject == "run":
        data.pop("result", None)  # the version that holds it
    told: list[tuple[str, Any]] = []
    error = data.pop("error", None)
    if error:
        told.append(("error", f"{error['type']}: {error['message']}"))
    told += [(name, data.pop(name)) for name in _LOUD if name in data]
    times = [name for name in ("due", "deadline", "until") if data.get(name) is not None]
    told += [(name, iso(clock.from_us(data.pop(name)))) for name in times]
    apart = [name for name in data if name.endswith("_blob")]
    told += [
        (name.removesuffix("_blob"), f"kept apart, {data.pop(name)[:8]}") for name in apart
    ]
    hidden = ("worker", "definition", "workflow", "generation")
    return told + [(name, value) for name, value in data.items() if name not in hidden]


def stages(events: Iterable[HistoryEvent]) -> Iterator[Doc]:
    """Give the checkpoints of a run in order: each output that a step recorded."""
    started: dict[str, HistoryEvent] = {}
    for event in events:
        if event.type == "step.started":
            started[event.subject] = event
        elif event.type == "step.succeeded":
            before = started.get(event.subject)
            yield {
                "step": event.subject,
                "output": brought_by(event),
                "at": iso(event.at),
                "version": event.version,
                "attempt": event.data.get("attempt"),
                "visit": before.data.get("visit") if before is not None else None,
            }


# Words.


def why_waiting(engine: "Engine", head: Playhead) -> str | None:
    """Say in one line what a run waits for and what would let it go on; None: it has ended.

    Of a moment in the past it says only what was waited for.
    """
    run, view = head.fold(), head.state
    is_past = head.version < len(head)
    waits = "; ".join(_wait_words(None if is_past else engine, wait) for wait in view.waits)
    if run.is_ended or is_past:
        return waits or None
    if run.status == "paused":
        return "somebody paused it; playhead resume lets it go on"
    if run.status == "parked":
        return f"{_parked_for(engine, head)}; playhead retry lets it go on"
    if waits and view.status in ("scheduled", "waiting"):
        return waits
    return _busy_words(engine, list(run.running))


def _busy_words(engine: "Engine", working: list[str]) -> str:
    if working:
        return f"{', '.join(working)} {'is' if len(working) == 1 else 'are'} being worked on"
    idle = engine.why_idle()
    return f"it could go on, but {idle}" if idle else "it goes on as soon as a worker is free"


def _parked_for(engine: "Engine", head: Playhead) -> str:
    for event in reversed(engine.history(head.run_id)[: head.version]):
        if event.type == "run.parked":
            return f"it needs a person: {event.data.get('reason') or 'no reason is recorded'}"
    return "it needs a person"


def _wait_words(engine: "Engine | None", wait: Wait) -> str:
    what, before = {
        "start": ("it begins", "at"),
        "signal": (f"signal {wait.name!r}", "until"),
        "timer": (f"timer {wait.name!r}", "at"),
        "timeout": (f"the timeout of {wait.name!r}", "at"),
        "retry": (f"the next attempt of {wait.name!r}", "at"),
        "breaker": (f"{wait.name!r} behind breaker {wait.breaker!r}", "until"),
    }.get(wait.kind, (f"{wait.kind} {wait.name!r}", "at"))
    due = wait.due
    if wait.breaker is not None and engine is not None:
        breaker = engine.breaker(wait.breaker)
        what, due = f"{what}, {breaker.state}", breaker.until
    return what if due is None else f"{what} {before} {_short_iso(due)}"


def _short_iso(moment: datetime) -> str:
    return str(iso(moment.replace(microsecond=0)))


# Pictures.

_SHOWN = {
    "running": "active", "retrying": "waiting", "parked": "waiting", "lost": "waiting",
    "succeeded": "visited", "failed": "failed", "quarantined": "failed", "skipped": "skipped",
    "cancelled": "skipped",
}  # fmt: skip


def styles_of(head: Playhead) -> dict[str, str]:
    """Give how the parts of a workflow's picture are shown for a run, by name."""
    run, view = head.fold(), head.state
    if run.place is not None:
        return _machine_styles(run.visits, run.place, view)
    found = {name: _SHOWN[s.state] for name, s in view.steps.items() if s.state in _SHOWN}
    found |= {wait.name: "waiting" for wait in view.waits}
    for name, state in run.signals.items():
        found[name] = "visited" if state == "received" else "failed"
    for name in run.outputs:
        found.setdefault(name, "visited")
    return found


def _machine_styles(visits: Iterable[str], place: str, view: RunView) -> dict[str, str]:
    found = dict.fromkeys(visits, "visited")
    found[place] = {"failed": "failed", "succeeded": "visited", "waiting": "waiting"}.get(
        view.status, "active"
    )
    return found
