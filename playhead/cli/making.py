"""`init`: a small project that runs at once."""

from pathlib import Path
from typing import Annotated

import typer

from playhead import importing
from playhead.cli import out
from playhead.cli.options import Wrong
from playhead.cli.project import FILES, FOLDERS


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where; it is made if it is not there.")
    ] = Path(),
) -> None:
    """Write a small project that runs at once: an app, its test, a README, a watched folder."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise Wrong(
            f"{importing.shown(folder / there[0])} is there already; nothing was written."
            " Name another folder: playhead init my_pipeline"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        importing.check_folder(folder)
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Wrong(f"cannot write {error.filename}: {error.strerror}") from None
    for name in FILES:
        out.say(importing.shown(folder / name))
    into = "" if folder.resolve() == Path.cwd() else f"cd {importing.shown(folder)} && "
    out.note(f"try: {into}playhead run app.py:hello name=world")
