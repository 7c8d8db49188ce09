"""A look at a folder: the files that a pattern means, as they are at this moment.

The look is the truth; events of the watch are only reasons to look. Links are not followed, and
only regular files count.
"""

import os
import stat
from typing import NamedTuple

from triggers.files.pattern import Pattern


class Found(NamedTuple):
    """A file as one look saw it."""

    relative: str  # below the pattern's root, with `/`
    size: int  # bytes
    mtime: int  # nanoseconds


class Look(NamedTuple):
    """What one look at a folder saw."""

    files: list[Found]
    unreadable: list[str]  # names that are not UTF-8: the bytes of the relative path, in hex
    closed: list[str]  # folders below the root that could not be read, each with the reason


def scan(pattern: Pattern) -> Look:
    """Look at all that a pattern means. *Touches the world: reads folders.*

    Raises:
        OSError: the root is not there, is no folder or cannot be read.
    """
    look = Look([], [], [])
    folders = [(pattern.root, "", pattern.start)]
    while folders:
        folder, prefix, places = folders.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            if not prefix:
                raise
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # else it is gone
                look.closed.append(f"{prefix}: {error.strerror}")
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below = pattern.below(places, entry.name)
                    if below:
                        folders.append((entry.path, f"{prefix}{entry.name}/", below))
                elif pattern.means(places, entry.name):
                    _add(look, entry, prefix + entry.name)
    return look


def _add(look: Look, entry: os.DirEntry[str], relative: str) -> None:
    try:
        relative.encode()
    except UnicodeEncodeError:
        look.unreadable.append(os.fsencode(relative).hex())
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # gone since the folder was read
    if stat.S_ISREG(status.st_mode):
        look.files.append(Found(relative, status.st_size, status.st_mtime_ns))
