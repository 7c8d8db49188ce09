"""Where a folder lies: whether the system tells of changes there, and whether the log is in it."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from eventstore.sqlite.place import filesystem
from triggers.errors import wrong
from triggers.files.below import way_below
from triggers.files.pattern import Pattern

# Where every change is made by this machine's own kernel, which tells of it. `overlay` is the
# root of containers; what changes beneath it is found by the looks.
LOCAL = frozenset(
    {
        "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs",
        "nilfs2", "tmpfs", "ramfs", "overlay", "vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "ubifs",
    }
)  # fmt: skip


def strange(root: str, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Give the type of the file system of a folder if it may not tell of all changes; else "".

    "unknown" if the system's table of mounts does not say; "" where there is no such table.
    """
    try:
        table = mounts.read_text(errors="surrogateescape")
    except OSError:
        return ""  # not Linux
    _, kind = filesystem(os.path.realpath(root), table)
    return "" if kind in LOCAL else kind or "unknown"


def check_log(pattern: Pattern, path: str) -> None:
    """Refuse a pattern that looks where the engine's own database lies.

    Raises:
        DefinitionError: it says why, and what to write.
    """
    root = os.path.realpath(pattern.root)
    for place in {os.path.abspath(path), os.path.realpath(path)}:  # noqa: PTH100
        folder = os.path.realpath(os.path.dirname(place))  # noqa: PTH120
        if folder == root or (pattern.is_deep and way_below(root, folder)):
            raise wrong(
                f"the database {path} lies in the folder that the trigger watches,"
                f" {pattern.root}: whoever reads it there as a file drops its locks, and the"
                " database may be lost; write FileTrigger('inbox/*', …) for a folder of its own,"
                " or put the database elsewhere"
            )


def inodes(databases: Iterable[str]) -> frozenset[tuple[int, int]]:
    """Give device and number of the files that databases consist of. *Touches the world: looks.*

    Who closes any descriptor of one drops SQLite's locks (sqlite.org/howtocorrupt.html, 2.2),
    under whatever name it was opened: a hard link, a mount.
    """
    found = set()
    for path in databases:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                status = os.stat(path + suffix)  # noqa: PTH116
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def skipped(root: str, folders: tuple[str, ...]) -> frozenset[str]:
    """Give those of some folders that lie below a root, relative to it, as a look meets them."""
    real = os.path.realpath(root)
    below = {os.path.relpath(os.path.realpath(folder), real) for folder in folders}
    return frozenset(path for path in below if path != "." and not path.startswith(".."))
