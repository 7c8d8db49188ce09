"""A file that has its name only when it is whole and safe on disk."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole(part: BinaryIO, file: Path) -> Iterator[BinaryIO]:
    """Give what was opened beside a file; it takes the file's name at the end.

    *Touches the world: syncs the bytes and the folder.* If the block fails nothing is left.

    Args:
        part: Opened to write under another name in the same folder.
        file: The name that it gets.

    Raises:
        OSError: it cannot be written or named so.
    """
    beside = Path(part.name)
    try:
        with part:
            yield part
            part.flush()
            os.fsync(part.fileno())
        beside.replace(file)
        folder = os.open(file.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
