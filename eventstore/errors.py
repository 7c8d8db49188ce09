"""Everything the log can refuse, as one tree.

LogError                       catch this to catch them all
  StorageError                 the disk or the database did not do it; what was acknowledged is safe
    StorageFull                no room: free some space, the same log goes on
    StorageReadOnly            the file or its folder cannot be written
    StorageCorrupt             bytes on disk are not what was written
    StorageBusy                another program held the database too long
    StorageUnreachable         the server does not answer; it is tried again at each call
    SchemaMismatch             the database is of a newer Playhead, or of another program
    StorageUnsuitable          not safe here: a network file system, a forked child, an unknown url
    StillCoded                 stored encoded, and there is no codec here, or it has another key
  AppendRefused                the log stands elsewhere than believed; read again, decide again
    WrongExpectedVersion       somebody appended first
    Fenced                     the stream has a new owner; this writer must stop
    KeyTaken                   the inbox key counted before; the error names the stream it started
    CursorMoved                another follower moved the cursor
  StreamUnknown                no stream of this id
  EventUnreadable              an event of a type or shape this program does not know
  ExportRefused                a file is no whole export of a log, or of a newer Playhead
  HistoryDiffers               a stream of an export stands in the log with another history
"""


class LogError(Exception):
    """Base of all that the log refuses."""


class StorageError(LogError):
    """The storage failed: what was acknowledged is safe, the rest may or may not be there."""


class StorageFull(StorageError):
    """There is no room left for the log; free some space and go on with the same log."""


class StorageReadOnly(StorageError):
    """The log's file or folder cannot be written."""


class StorageCorrupt(StorageError):
    """The bytes on disk are not what was written."""


class StorageBusy(StorageError):
    """Another program held the database for longer than the log is willing to wait."""


class StorageUnreachable(StorageError):
    """The database's server does not answer, or ended the connection."""


class SchemaMismatch(StorageError):
    """The database belongs to a newer Playhead or to another program."""


class StorageUnsuitable(StorageError):
    """The log would not be safe here: a network file system, a forked child, an unknown url."""


class StillCoded(StorageError):
    """What is stored is encoded, and nothing here can decode it; nothing is lost."""

    def __init__(self, stream: str | None, version: int | None, why: str) -> None:
        self.stream, self.version = stream, version
        what = f"event {version} of {stream!r}" if version is not None else f"{stream!r}"
        super().__init__(f"{what if stream is not None else 'a blob'} is stored encoded: {why}")


class AppendRefused(LogError):
    """The log stands elsewhere than the writer believed; read again and decide again."""


class WrongExpectedVersion(AppendRefused):
    """Somebody else appended to the stream first."""

    def __init__(self, stream: str, expected: int, actual: int | None = None) -> None:
        self.stream, self.expected, self.actual = stream, expected, actual
        super().__init__(
            f"stream {stream!r} was expected at version {expected}"
            + (f" but stands at {actual}" if actual is not None else " but has moved on")
            + "; read it again and decide again"
        )


class Fenced(AppendRefused):
    """The stream was taken over by another worker; the writer's epoch is past."""

    def __init__(self, stream: str, epoch: int, actual: int, owner: str | None) -> None:
        self.stream, self.epoch, self.actual, self.owner = stream, epoch, actual, owner
        super().__init__(
            f"stream {stream!r} is at epoch {actual} (owner {owner or 'nobody'}), this writer holds"
            f" epoch {epoch}: it lost its lease and must drop what it was doing"
        )


class KeyTaken(AppendRefused):
    """The inbox key was recorded before; `stream` is what it started then."""

    def __init__(self, source: str, key: str, stream: str) -> None:
        self.source, self.key, self.stream = source, key, stream
        super().__init__(f"key {key!r} of {source!r} already counts for stream {stream!r}")


class StreamUnknown(LogError):
    """There is no stream of this id."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(f"no stream {stream!r} in this log")


class EventUnreadable(LogError):
    """An event has a type or a shape that this program does not know."""

    def __init__(self, stream: str, version: int, what: str) -> None:
        self.stream, self.version = stream, version
        super().__init__(
            f"event {version} of {stream!r} cannot be read: {what}; it may come from a newer"
            " Playhead"
        )


class CursorMoved(AppendRefused):
    """The cursor stands elsewhere: another follower uses the same name."""

    def __init__(self, name: str, version: int, actual: int, position: int) -> None:
        self.name, self.version, self.actual, self.position = name, version, actual, position
        super().__init__(
            f"cursor {name!r} was moved by another follower: it stands at position {position}"
            f" (version {actual}, expected {version}); let one follower at a time use a name, or"
            " give this one another name"
        )


class ExportRefused(LogError):
    """A file is not an export, not a whole one, not as it was written, or too new to read."""


class HistoryDiffers(LogError):
    """A stream of an export stands in the log already, and another history with it."""

    def __init__(self, stream: str, what: str) -> None:
        self.stream = stream
        super().__init__(
            f"stream {stream!r} stands in this log with another history: {what}; nothing was"
            " imported. Import into an empty log, or export without that stream"
        )
