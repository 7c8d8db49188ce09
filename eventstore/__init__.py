"""Facts on disk: streams of events, versions, leases, wake-ups. Knows nothing of workflows.

`open_log(url)` gives a log; `store.Log` is what it promises, `errors` what it may refuse.
"""

import os

from eventstore.errors import StorageUnsuitable
from eventstore.event import NEW, Event, NewEvent, Tip
from eventstore.memory import MemoryLog
from eventstore.store import (
    Append,
    Claim,
    Counters,
    Head,
    Headline,
    InboxKey,
    Listener,
    Log,
    Row,
    WorkerRow,
    Write,
)

__all__ = [
    "NEW", "Append", "Claim", "Counters", "Event", "Head", "Headline", "InboxKey", "Listener",
    "Log", "NewEvent", "Row", "Tip", "WorkerRow", "Write", "open_log",
]  # fmt: skip

_KNOWN = "sqlite:///file.db, sqlite:///:memory: and memory:// are known"


def open_log(url: str) -> Log:
    """Give the log at a url; nothing is opened before the first call on it.

    Args:
        url: `sqlite:///file.db` (relative to the working folder of now; four slashes for an
            absolute path), `sqlite:///:memory:` (private to this object) or `memory://`.

    Raises:
        StorageUnsuitable: the url names nothing that a log can be kept in.
    """
    scheme, colon, rest = url.partition("://")
    if colon and scheme == "memory":
        return MemoryLog(url)
    if colon and scheme in ("sqlite", "sqlite+pysqlite"):
        return _open_sqlite(url, rest)
    if colon and scheme.startswith(("postgresql", "postgres")):
        raise StorageUnsuitable(f"{scheme}:// is not supported by this version yet; {_KNOWN}")
    raise StorageUnsuitable(f"{url!r} is not the url of a log; {_KNOWN}")


def _open_sqlite(url: str, rest: str) -> Log:
    from eventstore.sql import SqlLog  # noqa: PLC0415 - SQLAlchemy takes a third of a second

    if rest in ("", "/", "/:memory:"):
        return SqlLog(url, None)
    path = rest[1:]
    if not rest.startswith("/") or not path:
        raise StorageUnsuitable(
            f"{url!r} has no path; write sqlite:///file.db with three slashes"
        )
    if "?" in path or path.startswith("file:"):
        raise StorageUnsuitable(f"{url!r}: the url of a SQLite log takes no options")
    return SqlLog(url, os.path.abspath(path))  # noqa: PTH100 - before any I/O
