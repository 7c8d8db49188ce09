"""What becomes of a file when the run that it started has ended: left, moved away or deleted.

Laws of this file: the log knows the end before anything is moved; only what is still the file
that was claimed is touched; the marker goes first, so that no later file finds it.
"""

import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.triggering import Door
from eventstore import clock
from triggers.errors import wrong
from triggers.files import tidy
from triggers.files.below import NotTheFile, place_of, way_below
from triggers.files.complete import Marker
from triggers.files.pattern import is_text
from triggers.files.sights import Sight
from triggers.files.telling import Telling

log = logging.getLogger("playhead.triggers")

AT_ONCE = 500  # runs asked after in one query
LONGEST = 300  # seconds between two tries to move a file
IN_A_ROW = 20  # moves that fail before the others wait for the next look
WORDS = ("leave", "delete")
ENDED = ("succeeded", "failed", "cancelled")


class After(NamedTuple):
    """Where files go. Absolute folders; None: nowhere, they are deleted."""

    good: str | None  # when the run has succeeded
    failed: str  # when it has not

    @property
    def folders(self) -> tuple[str, ...]:
        """Give the folders that files are moved to: what lies there is no drop."""
        return (self.failed,) if self.good is None else (self.good, self.failed)


def after_of(after: Any, failed: Any, root: str, key: str) -> After | None:
    """Give what `after=` and `failed=` say; None: files stay where they are.

    Raises:
        DefinitionError: they cannot be right, or contradict each other.
    """
    _check_folder("after", after)
    if failed is not None:
        _check_folder("failed", failed)
    if isinstance(after, str) and after not in WORDS and after.lower() in WORDS:
        raise wrong(
            f"after={after!r}: did you mean {after.lower()!r}? A folder of that name is"
            f" Path({after!r})"
        )
    if after == "leave" and failed is not None:
        raise wrong(
            f"failed={os.fspath(failed)!r} moves nothing with after='leave'; write after= too"
        )
    if after == "leave":
        return None
    if key == "path":
        raise wrong(
            "key='path' counts a name once for ever, so the next file of that name would be"
            f" taken away unread by after={os.fspath(after)!r}; write key='path+size+mtime'"
        )
    good = None if after == "delete" else os.path.abspath(after)  # noqa: PTH100
    if failed is None:
        failed = os.path.join(good or root, "failed")  # noqa: PTH118
    both = After(good, os.path.abspath(failed))  # noqa: PTH100
    for option, folder in (("after", good), ("failed", both.failed)):
        if folder is not None:
            _check_place(option, folder, root)
    return both


def _check_folder(option: str, value: Any) -> None:
    is_path = isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)
    if not is_path or not os.fspath(value):
        words = " 'leave', 'delete' or" if option == "after" else ""
        raise wrong(f"{option}={value!r} is to be{words} a folder, e.g. {option}='done'")
    if not is_text(os.fspath(value)):
        raise wrong(f"the folder {option}={value!r} has a name that is not UTF-8")


def _check_place(option: str, folder: str, root: str) -> None:
    if os.path.realpath(folder) == os.path.realpath(root):
        raise wrong(
            f"{option}={folder!r} is the folder that is watched: a file moved there would be a"
            " new drop; write another folder"
        )
    so_far = root
    for part in way_below(root, folder) or ():
        so_far = os.path.join(so_far, part)  # noqa: PTH118
        if os.path.islink(so_far):  # noqa: PTH114
            raise wrong(
                f"{option}={folder!r} goes through {so_far}, a link in the watched folder, where"
                " none is followed; write the folder that it leads to"
            )
    if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112
        raise wrong(f"{option}={folder!r} is no folder; files are to be moved into it")


class _Owed:
    """A file that is to go when its run has ended."""

    __slots__ = ("outcome", "rest", "sight", "told", "tries")

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.outcome: str | None = None
        self.tries = 0
        self.rest = 0  # until then it is not tried again, microseconds
        self.told = ""


