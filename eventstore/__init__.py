"""Facts on disk: streams of events, versions, leases, wake-ups. Knows nothing of workflows.

`open_log(url)` gives a log; `store.Log` is what it promises, `errors` what it may refuse.
"""

import os

from eventstore.chains import Fault
from eventstore.errors import StorageUnsuitable
from eventstore.event import NEW, Event, NewEvent, Tip
from eventstore.masking import masked, masked_words
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
    "NEW", "Append", "Claim", "Counters", "Event", "Fault", "Head", "Headline", "InboxKey",
    "Listener", "Log", "NewEvent", "Row", "Tip", "WorkerRow", "Write", "masked",
    "masked_words", "open_log", "shares_nothing",
]  # fmt: skip

_IN_MEMORY = ("", "/", "/:memory:")  # what names no file behind `sqlite://`
_KNOWN = "sqlite:///file.db, sqlite:///:memory:, postgresql://… and memory:// are known"


def open_log(url: str) -> Log:
    """Give the log at a url; nothing is opened before the first call on it.

    Args:
        url: `sqlite:///file.db` (relative to the working folder of now; four slashes for an
            absolute path), `sqlite:///:memory:` (private to this object), `memory://`, or
            `postgresql://user:password@host:5432/database` (the options of libpq may follow, and
            `schema=` for the schema of the log's tables, else `playhead`).

    Raises:
        StorageUnsuitable: the url names nothing that a log can be kept in, or what it needs is
            not installed.
    """
    scheme, colon, rest = url.partition("://")
    if colon and scheme == "memory":
        return MemoryLog(url)
    if colon and scheme in ("sqlite", "sqlite+pysqlite"):
        return _open_sqlite(url, rest)
    if colon and scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return _open_postgres(url.replace(scheme, "postgresql", 1))
    if colon and scheme.startswith("postgres"):
        raise StorageUnsuitable(f"{scheme}:// names another driver; write postgresql://")
    raise StorageUnsuitable(f"{masked(url)!r} is not the url of a log; {_KNOWN}")


def shares_nothing(url: str) -> bool:
    """Tell whether a log lies in memory, where no other process can reach it. *Pure.*"""
    scheme, _, rest = url.partition("://")
    return scheme == "memory" or (scheme.startswith("sqlite") and rest in _IN_MEMORY)


def _open_sqlite(url: str, rest: str) -> Log:
    from eventstore.sqlite.joining import sqlite_log  # noqa: PLC0415 - SQLAlchemy takes its time

    if rest in _IN_MEMORY:
        return sqlite_log(url, None)
    path = rest[1:]
    if not rest.startswith("/") or not path:
        raise StorageUnsuitable(
            f"{url!r} has no path; write sqlite:///file.db with three slashes"
        )
    if "?" in path or path.startswith("file:"):
        raise StorageUnsuitable(f"{url!r}: the url of a SQLite log takes no options")
    return sqlite_log(url, os.path.abspath(path))  # noqa: PTH100 - before any I/O


def _open_postgres(url: str) -> Log:
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise StorageUnsuitable(
            "postgresql:// needs psycopg, which is not installed: pip install 'playhead[postgres]'"
        ) from None
    from eventstore.postgres.joining import postgres_log  # noqa: PLC0415 - an extra

    return postgres_log(url)
