"""For tests of file triggers: a file dropped into a folder, as real writers do it.

The bytes, the names and the order of the system calls are those of the real thing. Times of files
are the system's own: no frozen clock reaches them, so a test may say which `mtime` a file bears.
"""

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, overload

from eventstore import clock
from triggers.errors import one_of, wrong

WAYS = ("rename", "write", "slow", "rsync", "link")
NAME_BYTES = 255  # of one name, on the file systems that we know
PIECES = 4


@overload
def drop(
    path: str | os.PathLike[str], content: bytes | str = b"", *, by: Literal["slow"],
    pieces: int = PIECES, mtime: datetime.datetime | None = None,
) -> Iterator[Path]: ...  # fmt: skip
@overload
def drop(
    path: str | os.PathLike[str], content: bytes | str = b"", *,
    by: Literal["rename", "write", "rsync", "link"] = "rename",
    pieces: int = PIECES, mtime: datetime.datetime | None = None,
) -> Path: ...  # fmt: skip
def drop(
    path: str | os.PathLike[str], content: bytes | str = b"", *, by: str = "rename",
    pieces: int = PIECES, mtime: datetime.datetime | None = None,
) -> Path | Iterator[Path]:  # fmt: skip
    """Play a file drop. *Touches the world: writes a file, and the folders above it.*

    Args:
        path: where the file is to be; one that is there is replaced (not by "link").
        content: bytes, or a text to be written as UTF-8.
        by: how it comes. "rename": whole, under a name that no pattern means, then renamed.
            "rsync": the same, with rsync's own names. "write": opened, written and closed in
            place. "link": as a hard link to a file that is whole. "slow": in place and in
            `pieces`, one each time that the iterator given back is asked for the next; the file
            is closed when it is asked once more, or forgotten.
        pieces: of a slow drop; fewer if there are not as many bytes.
        mtime: an aware datetime that the file is to bear, as `cp -p` and `rsync -t` set it.

    Returns:
        The path; of a slow drop an iterator that gives it after each piece.

    Raises:
        DefinitionError: an argument that cannot be right.
        OSError: the file cannot be written.
    """
    one_of("by", by, WAYS)
    if pieces < 1:
        raise wrong(f"pieces={pieces!r}: a slow drop has at least 1")
    if mtime is not None and mtime.utcoffset() is None:
        raise wrong(f"mtime={mtime!r} has no time zone; write e.g. datetime(..., tzinfo=UTC)")
    there = Path(path)
    data = content.encode() if isinstance(content, str) else bytes(content)
    there.parent.mkdir(parents=True, exist_ok=True)
    if by == "slow":
        return _slowly(there, data, pieces, mtime)
    if by == "write":
        there.write_bytes(data)
        _date(there, mtime)
        return there
    token = clock.new_id()[-6:]
    if by == "rsync":
        aside = there.with_name(_cut(f".{there.name}", NAME_BYTES - 7) + f".{token}")
    else:
        aside = there.with_name(f".drop-{token}.tmp")
    aside.write_bytes(data)
    _date(aside, mtime)
    if by == "link":
        try:
            os.link(aside, there)
        finally:
            aside.unlink()
    else:
        aside.replace(there)
    return there


def _slowly(
    path: Path, data: bytes, pieces: int, mtime: datetime.datetime | None
) -> Iterator[Path]:
    """Write a file piece by piece; it stays open in between."""
    size = max(1, -(-len(data) // pieces))
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(data) or 1, size):
            file.write(data[start : start + size])
            yield path
    _date(path, mtime)


def _date(path: Path, mtime: datetime.datetime | None) -> None:
    if mtime is not None:
        nanoseconds = clock.to_us(mtime) * 1000
        os.utime(path, ns=(nanoseconds, nanoseconds))


def _cut(name: str, most: int) -> str:
    """Shorten a name to so many bytes."""
    return os.fsdecode(os.fsencode(name)[:most])
