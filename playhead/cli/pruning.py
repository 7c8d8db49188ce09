"""`prune`: ended runs that are old lose their history; `--export` writes it to a file first."""

import os
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import playhead
from eventstore import arrival, clock
from eventstore.errors import ExportRefused
from eventstore.export import export as write_log
from playhead import importing, render
from playhead.cli import out, target
from playhead.cli.bar import Bar
from playhead.cli.inputs import read_since
from playhead.cli.keeping import size_words
from playhead.cli.options import App, Json, Url, Wrong
from playhead.cli.whole import check_target, whole

if TYPE_CHECKING:
    from engine.pruning import Pruned
    from eventstore import Log

UNSWEPT = (
    "large values stay: events that name those in use are encoded. With the app whose engine has"
    " the codec they go too: --app app.py"
)
ENDED = ("succeeded", "failed", "cancelled")


def prune(
    *,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE|TIME",
            help="Runs that ended longer ago (30d, 12h), or before an ISO time.",
        ),
    ],
    workflow: Annotated[str | None, typer.Option(help="Only runs of this workflow.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only runs with this end: succeeded, failed, cancelled; repeatable."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write them to this file before they are deleted."),
    ] = None,
    unseen: Annotated[
        bool,
        typer.Option("--unseen", help="Also runs whose end a RunTrigger has yet to follow."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go; delete nothing.")
    ] = False,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Delete the history of runs that ended long ago; their keys and statuses stay."""
    for one in status or ():
        if one not in ENDED:
            raise Wrong(
                f"--status {one}: only ended runs can be pruned: {', '.join(ENDED)}; cancel a live"
                " one first"
            )
    before = clock.to_us(read_since(older_than))
    if before > clock.now_us():
        raise Wrong(
            f"--older-than {older_than} is still to come, so that every ended run would lose its"
            " history; if that is meant: --older-than 0s"
        )
    if export is not None and export.exists():
        raise Wrong(f"--export {export} is there already; name a file that is not")
    from engine.pruning import Pruning, Wish  # noqa: PLC0415 - after what is said of the words

    with target.steering(app, url) as engine:
        if workflow is not None and (why := target.unknown_workflow(engine, workflow)):
            raise Wrong(why)
        if export is not None:
            check_target("--export", export, engine.log)
        wish = Wish(
            before=before, workflow=workflow, statuses=tuple(status or ()), unseen=unseen
        )
        pruning = Pruning(engine.log, wish)
        due = pruning.survey()
        if dry_run:
            done = due
        else:
            write = None if export is None else _exporter(engine.log, export, silent=json)
            with Bar("pruning runs", due.runs.total(), silent=json) as bar:
                done = pruning.prune(export=write, told=bar.told)
    if json:
        out.result({"dry_run": dry_run, **_doc(done)})
    else:
        _say(done, would=dry_run)
    if export is not None and done.runs and not dry_run:
        out.note(f"their history is in {importing.shown(export)}")


def _exporter(log: "Log", path: Path, *, silent: bool) -> "Callable[[Collection[str]], None]":
    """Give what writes runs to a file, which has its name only when it is whole and safe.

    It is read again before, as an import would: what was damaged in the log is not to be deleted
    there for a file that nobody can use.
    """

    def write(ids: Collection[str]) -> None:
        try:
            with whole(path) as file:
                with Bar("exporting events", silent=silent) as bar:
                    write_log(
                        log, file.write, streams=ids, program=playhead.__version__,
                        told=bar.told,
                    )  # fmt: skip
                file.flush()
                with Path(file.name).open("rb") as written:
                    size = os.fstat(written.fileno()).st_size
                    with Bar("checking", size, is_bytes=True, silent=silent) as bar:
                        arrival.check(written, told=bar.told)
        except ExportRefused as error:
            why = str(error).replace("; nothing was imported", "")
            raise Wrong(
                f"--export {path}: what was written could not be imported again: {why}; nothing"
                " was deleted"
            ) from error
        except OSError as error:
            raise Wrong(
                f"--export {path}: {error.strerror or error}; nothing was deleted"
            ) from None

    return write


def _doc(done: "Pruned") -> render.Doc:
    return {
        "runs": [
            {"workflow": workflow, "status": status, "count": count}
            for (workflow, status), count in sorted(done.runs.items())
        ],
        "events": done.events,
        "oldest": None if done.oldest is None else render.iso(clock.from_us(done.oldest)),
        "newest": None if done.newest is None else render.iso(clock.from_us(done.newest)),
        "stay": dict(done.stays),
        "blobs": done.blobs if done.is_swept else None,
        "blob_bytes": done.blob_bytes if done.is_swept else None,
        "freed_bytes": done.freed,
    }


def _say(done: "Pruned", *, would: bool) -> None:
    total = done.runs.total()
    what = "would lose" if would else "lost"
    if not total:
        out.say("no run is old enough" + (" and may go" if done.stays else ""))
    else:
        oldest, newest = clock.from_us(done.oldest or 0), clock.from_us(done.newest or 0)
        ended = f"they ended from {out.when(oldest)} to {out.when(newest)}"
        if total == 1:
            ended = f"it ended at {out.when(oldest)}"
        out.say(
            f"{out.counted(total, 'run')} {what} {'its' if total == 1 else 'their'} history:"
            f" {out.counted(done.events, 'event')}; {ended}"
        )
    each: dict[str, Counter[str]] = {}
    for (workflow, status), count in done.runs.items():
        each.setdefault(workflow, Counter())[status] += count
    for workflow, counts in sorted(each.items()):
        words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        out.say(f"  {workflow}: {words}")
    if done.blobs:
        size = size_words(done.blob_bytes)
        values = out.counted(done.blobs, "large value")
        out.say(f"{values} that nothing names any more went: {size}")
    if not done.is_swept:
        out.note(UNSWEPT)
    if done.freed:
        out.say(f"{size_words(done.freed)} given back to the disk")
    for reason, count in sorted(done.stays.items()):
        verb = "stays" if count == 1 else "stay"
        out.note(f"{out.counted(count, 'run')} {verb}: {reason}")
