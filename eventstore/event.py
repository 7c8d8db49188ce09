"""The envelope: what one recorded fact carries.

Every event is a transition: a subject (`enrich`, `score[3]`, `run`) went from `source` to `dest`
because of `type`. A note is a reflexive transition. `data` is JSON text, kept letter for letter,
because the hash chain is over the letters.
"""

import hashlib

import msgspec


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that is about to be appended."""

    type: str  # stable dotted name, `step.succeeded`
    subject: str
    source: str
    dest: str
    data: str  # JSON text
    at: int  # microseconds since 1970 UTC
    cause: str | None = None  # "stream@version" of what caused it
    type_version: int = 1


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event as the log gives it back."""

    position: int  # in the whole log, growing, may have holes
    stream: str
    version: int  # in its stream, from 1, without holes
    type: str
    type_version: int
    epoch: int
    subject: str
    source: str
    dest: str
    data: str
    at: int
    cause: str | None
    append_id: str
    hash: bytes


class Tip(msgspec.Struct, frozen=True, gc=False):
    """Where a stream stands: what a writer must know to append to it."""

    version: int = 0  # 0: the stream does not exist yet
    epoch: int = 0  # grows at each change of owner
    hash: bytes = b""  # of the last event


NEW = Tip()


def chain(before: bytes, stream: str, version: int, epoch: int, event: NewEvent) -> bytes:
    """Give the hash of an event that follows the one with hash `before`. *Pure.*

    The frame is a JSON array of all small fields, then the data text, so that no two events
    share a frame.
    """
    frame = msgspec.json.encode(
        (
            stream, version, epoch, event.type, event.type_version,
            event.subject, event.source, event.dest, event.at, event.cause,
        )
    )  # fmt: skip
    return hashlib.sha256(before + frame + event.data.encode()).digest()
