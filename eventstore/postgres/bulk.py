# ruff: noqa: S608 - the pieces put together here are all written here
"""Many appends in one statement, and so in one transaction and one message to the server.

Each kind of row comes as arrays, one a column. The last part writes the events only if the
counts of changed rows add up; if they do not, it divides by nought, and nothing has happened.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from eventstore.batch import Entry, Values

_ROW = "status text, due bigint, waits_on text, owner text, needs text, label text"
_SET = (
    "status = n.status, due = n.due, waits_on = n.waits_on, owner = n.owner, needs = n.needs,"
    " label = n.label"
)
_STOOD = "s.id = n.id AND s.version = n.stood AND s.epoch = n.epoch AND s.hash = n.was"

# name: columns as they come, what is done with them
_PARTS: dict[str, tuple[str, str]] = {
    "keys": (
        "source text, key text, stream text",
        (
            "INSERT INTO @inbox(source, key, stream)"
            " SELECT source, key, stream FROM {rows} ON CONFLICT DO NOTHING RETURNING 1"
        ),
    ),
    "births": (
        (
            f"id text, kind text, version bigint, epoch bigint, hash bytea, {_ROW}, name text,"
            " key text, tags text, priority bigint, created bigint, updated bigint"
        ),
        (
            "INSERT INTO @stream(id, kind, version, epoch, hash, status, due, waits_on, owner,"
            " needs, label, name, key, tags, priority, created, updated)"
            " SELECT id, kind, version, epoch, hash, status, due, waits_on, owner, needs, label,"
            " name, key, tags, priority, created, updated FROM {rows} ORDER BY place"
            " ON CONFLICT DO NOTHING RETURNING 1"
        ),
    ),
    "steps": (
        (
            f"version bigint, hash bytea, updated bigint, {_ROW}, id text, stood bigint,"
            " epoch bigint, was bytea"
        ),
        (
            f"UPDATE @stream AS s SET version = n.version, hash = n.hash, updated = n.updated,"
            f" {_SET} FROM {{rows}} WHERE {_STOOD}"
            " AND (n.owner IS NULL OR s.owner IS NOT DISTINCT FROM n.owner) RETURNING 1"
        ),
    ),
    "advances": (
        (
            "version bigint, hash bytea, updated bigint, id text, stood bigint, epoch bigint,"
            " was bytea"
        ),
        (
            "UPDATE @stream AS s SET version = n.version, hash = n.hash, updated = n.updated"
            f" FROM {{rows}} WHERE {_STOOD} RETURNING 1"
        ),
    ),
    "books": (
        f"{_ROW}, id text, stood bigint, epoch bigint, held text",
        (
            f"UPDATE @stream AS s SET {_SET} FROM {{rows}} WHERE s.id = n.id"
            " AND s.version = n.stood AND s.epoch = n.epoch AND s.owner IS NOT DISTINCT FROM n.held"
            " RETURNING 1"
        ),
    ),
    "checks": (
        "id text, stood bigint, epoch bigint",
        (
            "SELECT 1 FROM @stream AS s, {rows} WHERE s.id = n.id AND s.version = n.stood"
            " AND s.epoch = n.epoch FOR SHARE OF s"
        ),
    ),
}
_EVENTS = (
    "stream text, version bigint, type text, type_version bigint, epoch bigint, subject text,"
    " source text, dest text, data text, at bigint, cause text, append_id text, hash bytea"
)


def write_hopefully(
    run: Callable[[str, list[str]], Any], schema: str, entries: Sequence[Entry]
) -> None:
    """Write appends that touch different streams.

    Raises:
        psycopg.errors.DivisionByZero: at least one was refused; nothing was written.
    """
    rows: dict[str, list[Values]] = {
        "keys": [row for entry in entries for row in entry.keys],
        "births": [row for entry in entries for row in entry.births],
        "steps": sorted((r[:13] for entry in entries for r in entry.steps), key=itemgetter(9)),
        "advances": sorted((r for entry in entries for r in entry.advances), key=itemgetter(3)),
        "books": sorted((r for entry in entries for r in entry.books), key=itemgetter(6)),
        "checks": sorted(
            {
                (check.stream, check.tip.version, check.tip.epoch)
                for entry in entries
                for check in entry.checks
                if check.tip.version
            }
        ),
    }
    events = [row for entry in entries for row in entry.events]
    present = tuple(name for name in _PARTS if rows[name])
    values: list[str] = []
    for name in present:
        values += _columns(rows[name])
    values += [str(len(rows[name])) for name in present]
    if events:
        values += _columns(events)
    run(_statement(schema, present, has_events=bool(events)), values)


@cache
def _statement(schema: str, present: tuple[str, ...], *, has_events: bool) -> str:
    """Put the statement for some kinds of rows together. *Pure.*"""
    parts = [
        f"{name} AS ({text.format(rows=_unnest(columns))})"
        for name in present
        for columns, text in [_PARTS[name]]
    ]
    adds_up = " AND ".join(f"(SELECT count(*) FROM {name}) = %s::bigint" for name in present)
    verdict = f"1 / (CASE WHEN {adds_up or 'true'} THEN 1 ELSE 0 END)"
    parts.append(f"verdict AS MATERIALIZED (SELECT {verdict} AS even)")
    names = ", ".join(column.split()[0] for column in _EVENTS.split(", "))
    last = (
        f"INSERT INTO @event({names}) SELECT {names} FROM {_unnest(_EVENTS)}, verdict"
        " WHERE verdict.even = 1 ORDER BY place"
        if has_events
        else "SELECT even FROM verdict"
    )
    return f"WITH {', '.join(parts)} {last}".replace("@", schema)


def _unnest(columns: str) -> str:
    """Give arrays as a table `n` with the place of each row. *Pure.*"""
    fields = [column.split() for column in columns.split(", ")]
    arrays = ", ".join(f"%s::{kind}[]" for _, kind in fields)
    return f"unnest({arrays}) WITH ORDINALITY AS n({', '.join(f for f, _ in fields)}, place)"


def _columns(rows: Sequence[Values]) -> list[str]:
    """Give rows as one array literal for each column. *Pure.*"""
    return ["{" + ",".join(map(_literal, column)) + "}" for column in zip(*rows, strict=True)]


def _literal(value: Any) -> str:
    """Give a value as an element of an array literal. *Pure.*

    Raises:
        ValueError: a text with a zero byte, which PostgreSQL cannot keep.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(
                f"{value!r} holds a zero byte; PostgreSQL cannot keep that in a text"
            )
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    return str(value)
