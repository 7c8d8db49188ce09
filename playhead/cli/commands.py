"""The commands of the command line, each from its family's file."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import playhead
from eventstore import masked_words
from playhead.cli import (
    breaking,
    keeping,
    making,
    migrating,
    moving,
    pruning,
    reading,
    replaying,
    running,
    serving,
    staffing,
    steering,
    triggering,
    upkeep,
)
from playhead.cli.options import guarded


class Commands(TyperGroup):
    """The commands; a refusal of what was written quotes it without passwords."""

    def invoke(self, ctx: Any) -> Any:
        """Obey the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(said := getattr(error, "message", None), str):
                error.message = masked_words(said)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=Commands,
    name="playhead",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"playhead {playhead.__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_say_version, is_eager=True, help="Say it."),
    ] = False,
) -> None:
    """Run workflows on an event log, and look at any moment of what they did.

    APP is file.py:attribute or module:attribute; the attribute defaults to `engine`.
    """


for command in (
    running.run, running.start, serving.serve,
    reading.runs, reading.show, replaying.replay, reading.graph,
    steering.signal, steering.cancel, steering.pause, steering.resume, steering.retry,
    breaking.breakers, triggering.triggers,
    upkeep.verify, upkeep.stats, staffing.workers, pruning.prune, keeping.backup,
    migrating.migrate, moving.export, moving.import_, making.init,
):  # fmt: skip
    name = command.__name__.rstrip("_")  # `import` is Python's word
    app.command(name)(guarded(command))
