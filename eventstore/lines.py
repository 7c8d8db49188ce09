"""The lines of an export: one JSON object each, told apart by `line`; hashes in base64.

A header comes first, a footer last; between them all that a log is. Left out are who works on a
stream (a lease means nothing elsewhere) and what is derived (snapshots).
"""

from typing import Any

import msgspec

from eventstore.errors import ExportRefused

FORMAT = "playhead export"
VERSION = 1  # of these lines; what reads them refuses a newer one


class _Line(msgspec.Struct, frozen=True, gc=False, tag_field="line"):
    """One line."""


class Header(_Line, tag="export", frozen=True):
    """What the file is, and where it comes from."""

    format: str
    version: int
    schema: int  # of the log's tables
    store: str  # the log's id
    playhead: str  # the program that wrote it
    last: int  # positions up to this were given out, also to events that are gone
    only: bool = False  # some streams only


class StreamLine(_Line, tag="stream", frozen=True):
    """A stream's row, its owner left out."""

    id: str
    kind: str
    version: int
    epoch: int
    hash: bytes
    status: str
    due: int | None
    waits_on: tuple[str, ...]
    needs: str | None
    label: str
    name: str
    key: str | None
    tags: dict[str, str]
    priority: int
    created: int
    updated: int
    purged: int | None


class WaitLine(_Line, tag="wait", frozen=True):
    """A stream waits on a name; who waits longest stands first."""

    name: str
    stream: str


class EventLine(_Line, tag="event", frozen=True):
    """An event as it stands in the log; `data` is its text, letter for letter."""

    position: int
    stream: str
    version: int
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


class KeyLine(_Line, tag="key", frozen=True):
    """A key that counts once for ever."""

    source: str
    key: str
    stream: str


class BlobLine(_Line, tag="blob", frozen=True):
    """A large value."""

    sha256: str
    content: bytes


class CursorLine(_Line, tag="cursor", frozen=True):
    """Where a follower of the whole log stands."""

    name: str
    position: int
    version: int
    updated: int


class Footer(_Line, tag="end", frozen=True):
    """That nothing is missing: how many lines of each sort, and a hash over all before this."""

    lines: dict[str, int]
    sha256: str


Body = StreamLine | WaitLine | EventLine | KeyLine | BlobLine | CursorLine
Line = Header | Body | Footer

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


def encode(line: Line) -> bytes:
    """Give a line as bytes, with the newline. *Pure.*"""
    return _encoder.encode(line) + b"\n"


def decode(raw: bytes, number: int) -> Line:
    """Give what a line says. *Pure.*

    Raises:
        ExportRefused: it is no line of an export.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportRefused(f"line {number} is not a line of an export: {error}") from None


def read_header(raw: bytes) -> Header:
    """Give what a file's first line says. *Pure.*

    Raises:
        ExportRefused: the file is no export, or one of a newer Playhead.
    """
    try:
        said: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ExportRefused(
            "this is not an export of a log: its first line is not the header that"
            " `playhead export` writes"
        )
    version = said.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ExportRefused(
            f"this export has format {version}, written by Playhead {said.get('playhead')};"
            f" this Playhead reads up to {VERSION}: update it"
        )
    header = decode(raw, 1)
    if not isinstance(header, Header):
        raise ExportRefused("this is not an export of a log: its first line is no header")
    return header
