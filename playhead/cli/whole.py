"""A file that has its name only when it is whole and safe on disk."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from eventstore import Log, clock
from eventstore.sqlite.place import is_own
from playhead.cli.options import Wrong


def check_target(option: str, file: Path, log: Log) -> None:
    """Refuse a name that no file may get.

    Raises:
        Wrong: it is the log itself, a folder, a device or a pipe, or in no folder that is there.
    """
    if log.path is not None and is_own(log.path, str(file)):
        raise Wrong(f"{option} {file} is the log itself, or a part of it; name another file")
    if file.is_dir():
        raise Wrong(f"{option} {file} is a folder; name a file in it")
    if file.exists() and not file.is_file():
        raise Wrong(f"{option} {file} is no file; what is to go there, goes through stdout")
    if not file.absolute().parent.is_dir():
        raise Wrong(f"{option} {file}: there is no folder {file.parent}; make it first")


@contextlib.contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """Give what writes a new file in the same folder; it takes the file's name at the end.

    *Touches the world: syncs the bytes and the folder.* If the block fails nothing is left.

    Args:
        file: The name that it gets; what bears it already is replaced.

    Raises:
        OSError: it cannot be written or named so.
    """
    beside = file.with_name(f"{file.name}.{clock.new_id()}.part")
    try:
        with beside.open("xb") as part:
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
