"""Hints between processes: a notice to all who listen, sent outside the append, and not often.

A notice inside the append would make all commits of the cluster wait for each other. Those that
come close together share one. Behind a pooler nobody can listen, and nobody is told.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator

import msgspec

from eventstore import clock
from eventstore.errors import LogError
from eventstore.postgres.database import Postgres
from eventstore.postgres.lookout import Lookout
from eventstore.wakeups import Ear, Hall

PAUSE = 0.02  # seconds between two notices of one process
_ROOM = 7999  # bytes of one notice


class Notice(msgspec.Struct, array_like=True):
    """What a notice says."""

    sender: str  # the log's object, so that it does not listen to itself
    skip: str | None  # a worker that knows already
    streams: list[str]


class Ears(Hall):
    """All ears of one log object, and the way to those in other processes."""

    def __init__(self, database: Postgres, lookout: Lookout) -> None:
        super().__init__()
        self._postgres, self._lookout = database, lookout
        self._me = clock.new_id()
        self._turn = threading.Lock()
        self._pending: dict[str, str | None] = {}  # stream -> worker to skip
        self._crier: threading.Thread | None = None
        self._cried = float("-inf")
        self.on_listen: Callable[[str], None] = lambda _: None
        self.on_forget: Callable[[str], None] = lambda _: None

    def listen(self, worker: str) -> Ear:
        """Open a worker's ear."""
        self.on_listen(f"ear of {worker}")
        return super().listen(worker)

    def forget(self, ear: Ear) -> None:
        """Drop an ear that closes."""
        super().forget(ear)
        self.on_forget(f"ear of {ear.worker}")

    def heard(self, text: str) -> None:
        """Pass on a notice to the ears here; called by the keeper."""
        try:
            notice = msgspec.json.decode(text, type=Notice)
        except msgspec.DecodeError:
            return  # somebody else's words on our channel
        if notice.sender != self._me:
            self._lookout.forget()
            super().hint(notice.streams, notice.skip)

    def hint(self, streams: Collection[str], skip: str | None) -> None:
        """Tell all ears but one, here at once and elsewhere within moments."""
        super().hint(streams, skip)
        server = self._postgres.server
        if not streams or server is None or server.is_pooled:
            return
        with self._turn:
            for stream in streams:
                self._pending[stream] = skip
            if self._crier is not None:
                return
            left = self._cried + PAUSE - clock.real_seconds()
            if left > 0:
                self._crier = threading.Thread(
                    target=self._cry_later, args=(left,), name="playhead-crier", daemon=True
                )
                self._crier.start()
                return
        self._cry(self._take())

    def _cry_later(self, seconds: float) -> None:
        """Tell what has come, until nothing comes any more; `close` waits for that."""
        clock.real_sleep(seconds)
        try:
            while pending := self._take():
                self._cry(pending)
                clock.real_sleep(PAUSE)
        except BaseException:
            with self._turn:
                self._crier = None
            raise

    def _take(self) -> dict[str, str | None]:
        """Give what is to be told; if that is nothing, the crier is done."""
        with self._turn:
            pending, self._pending = self._pending, {}
            if pending:
                self._cried = clock.real_seconds()
            elif self._crier is threading.current_thread():
                self._crier = None
            return pending

    def _cry(self, pending: dict[str, str | None]) -> None:
        by_skip: dict[str | None, list[str]] = {}
        for stream, skip in pending.items():
            by_skip.setdefault(skip, []).append(stream)
        letters = [
            letter for skip, ids in by_skip.items() for letter in self._letters(skip, ids)
        ]
        with contextlib.suppress(LogError):  # a hint may be lost
            for letter in letters:
                self._postgres.query(
                    "SELECT pg_notify(%s, %s)", (channel_of(self._postgres), letter)
                )

    def _letters(self, skip: str | None, streams: list[str]) -> Iterator[str]:
        """Give the texts of as many notices as it takes."""
        letter = msgspec.json.encode(Notice(self._me, skip, streams))
        if len(letter) <= _ROOM or len(streams) == 1:
            yield letter.decode()
            return
        half = len(streams) // 2
        yield from self._letters(skip, streams[:half])
        yield from self._letters(skip, streams[half:])

    def close(self) -> None:
        """Close all ears, after the last hint is out."""
        crier = self._crier
        if crier is not None and crier is not threading.current_thread():
            crier.join()
        super().close()


def channel_of(database: Postgres) -> str:
    """Give the channel of a log: one for each schema of a database."""
    return f"playhead {database.address.schema}"
