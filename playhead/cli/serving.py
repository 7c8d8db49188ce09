"""`serve`: the daemon on the command line."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import playhead
from playhead import importing, settings
from playhead.cli import out, target
from playhead.cli.options import DONE, App, Url
from playhead.cli.progress import Journal

if TYPE_CHECKING:
    from engine.app import Engine
    from playhead.daemon import Daemon


def serve(
    app_named: Annotated[
        str | None, typer.Argument(metavar="[APP]", help="app.py, or app.py:engine.")
    ] = None,
    *,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", envvar=settings.HTTP, metavar="HOST:PORT",
            help="Answer /livez and /readyz there, and take in webhooks. Without a host:"
            " loopback only. Port 0: any that is free.",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing of single runs.")
    ] = False,
    app: App = None,
    url: Url = None,
) -> None:  # fmt: skip
    """Work until SIGTERM or Ctrl-C: fire triggers, run what is due; a second one stops at once.

    Exit code 0: it drained softly. 130: a second signal cut it short.
    """
    from playhead.daemon import Daemon  # noqa: PLC0415 - it loads the database

    engine = target.app_engine(app_named or app, url)
    daemon = Daemon(engine, http=http, ready=lambda one: _tell_ready(engine, one))
    for name in daemon.unheard:
        out.note(f"{name}: deliveries are not received by this process; give --http HOST:PORT")
    with Journal(engine, silent=quiet):
        code = daemon.serve()
    if code == DONE:
        out.note("drained; what was not done stays in the log")
        return
    out.note("stopped at once; what was in flight is done again by the next worker")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # steps in flight must not hold the process


def _tell_ready(engine: "Engine", daemon: "Daemon") -> None:
    where = target.path_of(engine)
    out.note(
        f"playhead {playhead.__version__} is ready on"
        f" {engine.url if where is None else importing.shown(where)}"
    )
    out.note(f"  workflows: {', '.join(engine.workflows) or 'none'}")
    for trigger in engine.triggers.values():
        out.note(f"  watches: {trigger.name}")
    if daemon.url is not None:
        out.note(f"  answers: {daemon.url}/livez and {daemon.url}/readyz")
    out.note("  Ctrl-C stops it softly")
