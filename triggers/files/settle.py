"""When a file is complete: two looks that see the same size and mtime, far enough apart. Pure.

Only the engine's clock counts, never the age of the mtime: copy tools set it back.
"""

from collections.abc import Collection
from typing import NamedTuple

from triggers.files.scan import Found


class _Sight(NamedTuple):
    size: int
    mtime: int
    since: int  # when it was first seen like this, microseconds
    is_known: bool  # it was fired or declined; nothing more is owed


class Ready(NamedTuple):
    """What a look leaves to be done."""

    files: list[Found]  # complete, oldest mtime first
    due: int | None  # when the next of the others can be complete, microseconds


class Settling:
    """What is remembered of a folder from look to look; no larger than the folder."""

    def __init__(self, settle: int) -> None:
        """Take the microseconds that lie between two equal looks; 0: one look will do."""
        self._settle = settle
        self._sights: dict[str, _Sight] = {}

    def look(self, files: list[Found], now: int, done: Collection[str] = ()) -> Ready:
        """Take in a look at the folder.

        Args:
            files: all that the look saw.
            now: by the engine's clock, microseconds.
            done: relative paths that need no second look, because a watch saw them closed.
        """
        before, self._sights = self._sights, {}
        ready: list[Found] = []
        due: int | None = None
        for file in files:
            relative, size, mtime = file
            sight = before.get(relative)
            if sight is None or sight.size != size or sight.mtime != mtime or sight.since > now:
                known = sight is not None and sight.is_known and sight.since > now
                sight = _Sight(size, mtime, now, known)
            self._sights[relative] = sight
            if sight.is_known:
                continue
            complete = sight.since + self._settle
            if complete <= now or relative in done:
                ready.append(file)
            elif due is None or complete < due:
                due = complete
        ready.sort(key=lambda file: (file.mtime, file.relative))
        return Ready(ready, due)

    def know(self, file: Found) -> None:
        """Take note that nothing more is owed to a file as it is."""
        sight = self._sights[file.relative]
        self._sights[file.relative] = sight._replace(is_known=True)
