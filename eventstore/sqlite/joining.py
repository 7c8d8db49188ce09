"""A log in SQLite, joined from its parts."""

from eventstore.parts import Parts
from eventstore.sql import SqlLog
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.locks import LockFiles
from eventstore.sqlite.moment import moment
from eventstore.sqlite.room import FileRoom
from eventstore.store import Counters
from eventstore.wakeups import Hall
from eventstore.writer import Writer


def sqlite_log(url: str, path: str | None) -> SqlLog:
    """Give the log in a file, or a private one in memory if `path` is None. Opens nothing."""
    database = Sqlite(path, Counters())
    writer = Writer(database)
    return SqlLog(
        url,
        Parts(
            database=database,
            writer=writer,
            desk=writer,
            locks=LockFiles(database),
            hall=Hall(path),
            room=FileRoom(database, writer),
            horizon=lambda: database.sql.MOST,  # one writer: what is seen is in order
            changed=database.changed,
            moment=lambda: moment(database),
        ),
    )
