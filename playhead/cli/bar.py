"""How far a long command is: a bar on stderr, on a terminal only."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """A bar from the first word of it until it is left; nothing where stderr is no terminal.

    Args:
        what: what is done, for people.
        total: how much there is to do; None: not known yet.
        is_bytes: show sizes, not counts.
        silent: say nothing there either.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        is_bytes: bool = False,
        silent: bool = False,
    ) -> None:
        counted: ProgressColumn = DownloadColumn() if is_bytes else MofNCompleteColumn()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            counted,
            TimeRemainingColumn(),
        )
        self._bar = Progress(
            *columns,
            console=Console(file=sys.stderr),
            transient=True,
            disable=silent or not sys.stderr.isatty(),
        )
        self._task: TaskID = self._bar.add_task(what, total=total)

    def told(self, done: int, total: int | None = None) -> None:
        """Hear how much is done, and how much there is if that is known by now."""
        self._bar.start()  # not before, for another bar may come first
        if total is None:
            self._bar.update(self._task, completed=done)
        else:
            self._bar.update(self._task, completed=done, total=max(done, total))

    def __enter__(self) -> Self:
        """Make ready to show it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take it away."""
        self._bar.stop()
