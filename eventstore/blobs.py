"""Large values, kept once under the SHA-256 of their bytes.

Each remembers when it was last put, because retention deletes what nothing refers to any more:
what was put a moment ago is about to be named by an append.
"""

import hashlib

from eventstore import clock
from eventstore.database import Database
from eventstore.errors import StorageCorrupt
from eventstore.writer import Writer

REFRESH = 3600 * 1_000_000  # microseconds; a blob that was put within them is not marked anew


class Blobs:
    """The blobs of a SQL log."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._sql = database.sql

    def put(self, content: bytes) -> str:
        """Store bytes, or mark them as put now; give their name."""
        name = hashlib.sha256(content).hexdigest()
        now = clock.now_us()
        rows = self._database.query(self._sql.BLOB_KEPT, (name,))
        if not rows or now - rows[0][0] >= REFRESH:
            values = (name, content, now)
            self._writer.do(lambda cursor: cursor.execute(self._sql.PUT_BLOB, values) and None)
        return name

    def has(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        return bool(self._database.query(self._sql.BLOB_KEPT, (name,)))

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
