"""Where is measured: a SQLite file, and a PostgreSQL server of our own if the machine has one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.binaries import Missing


class Places:
    """Gives urls of fresh logs, by kind of database."""

    def __init__(self, folder: Path, server: object | None) -> None:
        self.folder, self._server = folder, server
        self._number = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Give the kinds there are."""
        return ("SQLite", "PostgreSQL") if self._server else ("SQLite",)

    def fresh(self, kind: str) -> str:
        """Give the url of an empty log."""
        self._number += 1
        if kind == "SQLite":
            return f"sqlite:///{self.folder / f'{self._number}.db'}"
        server = self._server
        return server.url(server.create())  # type: ignore[attr-defined]


@contextmanager
def places(*, postgres: bool = True) -> Iterator[Places]:
    """Give places to measure at; all is gone afterwards."""
    server = None
    if postgres:
        try:
            server = _server()
        except (Missing, ImportError) as missing:
            print(f"no PostgreSQL here: {missing}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Places(Path(folder), server)
        finally:
            if server is not None:
                server.close()


def _server() -> object:
    from tests.servers.given import Given  # noqa: PLC0415 - psycopg may be missing
    from tests.servers.postgres import Postgres  # noqa: PLC0415

    url = os.environ.get("PLAYHEAD_TEST_POSTGRES_URL")
    return Given(url) if url else Postgres()
