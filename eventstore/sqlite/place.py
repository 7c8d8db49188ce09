"""Where a database file may lie: on a local disk, in a folder that can be written.

The database's own files are only ever looked at by `stat`, never opened: closing any descriptor
of them would drop SQLite's locks (sqlite.org/howtocorrupt.html, 2.2).
"""

import os
import re
from pathlib import Path

from eventstore.errors import StorageCorrupt, StorageError, StorageReadOnly, StorageUnsuitable

_NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs",
        "beegfs", "gpfs", "orangefs", "pvfs2", "ocfs2", "gfs2", "virtiofs", "vboxsf", "prl_fs",
    }
)  # fmt: skip
_LOCAL_FUSE = frozenset(
    {"fuse.fuse-overlayfs", "fuseblk", "fuse.ext2", "fuse.ntfs", "fuse.lxcfs"}
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def filesystem(path: str, mountinfo: str) -> tuple[str, str]:
    """Give mount point and type of the file system that holds a real path. *Pure.*

    Args:
        path: absolute, links resolved.
        mountinfo: text in the form of `/proc/self/mountinfo`.

    Returns:
        ("", "") if no line of the text covers the path.
    """
    best = ("", "")
    for line in mountinfo.splitlines():
        before, dash, behind = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5 or not behind:
            continue
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):  # a later mount on the same point lies on top
            best = (point, behind.split(" ")[0])
    return best


def is_network(kind: str) -> bool:
    """Say whether a file system of this type may be shared between hosts. *Pure.*"""
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def check_place(path: str) -> None:
    """Refuse a place where a SQLite log could not be made or would not be safe.

    Raises:
        StorageError: there is no such folder, or the path is no file.
        StorageReadOnly: file or folder cannot be written.
        StorageUnsuitable: the file system is shared with other hosts.
    """
    folder = os.path.dirname(path)  # noqa: PTH120 - a str in, a str out
    if not os.path.isdir(folder):  # noqa: PTH112
        raise StorageError(f"cannot open {path}: there is no folder {folder}; make it first")
    if os.path.isdir(path):  # noqa: PTH112
        raise StorageError(f"cannot open {path}: it is a folder; name a file in it")
    real = os.path.realpath(path)
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        mounts = ""  # not Linux
    point, kind = filesystem(real, mounts)
    if is_network(kind):
        raise StorageUnsuitable(
            f"{path} lies on {point}, a {kind} file system; SQLite's locks and write-ahead log are"
            " not safe there: use a local disk, or postgresql://"
        )
    check_writable(path)


def check_writable(path: str) -> None:
    """Refuse a file or folder that this process cannot write.

    Raises:
        StorageReadOnly: which of the two, and what to do.
    """
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):  # noqa: PTH110
        raise StorageReadOnly(
            f"{path} cannot be read and written by this user; give it the rights, or use"
            " another file"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageReadOnly(
            f"folder {folder} cannot be written; the log keeps its -wal and -shm files beside"
            f" {os.path.basename(path)}: make the folder writable"  # noqa: PTH119
        )


def is_own(path: str, file: str) -> bool:
    """Tell whether a file is a database or lies beside it as a part of it, by whatever name."""
    real, asked = os.path.realpath(path), _inode(file)
    return any(
        os.path.realpath(file) == real + end or (asked and asked == _inode(path + end))
        for end in ("", "-wal", "-shm", "-journal")
    )


def has_content(path: str) -> bool:
    """Say whether there is a file that is not empty."""
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116
    except OSError:
        return False


def size_of(path: str) -> int:
    """Give the bytes of a database and its write-ahead log; those that are not there have none."""
    return sum(os.stat(name).st_size for name in (path, path + "-wal") if _inode(name))  # noqa: PTH116


class Footing:
    """The inodes of a database's files as they were when it was opened."""

    def __init__(self, path: str) -> None:
        self._inodes = {name: _inode(name) for name in (path, path + "-wal")}

    def check(self) -> None:
        """Raise if a file was deleted or replaced under us.

        Raises:
            StorageCorrupt: which one.
        """
        for name, inode in self._inodes.items():
            now = _inode(name)
            if now != inode:
                what = "was deleted" if now is None else "was replaced by another file"
                raise StorageCorrupt(
                    f"{name} {what} while the log was open; what is appended now would be lost."
                    " Stop all programs that use this log, put the file back, then start again"
                )


def _inode(name: str) -> tuple[int, int] | None:
    try:
        seen = os.stat(name)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino
