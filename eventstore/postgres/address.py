"""A PostgreSQL url taken apart: where the server is, which schema holds the log."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from eventstore.errors import StorageUnsuitable
from eventstore.masking import masked

SCHEMA = "playhead"  # of the log's tables, unless the url says `?schema=`
# What notices a server that is gone without a word: within about ten seconds.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "playhead",
}
_UNREADABLE = (
    "{} cannot be read as a url of PostgreSQL; write postgresql://user:password@host:5432/database,"
    " with %-escapes for what is not a letter or a digit in the password"
)


class Address(msgspec.Struct, frozen=True):
    """Where a log lies."""

    url: sa.URL  # for SQLAlchemy, without our own option
    schema: str
    server: str  # host and port, for people
    place: str  # the whole, for people, without the password
    options: dict[str, Any]


def quoted(name: str) -> str:
    """Give a name as SQL writes it, whatever letters it has. *Pure.*"""
    return '"' + name.replace('"', '""') + '"'


def address_of(url: str) -> Address:
    """Take a url apart. *Pure.*

    Raises:
        StorageUnsuitable: it cannot be read, or names no database.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise StorageUnsuitable(_UNREADABLE.format(masked(url))) from None
    if "@" in (parsed.host or ""):  # what stands before it may be half of a password
        raise StorageUnsuitable(_UNREADABLE.format(masked(url)))
    query: dict[str, Any] = dict(parsed.query)
    schema = query.pop("schema", SCHEMA)
    if not isinstance(schema, str) or not schema or len(schema.encode()) > 50:
        raise StorageUnsuitable("?schema= in the url must be one name of at most 50 bytes")
    if set(schema) & set("%'$"):  # they mean something where the name stands in a text
        raise StorageUnsuitable(f"?schema={schema} in the url: a name without % ' $ is needed")
    plain = parsed.set(drivername="postgresql+psycopg", query=query)
    hosts = query.get("host", parsed.host) or "the local socket"
    port = query.get("port", parsed.port) or 5432
    name = hosts if isinstance(hosts, str) else ", ".join(hosts)
    server = name if "/" in name or "," in name or name.startswith("the") else f"{name}:{port}"
    shown = masked(parsed.set(drivername="postgresql", query=query).render_as_string())
    options = {key: value for key, value in _DEFAULTS.items() if key not in query}
    return Address(plain, schema, server, shown, options)
