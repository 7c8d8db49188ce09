"""What a log that moves shows of itself, and what another says of having taken it in."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from eventstore.lines import BlobLine, CursorLine, EventLine, KeyLine, StreamLine, WaitLine

Rows = Callable[[str, Sequence[Any]], Iterator[tuple[Any, ...]]]  # statement, values -> rows


class Stamp(msgspec.Struct, frozen=True):
    """Which log it is."""

    schema: int  # of its tables; 0: it has none
    store: str
    last: int  # positions up to this were given out
    events: int  # how many there are, about


class Picture(Protocol):
    """All that a log holds at one moment; `only`: ids of streams, None for all."""

    def stamp(self) -> Stamp:
        """Say which log it is."""

    def streams(self, only: Collection[str] | None = None) -> Iterator[StreamLine]:
        """Give the rows, first created first; one with an owner is due, and has none."""

    def waits(self, only: Collection[str] | None = None) -> Iterator[WaitLine]:
        """Give who waits for what, those that have waited longest first."""

    def events(self, only: Collection[str] | None = None) -> Iterator[EventLine]:
        """Give the events by position."""

    def keys(self, only: Collection[str] | None = None) -> Iterator[KeyLine]:
        """Give the inbox keys that lead to the streams."""

    def blobs(self, names: Collection[str] | None = None) -> Iterator[BlobLine]:
        """Give the large values of these names, those that there are; None: all."""

    def cursors(self) -> Iterator[CursorLine]:
        """Give the cursors by name."""


class Taken(msgspec.Struct):
    """What became of an export that a log took in."""

    streams: int = 0  # new here
    grown: int = 0  # that were here, shorter
    there: int = 0  # that were here, whole
    events: int = 0  # written
    keys: int = 0
    blobs: int = 0
    cursors: int = 0
    has_kept_positions: bool = True
