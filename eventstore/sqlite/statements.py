# ruff: noqa: S608 - the pieces put together here are all written here
"""The SQL of the log in SQLite's dialect; nothing here is built from input.

Another database brings a room like this one with the same names.
"""

from eventstore import schema
from eventstore.sqlite.statements_counting import (  # noqa: F401 - they are asked for here
    BEGINNING,
    COUNTS,
    ENDING,
    HOLDINGS,
    NEXT_DUE,
    OVERDUE,
)

EVENT = (
    "SELECT position, stream, version, type, type_version, epoch, subject, source, dest, data,"
    " at, cause, append_id, hash FROM event"
)
HEAD = (
    "SELECT id, kind, version, epoch, hash, status, due, waits_on, owner, needs, label, name, key,"
    " tags, priority, created, updated, purged FROM stream"
)

# -- appending

KEEP_KEY = "INSERT OR IGNORE INTO inbox(source, key, stream) VALUES (?, ?, ?)"
FIND_KEY = "SELECT stream FROM inbox WHERE source = ? AND key = ?"
STANDING = "SELECT version, epoch, hash, owner FROM stream WHERE id = ?"
BEAR = (
    "INSERT OR IGNORE INTO stream(id, kind, version, epoch, hash, status, due, waits_on, owner,"
    " needs, label, name, key, tags, priority, created, updated)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# The owner is only confirmed or let go here: taking needs a look first. It is handed over again
# for that: Python 3.12.0 to 3.12.3 warns of `?1` (cpython #117995).
STEP = (
    "UPDATE stream SET version = ?, hash = ?, updated = ?, status = ?, due = ?,"
    " waits_on = ?, owner = ?, needs = ?, label = ?"
    " WHERE id = ? AND version = ? AND epoch = ? AND hash = ?"
    " AND (? IS NULL OR owner IS ?)"
)
ADVANCE = (
    "UPDATE stream SET version = ?, hash = ?, updated = ?"
    " WHERE id = ? AND version = ? AND epoch = ? AND hash = ?"
)
BOOK = (
    "UPDATE stream SET status = ?, due = ?, waits_on = ?, owner = ?, needs = ?, label = ?"
    " WHERE id = ? AND version = ? AND epoch = ? AND owner IS ?"
)
HOLD = (
    "UPDATE stream SET status = ?, due = ?, waits_on = ?, owner = ?, needs = ?, label = ?,"
    " epoch = ? WHERE id = ?"
)
RECORD = (
    "INSERT INTO event(stream, version, type, type_version, epoch, subject, source, dest, data,"
    " at, cause, append_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
WRITTEN_BY = "SELECT append_id FROM event WHERE stream = ? AND version = ?"
TIP_AT = "SELECT version, epoch, hash FROM event WHERE stream = ? AND version = ?"

# -- reading

HEAD_OF = HEAD + " WHERE id = ?"
READ = EVENT + " WHERE stream = ? AND version > ? AND version <= ? ORDER BY version"
READ_STREAMS = (
    EVENT + " WHERE stream IN (SELECT value FROM json_each(?)) ORDER BY stream, version"
)
READ_ALL = EVENT + " WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
READ_TYPES = (
    EVENT + " WHERE position > ? AND position <= ? AND type IN (SELECT value FROM json_each(?))"
    " AND (SELECT name FROM stream WHERE id = event.stream) = ? ORDER BY position LIMIT ?"
)
LAST = "SELECT position FROM event WHERE position <= ? ORDER BY position DESC LIMIT 1"
LAST_BEFORE = (
    "SELECT position FROM event WHERE at < ? AND position <= ? ORDER BY position DESC LIMIT 1"
)
FIND_KEYS = (
    "SELECT key, stream FROM inbox WHERE source = ? AND key IN (SELECT value FROM json_each(?))"
)
STRAY_KEYS = (
    "SELECT source, key, stream FROM inbox"
    " WHERE NOT EXISTS (SELECT 1 FROM stream WHERE stream.id = inbox.stream) LIMIT ?"
)
STREAMS = HEAD + " WHERE id > ? ORDER BY id LIMIT ?"
STATUSES = "SELECT id, status FROM stream WHERE id IN (SELECT value FROM json_each(?))"
NAMED = "SELECT id, kind, name FROM stream WHERE id IN (SELECT value FROM json_each(?))"
READ_VERSIONS = (
    EVENT + " WHERE stream = ? AND version IN (SELECT value FROM json_each(?)) ORDER BY version"
)
OF_KIND = " WHERE kind = ?"
BY_NAME = "name = ?"
BY_STATUS = "status IN (SELECT value FROM json_each(?))"
BY_KEY = "key = ?"
BY_TAG = "EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ? AND tag.value = ?)"
BY_CREATED = "created >= ?"
NEWEST_FIRST = " ORDER BY number DESC LIMIT ?"

# -- claiming

NEEDS_MET = (
    "(needs IS NULL OR needs IN (SELECT value FROM json_each(?))"
    " OR (name IN (SELECT value FROM json_each(?))"
    " AND needs NOT IN (SELECT value FROM json_each(?))))"
    " AND id NOT IN (SELECT value FROM json_each(?))"
)
TOP_PRIORITY = (
    "SELECT max(priority) FROM stream INDEXED BY stream_ready"
    " WHERE kind = ? AND priority < ? AND owner IS NULL AND due IS NOT NULL"
)
READY = (
    HEAD + " INDEXED BY stream_ready WHERE kind = ? AND priority = ? AND owner IS NULL AND"
    " due IS NOT NULL AND due <= ? AND " + NEEDS_MET + " ORDER BY due, number LIMIT ?"
)
# From one owner to the next by the index: a worker may own many streams.
OWNERS = (
    "WITH RECURSIVE one(owner) AS ("
    " SELECT min(owner) FROM stream WHERE owner IS NOT NULL UNION ALL"
    " SELECT (SELECT min(owner) FROM stream WHERE owner > one.owner) FROM one"
    " WHERE owner IS NOT NULL) SELECT owner FROM one WHERE owner IS NOT NULL"
)
LOST = (
    HEAD + " WHERE owner IN (SELECT value FROM json_each(?)) AND kind = ? AND "
    + NEEDS_MET + " ORDER BY priority DESC, due IS NULL, due, number LIMIT ?"
)  # fmt: skip
READY_TO_TAKE, LOST_TO_TAKE = READY, LOST  # one writer at a time: nothing is to be locked
TAKE = (
    "UPDATE stream SET owner = ?, epoch = epoch + 1"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
RELEASE = (
    "UPDATE stream SET owner = NULL, epoch = epoch + 1, due = ?"
    " WHERE id = ? AND version = ? AND epoch = ? AND hash = ? AND owner IS NOT NULL"
)
DISOWN = "UPDATE stream SET owner = NULL, epoch = epoch + 1, due = ? WHERE owner = ?"
WAITING = "SELECT stream FROM wait WHERE name = ? ORDER BY number LIMIT ?"
ASLEEP = (
    "SELECT wait.stream FROM wait JOIN stream ON stream.id = wait.stream"
    " WHERE wait.name = ? AND (stream.due IS NULL OR stream.due > ?)"
    " ORDER BY wait.number LIMIT ?"
)
ASLEEP_TO_WAKE = ASLEEP
WAKE = "UPDATE stream SET due = ? WHERE id IN (SELECT value FROM json_each(?))"
OWNED = "SELECT id, version, due FROM stream WHERE owner = ?"

# -- workers

WORKERS = (
    "SELECT id, name, host, pid, since, until, offers, dead, locked, renewed, skew"
    " FROM worker ORDER BY id"
)
ENTER = (
    "INSERT OR REPLACE INTO worker(id, name, host, pid, since, until, offers, dead, locked,"
    " renewed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
WORKER = "SELECT dead, offers FROM worker WHERE id = ?"
RENEW_LIVING = (
    "UPDATE worker SET until = ?, offers = coalesce(?, offers), renewed = ?"
    " WHERE id = ? AND dead = 0"
)
RENEW = "UPDATE worker SET until = ?, offers = ?, renewed = ?, dead = 0 WHERE id = ?"
LEAVE = "DELETE FROM worker WHERE id = ?"
BURY = "UPDATE worker SET dead = 1 WHERE id = ? AND dead = 0 AND until = ?"
FORGET = (
    "DELETE FROM worker WHERE dead = 1"
    " AND NOT EXISTS (SELECT 1 FROM stream WHERE stream.owner = worker.id)"
)

# -- blobs and snapshots

PUT_BLOB = (
    "INSERT INTO blob(sha256, content, kept) VALUES (?, ?, ?)"
    " ON CONFLICT (sha256) DO UPDATE SET kept = max(blob.kept, excluded.kept)"
)
BLOB_KEPT = "SELECT kept FROM blob WHERE sha256 = ?"
BLOB = "SELECT content FROM blob WHERE sha256 = ?"
BLOBS_AFTER = "SELECT sha256, content FROM blob WHERE sha256 > ? ORDER BY sha256 LIMIT 1"
PUT_SNAPSHOT = (
    "INSERT OR REPLACE INTO snapshot(stream, kind, version, content) VALUES (?, ?, ?, ?)"
)
SNAPSHOT = (
    "SELECT version, content FROM snapshot WHERE stream = ? AND kind = ? AND version <= ?"
    " ORDER BY version DESC LIMIT 1"
)
SNAPSHOTS = (
    "SELECT stream, kind, version FROM snapshot"
    " WHERE stream IN (SELECT value FROM json_each(?)) ORDER BY stream, kind, version"
)
DROP_SNAPSHOTS = "DELETE FROM snapshot"

# -- retention

OLD = (
    HEAD + " INDEXED BY stream_kind WHERE kind = ? AND number >"
    " coalesce((SELECT number FROM stream WHERE id = ?), 0) AND updated < ? AND purged IS NULL"
)
OLDEST_FIRST = " ORDER BY number LIMIT ?"
RESTING = (
    "SELECT id, version, epoch, hash, purged FROM stream"
    " WHERE id IN (SELECT value FROM json_each(?)) AND owner IS NULL AND due IS NULL"
)
PERMIT = "INSERT INTO purge_permit(stream) SELECT value FROM json_each(?)"
PURGE_EVENTS = "DELETE FROM event WHERE stream IN (SELECT value FROM json_each(?))"
PURGE_SNAPSHOTS = "DELETE FROM snapshot WHERE stream IN (SELECT value FROM json_each(?))"
ENTOMB = (
    "UPDATE stream SET purged = ?, epoch = epoch + 1"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
FORBID = "DELETE FROM purge_permit"
OLD_BLOBS = "SELECT sha256 FROM blob WHERE kept < ?"
SIZE_OF_BLOBS = (
    "SELECT count(*), coalesce(sum(length(content)), 0) FROM blob"
    " WHERE sha256 IN (SELECT value FROM json_each(?)) AND kept < ?"
)
DROP_BLOBS = "DELETE FROM blob WHERE sha256 IN (SELECT value FROM json_each(?)) AND kept < ?"
FREE_PAGES = "PRAGMA freelist_count"
PAGE_SIZE = "PRAGMA page_size"
RECLAIM_ONE = "PRAGMA incremental_vacuum(1)"  # Python's driver takes one step of it, not all
# -- cursors

CURSOR = "SELECT name, position, version, updated FROM cursor WHERE name = ?"
CURSORS = "SELECT name, position, version, updated FROM cursor ORDER BY name"
PUT_CURSOR = (
    "INSERT OR IGNORE INTO cursor(name, position, version, updated) VALUES (?, ?, ?, ?)"
)
MOVE_CURSOR = (
    "UPDATE cursor SET position = ?, version = ?, updated = ? WHERE name = ? AND version = ?"
)

# -- moving a log: all of it, or some streams (`ONLY_`, bound to a JSON array of ids)

STAMP = "SELECT key, value FROM log_meta"
GIVEN = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
COUNT_EVENTS = "SELECT coalesce(sum(version), 0) FROM stream WHERE purged IS NULL"
ALL_STREAMS = (
    "SELECT id, kind, version, epoch, hash, status, due, waits_on, owner, needs, label, name, key,"
    " tags, priority, created, updated, purged FROM stream"
)
IN_ORDER = " ORDER BY number"
ONLY_STREAMS = " WHERE id IN (SELECT value FROM json_each(?))"
ALL_WAITS = "SELECT name, stream FROM wait"
BY_NAME_AND_WAIT = " ORDER BY name, number"
ALL_EVENTS = EVENT
BY_POSITION = " ORDER BY position"
ALL_KEYS = "SELECT source, key, stream FROM inbox"
BY_SOURCE = " ORDER BY source, key"
ONLY_OF = " WHERE stream IN (SELECT value FROM json_each(?))"
ALL_BLOBS = "SELECT sha256, content FROM blob"
BY_SHA256 = " ORDER BY sha256"
ONLY_BLOBS = " WHERE sha256 IN (SELECT value FROM json_each(?))"
POSITION_OF = "SELECT position FROM event WHERE stream = ? AND version = ?"
STANDS = "SELECT id, version, hash, owner, purged FROM stream" + ONLY_STREAMS
SETTLE = (
    "INSERT INTO stream(id, kind, version, epoch, hash, status, due, waits_on, needs, label,"
    " name, key, tags, priority, created, updated, purged)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
GROW = (
    "UPDATE stream SET version = ?, epoch = ?, hash = ?, status = ?, due = ?, waits_on = ?,"
    " needs = ?, label = ?, updated = ? WHERE id = ?"
)
SETTLE_EVENT = (
    "INSERT INTO event(position, stream, version, type, type_version, epoch, subject, source,"
    " dest, data, at, cause, append_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SETTLE_ANEW = RECORD
# Before very many rows come, and after: the guard against REPLACE, which costs two looks a row,
# stands aside within the transaction (the constraints hold); a cache in KiB holds more pages.
ROOMY = ("PRAGMA cache_size=-65536", "DROP TRIGGER event_is_not_replaced")
USUAL = (schema.NOT_REPLACED, "PRAGMA cache_size=-2000")
FORGET_WAITS = "DELETE FROM wait WHERE stream = ?"
SETTLE_WAIT = "INSERT INTO wait(name, stream) VALUES (?, ?)"
GIVE_OUT = (
    "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'event'",
    (
        "INSERT INTO sqlite_sequence(name, seq) SELECT 'event', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'event')"
    ),
)

# -- verifying

STREAMS_AFTER = "SELECT number, id FROM stream WHERE number > ? ORDER BY number LIMIT 1000"
STANDING_AND_PURGED = "SELECT version, hash, purged FROM stream WHERE id = ?"
ORPHANS = (
    "SELECT DISTINCT stream FROM event"
    " WHERE NOT EXISTS (SELECT 1 FROM stream WHERE stream.id = event.stream)"
)
DATABASE_CHECK = "PRAGMA integrity_check(20)"

MOST = 2**63 - 1  # no limit
