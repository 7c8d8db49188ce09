"""Large values, kept once under the SHA-256 of their bytes."""

import hashlib

from eventstore.database import Database
from eventstore.errors import StorageCorrupt
from eventstore.writer import Writer


class Blobs:
    """The blobs of a SQL log."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._sql = database.sql

    def put(self, content: bytes) -> str:
        """Store bytes; give their name."""
        name = hashlib.sha256(content).hexdigest()
        if not self._database.query(self._sql.HAS_BLOB, (name,)):
            self._writer.do(
                lambda cursor: cursor.execute(self._sql.PUT_BLOB, (name, content)) and None
            )
        return name

    def get(self, name: str) -> bytes:
        """Give a blob's bytes.

        Raises:
            StorageCorrupt: there is none of this name, or its bytes have another hash.
        """
        rows = self._database.query(self._sql.BLOB, (name,))
        if not rows:
            raise StorageCorrupt(f"{self._database.place}: there is no blob {name}")
        content: bytes = rows[0][0]
        if hashlib.sha256(content).hexdigest() != name:
            raise StorageCorrupt(f"{self._database.place}: blob {name} no longer has this hash")
        return content
