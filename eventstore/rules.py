"""What holds for an append whatever keeps the log: its own shape, and how epochs grow.

All functions here are pure.
"""

from collections.abc import Sequence

from eventstore.errors import Fenced, LogError, WrongExpectedVersion
from eventstore.event import Tip
from eventstore.store import Append, Write

# Bytes in UTF-8. An index of PostgreSQL takes 2,704 for all its columns together; no kind of log
# takes what another cannot.
LONGEST_NAME, LONGEST_KEY = 600, 2000


def check_append(append: Append) -> None:
    """Refuse an append that makes no sense by itself. *Pure.*

    Raises:
        ValueError: a stream or an inbox key twice, a new stream without an event, or a new name
            or key that is too long to be looked up.
    """
    writes = append.writes
    for write in writes:
        if not write.tip.version:
            _check_length(write.stream, "id", LONGEST_NAME)
            _check_length(write.kind, "kind", LONGEST_NAME)
            if write.headline is not None and write.headline.key is not None:
                _check_length(write.headline.key, "key", LONGEST_KEY)
        if write.row is not None:
            for name in write.row.waits_on:
                _check_length(name, "name waited for", LONGEST_NAME)
    if len(writes) > 1 and len({write.stream for write in writes}) != len(writes):
        raise ValueError(
            f"append {append.id!r} writes to one stream twice; join the two writes"
        )
    for write in writes:
        if not write.events and write.row is not None and not write.tip.version:
            raise ValueError(
                f"append {append.id!r} creates {write.stream!r} without an event; a stream begins"
                " with one"
            )
    keys = append.inbox
    for key in keys:
        _check_length(key.source, "source of a key", LONGEST_NAME)
        _check_length(key.key, "key", LONGEST_KEY)
    if len(keys) > 1 and len({(key.source, key.key) for key in keys}) != len(keys):
        raise ValueError(f"append {append.id!r} uses one inbox key twice")


def _check_length(text: str, what: str, most: int) -> None:
    if len(text) * 4 > most and len(text.encode(errors="surrogatepass")) > most:
        raise ValueError(
            f"{what} {text[:60]!r}... is longer than {most} bytes; no log could look it up"
        )


def row_order(writes: Sequence[Write]) -> list[int]:
    """Give the order in which an append's rows are written. *Pure.*

    Births as they were named (lists show them so), then steps, then bookkeeping, both by id. It
    shows too where several streams begin to wait for one name in one append.
    """

    def place(number: int) -> tuple[int, str]:
        write = writes[number]
        return (0, "") if not write.tip.version else (1 if write.events else 2, write.stream)

    return sorted(range(len(writes)), key=place)


def next_epoch(epoch: int, owner: str | None, write: Write) -> int:
    """Give the epoch of a stream after a write to it; `owner` is who held it before. *Pure.*

    Taking an unowned stream raises it. Letting go with events does not: the version moves and
    keeps others out; letting go without events does. A stream cannot be taken from a living
    owner by an append at all; that is what `claim` is for.
    """
    if write.row is None or write.row.owner == owner:
        return epoch
    if write.row.owner is not None or not write.events:
        return epoch + 1
    return epoch


def refusal(write: Write, standing: tuple[Tip, str | None] | None) -> LogError | None:
    """Give why a write cannot be done to a stream as it stands, or None. *Pure.*

    Args:
        write: what is to be written.
        standing: tip and owner of the stream; None if there is no such stream.
    """
    name, tip = write.stream, write.tip
    if standing is None:
        return WrongExpectedVersion(name, tip.version, 0) if tip.version else None
    now, holder = standing
    if tip.version and now.epoch != tip.epoch:
        return Fenced(name, tip.epoch, now.epoch, holder)
    if now.version != tip.version:
        return WrongExpectedVersion(name, tip.version, now.version)
    if write.events and now.hash != tip.hash:
        return LogError(f"the tip given for {name!r} bears another hash than its last event")
    owner = write.row.owner if write.row is not None else None
    if owner is not None and holder not in (None, owner):
        return Fenced(name, tip.epoch, now.epoch, holder)
    return None
