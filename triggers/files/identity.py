"""What makes a file count once: its path, its path as it stands, or the bytes in it."""

import hashlib
import os
from collections.abc import Iterable

from triggers.files.below import NotTheFile, place_of
from triggers.files.sights import Sight

KINDS = ("path+size+mtime", "path", "sha256")
SLICE = 1 << 20  # bytes read at once
LONGEST = 900  # bytes of a path that stands in a key as it is; longer ones by their hash


class Digest:
    """The SHA-256 of one file's bytes, taken in slices, so that nobody waits for a large one."""

    def __init__(self, root: str, relative: str, size: int, mtime: int) -> None:
        """Take the file as a look saw it: where, bytes, nanoseconds."""
        self._root, self._relative = root, relative
        self._size, self._mtime = size, mtime
        self._at = 0
        self._sum = hashlib.sha256()

    def go_on(self, most: int) -> tuple[int, str | None]:
        """Read on. *Touches the world: reads the file.*

        Args:
            most: bytes to read at most.

        Returns:
            The bytes read, and the digest in hex once all is read.

        Raises:
            NotTheFile: it is another file now.
            OSError: it cannot be read.
        """
        with place_of(self._root, self._relative) as place:
            file = place.open()
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
            raise NotTheFile
        return read, self._sum.hexdigest() if self._at == self._size else None

    def _check(self, file: int) -> None:
        status = os.fstat(file)
        if (status.st_size, status.st_mtime_ns) != (self._size, self._mtime):
            raise NotTheFile


class Identity:
    """Gives keys; remembers the digests in the making, and those that wait to be claimed."""

    def __init__(self, kind: str, root: str) -> None:
        """Take one of KINDS, and the folder that relative paths start from."""
        self.kind, self._root = kind, root
        self._digests: dict[Sight, Digest | str] = {}

    def key(self, sight: Sight, *, most: int = 1 << 62) -> tuple[int, str | None]:
        """Give the key of a complete file. *May touch the world: reads the file.*

        Args:
            sight: the file.
            most: bytes to read of it at most.

        Returns:
            The bytes read, and the key; None: there is more to read, ask again.

        Raises:
            NotTheFile: it is another file now.
            OSError: it cannot be read.
        """
        if self.kind == "path":
            return 0, _short(sight.relative)
        if self.kind != "sha256":
            return 0, f"{_short(sight.relative)}:{sight.size}:{sight.mtime}"
        digest = self._digests.get(sight)
        if isinstance(digest, str):
            return 0, digest
        if digest is None:
            digest = Digest(self._root, sight.relative, sight.size, sight.mtime)
            self._digests[sight] = digest
        read, found = digest.go_on(most)
        if found is None:
            return read, None
        key = self._digests[sight] = f"sha256:{found}"
        return read, key

    def whole(self, sight: Sight) -> str | None:
        """Give the key of a file, read to its end if need be; None: it cannot be had."""
        try:
            _, key = self.key(sight)
        except (OSError, NotTheFile):
            return None
        self.forget(sight)
        return key

    def forget(self, sight: Sight) -> None:
        """Let go of what was read of a file."""
        self._digests.pop(sight, None)

    def keep(self, sights: Iterable[Sight]) -> None:
        """Let go of what was read of all files but these."""
        if self._digests:
            kept = set(sights)
            self._digests = {one: found for one, found in self._digests.items() if one in kept}


def _short(relative: str) -> str:
    """Give a path as the log can look it up."""
    path = relative.encode(errors="surrogateescape")
    return (
        relative if len(path) <= LONGEST else f"path-sha256:{hashlib.sha256(path).hexdigest()}"
    )
