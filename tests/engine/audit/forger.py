"""Damages a log for real, behind its guards, and seals the chain again so that it looks whole."""
# ruff: noqa: S608 - the names put into these statements are all written in the tests

import json
import sqlite3
from pathlib import Path
from typing import Any, Self

from eventstore.event import NewEvent, chain

SEALED = (
    "SELECT version, epoch, type, subject, source, dest, data, at, cause, type_version FROM event"
    " WHERE stream = ? ORDER BY version"
)
COPIED = "type, type_version, epoch, subject, source, dest, data, at, cause, append_id, hash"


class Forger:
    """A plain connection to a log's file, with the guards taken away."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        guards = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'event_is%'"
        )
        for (name,) in self._base.execute(guards).fetchall():
            self._base.execute(f"DROP TRIGGER {name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Execute a statement."""
        return self._base.execute(sql, values).fetchall()

    def find(self, stream: str, type_: str, subject: str = "%", nth: int = 0) -> int:
        """Give the version of the nth event of a type and subject."""
        found = self.run(
            "SELECT version FROM event WHERE stream = ? AND type = ? AND subject LIKE ?"
            " ORDER BY version",
            stream, type_, subject,
        )  # fmt: skip
        return int(found[nth][0])

    def event(self, stream: str, version: int, **fields: Any) -> None:
        """Change fields of an event, and seal."""
        for name, value in fields.items():
            self.run(
                f"UPDATE event SET {name} = ? WHERE stream = ? AND version = ?",
                value, stream, version,
            )  # fmt: skip
        self.seal(stream)

    def told(self, stream: str, version: int, **fields: Any) -> None:
        """Change fields of an event's data, and seal."""
        ((text,),) = self.run(
            "SELECT data FROM event WHERE stream = ? AND version = ?", stream, version
        )
        self.event(stream, version, data=json.dumps(json.loads(text) | fields))

    def remove(self, stream: str, version: int) -> None:
        """Take an event out, move up those behind it, and seal."""
        self.run("DELETE FROM event WHERE stream = ? AND version = ?", stream, version)
        behind = self.run(
            "SELECT position FROM event WHERE stream = ? AND version > ? ORDER BY version",
            stream, version,
        )  # fmt: skip
        for (position,) in behind:
            self.run("UPDATE event SET version = version - 1 WHERE position = ?", position)
        self.seal(stream)

    def repeat(self, stream: str, version: int, **fields: Any) -> int:
        """Append an event anew at the end, changed, and seal; give its version."""
        ((last,),) = self.run("SELECT version FROM stream WHERE id = ?", stream)
        self.run(
            f"INSERT INTO event(stream, version, {COPIED}) SELECT stream, ?, {COPIED} FROM event"
            " WHERE stream = ? AND version = ?",
            last + 1, stream, version,
        )  # fmt: skip
        self.event(stream, last + 1, **fields)
        return int(last) + 1

    def row(self, stream: str, **fields: Any) -> None:
        """Change fields of a stream's row."""
        for name, value in fields.items():
            self.run(f"UPDATE stream SET {name} = ? WHERE id = ?", value, stream)

    def seal(self, stream: str) -> None:
        """Work the chain of hashes out anew; the row's version, hash and times follow."""
        digest, version, at = b"", 0, 0
        for version, epoch, *event in self.run(SEALED, stream):
            at = event[5]
            digest = chain(digest, stream, version, epoch, NewEvent(*event))
            self.run(
                "UPDATE event SET hash = ? WHERE stream = ? AND version = ?",
                digest, stream, version,
            )  # fmt: skip
        self.row(stream, version=version, hash=digest, updated=at)
