"""A fleet on a database of PostgreSQL, and one on a file beside it where that makes sense."""

import pytest

from tests.journeys.hosts.fleet import Fleet


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
