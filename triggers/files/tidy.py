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

NAMES = 1000  # names tried before a folder is given up
LONGEST = 255  # bytes of a name
CHUNK = 1 << 20  # bytes compared at once
COARSE = 2_000_000_000  # nanoseconds to which some file systems round an mtime
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES, errno.ENOSYS)
RENAME_NOREPLACE = 1  # include/uapi/linux/fs.h
AT_FDCWD = -100


class NotTheFile(Exception):
    """What stands under the name is gone, or is another file than the one that was claimed."""


def check(path: str, size: int, mtime: int) -> os.stat_result:
    """Give what stands under a path if it is still the file that was claimed.

    Raises:
        NotTheFile: it is gone, no regular file, or another one.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotTheFile(path) from error
    is_same = (status.st_size, status.st_mtime_ns) == (size, mtime)
    if not stat.S_ISREG(status.st_mode) or not is_same:
        raise NotTheFile(path)
    return status


def move(source: str, folder: str, mark: str, *, size: int, mtime: int) -> str:
    """Move a file into a folder, made if need be. *Touches the world.*

    Args:
        source: absolute path.
        folder: absolute path.
        mark: makes the name another one if it is taken: `stem.MARK.suffix`.
        size: bytes that the file had when it was claimed.
        mtime: nanoseconds, likewise.

    Returns:
        The path under which it stands now.

    Raises:
        NotTheFile: nothing was moved.
        OSError: it cannot be moved; it stands where it stood.
    """
    status = check(source, size, mtime)
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    for name in _names(os.path.basename(source), mark):  # noqa: PTH119
        target = os.path.join(folder, name)  # noqa: PTH118
        try:
            _name_it(source, target, mark, status)
        except FileExistsError:
            if not _is_there(source, target, status):
                continue
            if os.lstat(target).st_ino != status.st_ino:  # a copy from before a crash
                _drop(_hidden(source, folder, mark))
                _sync(folder)
        except FileNotFoundError as error:
            raise NotTheFile(source) from error  # another process was faster
        _unlink(source, status)
        return target
    raise FileExistsError(errno.EEXIST, f"{NAMES} files of that name are in {folder}")


def delete(path: str, *, size: int, mtime: int) -> None:
    """Delete a file if it is still the one that was claimed. *Touches the world.*

    Raises:
        NotTheFile: nothing was deleted.
        OSError: it cannot be deleted.
    """
    _unlink(path, check(path, size, mtime))


def _unlink(path: str, seen: os.stat_result) -> None:
    """Unlink what was seen; a file that took its name since, by a rename, is left alone."""
    with contextlib.suppress(FileNotFoundError):
        now = os.lstat(path)
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (
            seen.st_ino, seen.st_size, seen.st_mtime_ns
        ):  # fmt: skip
            return
        os.unlink(path)  # noqa: PTH108


def _names(name: str, mark: str) -> Iterator[str]:
    """Give the name, and what it may be called if that is taken."""
    yield name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    for number in range(1, NAMES):
        tail = f".{mark}{suffix}" if number == 1 else f".{mark}.{number}{suffix}"
        room = LONGEST - len(os.fsencode(tail))
        yield os.fsencode(stem)[:room].decode("utf-8", "ignore") + tail


def _name_it(source: str, target: str, mark: str, seen: os.stat_result) -> None:
    try:
        _give_name(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, mark, seen)
        return
    if os.lstat(target).st_ino != seen.st_ino:  # swapped in the last microseconds
        _give_back(source, target)
        raise NotTheFile(source)


def _give_back(source: str, target: str) -> None:
    """Undo a move of what turned out to be another file."""
    with contextlib.suppress(FileExistsError):
        os.link(target, source, follow_symlinks=False)
    if os.lstat(source).st_ino == os.lstat(target).st_ino:
        _drop(target)


def _give_name(source: str, target: str) -> None:
    """Let a file have a second name, or where links are not to be had, another name.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        # Linux refuses links to files of others (fs.protected_hardlinks), FAT has none at all.
        if error.errno not in NO_LINKS:
            raise
        _rename(source, target)


def _rename(source: str, target: str) -> None:
    """Rename without replacing anything."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        ours, theirs = os.fsencode(source), os.fsencode(target)
        if renameat2(AT_FDCWD, ours, AT_FDCWD, theirs, RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), source, None, target)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # takes the name
    os.replace(source, target)  # noqa: PTH105


def _is_there(source: str, target: str, seen: os.stat_result) -> bool:
    """Tell whether a target is this very file, or a whole copy of it from before a crash."""
    there = os.lstat(target)
    if (there.st_dev, there.st_ino) == (seen.st_dev, seen.st_ino):
        return True
    is_like = (
        stat.S_ISREG(there.st_mode)
        and there.st_size == seen.st_size
        and abs(there.st_mtime_ns - seen.st_mtime_ns) < COARSE
    )
    if not is_like:
        return False
    with open(_opened(source), "rb") as one, open(_opened(target), "rb") as other:
        while part := one.read(CHUNK):
            if part != other.read(CHUNK):
                return False
        return not other.read(1)


def _opened(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open what is to be a regular file, and hang on nothing else."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotTheFile(path)
    return file


def _hidden(source: str, folder: str, mark: str) -> str:
    """Give the name of a copy in the making; the same for each try, so that none is left."""
    about = zlib.crc32(os.fsencode(source))
    return os.path.join(folder, f".{mark}.{about:08x}.part")  # noqa: PTH118


def _copy(source: str, target: str, mark: str, seen: os.stat_result) -> None:
    """Copy a file to another file system; it has its name there only when it is whole.

    Raises:
        FileExistsError: the name is taken.
        BlockingIOError: another process is at it.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    hidden = _hidden(source, os.path.dirname(target), mark)  # noqa: PTH120
    with (
        open(_opened(source), "rb") as old,
        open(_opened(hidden, os.O_RDWR | os.O_CREAT), "r+b") as new,
    ):
        fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(new.fileno())
        try:
            if mine.st_nlink != 1 or os.lstat(hidden).st_ino != mine.st_ino:
                # Another process, or we before a crash, has just given it its name: it is whole.
                raise BlockingIOError(errno.EAGAIN, "another process is moving it")
            new.truncate(0)
            shutil.copyfileobj(old, new, CHUNK)
            new.flush()
            check(source, seen.st_size, seen.st_mtime_ns)  # not written over meanwhile
            os.fchmod(new.fileno(), stat.S_IMODE(seen.st_mode))
            os.utime(new.fileno(), ns=(seen.st_atime_ns, seen.st_mtime_ns))
            os.fsync(new.fileno())
            _give_name(hidden, target)
            _sync(os.path.dirname(target))  # noqa: PTH120
        finally:
            _drop(hidden)


def _drop(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


def _sync(folder: str) -> None:
    """Let a folder's names outlive a loss of power."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
