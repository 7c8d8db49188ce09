"""Counting and finding ids, in PostgreSQL's dialect; see `eventstore.census`."""

COUNTING = {
    "COUNTS": (
        "SELECT name, status, needs, count(*),"
        " sum(CASE WHEN purged IS NULL THEN version ELSE 0 END)::bigint, count(purged)"
        " FROM @stream WHERE kind = %s GROUP BY name, status, needs ORDER BY name, status, needs"
    ),
    "HOLDINGS": (
        "SELECT owner, kind, name, count(*) FROM @stream WHERE owner IS NOT NULL"
        " GROUP BY owner, kind, name ORDER BY owner, kind, name"
    ),
    "OVERDUE": (
        "SELECT name, needs, count(*), min(due) FROM @stream"
        " WHERE kind = %s AND owner IS NULL AND due IS NOT NULL AND due <= %s"
        " GROUP BY name, needs ORDER BY min(due), name"
    ),
    "BEGINNING": (
        "SELECT id FROM @stream WHERE kind = %s AND id >= %s AND id < %s ORDER BY id LIMIT %s"
    ),
    "ENDING": "SELECT id FROM @stream WHERE kind = %s AND right(id, %s) = %s ORDER BY id LIMIT %s",
}
