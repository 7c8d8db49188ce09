"""`signal`, `cancel`, `pause`, `resume` and `retry`: a word to a run, recorded at once."""

from typing import Annotated, Any

import typer

from playhead import render
from playhead.cli import out, target
from playhead.cli.inputs import read_payload
from playhead.cli.options import App, Json, RunId, Url


def signal(
    run: RunId,
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    payload: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PAYLOAD]", help="JSON, else text; or name=value pairs."),
    ] = None,
    *,
    key: Annotated[
        str | None, typer.Option(help="It counts once per run, name and key.")
    ] = None,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Hand a signal to a run."""
    with target.steering(app, url) as engine:
        run_id = target.run_id(engine, run)
        workflow = engine.workflows.get(engine.get(run_id).workflow)
        declared = workflow.code.payloads.get(name, Any) if workflow is not None else Any
        engine.signal(run_id, name, read_payload(payload or [], declared), key=key)
        _tell(engine, run_id, as_json=json)


def cancel(
    run: RunId,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Cancel a run; what is in flight is asked to stop and waited for."""
    with target.steering(app, url) as engine:
        run_id = target.run_id(engine, run)
        engine.cancel(run_id, reason=reason)
        _tell(engine, run_id, as_json=json)


def pause(run: RunId, *, app: App = None, url: Url = None, json: Json = False) -> None:
    """Let a run start nothing new; what is in flight ends."""
    with target.steering(app, url) as engine:
        run_id = target.run_id(engine, run)
        engine.pause(run_id)
        _tell(engine, run_id, as_json=json)


def resume(run: RunId, *, app: App = None, url: Url = None, json: Json = False) -> None:
    """Let a paused run go on; what fell due meanwhile happens now."""
    with target.steering(app, url) as engine:
        run_id = target.run_id(engine, run)
        engine.resume(run_id)
        _tell(engine, run_id, as_json=json)


def retry(run: RunId, *, app: App = None, url: Url = None, json: Json = False) -> None:
    """Let a failed, cancelled or parked run go on; failed steps get a fresh budget."""
    with target.steering(app, url) as engine:
        run_id = target.run_id(engine, run)
        engine.retry(run_id)
        _tell(engine, run_id, as_json=json)


def _tell(engine: Any, run_id: str, *, as_json: bool) -> None:
    head = engine.playhead(run_id)
    if as_json:
        out.result(render.run_doc(engine, head))
        return
    view = head.state
    state = f" in state {view.state}" if view.state is not None else ""
    out.say(f"run {run_id}: {view.status}{state}")
    if view.status == "running" and engine.why_idle():
        out.note(f"it could go on, but {engine.why_idle()}")
