# ruff: noqa: S608 - the pieces put together here are all written here
"""Counting, finding ids, and what is due next, in SQLite's dialect; see `eventstore.census`."""

COUNTS = (
    "SELECT name, status, needs, count(*),"
    " sum(CASE WHEN purged IS NULL THEN version ELSE 0 END), count(purged)"
    " FROM stream WHERE kind = ? GROUP BY name, status, needs ORDER BY name, status, needs"
)
HOLDINGS = (
    "SELECT owner, kind, name, count(*) FROM stream WHERE owner IS NOT NULL"
    " GROUP BY owner, kind, name ORDER BY owner, kind, name"
)
OVERDUE = (
    "SELECT name, needs, count(*), min(due) FROM stream INDEXED BY stream_ready"
    " WHERE kind = ? AND owner IS NULL AND due IS NOT NULL AND due <= ?"
    " GROUP BY name, needs ORDER BY min(due), name"
)
# `+`: by the index of ids, of which few begin so.
BEGINNING = "SELECT id FROM stream WHERE +kind = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?"
ENDING = "SELECT id FROM stream WHERE kind = ? AND substr(id, -?) = ? ORDER BY id LIMIT ?"
_QUEUED = (
    " FROM stream AS line INDEXED BY stream_ready"
    " WHERE owner IS NULL AND due IS NOT NULL AND line.kind ="
)
# From priority to priority: they are a few, and the index goes by them.
NEXT_DUE = (
    "WITH RECURSIVE queue(kind, priority) AS ("
    " SELECT kind, (SELECT max(priority)" + _QUEUED + " wanted.kind)"
    " FROM (SELECT value AS kind FROM json_each(?)) AS wanted"
    " UNION ALL"
    " SELECT kind, (SELECT max(priority)" + _QUEUED + " queue.kind"
    " AND line.priority < queue.priority) FROM queue WHERE priority IS NOT NULL)"
    " SELECT min((SELECT min(due)" + _QUEUED + " queue.kind"
    " AND line.priority = queue.priority AND due > ?))"
    " FROM queue WHERE priority IS NOT NULL"
)
