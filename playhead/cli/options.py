"""What many commands take: the app, the database, JSON; and how every command ends."""

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

import playhead
from eventstore import masked_words
from eventstore.errors import LogError
from playhead import settings
from playhead.cli import interrupts, out
from playhead.importing import AppRefused

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a stdout that is a file

App = Annotated[
    str | None,
    typer.Option(
        "--app", envvar=settings.APP, metavar="APP",
        help="file.py:attribute or module:attribute; the attribute defaults to `engine`.",
    ),
]  # fmt: skip
Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar=settings.URL, metavar="URL",
        help="The database, in place of the app's: sqlite:///file.db",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, a part that begins only that id or else ends it, or `last`.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="N|TIME",
        help="As it was at version N, or at an ISO time (UTC unless it says otherwise).",
    ),
]  # fmt: skip

Command = TypeVar("Command", bound=Callable[..., Any])


class Wrong(Exception):
    """A command that cannot be obeyed as it was written; exit code 2."""


class Ends(Exception):
    """A command ends with this exit code; everything has been said."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


def guarded(command: Command) -> Command:
    """Let a command end by the rules: refusals on stderr, exit codes 0, 1, 2 and 130."""

    @functools.wraps(command)
    def guard(*args: Any, **kwargs: Any) -> None:
        code = DONE
        ends_at_once = interrupts.are_raised()
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except Ends as ends:
            code = ends.code
        except (Wrong, AppRefused) as refused:
            _debug()
            out.refuse(str(refused))
            code = WRONG
        except BrokenPipeError:
            _leave_pipe()
        except (playhead.PlayheadError, LogError) as refused:
            _debug()
            out.refuse(str(refused))
            code = WRONG
        except OSError as error:
            if error.errno not in _UNWRITTEN or error.filename is not None:
                raise
            _debug()
            _leave_pipe()
            out.refuse(f"cannot write to stdout: {error.strerror}")
            code = WRONG
        except KeyboardInterrupt:
            out.note("interrupted")
            code = INTERRUPTED
        finally:
            if ends_at_once:
                interrupts.end_at_once()
        if code:
            raise typer.Exit(code)

    guard.__doc__ = _first_lines(command.__doc__ or "")
    return guard  # type: ignore[return-value]


def _debug() -> None:
    """Show the traceback of the error that is being handled, if it is wanted."""
    if settings.is_debug():
        out.note(masked_words(traceback.format_exc().rstrip("\n")))


def _first_lines(doc: str) -> str:
    """Leave out of a command's help what is said to programmers."""
    return doc.partition("\n    Raises:")[0].partition("\n    Args:")[0]


def _leave_pipe() -> None:
    """The reader has gone: say no more, also not when Python flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
