"""Logs of each kind for the tests of this folder."""

import pytest

pytest.register_assert_rewrite("eventstore.testing")

from eventstore import open_log  # noqa: E402 - after the assertions are made to speak
from tests.servers.kinds import POSTGRES  # noqa: E402

KINDS = ("memory", "sqlite-memory", "sqlite-file", POSTGRES)


def url_of(kind, folder, request):
    """Give a url of a kind of log."""
    if kind == "postgres":
        return request.getfixturevalue("postgres_log_url")
    return {
        "memory": "memory://",
        "sqlite-memory": "sqlite:///:memory:",
        "sqlite-file": f"sqlite:///{folder}/log.db",
    }[kind]


@pytest.fixture(params=KINDS)
def log(request, tmp_path):
    made = open_log(url_of(request.param, tmp_path, request))
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
