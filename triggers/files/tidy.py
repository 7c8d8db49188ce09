"""Moving a file away: never onto another, and at every moment there is one whole copy of it.

On one file system the file gets its new name by a hard link, which cannot replace anything, and
then loses the old one. Across file systems it is copied to a hidden name, synced, named without
replacing anything, synced again, and then the source is unlinked. Whoever finds the source after
a crash does it again: what was already done is recognised and not doubled.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
import zlib
from collections.abc import Iterator

from triggers.files.below import NotTheFile, Place, made, place_of

NAMES = 1000  # names tried before a folder is given up
LONGEST = 255  # bytes of a name
CHUNK = 1 << 20  # bytes compared at once
COARSE = 2_000_000_000  # nanoseconds to which some file systems round an mtime
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES, errno.ENOSYS)
RENAME_NOREPLACE = 1  # include/uapi/linux/fs.h


def move(root: str, relative: str, folder: str, mark: str, *, size: int, mtime: int) -> str:
    """Move a file into a folder, made if need be. *Touches the world.*

    Args:
        root: absolute path of the watched folder.
        relative: of the file, below the root.
        folder: absolute path.
        mark: makes the name another one if it is taken: `stem.MARK.suffix`.
        size: bytes that the file had when it was claimed.
        mtime: nanoseconds, likewise.

    Returns:
        The name under which it stands there now.

    Raises:
        NotTheFile: nothing was moved.
        OSError: it cannot be moved; it stands where it stood.
    """
    with place_of(root, relative) as source:
        seen = _checked(source, size, mtime)
        with made(root, folder) as into:
            return _move(
                source, into, f"{mark}.{zlib.crc32(relative.encode()):08x}", mark, seen
            )


def delete(root: str, relative: str, *, size: int, mtime: int) -> None:
    """Delete a file if it is still the one that was claimed. *Touches the world.*

    Raises:
        NotTheFile: nothing was deleted.
        OSError: it cannot be deleted.
    """
    with place_of(root, relative) as source:
        _unlink(source, _checked(source, size, mtime))


def check(root: str, relative: str, *, size: int, mtime: int) -> None:
    """Refuse a file that is not the one that was claimed.

    Raises:
        NotTheFile: it is gone, no regular file, or another one.
        OSError: its folder cannot be entered.
    """
    with place_of(root, relative) as source:
        _checked(source, size, mtime)


def _checked(source: Place, size: int, mtime: int) -> os.stat_result:
    try:
        status = source.status()
    except FileNotFoundError as error:
        raise NotTheFile(source.name) from error
    is_same = (status.st_size, status.st_mtime_ns) == (size, mtime)
    if not stat.S_ISREG(status.st_mode) or not is_same:
        raise NotTheFile(source.name)
    return status


def _move(source: Place, into: int, about: str, mark: str, seen: os.stat_result) -> str:
    hidden = Place(into, f".{about}.part")  # the same for each try, so that none is left
    for name in _names(source.name, mark):
        target = Place(into, name)
        try:
            _name_it(source, target, hidden, seen)
        except FileExistsError:
            if not _is_there(source, target, seen):
                continue
            if target.status().st_ino != seen.st_ino:  # a copy from before a crash
                hidden.unlink()
                _sync(into)
        except FileNotFoundError as error:
            raise NotTheFile(source.name) from error  # another process was faster
        _unlink(source, seen)
        return name
    raise FileExistsError(errno.EEXIST, f"{NAMES} files are called {source.name} already")


def _unlink(source: Place, seen: os.stat_result) -> None:
    """Unlink what was seen; a file that took its name since, by a rename, is left alone."""
    with contextlib.suppress(FileNotFoundError):
        now = source.status()
        if (now.st_ino, now.st_size, now.st_mtime_ns) == (
            seen.st_ino, seen.st_size, seen.st_mtime_ns
        ):  # fmt: skip
            source.unlink()


def _names(name: str, mark: str) -> Iterator[str]:
    """Give the name, and what it may be called if that is taken."""
    yield name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    for number in range(1, NAMES):
        tail = f".{mark}{suffix}" if number == 1 else f".{mark}.{number}{suffix}"
        room = LONGEST - len(os.fsencode(tail))
        yield os.fsencode(stem)[:room].decode("utf-8", "ignore") + tail


def _name_it(source: Place, target: Place, hidden: Place, seen: os.stat_result) -> None:
    try:
        _give_name(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, hidden, seen)
        return
    if target.status().st_ino != seen.st_ino:  # swapped in the last microseconds
        _give_back(source, target)
        raise NotTheFile(source.name)


def _link(source: Place, target: Place) -> None:
    os.link(
        source.name, target.name,
        src_dir_fd=source.folder, dst_dir_fd=target.folder, follow_symlinks=False,
    )  # fmt: skip


def _give_back(source: Place, target: Place) -> None:
    """Undo a move of what turned out to be another file."""
    with contextlib.suppress(FileExistsError):
        _link(target, source)
    if source.status().st_ino == target.status().st_ino:
        target.unlink()


def _give_name(source: Place, target: Place) -> None:
    """Let a file have a second name, or where links are not to be had, another name.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        _link(source, target)
    except OSError as error:
        # Linux refuses links to files of others (fs.protected_hardlinks), FAT has none at all.
        if error.errno not in NO_LINKS:
            raise
        _rename(source, target)


