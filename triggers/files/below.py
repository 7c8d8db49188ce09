"""Paths below a folder, held by open folders: no link below it leads anywhere else.

Who may write into a watched folder may put a link in the place of a folder at any moment. Each
folder on the way is opened without following links, and what is done is done in the open folder.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_WAY = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotTheFile(Exception):
    """What stands under the name is gone, or is another file than the one that was claimed."""


class Place(NamedTuple):
    """A name in an open folder."""

    folder: int
    name: str

    def status(self) -> os.stat_result:
        """Give what stands there, of a link the link itself. *Touches the world.*"""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def is_taken(self) -> bool:
        """Tell whether anything stands there."""
        try:
            self.status()
        except FileNotFoundError:
            return False
        return True

    def named(self, name: str) -> "Place":
        """Give another name in the same folder."""
        return Place(self.folder, name)

    def unlink(self) -> None:
        """Take the name away, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.folder)

    def open(self, flags: int = os.O_RDONLY) -> int:
        """Open what is to be a regular file; a FIFO in its place holds nobody.

        Raises:
            NotTheFile: it is gone, or no regular file.
            OSError: it cannot be opened.
        """
        try:
            file = os.open(self.name, flags | _FILE, 0o600, dir_fd=self.folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise NotTheFile(self.name) from error
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise NotTheFile(self.name)
        return file


@contextlib.contextmanager
def place_of(root: str, relative: str) -> Iterator[Place]:
    """Hold the folder of a file below a root. *Touches the world: opens folders.*

    Raises:
        NotTheFile: a folder on the way is gone, or is none any more.
        OSError: a folder cannot be entered.
    """
    *way, name = relative.split("/")
    try:
        folder = os.open(root, _WAY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotTheFile(relative) from error
    try:
        for part in way:
            try:
                folder = _step(folder, part)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise NotTheFile(relative) from error
        yield Place(folder, name)
    finally:
        os.close(folder)


@contextlib.contextmanager
def made(root: str, target: str) -> Iterator[int]:
    """Hold a folder, made if need be. *Touches the world.*

    Args:
        root: if the folder lies below this one, no link on the way is followed.
        target: absolute.

    Raises:
        OSError: it cannot be made, or is no folder.
    """
    way = way_below(root, target)
    if way is None:
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    folder = os.open(root if way else target, _WAY)
    try:
        for part in way or ():
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            folder = _step(folder, part)
        yield folder
    finally:
        os.close(folder)


def way_below(root: str, path: str) -> tuple[str, ...] | None:
    """Give the names on the way from a root to a path below it; None: it is not. *Pure.*"""
    before, way = Path(root).parts, Path(path).parts
    is_longer = len(way) > len(before)
    return way[len(before) :] if is_longer and way[: len(before)] == before else None


def _step(folder: int, name: str) -> int:
    """Go into a folder, and let go of the one above; of neither if there is none."""
    below = os.open(name, _WAY | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return below
