"""`run` and `start`: what makes runs go."""

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

import playhead
from engine import values
from playhead import render
from playhead.cli import out, target
from playhead.cli.inputs import read_inputs, read_moment, read_tags
from playhead.cli.options import FAILED, INTERRUPTED, App, Ends, Json, Url
from playhead.cli.progress import Progress

if TYPE_CHECKING:
    from engine.app import Engine

UNLIMITED = 2**62  # bytes; what is printed was small enough to be recorded

Target = Annotated[
    str, typer.Argument(metavar="APP:WORKFLOW", help="app.py:documents, or with --app a name.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Inputs, read as the annotation asks, else as JSON, else as text.",
    ),
]
Key = Annotated[str | None, typer.Option(help="The same key gives the same run, for ever.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="NAME=TEXT", help="For lists; repeatable.")
]


def run(
    workflow: Target,
    inputs: Pairs = None,
    *,
    key: Key = None,
    tag: Tags = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress on stderr.")
    ] = False,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Run a workflow to its end, here and now, and print its result as JSON.

    Progress goes to stderr. Exit code 1: the run failed. Ctrl-C lets go of the run: it stays in
    the log, and `playhead serve` goes on with it.
    """
    engine, found = target.app_workflow(workflow, app, url)
    given = read_inputs(found, inputs or ())
    told = Progress(engine, silent=quiet or json)
    before = _interrupt_on_term()
    try:
        with target.closed(engine):
            try:
                with told:
                    result = engine.run(found, given, key=key, tags=read_tags(tag or ()))
                out.result(_plain(result), indent=None if json else 2)
            except playhead.RunFailed as failed:
                _say_failed(failed, engine, workflow, as_json=json)
                raise Ends(FAILED) from failed
            except playhead.RunCancelled as cancelled:
                out.refuse(str(cancelled))
                raise Ends(FAILED) from cancelled
            except playhead.PlayheadError as refused:
                if told.run_id is None:
                    raise
                out.refuse(str(refused))
                raise Ends(FAILED) from refused
    except KeyboardInterrupt:
        out.note(_let_go(told.run_id, workflow.rpartition(":")[0] or app or ""))
        raise Ends(INTERRUPTED) from None
    finally:
        _restore(before)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(values.encode(value, "the result", UNLIMITED))


def _say_failed(
    failed: "playhead.RunFailed", engine: "Engine", named: str, *, as_json: bool
) -> None:
    replay = f"playhead replay {failed.run_id} --url {engine.place}"
    if as_json:
        doc = {
            "id": failed.run_id,
            "status": "failed",
            "error": render.error_doc(failed, whole=True),
            "replay": replay,
        }
        out.note(out.json_text(doc, indent=None))
        return
    where = ""
    if failed.step is not None:
        where = f" at step {failed.step!r} after {failed.attempts} attempt"
        where += "s" * (failed.attempts != 1)
    if failed.traceback:
        out.note(failed.traceback.rstrip("\n"))
    out.note(
        f"run {failed.run_id} ({named}) failed{where}: {failed.error_type}: {failed.error}"
    )
    out.note(f"  see what happened, event by event: {replay}")


def _let_go(run_id: str | None, app: str) -> str:
    if run_id is None:
        return "interrupted"
    return f"interrupted; run {run_id} is let go of, and playhead serve {app} goes on with it"


def _interrupt_on_term() -> Any:
    """Let SIGTERM do what Ctrl-C does; give what it did before."""

    def on_term(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, on_term)


def _restore(before: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def start(
    workflow: Target,
    inputs: Pairs = None,
    *,
    key: Key = None,
    tag: Tags = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Not before this ISO time.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Larger first among what is due.")] = 0,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Start a run and print its id as JSON; `serve`, here or elsewhere, does the work."""
    engine, found = target.app_workflow(workflow, app, url)
    given = read_inputs(found, inputs or ())
    with target.closed(engine):
        moment = read_moment(at) if at is not None else None
        started = engine.start(
            found, given, key=key, at=moment, priority=priority, tags=read_tags(tag or ())
        )
        if json:
            out.result(render.run_doc(engine, engine.playhead(started)))
        else:
            out.result(started.id)
