# ruff: noqa: S608 - the pieces put together here are all written here
"""The statements by which a log leaves, all of it or some streams, and arrives; by name."""

_POSITIONS = "@event_position_seq"


def moving(event: str, texts: str) -> dict[str, str]:
    """Give the statements. *Pure.*

    Args:
        event: the SELECT of events.
        texts: the array of texts that a JSON array is bound to.
    """
    return {
        "STAMP": "SELECT key, value FROM @log_meta",
        "GIVEN": f"SELECT last_value FROM {_POSITIONS} WHERE is_called",
        "COUNT_EVENTS": (
            "SELECT coalesce(sum(version), 0)::bigint FROM @stream WHERE purged IS NULL"
        ),
        "ALL_STREAMS": (
            "SELECT id, kind, version, epoch, hash, status, due, waits_on, owner, needs, label,"
            " name, key, tags, priority, created, updated, purged FROM @stream"
        ),
        "IN_ORDER": " ORDER BY number",
        "ONLY_STREAMS": f" WHERE id = {texts}",
        "ALL_WAITS": "SELECT name, stream FROM @wait",
        "BY_NAME_AND_WAIT": " ORDER BY name, number",
        "ALL_EVENTS": event,
        "BY_POSITION": " ORDER BY position",
        "ALL_KEYS": "SELECT source, key, stream FROM @inbox",
        "BY_SOURCE": " ORDER BY source, key",
        "ONLY_OF": f" WHERE stream = {texts}",
        "ALL_BLOBS": "SELECT sha256, content FROM @blob",
        "BY_SHA256": " ORDER BY sha256",
        "ONLY_BLOBS": f" WHERE sha256 = {texts}",
        "POSITION_OF": "SELECT position FROM @event WHERE stream = %s AND version = %s",
        "STANDS": (
            f"SELECT id, version, hash, owner, purged FROM @stream WHERE id = {texts}"
            " ORDER BY id FOR NO KEY UPDATE"
        ),
        # Nobody else draws a position until it is done.
        "ALONE": "LOCK TABLE @event IN SHARE ROW EXCLUSIVE MODE",
        "SETTLE": (
            "COPY @stream(id, kind, version, epoch, hash, status, due, waits_on, needs, label,"
            " name, key, tags, priority, created, updated, purged) FROM STDIN"
        ),
        "GROW": (
            "UPDATE @stream SET version = %s, epoch = %s, hash = %s, status = %s, due = %s,"
            " waits_on = %s, needs = %s, label = %s, updated = %s WHERE id = %s"
        ),
        "SETTLE_EVENT": (
            "COPY @event(position, stream, version, type, type_version, epoch, subject, source,"
            " dest, data, at, cause, append_id, hash) FROM STDIN"
        ),
        "SETTLE_ANEW": (
            "COPY @event(stream, version, type, type_version, epoch, subject, source, dest, data,"
            " at, cause, append_id, hash) FROM STDIN"
        ),
        "FORGET_WAITS": "DELETE FROM @wait WHERE stream = %s",
        "SETTLE_WAIT": "INSERT INTO @wait(name, stream) VALUES (%s, %s)",
        "GIVE_ON": (
            f"SELECT setval('{_POSITIONS}', greatest(last_value, given.last),"
            f" is_called OR given.last > 0) FROM {_POSITIONS}, (SELECT %s::bigint AS last) AS given"
        ),
    }