class Leaving:
    """The files that are there and have been claimed, by the run that they started."""

    def __init__(
        self,
        after: After,
        root: str,
        marker: Marker | None,
        telling: Telling,
        gone: Callable[[Sight], None],
    ) -> None:
        """Take where files go.

        Args:
            after: where to.
            root: absolute; what relative paths start from.
            marker: what goes with a file.
            telling: tells why a file could not be moved.
            gone: told each file that was moved away, or is another one now.
        """
        self._after, self._root, self._marker = after, root, marker
        self._telling, self._gone = telling, gone
        self._owed: OrderedDict[str, list[_Owed]] = OrderedDict()
        self._warned: set[str] = set()  # reasons that stand in the program's log

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, run: str, sight: Sight) -> None:
        """Take note of a file that belongs to a run."""
        self._owed.setdefault(run, []).append(_Owed(sight))

    def sweep(self, door: Door, now: int, most: int) -> bool:
        """Ask the log which runs have ended, and move their files. *Touches the world.*

        Args:
            door: to ask and to tell.
            now: by the engine's clock, microseconds.
            most: runs to ask after; the others have their turn next time.

        Returns:
            Whether some had ended while others were not asked after.
        """
        left = min(most, len(self._owed))
        failures = 0
        has_ended = False
        while left > 0 and failures < IN_A_ROW:
            batch = list(itertools.islice(self._owed.items(), min(left, AT_ONCE)))
            left -= len(batch)
            ask = [run for run, files in batch if files[0].outcome is None]
            statuses = door.statuses(ask) if ask else {}
            for run, files in batch:
                self._owed.move_to_end(
                    run
                )  # what raises leaves nothing out and holds up nobody
                outcome = files[0].outcome or statuses.get(run)
                kept = files if outcome is not None else []  # the log has dropped the run
                if outcome in ENDED:
                    has_ended = True
                    kept = [
                        owed
                        for owed in files
                        if not self._is_done(door, run, owed, outcome, now)
                    ]
                    failures += any(owed.rest > now for owed in kept)
                if kept:
                    self._owed[run] = kept
                else:
                    del self._owed[run]
        return has_ended and most < len(self._owed)

    def _is_done(self, door: Door, run: str, owed: _Owed, outcome: str, now: int) -> bool:
        """Move one file if it is time to; tell whether nothing more is owed to it."""
        owed.outcome = outcome
        if now < owed.rest <= now + LONGEST * clock.SECOND:  # later: the clock was put back
            return False
        sight = owed.sight
        try:
            self._move(sight, run, outcome)
        except NotTheFile:
            pass
        except BlockingIOError:
            return False  # another process is moving it
        except OSError as error:
            owed.tries += 1
            owed.rest = now + min(2 ** (owed.tries - 1), LONGEST) * clock.SECOND
            self._tell(door, run, owed, error, now)
            return False
        else:
            self._warned.clear()
        self._gone(sight)
        return True

    def _move(self, sight: Sight, run: str, outcome: str) -> None:
        folder = self._after.good if outcome == "succeeded" else self._after.failed
        relative = sight.relative
        tidy.check(self._root, relative, size=sight.size, mtime=sight.mtime)
        for marker in self._marker.candidates(relative) if self._marker else ():
            try:
                with place_of(self._root, marker) as place:
                    status = place.status()
                self._take(marker, folder, run, status.st_size, status.st_mtime_ns)
            except (FileNotFoundError, NotTheFile):
                continue
            break
        self._take(relative, folder, run, sight.size, sight.mtime)

    def _take(self, relative: str, folder: str | None, run: str, size: int, mtime: int) -> None:
        if folder is None:
            tidy.delete(self._root, relative, size=size, mtime=mtime)
        else:
            tidy.move(self._root, relative, folder, run, size=size, mtime=mtime)

    def _tell(self, door: Door, run: str, owed: _Owed, error: OSError, now: int) -> None:
        deed = "deleted" if self._after.good is None and owed.outcome == ENDED[0] else "moved"
        reason = f"cannot be {deed}: {error.strerror or error}"
        if owed.told == reason:
            return
        owed.told = reason
        path = os.path.join(self._root, owed.sight.relative)  # noqa: PTH118
        if reason not in self._warned:
            self._warned.add(reason)
            log.warning(
                "File %s of run %s %s; it stays and is tried again", path, run, reason,
                extra={"action": "trigger.file_stays"},
            )  # fmt: skip
        self._telling.say(
            door, reason, owed.sight.relative, now, repeats=True, path=path, run=run
        )
