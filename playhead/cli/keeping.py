"""`backup`: a copy of a log that is at work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore import clock
from playhead import importing, render
from playhead.cli import out, target
from playhead.cli.options import App, Json, Url, Wrong

if TYPE_CHECKING:
    from eventstore.backup import Copied

STEPS = 20  # lines of progress at most, where lines cannot be overwritten


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

        copied = back_up(
            source, str(dest.absolute()), force=force,
            progress=Meter("copied", silent=json),
        )  # fmt: skip
    shown = importing.shown(copied.path)
    if json:
        out.result({"path": shown, **_doc(copied)})
    else:
        _say(shown, copied)


class Meter:
    """How far a long command is, on stderr.

    Args:
        what: What is counted, such as "copied".
        silent: Say nothing.
    """

    def __init__(self, what: str, *, silent: bool = False) -> None:
        self._what, self._silent, self._told = what, silent, -1

    def __call__(self, done: int, total: int) -> None:
        """Hear that so many are done of so many."""
        part = 100 if not total else 100 * done // total
        over = sys.stderr.isatty()
        if self._silent or (part == self._told if over else part < self._told + 100 // STEPS):
            return
        self._told = part
        if over:
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r\x1b[K{self._what} {part} %{end}")
            sys.stderr.flush()
        else:
            out.note(f"{self._what} {part} %")


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
    out.say(f"  {copied.events} events{when}")


def _when(us: int) -> str:
    return out.when(clock.from_us(us))
