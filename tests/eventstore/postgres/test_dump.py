"""A log in PostgreSQL that was dumped and restored by PostgreSQL's own tools."""

import subprocess

import psycopg
import pytest

from eventstore import open_log
from eventstore.errors import LogError
from eventstore.testing.facts import birth, fact
from tests.servers.binaries import bindir

pytestmark = pytest.mark.postgres


@pytest.fixture
def restored(own_postgres, postgres_url, tmp_path):
    """Give the url of a database that a log with two streams was restored into."""
    log = open_log(postgres_url)
    birth(log, "a", waits_on=("b",))
    birth(log, "b", events=(fact(), fact()))
    name = own_postgres.create()
    url, file = own_postgres.url(name), tmp_path / "dump"
    for tool in (
        ["pg_dump", "--schema=playhead", "--format=custom", f"--file={file}", postgres_url],
        ["pg_restore", "--exit-on-error", f"--dbname={url}", str(file)],
    ):
        program = bindir() / tool[0]
        if not program.exists():
            pytest.skip(f"needs {tool[0]} beside the server's programs")
        done = subprocess.run(
            [program, *tool[1:]], capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr
    log.close()
    yield url
    own_postgres.drop(name)


def test_a_restored_log_is_whole_and_goes_on(restored):
    """Chains and waits are there, the next event has the next position, and guards stand."""
    log = open_log(restored)
    assert list(log.verify()) == []
    last = log.last_position()
    birth(log, "c")
    assert log.last_position() > last
    assert log.waiting("b") == ["a"]
    log.close()
    with psycopg.connect(restored) as raw, pytest.raises(psycopg.Error, match="immutable"):
        raw.execute("DELETE FROM playhead.event")


def test_the_first_of_several_hosts_that_is_a_primary_is_used(postgres_url):
    """`host=` twice in the url: one that does not answer is passed over."""
    place, name = postgres_url.rsplit("/", 1)
    who, there = place.rsplit("@", 1)
    url = f"{who}@/{name}?host=127.0.0.1:1&host={there}&target_session_attrs=read-write"
    log = open_log(url)
    birth(log, "a")
    assert log.head("a") is not None
    log.close()
    with pytest.raises(LogError, match=r"127\.0\.0\.1:1"):
        open_log(f"{who}@/{name}?host=127.0.0.1:1&host=127.0.0.1:2").head("a")
