"""What a chain of hashes tells about a stream: is it what was written?"""

from collections.abc import Iterable, Iterator
from typing import Self

from eventstore.event import Event, NewEvent, Tip, chain


class Fault(str):  # noqa: SLOT000 - a sentence with two fields beside it
    """A sentence about what is wrong in a log, with `.stream` and `.version` if it lies there."""

    stream: str | None
    version: int | None

    def __new__(cls, text: str, stream: str | None = None, version: int | None = None) -> Self:
        """Make one from its sentence and its place."""
        fault = super().__new__(cls, text)
        fault.stream, fault.version = stream, version
        return fault


def in_stream(stream: str, version: int | None, text: str) -> Fault:
    """Give a fault of a stream; its sentence begins with the stream's name. *Pure.*"""
    return Fault(f"stream {stream!r}: {text}", stream, version)


def faults_of(stream: str, events: Iterable[Event], tip: Tip) -> Iterator[Fault]:
    """Give a sentence for each fault in a stream's events; its row stands at `tip`.

    *Pure.* After a fault the chain goes on from what is stored, so that each is told once.
    """
    before: bytes | None = b""
    number = 0
    for event in events:
        number += 1
        if event.version != number:
            missing = (
                f"{number}"
                if event.version == number + 1
                else f"{number} to {event.version - 1}"
            )
            yield in_stream(stream, number, f"event {missing} is missing")
            number, before = event.version, None  # what it follows is not there to be held to
        new = NewEvent(
            event.type, event.subject, event.source, event.dest, event.data, event.at, event.cause,
            event.type_version,
        )  # fmt: skip
        if before is not None and event.hash != chain(before, stream, number, event.epoch, new):
            yield in_stream(
                stream,
                number,
                f"event {number} (position {event.position}, {event.type}) does not fit its hash;"
                " it or the one before it was changed",
            )
        before = event.hash
    if number != tip.version:
        yield in_stream(
            stream,
            number,
            f"its row stands at version {tip.version}, its last event is {number}",
        )
    elif before != tip.hash:
        yield in_stream(stream, number, "its row bears another hash than its last event")
