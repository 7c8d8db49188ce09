"""A look at a folder: the files that a pattern means, as they are at this moment.

The look is the truth; events of the watch are only reasons to look. Links are not followed, only
regular files count, and nothing is ever opened but folders.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable
from typing import NamedTuple

from triggers.files.below import NotTheFile, place_of
from triggers.files.pattern import Pattern, is_text

_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Found(NamedTuple):
    """A file as one look saw it."""

    relative: str  # below the pattern's root, with `/`
    size: int  # bytes
    mtime: int  # nanoseconds


Inode = tuple[int, int]  # device and number: a file, whatever it is called


class Look(NamedTuple):
    """What one look at a folder saw."""

    files: list[Found]
    markers: set[str]  # relative paths of files that say of others that they are complete
    ignored: list[str]  # relative paths that fit, but are temporary names
    odd: list[tuple[str, str]]  # relative paths that fit, and what stands there: no file
    unreadable: list[str]  # names that are not UTF-8: the bytes of the relative path, in hex
    closed: list[str]  # folders below the root that could not be read, each with the reason
    kept_off: list[str]  # relative paths of files that nobody may open


def scan(
    pattern: Pattern,
    *,
    without: Collection[str] = (),
    marker: re.Pattern[str] | None = None,
    off: Collection[Inode] = (),
) -> Look:
    """Look at all that a pattern means. *Touches the world: reads folders.*

    Args:
        pattern: where to look, and for what.
        without: folders below the root, relative, that are left out.
        marker: names of markers, which are never files of the user's.
        off: files that nobody may open, whatever they are called here.

    Raises:
        OSError: the root is not there, is no folder or cannot be read.
    """
    look = Look([], set(), [], [], [], [], [])
    folders = [(pattern.root, "", pattern.start)]
    while folders:
        folder, prefix, places = folders.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            if not prefix:
                raise
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # else it is gone
                look.closed.append(f"{_readable(prefix)}: {error.strerror}")
            continue
        with entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    below = pattern.below(places, name)
                    if below and prefix + name not in without:
                        folders.append((entry.path, f"{prefix}{name}/", below))
                elif marker is not None and marker.fullmatch(name):
                    if entry.is_file(follow_symlinks=False):
                        look.markers.add(prefix + name)
                elif pattern.fits(places, name):
                    _add(look, entry, prefix + name, off, is_ignored=pattern.ignores(name))
    return look


def glance(
    pattern: Pattern,
    told: Iterable[str],
    *,
    without: Collection[str] = (),
    marker: re.Pattern[str] | None = None,
    off: Collection[Inode] = (),
) -> list[Found]:
    """Look at single files that a watch has told of. *Touches the world: opens their folders.*

    Args:
        pattern: where to look, and for what.
        told: relative paths; those that are not meant, or are no files, are passed over.
        without: folders below the root, relative, that are left out.
        marker: names of markers.
        off: files that nobody may open; passed over.
    """
    found = []
    for relative in told:
        if not _is_meant(pattern, relative, without, marker):
            continue
        try:
            with place_of(pattern.root, relative) as place:
                status = place.status()
        except (NotTheFile, OSError):
            continue
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in off:
            found.append(Found(relative, status.st_size, status.st_mtime_ns))
    return found


def _is_meant(
    pattern: Pattern,
    relative: str,
    without: Collection[str],
    marker: re.Pattern[str] | None,
) -> bool:
    *folders, name = relative.split("/")
    places, way = pattern.start, ""
    for folder in folders:
        way = f"{way}/{folder}" if way else folder
        places = pattern.below(places, folder)
        if not places or way in without:
            return False
    if marker is not None and marker.fullmatch(name):
        return False
    is_fit = pattern.fits(places, name) and not pattern.ignores(name)
    return is_fit and is_text(relative)


def _add(
    look: Look, entry: os.DirEntry[str], relative: str, off: Collection[Inode],
    *, is_ignored: bool,
) -> None:  # fmt: skip
    if not is_text(relative):
        if not is_ignored:
            look.unreadable.append(os.fsencode(relative).hex())
        return
    if is_ignored:
        look.ignored.append(relative)
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # gone since the folder was read
    if (status.st_dev, status.st_ino) in off:
        look.kept_off.append(relative)
    elif stat.S_ISREG(status.st_mode):
        look.files.append(Found(relative, status.st_size, status.st_mtime_ns))
    else:
        what = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        look.odd.append((relative, what))


def _readable(path: str) -> str:
    """Give a path as text that can be recorded, with what is not UTF-8 in hex."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
