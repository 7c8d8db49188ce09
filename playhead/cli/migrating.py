"""`migrate`: a log of an earlier Playhead becomes one of this Playhead's."""

from typing import Annotated

import typer

from playhead import importing
from playhead.cli import out, target
from playhead.cli.options import FAILED, App, Ends, Json, Url, Wrong


def migrate(
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what would be done; exit code 1 if anything."),
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also while workers seem to be at work on it.")
    ] = False,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Bring a log of an earlier Playhead to this one's schema; stop what uses it first."""
    from eventstore.migrating import migrate_file  # noqa: PLC0415 - brings SQLAlchemy

    with target.reading(app, url) as engine:
        if engine.log.path is None:
            raise Wrong(f"{engine.url} has no schema to migrate")
        shown = importing.shown(engine.log.path)
        if not check:
            due = migrate_file(engine.log.path, is_check=True)
            if due.steps and not json:
                out.note(f"backup first: playhead backup --url {engine.url} COPY")
        done = migrate_file(engine.log.path, is_check=check, anyway=anyway)
    if json:
        out.result(
            {"from": done.found, "to": done.schema, "steps": done.steps, "living": done.living}
        )
    elif not done.steps:
        out.say(f"{shown} has schema {done.found}: nothing to do")
    else:
        would = "would go" if check else "went"
        out.say(f"{shown} {would} from schema {done.found} to {done.schema}")
        for step in done.steps:
            out.say(f"  {step}")
        for worker in done.living:
            out.note(f"at work on it: {worker}")
    if check and done.steps:
        raise Ends(FAILED)