def _rename(source: Place, target: Place) -> None:
    """Rename without replacing anything."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        ours, theirs = os.fsencode(source.name), os.fsencode(target.name)
        if renameat2(source.folder, ours, target.folder, theirs, RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), source.name, None, target.name)
    os.close(target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # takes the name
    os.replace(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def _is_there(source: Place, target: Place, seen: os.stat_result) -> bool:
    """Tell whether a target is this very file, or a whole copy of it from before a crash."""
    there = target.status()
    if (there.st_dev, there.st_ino) == (seen.st_dev, seen.st_ino):
        return True
    is_like = (
        stat.S_ISREG(there.st_mode)
        and there.st_size == seen.st_size
        and abs(there.st_mtime_ns - seen.st_mtime_ns) < COARSE
    )
    if not is_like:
        return False
    with os.fdopen(source.open(), "rb") as one, os.fdopen(target.open(), "rb") as other:
        while part := one.read(CHUNK):
            if part != other.read(CHUNK):
                return False
        return not other.read(1)


def _copy(source: Place, target: Place, hidden: Place, seen: os.stat_result) -> None:
    """Copy a file to another file system; it has its name there only when it is whole.

    Raises:
        FileExistsError: the name is taken.
        BlockingIOError: another process is at it.
    """
    if target.is_taken():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)
    with (
        os.fdopen(source.open(), "rb") as old,
        os.fdopen(hidden.open(os.O_RDWR | os.O_CREAT), "r+b") as new,
    ):
        fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(new.fileno())
        try:
            if mine.st_nlink != 1 or hidden.status().st_ino != mine.st_ino:
                # Another process, or we before a crash, has just given it its name: it is whole.
                raise BlockingIOError(errno.EAGAIN, "another process is moving it")
            new.truncate(0)
            shutil.copyfileobj(old, new, CHUNK)
            new.flush()
            _checked(source, seen.st_size, seen.st_mtime_ns)  # not written over meanwhile
            with contextlib.suppress(PermissionError):  # FAT knows no modes
                os.fchmod(new.fileno(), stat.S_IMODE(seen.st_mode))
            os.utime(new.fileno(), ns=(seen.st_atime_ns, seen.st_mtime_ns))
            os.fsync(new.fileno())
            _give_name(hidden, target)
            _sync(target.folder)
        finally:
            hidden.unlink()


def _sync(folder: int) -> None:
    """Let a folder's names outlive a loss of power."""
    file = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # it knows no such thing
            raise
    finally:
        os.close(file)
