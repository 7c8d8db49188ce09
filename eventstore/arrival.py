"""An export as it arrives: read once to see that it is whole, once more to take it in."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from eventstore import lines
from eventstore.errors import ExportRefused
from eventstore.event import NewEvent, chain
from eventstore.lines import (
    BlobLine,
    Body,
    CursorLine,
    EventLine,
    Footer,
    Header,
    KeyLine,
    Line,
    StreamLine,
    WaitLine,
)
from eventstore.picture import Taken
from eventstore.store import Log

ORDER: dict[type, int] = {
    StreamLine: 1, WaitLine: 2, EventLine: 3, KeyLine: 4, BlobLine: 5, CursorLine: 6,
}  # fmt: skip
OFTEN = 1000  # lines between two calls of who is told

Told = Callable[[int], None]


class Arrived(msgspec.Struct, frozen=True):
    """What a whole export says of itself."""

    header: Header
    footer: Footer
    number: int  # of lines


def check(file: BinaryIO, *, told: Told | None = None) -> Arrived:
    """Read an export from where the file stands, and see that it is whole and as written.

    Args:
        file: gives bytes line by line; no need to seek in it.
        told: is called now and then with the number of bytes read.

    Raises:
        ExportRefused: it is no export, of a newer Playhead, cut off, or changed: a hash in it
            does not fit. Says which line.
    """
    raw = file.readline()
    header = lines.read_header(raw)
    digest = hashlib.sha256(raw)
    counts: Counter[str] = Counter()
    checking = _Chains(header.last)
    size, number, rank = len(raw), 1, 0
    for raw in file:
        number += 1
        size += len(raw)
        if not raw.endswith(b"\n"):
            break
        line = lines.decode(raw, number)
        if isinstance(line, Footer):
            _check_footer(line, counts, digest.hexdigest(), file.read(1))
            checking.end()
            return Arrived(header, line, number)
        digest.update(raw)
        counts[line.__struct_config__.tag] += 1  # type: ignore[index]
        step = ORDER.get(type(line), 0)
        if step < rank:
            raise ExportRefused(f"line {number} stands out of order; the file was changed")
        rank = step
        checking.see(line, number)
        if told is not None and not number % OFTEN:
            told(size)
    raise ExportRefused(
        f"the export is cut off after line {number}: its last line, which says that it is whole,"
        " is missing; nothing was imported. Export again"
    )


def _check_footer(footer: Footer, counts: Counter[str], digest: str, more: bytes) -> None:
    if footer.sha256 != digest or footer.lines != dict(counts):
        raise ExportRefused(
            "the export is not as it was written: its lines do not fit the hash in its last line;"
            " nothing was imported. Export again"
        )
    if more:
        raise ExportRefused(
            "there is more behind the last line of the export; which one is it?"
        )


class _Chains:
    """The chain of hashes of each stream, as far as its events have been seen."""

    def __init__(self, last: int) -> None:
        self._last = last  # positions up to this were given out
        self._tips: dict[str, tuple[int, bytes]] = {}  # as the rows say
        self._seen: dict[str, tuple[int, bytes]] = {}
        self._position = 0

    def see(self, line: Line, number: int) -> None:
        if isinstance(line, EventLine):
            self._event(line, number)
        elif isinstance(line, StreamLine):
            if line.id in self._tips:
                raise ExportRefused(f"line {number}: stream {line.id!r} is there twice")
            self._tips[line.id] = (line.version, line.hash)
            if line.purged is not None:
                self._seen[line.id] = self._tips[line.id]  # a tombstone; its events are gone
        elif isinstance(line, BlobLine):
            if hashlib.sha256(line.content).hexdigest() != line.sha256:
                raise ExportRefused(f"line {number}: blob {line.sha256} has other bytes")
        elif not isinstance(line, WaitLine | KeyLine | CursorLine):
            raise ExportRefused(f"line {number}: a second header")
        elif isinstance(line, WaitLine) and line.stream not in self._tips:
            self._unknown(line.stream, number)

    def _unknown(self, stream: str, number: int) -> None:
        raise ExportRefused(f"line {number}: stream {stream!r} has no row in this export")

    def _event(self, line: EventLine, number: int) -> None:
        if line.stream not in self._tips:
            self._unknown(line.stream, number)
        version, before = self._seen.get(line.stream, (0, b""))
        event = NewEvent(
            line.type, line.subject, line.source, line.dest, line.data, line.at, line.cause,
            line.type_version,
        )  # fmt: skip
        expected = chain(before, line.stream, version + 1, line.epoch, event)
        is_next = line.version == version + 1 and line.position > self._position
        if not is_next or line.hash != expected:
            raise ExportRefused(
                f"line {number}: event {line.version} of stream {line.stream!r} does not follow"
                f" the one before it ({version}): its hash does not fit. The log itself may be"
                " damaged: `playhead verify` says; nothing was imported"
            )
        if line.position > self._last:
            raise ExportRefused(
                f"line {number}: position {line.position} lies behind the last one that the header"
                f" knows of ({self._last}); the file was changed"
            )
        self._position = line.position
        self._seen[line.stream] = (line.version, line.hash)

    def end(self) -> None:
        for stream, tip in self._tips.items():
            if self._seen.get(stream) != tip:
                version = self._seen.get(stream, (0, b""))[0]
                raise ExportRefused(
                    f"stream {stream!r} stands at version {tip[0]}, and its last event in the"
                    f" export is {version}; the log itself may be damaged: `playhead verify`"
                    " says; nothing was imported"
                )


def take(
    log: Log, file: BinaryIO, arrived: Arrived, *, start: int = 0, told: Told | None = None
) -> Taken:
    """Write a checked export into a log, in one transaction. *Appends.*

    Args:
        log: where to; what it holds already is left alone.
        file: the same bytes, and it can seek.
        arrived: what `check` gave for it.
        start: where in the file the export begins.
        told: is called now and then with the number of bytes read.

    Raises:
        HistoryDiffers: a stream is there with another history.
        KeyTaken: an inbox key counts there for another stream.
        StorageError: the log cannot be written; nothing was.
    """

    def body() -> Iterator[Body]:
        file.seek(start)
        size = len(file.readline())
        number = 1
        line: Line | None = None
        for raw in file:
            number += 1
            size += len(raw)
            line = lines.decode(raw, number)
            if isinstance(line, Footer | Header):
                break
            if told is not None and not number % OFTEN:
                told(size)
            yield line
        if (line, number) != (arrived.footer, arrived.number):
            raise ExportRefused(
                "the export changed while it was read; nothing was imported. Import it again"
            )

    return log.take_in(body, last=arrived.header.last)
