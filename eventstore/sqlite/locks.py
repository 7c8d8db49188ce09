"""The locked files beside a SQLite database by which the deaths of workers are known.

The system opens the lock when the process ends, however it ends: a free lock is a death, and a
held lock is a life even if the lease ran out (a stopped process, a suspended machine).
"""

import contextlib
import fcntl
import hashlib
import os
import threading
import weakref
from pathlib import Path

from eventstore import clock
from eventstore.errors import LogError
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.opening import folder_beside
from eventstore.store import WorkerRow


class LockFiles:
    """The lock files of workers: those held here, and a look at those of others."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._held)

    def take(self, worker: str) -> bool:
        """Hold a worker's lock until `drop`, `close` or the end of the process.

        False: in memory there are none.

        Raises:
            LogError: another process lives under this id.
        """
        if self._database.path is None:
            return False
        path = self._path(worker)
        until = clock.real_seconds() + 1.0
        with self._lock:
            if worker in self._held:
                return True
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    if clock.real_seconds() > until:
                        raise LogError(
                            f"worker {worker!r} is at work in another process; each needs an"
                            " id of its own"
                        ) from None
                    clock.real_sleep(0.01)  # somebody may just be looking whether it is free
                    continue
                if _same_file(descriptor, path):
                    self._held[worker] = descriptor
                    return True
                os.close(descriptor)  # it was cleared away between the two calls

    def drop(self, worker: str) -> None:
        """Let go of a worker's lock and clear its file away."""
        with self._lock:
            descriptor = self._held.pop(worker, None)
            if descriptor is not None:
                self._path(worker).unlink(missing_ok=True)
                os.close(descriptor)

    def is_free(self, worker: WorkerRow) -> bool | None:
        """Say whether nobody holds a worker's lock any more; None if there is no lock file."""
        if self._database.path is None:
            return None
        if worker.id in self._held:
            return False
        path = self._path(worker.id)
        return self._is_unheld(path.name) if path.exists() else None

    def any_free(self) -> bool:
        """Say whether some worker's lock file lies about that nobody holds: its process died.

        Asks the file system only. A worker that leaves takes its file away.
        """
        if self._database.path is None:
            return False
        held = {self._path(worker).name for worker in list(self._held)}
        try:
            names = [
                path.name for path in folder_beside(self._database.path or "").glob("*.lock")
            ]
        except OSError:
            return False
        return any(self._is_unheld(name) for name in names if name not in held)

    def _is_unheld(self, name: str) -> bool:
        try:
            descriptor = os.open(
                folder_beside(self._database.path or "") / name, os.O_RDWR | os.O_CLOEXEC
            )
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def leases(self) -> None:
        """Give None: a file that is locked says nothing of its lease."""

    def clear(self, worker: str) -> None:
        """Clear away the lock file of a worker that is gone."""
        if self._database.path is not None:
            self._path(worker).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all locks held here; their files stay, free."""
        with self._lock:
            _close(self._held)

    def forked(self) -> None:
        """Close the descriptors in a forked child; the parent's locks stay held."""
        _close(self._held)

    def _path(self, worker: str) -> Path:
        digest = hashlib.sha256(worker.encode(errors="surrogateescape")).hexdigest()
        return folder_beside(self._database.path or "") / f"{digest[:32]}.lock"


def _close(held: dict[str, int]) -> None:
    for descriptor in held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    held.clear()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
