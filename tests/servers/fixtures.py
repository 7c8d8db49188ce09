"""Servers for any test that asks: `postgres`, and a fresh database by `postgres_url`."""

import itertools
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.servers.binaries import Missing

NEEDS = "needs PostgreSQL"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the server, so that `-m "not postgres"` leaves it out."""
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell once, not for every test, how many were skipped for want of a server."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason.startswith(NEEDS):
            report.longrepr = (__file__, None, reason)
    return report


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Any]:
    """One server for the whole of pytest, made when the first test asks; or why there is none."""
    try:
        server = find_server()
    except Missing as missing:
        yield str(missing)
        return
    yield server
    server.close()


def find_server() -> Any:
    """Give the server that was named, or one made here; who takes it closes it."""
    try:
        import psycopg  # noqa: F401, PLC0415 - a bare clone may be without
    except ImportError:
        raise Missing("psycopg is not installed, pip install 'playhead[postgres]'") from None
    from tests.servers.given import Given  # noqa: PLC0415
    from tests.servers.postgres import Postgres  # noqa: PLC0415

    url = os.environ.get("PLAYHEAD_TEST_POSTGRES_URL")
    return Given(url) if url else Postgres()


@pytest.fixture
def postgres(_postgres: Any) -> Any:
    """A PostgreSQL server; the test is skipped when there is none."""
    if isinstance(_postgres, str):
        pytest.skip(f"{NEEDS}: {_postgres}")
    return _postgres


@pytest.fixture
def own_postgres(postgres: Any) -> Any:
    """A PostgreSQL server that the test may stop and hurt; it runs again afterwards."""
    if not postgres.own:
        pytest.skip(f"{NEEDS} of its own to stop: PLAYHEAD_TEST_POSTGRES_URL is not for that")
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


@pytest.fixture(scope="session")
def _shared_database(_postgres: Any) -> Iterator[str]:
    if isinstance(_postgres, str):
        yield ""
        return
    name = _postgres.create()
    yield name
    _postgres.drop(name)


@pytest.fixture
def postgres_log_url(postgres: Any, _shared_database: str) -> str:
    """The url of a log that is not there yet: a schema of its own in a database that is shared.

    It costs a third of a database of its own, and is for tests that do not look at the server.
    """
    url = postgres.url(_shared_database)
    return f"{url}{'&' if '?' in url else '?'}schema=test_{next(_numbers)}"


@pytest.fixture
def postgres_proxy(own_postgres: Any) -> Iterator[Any]:
    """A wire to the server that can be cut, muted, slowed, and made to lie."""
    from tests.servers.proxy import Proxy  # noqa: PLC0415

    with Proxy(("127.0.0.1", own_postgres.port)) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def _bouncer(_postgres: Any) -> Iterator[Any]:
    if isinstance(_postgres, str) or not _postgres.own:
        yield "a server of its own"
        return
    from tests.servers.bouncer import Bouncer  # noqa: PLC0415

    try:
        bouncer = Bouncer(_postgres)
    except Missing as missing:
        yield str(missing)
        return
    with bouncer:
        yield bouncer


@pytest.fixture
def bouncer_url(own_postgres: Any, postgres_url: str, _bouncer: Any) -> str:
    """The url of an empty database that leads through PgBouncer in transaction mode."""
    if isinstance(_bouncer, str):
        pytest.skip(f"needs PgBouncer: {_bouncer}")
    return _bouncer.url(postgres_url)


@pytest.fixture
def far_postgres(own_postgres: Any) -> Iterator[Any]:
    """The server on a far host: `.url(...)`, `.unplug()`, `.plug()`."""
    from tests.servers.apart import Far  # noqa: PLC0415

    try:
        far = Far(f"{own_postgres.folder}/.s.PGSQL.{own_postgres.port}")
    except Missing as missing:
        pytest.skip(f"needs a network of its own: {missing}")
    with far:
        yield far
