"""Servers for any test that asks: `postgres`, and a fresh database by `postgres_url`."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.binaries import Missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the server, so that `-m "not postgres"` leaves it out."""
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Any]:
    """One server for the whole of pytest, made when the first test asks; or why there is none."""
    try:
        server = _server()
    except Missing as missing:
        yield str(missing)
        return
    yield server
    server.close()


def _server() -> Any:
    try:
        import psycopg  # noqa: F401, PLC0415 - a bare clone may be without
    except ImportError:
        raise Missing("psycopg is not installed: pip install 'playhead[postgres]'") from None
    from tests.servers.given import Given  # noqa: PLC0415
    from tests.servers.postgres import Postgres  # noqa: PLC0415

    url = os.environ.get("PLAYHEAD_TEST_POSTGRES_URL")
    return Given(url) if url else Postgres()


@pytest.fixture
def postgres(_postgres: Any) -> Any:
    """A PostgreSQL server; the test is skipped when there is none."""
    if isinstance(_postgres, str):
        pytest.skip(f"needs PostgreSQL: {_postgres}")
    return _postgres


@pytest.fixture
def own_postgres(postgres: Any) -> Any:
    """A PostgreSQL server that the test may stop and hurt; it runs again afterwards."""
    if not postgres.own:
        pytest.skip("needs a server to stop, and PLAYHEAD_TEST_POSTGRES_URL is not for that")
    yield postgres
    if not postgres.running:
        postgres.start()


@pytest.fixture
def postgres_database(postgres: Any) -> Iterator[str]:
    """The name of an empty database, which is dropped at the end."""
    name = postgres.create()
    yield name
    postgres.drop(name)


@pytest.fixture
def postgres_url(postgres: Any, postgres_database: str) -> str:
    """The url of an empty database, over TCP."""
    return postgres.url(postgres_database)
