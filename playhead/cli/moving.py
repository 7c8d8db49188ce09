"""`export` and `import`: a log leaves as lines and arrives in another database."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec
import typer

import playhead
from eventstore import arrival, clock
from eventstore.errors import LogError, StorageError
from eventstore.export import export as write_log
from playhead import importing, loading
from playhead.cli import out, target
from playhead.cli.bar import Bar
from playhead.cli.following import follow as follow_log
from playhead.cli.options import App, Json, Url, Wrong
from playhead.cli.whole import check_target, whole

if TYPE_CHECKING:
    from engine.app import Engine
    from eventstore.picture import Taken

PIPE = "-"
NOTHING = "nothing was imported"


def export(
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write it there, whole or not at all; else to stdout."
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Only this run, with what belongs to it; several."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Events only, and those to come as they come.")
    ] = False,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**63 - 1, metavar="POSITION", help="With --follow: those behind it."
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --follow: go on where this name left off."),
    ] = None,
    workflow: Annotated[
        str | None, typer.Option(help="With --follow: only of this workflow's runs.")
    ] = None,
    type: Annotated[  # noqa: A002 - the option's name
        list[str] | None,
        typer.Option(metavar="TYPE", help="With --follow: only of this type; several."),
    ] = None,
    app: App = None,
    url: Url = None,
) -> None:
    """Write the whole log as JSON lines, to keep or to import elsewhere; or follow it."""
    only = {"--after": after, "--cursor": cursor, "--workflow": workflow, "--type": type}
    if follow:
        if file is not None or run:
            raise Wrong("--follow prints events as they come; leave out --out and --run")
        if after is not None and cursor is not None:
            raise Wrong("--cursor knows where to go on; leave out --after")
        with target.reading(app, url) as engine:
            if workflow is not None and (why := target.unknown_workflow(engine, workflow)):
                out.note(f"{why}. It is waited for")
            follow_log(engine, after=after, cursor=cursor, workflow=workflow, types=type or [])
        return
    for name, given in only.items():
        if given is not None:
            raise Wrong(
                f"{name} goes with --follow; a whole log has no beginning but the first"
            )
    with target.reading(app, url) as engine:
        if file is not None:
            check_target("--out", file, engine.log)
        streams = None if not run else [target.run_id(engine, one) for one in run]
        _warn_of_workers(engine, is_whole=streams is None)
        with _written(file) as lines_to, Bar("exporting events") as bar:
            done = write_log(
                engine.log, lines_to, streams=streams, program=playhead.__version__,
                told=bar.told,
            )  # fmt: skip
    where = "" if file is None else f" to {importing.shown(file)}"
    out.note(f"exported {_count(done.lines)}{where}")


def _warn_of_workers(engine: "Engine", *, is_whole: bool) -> None:
    now = clock.now_us()
    living = [row for row in engine.log.workers() if not row.dead and row.until > now]
    if living and is_whole:
        names = ", ".join(sorted(row.name or row.id for row in living))
        out.note(
            f"at work on this log: {names}. What happens from now on is not in the export; to"
            " move the log, stop every engine on it first"
        )


@contextlib.contextmanager
def _written(file: Path | None) -> Iterator[Callable[[bytes], Any]]:
    """Give what takes the lines; a file is there when it is whole, and not before."""
    if file is None:
        yield out.raw_lines
        return
    try:
        with whole(file) as taking:
            yield taking.write
    except OSError as error:
        raise Wrong(f"--out {file}: {error.strerror or error}; nothing was written") from None


def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="What `playhead export` wrote; -: stdin.")
    ],
    *,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Take an export into a log, a new or an existing one: all of it or nothing."""
    if url is None and app is None:
        raise Wrong(target.MISSING)
    engine = loading.load_engine(app) if url is None and app else playhead.Engine(url or "")
    if engine.is_private:
        raise Wrong(
            f"{engine.place} ends with this command; name a file: sqlite:///playhead.db"
        )
    with target.closed(engine), _opened(file) as (arriving, keep):
        try:
            taken = _take(engine, arriving, keep)
        except StorageError:
            raise  # of the log, not of the file
        except LogError as error:
            why = str(error)
            if NOTHING not in why:
                why += f"; {NOTHING}"
            raise Wrong(why if file == PIPE else f"{file}: {why}") from error
    if json:
        out.result(msgspec.to_builtins(taken))
    else:
        _tell(engine, taken)


def _take(engine: "Engine", arriving: BinaryIO, keep: BinaryIO | None) -> "Taken":
    """Check all of it, then write it; `keep` gets a copy of what cannot be read twice."""
    start = 0 if keep is not None else arriving.tell()
    size = None if keep is not None else os.fstat(arriving.fileno()).st_size - start
    with Bar("checking", size, is_bytes=True) as bar:
        reading: Any = arriving if keep is None else _Copying(arriving, keep)
        arrived = arrival.check(reading, told=bar.told)
    again = arriving if keep is None else keep
    size = again.seek(0, os.SEEK_END) - start
    with Bar("importing", size, is_bytes=True) as bar:
        return arrival.take(engine.log, again, arrived, start=start, told=bar.told)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, BinaryIO | None]]:
    """Give the export, and where to keep a copy if it can be read only once."""
    if file != PIPE:
        try:
            with Path(file).open("rb") as arriving:
                if arriving.seekable():
                    yield arriving, None
                else:  # <(zcat log.jsonl.gz)
                    with tempfile.TemporaryFile() as keep:
                        yield arriving, keep
        except OSError as error:
            if error.filename != str(Path(file)):
                raise
            raise Wrong(f"cannot read {file}: {error.strerror}") from None
        return
    pipe = sys.stdin.buffer
    if pipe.seekable():
        yield pipe, None
        return
    with tempfile.TemporaryFile() as keep:
        yield pipe, keep


class _Copying:
    """A pipe whose lines are kept as they are read."""

    def __init__(self, pipe: BinaryIO, keep: BinaryIO) -> None:
        self._pipe, self._keep = pipe, keep

    def readline(self) -> bytes:
        line = self._pipe.readline()
        self._keep.write(line)
        return line

    def __iter__(self) -> Iterator[bytes]:
        for line in self._pipe:
            self._keep.write(line)
            yield line

    def read(self, size: int) -> bytes:
        return self._pipe.read(size)


def _tell(engine: "Engine", taken: "Taken") -> None:
    lines = {"stream": taken.streams, "event": taken.events, "key": taken.keys,
             "blob": taken.blobs, "cursor": taken.cursors}  # fmt: skip
    out.note(f"imported {_count(lines)} into {engine.place}")
    if taken.there or taken.grown:
        grown = f", {taken.grown} of them went on from where they stood" if taken.grown else ""
        here = taken.there + taken.grown
        out.note(f"{here} stream{' was' if here == 1 else 's were'} here already{grown}")
    if taken.events and not taken.has_kept_positions:
        out.note(
            "this log had events of its own: those imported have new positions, in their order."
            " Cursors were left out: whoever follows the log meets them as new"
        )


def _count(lines: dict[str, int]) -> str:
    counted = [
        (sort, lines.get(sort, 0)) for sort in ("stream", "event", "key", "blob", "cursor")
    ]
    return ", ".join(
        f"{number} {'inbox key' if sort == 'key' else sort}{'s' * (number != 1)}"
        for sort, number in counted
        if number or sort in ("stream", "event")
    )
