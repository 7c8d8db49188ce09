"""New connections to a database: the one that writes, which founds it, and those that read."""

from pathlib import Path

from eventstore.errors import StorageError
from eventstore.sqlite.checkpoints import Checkpoints
from eventstore.sqlite.session import Session, found, keep_ahead, recognise


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


def open_reader(reader: Session) -> Session:
    """Make a new connection one that only reads; on failure it does not stay open."""
    try:
        reader.tune()
        reader.raw.execute("PRAGMA query_only=ON")
    except BaseException:
        reader.close()
        raise
    return reader


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
