"""Logs of each kind for the tests of this folder."""

import pytest

pytest.register_assert_rewrite("eventstore.testing")

from eventstore import open_log  # noqa: E402 - after the assertions are made to speak

KINDS = ("memory", "sqlite-memory", "sqlite-file")


def url_of(kind, folder):
    """Give a url of a kind of log."""
    return {
        "memory": "memory://",
        "sqlite-memory": "sqlite:///:memory:",
        "sqlite-file": f"sqlite:///{folder}/log.db",
    }[kind]


@pytest.fixture(params=[*KINDS, pytest.param("postgres", marks=pytest.mark.postgres)])
def log(request, tmp_path):
    if request.param == "postgres":
        made = open_log(request.getfixturevalue("postgres_url"))
    else:
        made = open_log(url_of(request.param, tmp_path))
    yield made
    made.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
def file_log(path):
    made = open_log(f"sqlite:///{path}")
    yield made
    made.close()
