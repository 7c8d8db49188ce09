"""`backup`: a copy of a log that is at work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore import clock
from playhead import importing, render
from playhead.cli import out, target
from playhead.cli.bar import Bar
from playhead.cli.options import App, Json, Url, Wrong

if TYPE_CHECKING:
    from eventstore.backup import Copied


def backup(
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="The file of the copy.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Put it in the place of a file that is there.")
    ] = False,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Copy a log in a SQLite file while engines write to it; the copy is verified."""
    with target.located(app, url) as engine:
        source = engine.log.path
        if source is None:
            raise Wrong(
                f"{engine.place} lies in no file; copy a PostgreSQL database with pg_dump or"
                " pg_basebackup, or write its events to a file with `playhead export`"
            )
        from eventstore.backup import back_up  # noqa: PLC0415 - brings SQLAlchemy

        with Bar("copying pages", silent=json) as bar:
            copied = back_up(source, str(dest.absolute()), force=force, progress=bar.told)
    shown = importing.shown(copied.path)
    if json:
        out.result({"path": shown, **_doc(copied)})
    else:
        _say(shown, copied)


def size_words(count: int | None) -> str:
    """Give a number of bytes for people. *Pure.*"""
    if count is None:
        return "size unknown"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _doc(copied: "Copied") -> render.Doc:
    return {
        "bytes": copied.bytes,
        "schema": copied.schema,
        "streams": copied.streams,
        "events": copied.events,
        "newest": None if copied.newest is None else render.iso(clock.from_us(copied.newest)),
    }


def _say(shown: str, copied: "Copied") -> None:
    size = size_words(copied.bytes)
    out.say(f"{shown}  {size}, schema {copied.schema}, verified")
    for kind, counts in copied.streams.items():
        each = ", ".join(f"{count} {status}" for status, count in counts.items() if status)
        total = sum(counts.values())
        out.say(f"  {total} {kind}{'s' * (total != 1)}{': ' + each if each else ''}")
    when = "" if copied.newest is None else f", the newest of {_when(copied.newest)}"
    out.say(f"  {out.counted(copied.events, 'event')}{when}")


def _when(us: int) -> str:
    return out.when(clock.from_us(us))
