# ruff: noqa: S608 - the pieces put together here are all written here
"""The SQL of the log in PostgreSQL's dialect; nothing here is built from input.

The names, and the values of each, are those of `eventstore.sqlite.statements`. `@` stands for the
schema in which the log's tables lie, so that nobody's search path matters. Arrays come as JSON
text, as on SQLite.
"""

from typing import Any

from eventstore.postgres.address import quoted
from eventstore.postgres.statements_counting import COUNTING
from eventstore.postgres.statements_moving import moving

_EVENT = (
    "SELECT position, stream, version, type, type_version, epoch, subject, source, dest, data,"
    " at, cause, append_id, hash FROM @event"
)
_HEAD = (
    "SELECT id, kind, version, epoch, hash, status, due, waits_on, owner, needs, label, name, key,"
    " tags, priority, created, updated, purged FROM @stream"
)
_TEXTS = "ANY(ARRAY(SELECT json_array_elements_text(%s::json)))"
_NEEDS_MET = (
    f"(needs IS NULL OR needs = {_TEXTS}"
    f" OR (name = {_TEXTS} AND needs <> ALL(ARRAY(SELECT json_array_elements_text(%s::json)))))"
    " AND id <> ALL(ARRAY(SELECT json_array_elements_text(%s::json)))"
)
_READY = (
    _HEAD + " WHERE kind = %s AND priority = %s AND owner IS NULL AND"
    " due IS NOT NULL AND due <= %s AND " + _NEEDS_MET + " ORDER BY due, number LIMIT %s"
)
_LOST = (
    _HEAD + f" WHERE owner = {_TEXTS} AND kind = %s AND "
    + _NEEDS_MET + " ORDER BY priority DESC, due IS NULL, due, number LIMIT %s"
)  # fmt: skip
_ASLEEP = (
    "SELECT wait.stream FROM @wait AS wait JOIN @stream AS stream ON stream.id = wait.stream"
    " WHERE wait.name = %s AND (stream.due IS NULL OR stream.due > %s)"
    " ORDER BY wait.number LIMIT %s"
)
# The one place that asks the server's clock: how far a worker's is from it, for people.
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_RENEWED = "(SELECT %s::bigint AS until, %s::text AS offers, %s::bigint AS renewed) AS new"
_QUEUED = " FROM @stream AS line WHERE owner IS NULL AND due IS NOT NULL AND line.kind ="
_READ = _EVENT + " WHERE stream = %s AND version > %s AND version <= %s ORDER BY version"

