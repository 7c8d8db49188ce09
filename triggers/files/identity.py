"""What makes a file count once: its path, its path as it stands, or the bytes in it."""

import hashlib
import os
import stat

from triggers.files.sights import Sight

KINDS = ("path+size+mtime", "path", "sha256")
SLICE = 1 << 20  # bytes read at once


class Changed(Exception):
    """The file is not what a look saw: gone, no regular file, of another size or mtime."""


class Digest:
    """The SHA-256 of one file's bytes, taken in slices, so that nobody waits for a large one."""

    def __init__(self, path: str, size: int, mtime: int) -> None:
        """Take the file as a look saw it: absolute path, bytes, nanoseconds."""
        self._path, self._size, self._mtime = path, size, mtime
        self._at = 0
        self._sum = hashlib.sha256()

    def go_on(self, most: int) -> tuple[int, str | None]:
        """Read on. *Touches the world: reads the file.*

        Args:
            most: bytes to read at most.

        Returns:
            The bytes read, and the digest in hex once all is read.

        Raises:
            Changed: it is another file now.
            OSError: it cannot be read.
        """
        # O_NONBLOCK: a FIFO put in its place since the look would hold us for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(self._path, flags)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or os.path.islink(self._path):  # noqa: PTH114
                raise Changed from error
            raise
        try:
            self._check(file)
            os.lseek(file, self._at, os.SEEK_SET)
            read = 0
            while read < most and (part := os.read(file, SLICE)):
                self._sum.update(part)
                read += len(part)
            self._at += read
            self._check(file)
        finally:
            os.close(file)
        if self._at > self._size or (not read and self._at < self._size):
            raise Changed
        return read, self._sum.hexdigest() if self._at == self._size else None

    def _check(self, file: int) -> None:
        status = os.fstat(file)
        is_same = (status.st_size, status.st_mtime_ns) == (self._size, self._mtime)
        if not stat.S_ISREG(status.st_mode) or not is_same:
            raise Changed


class Identity:
    """Gives keys; remembers the digest in the making, and no other."""

    def __init__(self, kind: str, root: str) -> None:
        """Take one of KINDS, and the folder that relative paths start from."""
        self.kind, self._root = kind, root
        self._making: tuple[Sight, Digest] | None = None
        self._made: dict[Sight, str] = {}  # those read, until they are claimed

    def key(self, sight: Sight, *, most: int = 1 << 62) -> tuple[int, str | None]:
        """Give the key of a complete file. *May touch the world: reads the file.*

        Args:
            sight: the file.
            most: bytes to read of it at most.

        Returns:
            The bytes read, and the key; None: there is more to read, ask again.

        Raises:
            Changed: it is another file now.
            OSError: it cannot be read.
        """
        if self.kind == "path":
            return 0, sight.relative
        if self.kind != "sha256":
            return 0, f"{sight.relative}:{sight.size}:{sight.mtime}"
        if sight in self._made:
            return 0, self._made[sight]
        if self._making is None or self._making[0] is not sight:
            path = os.path.join(self._root, sight.relative)  # noqa: PTH118
            self._making = sight, Digest(path, sight.size, sight.mtime)
        read, digest = self._making[1].go_on(most)
        if digest is None:
            return read, None
        self._making = None
        self._made[sight] = f"sha256:{digest}"
        return read, self._made[sight]

    def forget(self, sight: Sight) -> None:
        """Let go of a digest that is not needed any more."""
        self._made.pop(sight, None)
