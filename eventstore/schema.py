"""The tables of a SQL log, and the guards that make events immutable in the database itself.

Times are microseconds UTC in 64 bits, ids are text. `stream.number` grows with each stream
created; `event.position` with each event appended. `wait` is derived from `stream.waits_on` by
triggers, so that a waker finds who waits without asking every stream.
"""

from typing import Any

import sqlalchemy as sa

VERSION = 2  # of this schema; stamped into log_meta when a log is created or migrated
FORMAT = "playhead log"

tables = sa.MetaData()

_STRICT: dict[str, Any] = {"sqlite_strict": True}
_PLAIN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def outdated(place: str, found: int, *, backup: str, migrate: str) -> str:
    """Say why a log of another schema than this Playhead's is refused. *Pure.*

    Args:
        place: The log, for people.
        found: The schema it has.
        backup: What makes a copy of it.
        migrate: What migrates it.
    """
    what = f"{place} has schema {found}, this Playhead knows {VERSION}: "
    if found > VERSION:
        return what + "update Playhead"
    return f"{what}stop what uses it, make a backup (`{backup}`), then run `{migrate}`"


def _big(name: str, **options: Any) -> sa.Column[int]:
    options.setdefault("nullable", False)
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, **options)


def _text(name: str, **options: Any) -> sa.Column[str]:
    options.setdefault("nullable", False)
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, **options)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary().with_variant(sa.BLOB(), "sqlite"), nullable=False)


log_meta = sa.Table(
    "log_meta", tables, _text("key", primary_key=True), _text("value"), **_PLAIN
)

stream = sa.Table(
    "stream",
    tables,
    _big("number", primary_key=True, autoincrement=True),
    _text("id", unique=True),
    _text("kind"),
    _big("version"),
    _big("epoch"),
    _bytes("hash"),  # of the last event
    _text("status"),
    _big("due", nullable=True),
    _text("waits_on"),  # JSON array of names
    _text("owner", nullable=True),
    _text("needs", nullable=True),
    _text("label"),  # JSON, opaque here
    _text("name"),
    _text("key", nullable=True),
    _text("tags"),  # JSON object, text to text
    _big("priority"),
    _big("created"),
    _big("updated"),
    _big("purged", nullable=True),  # when retention took its events; the row is a tombstone
    sqlite_autoincrement=True,
    **_STRICT,
)
sa.Index(
    "stream_ready", stream.c.kind, stream.c.priority, stream.c.due,
    sqlite_where=sa.and_(stream.c.owner.is_(None), stream.c.due.is_not(None)),
).ddl_if(dialect="sqlite")  # fmt: skip
sa.Index(
    "stream_owner", stream.c.owner,
    sqlite_where=stream.c.owner.is_not(None), postgresql_where=stream.c.owner.is_not(None),
)  # fmt: skip
sa.Index(
    "stream_key", stream.c.kind, stream.c.key,
    sqlite_where=stream.c.key.is_not(None), postgresql_where=stream.c.key.is_not(None),
)  # fmt: skip
sa.Index("stream_kind", stream.c.kind, stream.c.number)
sa.Index("stream_status", stream.c.kind, stream.c.status)

event = sa.Table(
    "event",
    tables,
    _big("position", primary_key=True, autoincrement=True),
    _text("stream"),
    _big("version"),
    _text("type"),
    _big("type_version"),
    _big("epoch"),
    _text("subject"),
    _text("source"),
    _text("dest"),
    _text("data"),  # JSON, verbatim: the hash is over its letters
    _big("at"),
    _text("cause", nullable=True),
    _text("append_id"),
    _bytes("hash"),
    sa.UniqueConstraint("stream", "version"),
    sqlite_autoincrement=True,
    **_STRICT,
)

inbox = sa.Table(
    "inbox", tables,
    _text("source", primary_key=True), _text("key", primary_key=True), _text("stream"),
    **_PLAIN,
)  # fmt: skip

wait = sa.Table(
    "wait",
    tables,
    _big("number", primary_key=True, autoincrement=True),  # who waited first is woken first
    _text("name"),
    _text("stream"),
    sa.UniqueConstraint("stream", "name"),
    sqlite_autoincrement=True,
    **_STRICT,
)
sa.Index("wait_name", wait.c.name, wait.c.number)

worker = sa.Table(
    "worker",
    tables,
    _text("id", primary_key=True),
    _text("name"),
    _text("host"),
    _big("pid"),
    _big("since"),
    _big("until"),
    _text("offers"),  # JSON array
    _big("dead"),
    _big("locked", server_default=sa.text("0")),  # 1: it holds a lock; a free one is its death
    _big("renewed", server_default=sa.text("0")),  # when it last renewed, by its own clock
    _big("skew", nullable=True),  # its clock is so far ahead of the database's; null: no such
    **_PLAIN,
)

snapshot = sa.Table(
    "snapshot",
    tables,
    _text("stream", primary_key=True),
    _text("kind", primary_key=True),
    _big("version", primary_key=True),
    _bytes("content"),
    **_STRICT,
)

blob = sa.Table(
    "blob",
    tables,
    _text("sha256", primary_key=True),
    _bytes("content"),
    _big("kept", server_default=sa.text("0")),  # when it was last put; 0: before schema 2
    **_STRICT,
)

cursor = sa.Table(
    "cursor", tables,
    _text("name", primary_key=True), _big("position"), _big("version"), _big("updated"),
    **_PLAIN,
)  # fmt: skip

purge_permit = sa.Table("purge_permit", tables, _text("stream", primary_key=True), **_PLAIN)

# REPLACE deletes without asking whether it may unless recursive_triggers is on.
NOT_REPLACED = """CREATE TRIGGER event_is_not_replaced BEFORE INSERT ON event
    WHEN EXISTS (SELECT 1 FROM event WHERE stream = NEW.stream AND version = NEW.version)
    OR EXISTS (SELECT 1 FROM event WHERE position = NEW.position)
    BEGIN SELECT RAISE(ABORT, 'events are immutable: this event exists'); END"""

SQLITE_GUARDS = (
    """CREATE TRIGGER event_is_not_updated BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are immutable: no UPDATE'); END""",
    """CREATE TRIGGER event_is_not_deleted BEFORE DELETE ON event
    WHEN NOT EXISTS (SELECT 1 FROM purge_permit WHERE stream = OLD.stream)
    BEGIN SELECT RAISE(ABORT, 'events are immutable: no DELETE without a purge_permit'); END""",
    NOT_REPLACED,
    """CREATE TRIGGER stream_begins_to_wait AFTER INSERT ON stream WHEN NEW.waits_on <> '[]'
    BEGIN
      INSERT INTO wait(name, stream) SELECT DISTINCT value, NEW.id FROM json_each(NEW.waits_on);
    END""",
    """CREATE TRIGGER stream_waits_anew AFTER UPDATE OF waits_on ON stream
    WHEN NEW.waits_on <> OLD.waits_on
    BEGIN
      DELETE FROM wait WHERE stream = NEW.id
        AND name NOT IN (SELECT value FROM json_each(NEW.waits_on));
      INSERT INTO wait(name, stream) SELECT DISTINCT value, NEW.id FROM json_each(NEW.waits_on)
        WHERE value NOT IN (SELECT name FROM wait WHERE stream = NEW.id);
    END""",
)
