"""`serve`: the daemon on the command line."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

import playhead
from playhead import importing, settings
from playhead.cli import out, target
from playhead.cli.options import DONE, App, Url
from playhead.cli.progress import Journal
from playhead.cli.voice import Voice, is_settled, log_lines

if TYPE_CHECKING:
    from engine.app import Engine
    from playhead.daemon import Daemon

UNREAD = 2.0  # real seconds that a reader gets for the last lines


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
    engine = target.app_engine(app_named or app, url)
    voice = Voice()
    try:
        with log_lines(voice):
            code = _serve(engine, http, voice, silent=quiet)
    finally:
        voice.close(UNREAD)
    if is_settled() and code == DONE:
        return
    os._exit(code)  # neither steps in flight nor a pipe that nobody reads must hold the process


def _serve(engine: "Engine", http: str | None, voice: Voice, *, silent: bool) -> int:
    from playhead.daemon import Daemon  # noqa: PLC0415 - it loads the database

    def say(text: str) -> None:
        voice.say(out.lines(text) + "\n")

    daemon = Daemon(engine, http=http, ready=lambda one: say("\n".join(_ready(engine, one))))
    for name in daemon.unheard:
        say(f"{name}: deliveries are not received by this process; give --http HOST:PORT")
    with Journal(engine, silent=silent, voice=voice):
        code = daemon.serve()
    if code == DONE:
        say("drained; what was not done stays in the log")
    else:
        say("stopped at once; what was in flight is done again by the next worker")
    return code


def _ready(engine: "Engine", daemon: "Daemon") -> Iterator[str]:
    """Give what is said when everything works, line by line."""
    where = target.path_of(engine)
    shown = engine.place if where is None else importing.shown(where)
    yield f"playhead {playhead.__version__} is ready on {shown}"
    yield f"  workflows: {', '.join(engine.workflows) or 'none'}"
    for trigger in engine.triggers.values():
        yield f"  watches: {trigger.name}"
    if daemon.url is not None:
        yield f"  answers: {daemon.url}/livez and {daemon.url}/readyz"
    yield "  Ctrl-C stops it softly"
