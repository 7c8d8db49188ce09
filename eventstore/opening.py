"""The first connection to a database: recognised, or founded if it is new."""

from pathlib import Path

from eventstore.checkpoints import Checkpoints
from eventstore.errors import StorageError
from eventstore.session import Session, found, keep_ahead, recognise


def folder_beside(path: str) -> Path:
    """Give the folder of lock files beside a database, made if need be.

    Raises:
        StorageError: it cannot be made.
    """
    folder = Path(f"{path}-workers")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder} beside the database: {error}") from error
    return folder


def open_writer(
    writer: Session, path: str | None, place: str, checkpoints: Checkpoints
) -> Session:
    """Make a new connection the one that writes; on failure nothing stays open.

    Args:
        writer: Just connected.
        path: The file; None: in memory.
        place: The same for people.
        checkpoints: Opened too, if there is a file.
    """
    try:
        is_new = not recognise(writer, place)
        if is_new:
            writer.raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
        if path is not None:
            checkpoints.open(folder_beside(path))
            keep_ahead(writer, place)
        writer.tune()
        if is_new:
            _found(writer, place, checkpoints)
        writer.held.rollback()  # SQLAlchemy's idea of a transaction; there is none
    except BaseException:
        writer.close()
        checkpoints.close()
        raise
    return writer


def _found(writer: Session, place: str, checkpoints: Checkpoints) -> None:
    checkpoints.enter()
    try:
        writer.raw.execute("BEGIN IMMEDIATE")
        if not recognise(writer, place):  # another process may have been faster
            found(writer)
        writer.raw.execute("COMMIT")
    except BaseException:
        writer.raw.rollback()
        raise
    finally:
        checkpoints.leave()
