"""A log written out as lines: all of it, or some streams with what belongs to them."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from eventstore import lines
from eventstore.lines import BlobLine, EventLine, Footer, Header, Line
from eventstore.picture import Picture
from eventstore.store import Log

AT_ONCE = 64 * 1024  # bytes handed over together
_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")  # of a blob

Told = Callable[[int, int], None]


class Exported(msgspec.Struct, frozen=True):
    """What was written."""

    lines: dict[str, int]  # by sort: stream, wait, event, key, blob, cursor
    last: int  # positions up to this were given out in the log
    sha256: str

    @property
    def events(self) -> int:
        """Give how many events there are among the lines."""
        return self.lines.get("event", 0)


def export(
    log: Log,
    lines_to: Callable[[bytes], Any],
    *,
    streams: Collection[str] | None = None,
    program: str = "",
    told: Told | None = None,
) -> Exported:
    """Write a log as it is at one moment, while others go on writing. *Reads the log.*

    Args:
        log: any log; values that a codec has veiled stay so.
        lines_to: takes bytes, whole lines, several at a time. Raises what it likes.
        streams: only these, with their inbox keys and the large values that they name; an id
            that there is not is left out. None: everything.
        program: version of the program, for the header.
        told: is called now and then with events written and how many there are, about.

    Returns:
        What was written. A file without the footer, which is the last line, is no export.

    Raises:
        StorageError: the log cannot be read; what was written so far is no export.
    """
    writing = _Writing(lines_to)
    with log.picture() as picture:
        stamp = picture.stamp()
        writing.put(
            Header(
                lines.FORMAT, lines.VERSION, stamp.schema, stamp.store, program, stamp.last,
                streams is not None,
            )
        )  # fmt: skip
        for line in _body(log, picture, streams):
            writing.put(line)
            if told is not None and isinstance(line, EventLine) and not line.position % 1000:
                told(writing.counts["event"], stamp.events)
    counts = {sort: number for sort, number in writing.counts.items() if sort != "export"}
    writing.flush()
    digest = writing.digest.hexdigest()
    lines_to(lines.encode(Footer(counts, digest)))
    if told is not None:
        told(counts.get("event", 0), counts.get("event", 0))
    return Exported(counts, stamp.last, digest)


class _Writing:
    """Lines on their way out, counted and hashed."""

    def __init__(self, lines_to: Callable[[bytes], Any]) -> None:
        self._lines_to = lines_to
        self._waiting: list[bytes] = []
        self._size = 0
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.sha256()

    def put(self, line: Line) -> None:
        raw = lines.encode(line)
        self._waiting.append(raw)
        self._size += len(raw)
        self.counts[line.__struct_config__.tag] += 1  # type: ignore[index]
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        chunk = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        self.digest.update(chunk)
        if chunk:
            self._lines_to(chunk)


def _body(log: Log, picture: Picture, only: Collection[str] | None) -> Iterator[Line]:
    if only is None:
        yield from picture.streams()
        yield from picture.waits()
        yield from picture.events()
        yield from picture.keys()
        yield from picture.blobs()
        yield from picture.cursors()
        return
    named: set[str] = set()
    for row in picture.streams(only):
        named |= blobs_in(row.label) | blobs_in(row.needs or "")
        if row.purged is None:  # asked of the log, which can read what a codec has written
            named.update(*(blobs_in(event.data) for event in log.read(row.id)))
        yield row
    yield from picture.waits(only)
    yield from picture.events(only)
    yield from picture.keys(only)
    yield from _blobs(log, picture, named)


def _blobs(log: Log, picture: Picture, named: set[str]) -> Iterator[BlobLine]:
    """Give blobs of these names, and those that they name in turn."""
    seen: set[str] = set()
    while wanted := named - seen:
        seen |= wanted
        for blob in picture.blobs(sorted(wanted)):
            named |= blobs_in(log.blob(blob.sha256).decode("latin-1"))
            yield blob


def blobs_in(text: str) -> set[str]:
    """Give what may be names of blobs in a text. *Pure.*"""
    return set(_NAME.findall(text)) if len(text) >= 64 else set()
