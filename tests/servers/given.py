"""A PostgreSQL server that somebody else runs: databases are made on it and dropped, no more."""

import itertools
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from tests.servers.binaries import OLDEST, Missing


class Given:
    """The server that PLAYHEAD_TEST_POSTGRES_URL leads to; its role may make databases."""

    own = False  # whether the tests may stop it and hurt it
    _admin: psycopg.Connection[Any] | None = None

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._parts = parts._replace(scheme=parts.scheme.partition("+")[0])
        self._numbers = itertools.count(1)
        try:
            number = self.execute("SELECT current_setting('server_version_num')::int")[0][0]
        except psycopg.OperationalError as error:
            why = str(error).splitlines()[0]
            raise AssertionError(f"PLAYHEAD_TEST_POSTGRES_URL does not answer: {why}") from None
        self.version = number // 10_000
        if self.version < OLDEST:
            raise Missing(
                f"PLAYHEAD_TEST_POSTGRES_URL leads to PostgreSQL {self.version}:"
                f" {OLDEST} or newer is needed"
            )

    def url(self, database: str) -> str:
        """Give the url of a database, for its owner."""
        return urlunsplit(self._parts._replace(path=f"/{database}"))

    def admin_url(self, database: str = "") -> str:
        """Give the url of a database, for who may do most."""
        return self.url(database) if database else urlunsplit(self._parts)

    def execute(
        self, statement: Any, args: Sequence[Any] = (), *, database: str = ""
    ) -> list[Any]:
        """Run a statement that commits by itself, as who may do most; give its rows.

        The connection to the first database is kept, for it is asked often.
        """
        if database:
            with psycopg.connect(self.admin_url(database), autocommit=True) as other:
                return _rows(other, statement, args)
        return _rows(self._kept(), statement, args)

    def _kept(self) -> psycopg.Connection[Any]:
        if self._admin is not None:
            try:
                self._admin.execute("SELECT 1")
            except psycopg.OperationalError:  # the server was stopped since
                self._forget()
        if self._admin is None:
            self._admin = psycopg.connect(self.admin_url(), autocommit=True)
        return self._admin

    def create(self) -> str:
        """Make an empty database; give its name."""
        name = f"playhead_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return name

    def drop(self, name: str) -> None:
        """Remove a database, with all who are connected to it."""
        self.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def backends(self, database: str) -> list[int]:
        """Give the server's processes that serve clients of a database, by their pids."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s"
            " AND backend_type = 'client backend' ORDER BY pid",
            [database],
        )
        return [pid for (pid,) in rows]

    def terminate(self, pid: int) -> None:
        """End a connection from the server's side, as an administrator does."""
        self.execute("SELECT pg_terminate_backend(%s)", [pid])

    def close(self) -> None:
        """Let go of the connection that was kept."""
        self._forget()

    def _forget(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def _rows(on: psycopg.Connection[Any], statement: Any, args: Sequence[Any]) -> list[Any]:
    cursor = on.execute(statement, args)
    return cursor.fetchall() if cursor.description else []