_TEXTS_OF: dict[str, str] = {
    "EVENT": _EVENT,
    "HEAD": _HEAD,
    # Appending, one by one; many at once: `bulk.py`.
    "KEEP_KEY": (
        "INSERT INTO @inbox(source, key, stream) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    ),
    "FIND_KEY": "SELECT stream FROM @inbox WHERE source = %s AND key = %s",
    # Who looks in order to write keeps others from writing until it has.
    "STANDING": (
        "SELECT version, epoch, hash, owner FROM @stream WHERE id = %s FOR NO KEY UPDATE"
    ),
    "BEAR": (
        "INSERT INTO @stream(id, kind, version, epoch, hash, status, due, waits_on, owner, needs,"
        " label, name, key, tags, priority, created, updated)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING"
    ),
    "ADVANCE": (
        "UPDATE @stream SET version = %s, hash = %s, updated = %s"
        " WHERE id = %s AND version = %s AND epoch = %s AND hash = %s"
    ),
    "HOLD": (
        "UPDATE @stream SET status = %s, due = %s, waits_on = %s, owner = %s, needs = %s,"
        " label = %s, epoch = %s WHERE id = %s"
    ),
    "RECORD": (
        "INSERT INTO @event(stream, version, type, type_version, epoch, subject, source, dest,"
        " data, at, cause, append_id, hash)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    ),
    "WRITTEN_BY": "SELECT append_id FROM @event WHERE stream = %s AND version = %s",
    # Who shares a transaction with one that waited in vain for a row waits no longer for another.
    "HURRY": "SET LOCAL lock_timeout = '300ms'",
    "TIP_AT": "SELECT version, epoch, hash FROM @event WHERE stream = %s AND version = %s",
    # Reading.
    "HEAD_OF": _HEAD + " WHERE id = %s",
    "READ": _READ,
    "READ_STREAMS": _EVENT + f" WHERE stream = {_TEXTS} ORDER BY stream, version",
    "READ_ALL": _EVENT + " WHERE position > %s AND position <= %s ORDER BY position LIMIT %s",
    "READ_TYPES": (
        _EVENT + f" WHERE position > %s AND position <= %s AND type = {_TEXTS}"
        " AND (SELECT name FROM @stream AS stream WHERE stream.id = event.stream) = %s"
        " ORDER BY position LIMIT %s"
    ),
    "LAST": "SELECT position FROM @event WHERE position <= %s ORDER BY position DESC LIMIT 1",
    "LAST_BEFORE": (
        "SELECT position FROM @event WHERE at < %s AND position <= %s"
        " ORDER BY position DESC LIMIT 1"
    ),
    "FIND_KEYS": f"SELECT key, stream FROM @inbox WHERE source = %s AND key = {_TEXTS}",
    "STRAY_KEYS": (
        "SELECT source, key, stream FROM @inbox AS inbox"
        " WHERE NOT EXISTS (SELECT 1 FROM @stream AS stream WHERE stream.id = inbox.stream)"
        " LIMIT %s"
    ),
    "STREAMS": _HEAD + " WHERE id > %s ORDER BY id LIMIT %s",
    "STATUSES": f"SELECT id, status FROM @stream WHERE id = {_TEXTS}",
    "NAMED": f"SELECT id, kind, name FROM @stream WHERE id = {_TEXTS}",
    "READ_VERSIONS": (
        _EVENT + " WHERE stream = %s AND version ="
        " ANY(ARRAY(SELECT json_array_elements_text(%s::json)::bigint)) ORDER BY version"
    ),
    "OF_KIND": " WHERE kind = %s",
    "BY_NAME": "name = %s",
    "BY_STATUS": f"status = {_TEXTS}",
    "BY_KEY": "key = %s",
    "BY_TAG": "tags::json ->> %s::text = %s",
    "BY_CREATED": "created >= %s",
    "NEWEST_FIRST": " ORDER BY number DESC LIMIT %s",
    # Claiming.
    # By order and limit, not by max and min: so it goes by the index also where nothing has been
    # counted yet (ANALYZE), and the planner believes in no rows.
    "TOP_PRIORITY": (
        "SELECT (SELECT priority FROM @stream WHERE kind = %s AND priority < %s"
        " AND owner IS NULL AND due IS NOT NULL ORDER BY priority DESC LIMIT 1)"
    ),
    "READY": _READY,
    "OWNERS": (
        "WITH RECURSIVE one(owner) AS ("
        " (SELECT owner FROM @stream WHERE owner IS NOT NULL ORDER BY owner LIMIT 1) UNION ALL"
        " SELECT (SELECT owner FROM @stream WHERE owner > one.owner ORDER BY owner LIMIT 1)"
        " FROM one WHERE owner IS NOT NULL) SELECT owner FROM one WHERE owner IS NOT NULL"
    ),
    "LOST": _LOST,
    # Materialized, so that no plan locks more rows than are given.
    "READY_TO_TAKE": f"WITH mine AS MATERIALIZED ({_READY} FOR UPDATE SKIP LOCKED) TABLE mine",
    "LOST_TO_TAKE": f"WITH mine AS MATERIALIZED ({_LOST} FOR UPDATE SKIP LOCKED) TABLE mine",
    "TAKE": f"UPDATE @stream SET owner = %s, epoch = epoch + 1 WHERE id = {_TEXTS}",
    "RELEASE": (
        "UPDATE @stream SET owner = NULL, epoch = epoch + 1, due = %s"
        " WHERE id = %s AND version = %s AND epoch = %s AND hash = %s AND owner IS NOT NULL"
    ),
    "DISOWN": "UPDATE @stream SET owner = NULL, epoch = epoch + 1, due = %s WHERE owner = %s",
    "WAITING": "SELECT stream FROM @wait WHERE name = %s ORDER BY number LIMIT %s",
    "ASLEEP": _ASLEEP,
    "ASLEEP_TO_WAKE": _ASLEEP + " FOR UPDATE OF stream SKIP LOCKED",
    "WAKE": f"UPDATE @stream SET due = %s WHERE id = {_TEXTS}",
    # From priority to priority: they are a few, and the index goes by them. Of an array the
    # planner expects ten rows, of JSON a hundred: a plan that dear would be compiled each time.
    "NEXT_DUE": (
        "WITH RECURSIVE queue(kind, priority) AS ("
        " SELECT kind, (SELECT line.priority" + _QUEUED + " wanted.kind"
        " ORDER BY line.priority DESC LIMIT 1)"
        " FROM unnest(ARRAY(SELECT json_array_elements_text(%s::json))) AS wanted(kind)"
        " UNION ALL"
        " SELECT kind, (SELECT line.priority" + _QUEUED + " queue.kind"
        " AND line.priority < queue.priority ORDER BY line.priority DESC LIMIT 1)"
        " FROM queue WHERE priority IS NOT NULL)"
        " SELECT min((SELECT due" + _QUEUED + " queue.kind"
        " AND line.priority = queue.priority AND due > %s ORDER BY due LIMIT 1))"
        " FROM queue WHERE priority IS NOT NULL"
    ),
    "OWNED": "SELECT id, version, due FROM @stream WHERE owner = %s",
    # Workers.
    "WORKERS": (
        "SELECT id, name, host, pid, since, until, offers, dead, locked, renewed, skew"
        " FROM @worker ORDER BY id"
    ),
    "ENTER": (
        "INSERT INTO @worker(id, name, host, pid, since, until, offers, dead, locked, renewed,"
        f" skew) SELECT new.*, new.renewed - {_NOW}"
        " FROM (SELECT %s::text, %s::text, %s::text, %s::bigint,"
        " %s::bigint, %s::bigint, %s::text, %s::bigint, %s::bigint, %s::bigint AS renewed) AS new"
        " ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, host = EXCLUDED.host,"
        " pid = EXCLUDED.pid, since = EXCLUDED.since, until = EXCLUDED.until,"
        " offers = EXCLUDED.offers, dead = EXCLUDED.dead, locked = EXCLUDED.locked,"
        " renewed = EXCLUDED.renewed, skew = EXCLUDED.skew"
    ),
    "WORKER": "SELECT dead, offers FROM @worker WHERE id = %s FOR NO KEY UPDATE",
    "RENEW_LIVING": (
        "UPDATE @worker AS worker SET until = new.until, renewed = new.renewed,"
        f" offers = coalesce(new.offers, worker.offers), skew = new.renewed - {_NOW}"
        f" FROM {_RENEWED} WHERE worker.id = %s AND worker.dead = 0"
    ),
    "RENEW": (
        "UPDATE @worker AS worker SET until = new.until, renewed = new.renewed,"
        f" offers = new.offers, skew = new.renewed - {_NOW}, dead = 0"
        f" FROM {_RENEWED} WHERE worker.id = %s"
    ),
    "LEAVE": "DELETE FROM @worker WHERE id = %s",
    "BURY": "UPDATE @worker SET dead = 1 WHERE id = %s AND dead = 0 AND until = %s",
    "FORGET": (
        "DELETE FROM @worker AS worker WHERE dead = 1"
        " AND NOT EXISTS (SELECT 1 FROM @stream AS stream WHERE stream.owner = worker.id)"
    ),
    "HELD_LOCKS": (
        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
        " WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ),
    # One question for all that a worker at rest wants to know.
    "LOOK": (
        "WITH living AS (SELECT id, until, skew, locked FROM @worker WHERE dead = 0)"
        " SELECT (SELECT last_value FROM @change), ARRAY(SELECT id FROM living ORDER BY id),"
        " ARRAY(SELECT until FROM living ORDER BY id),"
        " ARRAY(SELECT skew FROM living ORDER BY id),"
        " ARRAY(SELECT locked FROM living ORDER BY id),"
        " ARRAY(SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
        " WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()))"
    ),
    # Blobs and snapshots.
    "PUT_BLOB": (
        "INSERT INTO @blob AS blob (sha256, content, kept) VALUES (%s, %s, %s)"
        " ON CONFLICT (sha256) DO UPDATE SET kept = greatest(blob.kept, EXCLUDED.kept)"
    ),
    "BLOB_KEPT": "SELECT kept FROM @blob WHERE sha256 = %s",
    "BLOB": "SELECT content FROM @blob WHERE sha256 = %s",
    "BLOBS_AFTER": (
        "SELECT sha256, content FROM @blob WHERE sha256 > %s ORDER BY sha256 LIMIT 1"
    ),
    "PUT_SNAPSHOT": (
        "INSERT INTO @snapshot(stream, kind, version, content) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (stream, kind, version) DO UPDATE SET content = EXCLUDED.content"
    ),
    "SNAPSHOT": (
        "SELECT version, content FROM @snapshot WHERE stream = %s AND kind = %s AND version <= %s"
        " ORDER BY version DESC LIMIT 1"
    ),
    "SNAPSHOTS": (
        f"SELECT stream, kind, version FROM @snapshot WHERE stream = {_TEXTS}"
        " ORDER BY stream, kind, version"
    ),
    "DROP_SNAPSHOTS": "DELETE FROM @snapshot",
    # Retention.
    "OLD": (
        _HEAD + " WHERE kind = %s AND number >"
        " coalesce((SELECT number FROM @stream WHERE id = %s), 0) AND updated < %s"
        " AND purged IS NULL"
    ),
    "OLDEST_FIRST": " ORDER BY number LIMIT %s",
    # Nobody appends to them until they are gone, and who waited for that is fenced.
    "RESTING": (
        f"SELECT id, version, epoch, hash, purged FROM @stream WHERE id = {_TEXTS}"
        " AND owner IS NULL AND due IS NULL ORDER BY id FOR UPDATE"
    ),
    "PERMIT": "INSERT INTO @purge_permit(stream) SELECT json_array_elements_text(%s::json)",
    "PURGE_EVENTS": f"DELETE FROM @event WHERE stream = {_TEXTS}",
    "PURGE_SNAPSHOTS": f"DELETE FROM @snapshot WHERE stream = {_TEXTS}",
    "ENTOMB": f"UPDATE @stream SET purged = %s, epoch = epoch + 1 WHERE id = {_TEXTS}",
    "FORBID": "DELETE FROM @purge_permit",
    "OLD_BLOBS": "SELECT sha256 FROM @blob WHERE kept < %s",
    "SIZE_OF_BLOBS": (
        "SELECT count(*), coalesce(sum(length(content)), 0)::bigint FROM @blob"
        f" WHERE sha256 = {_TEXTS} AND kept < %s"
    ),
    "DROP_BLOBS": f"DELETE FROM @blob WHERE sha256 = {_TEXTS} AND kept < %s",
    # Cursors.
    "CURSOR": "SELECT name, position, version, updated FROM @cursor WHERE name = %s",
    "CURSORS": "SELECT name, position, version, updated FROM @cursor ORDER BY name",
    "PUT_CURSOR": (
        "INSERT INTO @cursor(name, position, version, updated) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING"
    ),
    "MOVE_CURSOR": (
        "UPDATE @cursor SET position = %s, version = %s, updated = %s"
        " WHERE name = %s AND version = %s"
    ),
    # Verifying. The server has its own checks of its files (amcheck, checksums).
    "DATABASE_CHECK": "SELECT 'ok'",
    "STREAMS_AFTER": (
        "SELECT number, id FROM @stream WHERE number > %s ORDER BY number LIMIT 1000"
    ),
    "STANDING_AND_PURGED": "SELECT version, hash, purged FROM @stream WHERE id = %s",
    "ORPHANS": (
        "SELECT DISTINCT stream FROM @event AS event WHERE NOT EXISTS"
        " (SELECT 1 FROM @stream AS stream WHERE stream.id = event.stream)"
    ),
    "SIZE": (
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint"
        " FROM pg_stat_user_tables WHERE schemaname = %s"
    ),
    # Following the whole log.
    "TOP": "SELECT (SELECT position FROM @event ORDER BY position DESC LIMIT 1)",
    "COUNT_BETWEEN": "SELECT count(*) FROM @event WHERE position > %s AND position <= %s",
}


class Statements:
    """The statements for a log in one schema, as attributes."""

    MOST = 2**63 - 1  # no limit

    def __init__(self, schema: str) -> None:
        self.schema = f"{quoted(schema)}."
        for name, text in (_TEXTS_OF | COUNTING | moving(_EVENT, _TEXTS)).items():
            setattr(self, name, text.replace("@", self.schema))
        self.GIVE_OUT = (self.GIVE_ON,)
        self.ROOMY, self.USUAL = (self.ALONE,), ()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"PostgreSQL has no statement {name}; write it beside the others")
