"""`migrate`: a log of an earlier Playhead becomes one of this Playhead's."""

from typing import Annotated

import typer

from playhead import importing
from playhead.cli import out, target
from playhead.cli.options import FAILED, App, Ends, Json, Url


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
    from eventstore.migrating import migrate_file, migrate_server  # noqa: PLC0415

    with target.located(app, url) as engine:
        path = engine.log.path
        bring, log = (migrate_server, engine.url) if path is None else (migrate_file, path)
        place: str = getattr(getattr(engine.log, "database", None), "place", engine.place)
        shown = place if path is None else importing.shown(path)
        if not check and not json and bring(log, is_check=True).steps:
            copy = "pg_dump" if path is None else f"playhead backup --url {engine.place} COPY"
            out.note(f"backup first: {copy}")
        done = bring(log, is_check=check, anyway=anyway)
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
