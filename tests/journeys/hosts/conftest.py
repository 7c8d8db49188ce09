"""A fleet on a database of PostgreSQL, and one on a file beside it where that makes sense."""

import re

import pytest

from tests.journeys.hosts.fleet import Fleet
from tests.servers.waiting import wait_for


@pytest.fixture
def fleet(tmp_path, postgres_url, program):
    """Give an application of which processes can be started, on PostgreSQL."""
    made = Fleet(tmp_path, postgres_url, program)
    yield made
    made.engine.close()


@pytest.fixture(params=["postgres", "sqlite"])
def any_fleet(request, tmp_path, program):
    """Give an application on PostgreSQL, and one on SQLite."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite:///{tmp_path / 'log.db'}"
    made = Fleet(tmp_path, url, program)
    yield made
    made.engine.close()


@pytest.fixture
def statements(own_postgres):
    """Let the server write down statements; gives those of a stretch, each with its name."""
    own_postgres.execute("ALTER SYSTEM SET log_statement = 'all'")
    own_postgres.execute("SELECT pg_reload_conf()")
    wait_for(lambda: own_postgres.execute("SHOW log_statement") == [("all",)], "the setting")

    def during(stretch):
        begin = own_postgres.log.stat().st_size
        stretch()
        text = own_postgres.log.read_bytes()[begin:].decode()
        return re.findall(r"LOG:  (?:statement|execute ([^:]*)): (.+)", text)

    yield during
    own_postgres.execute("ALTER SYSTEM RESET log_statement")
    own_postgres.execute("SELECT pg_reload_conf()")
