"""What a kind of database brings to a log of its own; joined in `sqlite/` and `postgres/`."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from eventstore.database import Database
from eventstore.picture import Rows
from eventstore.retention import Room
from eventstore.wakeups import Hall
from eventstore.workers import Desk, Locks
from eventstore.writer import Writer


class Parts(msgspec.Struct, frozen=True):
    """What a kind of database brings to a log of its own."""

    database: Database
    writer: Writer
    desk: Desk  # where leases are written
    locks: Locks
    hall: Hall
    room: Room
    horizon: Callable[[], int]  # see `Reading`
    changed: Callable[[], int]
    moment: Callable[[], AbstractContextManager[Rows]]  # asks one moment, while others write
    is_remote: bool = False
    closing: tuple[Callable[[], None], ...] = ()  # called when the log is closed
    forked: tuple[Callable[[], None], ...] = ()  # called in a forked child
