"""Ears: how workers hear at once that a stream wants attention.

Each worker has an ear; within a process a hint goes straight to it. Between processes that share
a database file a hint is a datagram to the worker's socket. Sockets lie in a short folder under
the temporary folder, named by user and database, because a socket's path may have 107 bytes at
most. A hint may be lost; below it there is always a slower poll.
"""

import contextlib
import hashlib
import os
import select
import socket
import stat
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path

import msgspec

LONGEST_PATH = 107  # bytes of a Unix socket's path, without the closing zero
_IDS_PER_DATAGRAM = 256
_LARGEST_DATAGRAM = 64 * 1024


def _bases() -> list[str]:
    return list(dict.fromkeys((tempfile.gettempdir(), "/tmp")))  # noqa: S108 - owner is checked


def socket_folder(database: str) -> Path | None:
    """Give the folder of the sockets of a database, made if need be, or None if there is none.

    *Touches the world: makes a folder that only this user can enter.* None means: no safe folder
    of a short enough path, so that workers in other processes are found by the poll only.
    """
    name = hashlib.sha256(
        os.path.realpath(database).encode(errors="surrogateescape")
    ).hexdigest()
    for base in _bases():
        folder = Path(base) / f"playhead-{os.getuid()}" / name[:16]
        if len(os.fsencode(folder)) + 22 > LONGEST_PATH:
            continue
        with contextlib.suppress(OSError):
            for part in (folder.parent, folder):
                part.mkdir(mode=0o700, exist_ok=True)
                seen = part.lstat()
                if (
                    not stat.S_ISDIR(seen.st_mode)
                    or seen.st_uid != os.getuid()
                    or seen.st_mode & 0o022
                ):
                    raise PermissionError(part)
            return folder
    return None


def socket_name(worker: str) -> str:
    """Give the file name of a worker's socket. *Pure.*"""
    return hashlib.sha256(worker.encode(errors="surrogateescape")).hexdigest()[:16] + ".sock"


class Ear:
    """A worker's ear; see `store.Listener`."""

    def __init__(self, hall: "Hall", worker: str, path: Path | None) -> None:
        self.worker = worker
        self._hall, self._path = hall, path
        self._lock = threading.Lock()
        self._heard: set[str] = set()
        self._called = False
        self._closed = False
        self._busy = threading.Lock()  # held while somebody waits
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._socket: socket.socket | None = None
        if path is not None:
            with contextlib.suppress(OSError):
                try:
                    self._socket = _bind(path)
                except FileNotFoundError:  # the last who listened took the folder away just now
                    path.parent.mkdir(mode=0o700, exist_ok=True)
                    self._socket = _bind(path)

    def wait(self, timeout: float) -> frozenset[str]:
        """Wait up to `timeout` real seconds for a hint or a poke; give the ids hinted at."""
        with self._busy:
            if not (self._called or self._closed):
                poll = select.poll()
                poll.register(self._bell, select.POLLIN)
                if self._socket is not None:
                    poll.register(self._socket, select.POLLIN)
                poll.poll(max(0.0, timeout) * 1000)
            if not self._closed:
                self._drain()
            with self._lock:
                heard, self._heard, self._called = frozenset(self._heard), set(), False
            return heard

    def poke(self) -> None:
        """Let a waiting `wait` return now; from any thread."""
        self.tell(())

    def tell(self, streams: Collection[str]) -> None:
        """Hand over ids within this process."""
        with self._lock:
            self._heard.update(streams)
            if self._called or self._closed:
                return
            self._called = True
            with contextlib.suppress(BlockingIOError):
                self._rope.send(b"!")

    def close(self) -> None:
        """Stop listening; leaves no socket behind."""
        self.poke()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._hall.forget(self)
        with self._busy:
            self.let_go()
        if self._path is not None and self._socket is not None:
            self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others still listen there
                self._path.parent.rmdir()

    def let_go(self) -> None:
        """Close the descriptors and no more; what a forked child does with its parent's ears."""
        self._closed = True
        for end in (self._bell, self._rope, self._socket):
            if end is not None:
                end.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(64):
                pass
        if self._socket is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                letter = self._socket.recv(_LARGEST_DATAGRAM)
                with contextlib.suppress(msgspec.DecodeError):
                    ids = msgspec.json.decode(letter, type=list[str])
                    with self._lock:
                        self._heard.update(ids)


class Hall:
    """All ears that a log knows of: its own, and the sockets of the same database."""

    def __init__(self, database: str | None = None) -> None:
        self._database = database
        self._folder: Path | None = None
        self._looked = database is None
        self._ears: list[Ear] = []
        self._lock = threading.Lock()

    def listen(self, worker: str) -> Ear:
        """Open a worker's ear; the folder is looked for anew, it may have been tidied away."""
        self._looked = self._database is None
        folder = self._find()
        ear = Ear(self, worker, folder / socket_name(worker) if folder else None)
        with self._lock:
            self._ears.append(ear)
        return ear

    def hint(self, streams: Collection[str], skip: str | None) -> None:
        """Tell all ears but one."""
        if not streams:
            return
        with self._lock:
            ears = list(self._ears)
        for ear in ears:
            if ear.worker != skip:
                ear.tell(streams)
        folder = self._find()
        if folder is None:
            return
        own = {socket_name(ear.worker) for ear in ears}
        if skip is not None:
            own.add(socket_name(skip))
        with contextlib.suppress(OSError):
            others = [path.name for path in folder.iterdir() if path.name not in own]
            if others:
                _send(folder, others, list(streams))

    def poke(self) -> None:
        """Let all who wait here look."""
        with self._lock:
            ears = list(self._ears)
        for ear in ears:
            ear.poke()

    def forget(self, ear: Ear) -> None:
        """Drop an ear that closes."""
        with self._lock:
            if ear in self._ears:
                self._ears.remove(ear)

    def close(self) -> None:
        """Close all ears."""
        with self._lock:
            ears = list(self._ears)
        for ear in ears:
            ear.close()

    def let_go(self) -> None:
        """Close descriptors only; for a forked child."""
        for ear in self._ears:
            ear.let_go()

    def _find(self) -> Path | None:
        if not self._looked and self._database is not None:
            self._folder = socket_folder(self._database)
            self._looked = True
        return self._folder


def _send(folder: Path, names: list[str], streams: list[str]) -> None:
    letters = [
        msgspec.json.encode(streams[start : start + _IDS_PER_DATAGRAM])
        for start in range(0, len(streams), _IDS_PER_DATAGRAM)
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
        mouth.setblocking(False)
        for name in names:
            path = folder / name
            try:
                for letter in letters:
                    mouth.sendto(letter, os.fspath(path))
            except (ConnectionRefusedError, FileNotFoundError):
                path.unlink(missing_ok=True)  # its worker died without a word
            except OSError:
                continue  # its queue is full: it has been woken already


def _bind(path: Path) -> socket.socket:
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        ear.setblocking(False)
        path.unlink(missing_ok=True)
        ear.bind(os.fspath(path))
    except OSError:
        ear.close()
        raise
    return ear
