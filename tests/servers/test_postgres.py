"""The server of the tests: found, made, hurt, and gone at the end whatever ends its owner."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.waiting import wait_for

psycopg = pytest.importorskip(
    "psycopg", reason="needs psycopg: pip install 'playhead[postgres]'"
)

OWNER = """
import sys
from tests.servers.postgres import Postgres
server = Postgres()
frozen = server.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
server.freeze(frozen[0][0])
print(server.pid, server.folder, flush=True)
sys.stdin.read()
sys.exit()  # without a word to the server, as when pytest is interrupted
"""


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_database_is_reached_by_either_url(own_postgres, postgres_database, unix):
    """Its owner, who is no superuser, may write in it, over TCP and over the unix socket."""
    with psycopg.connect(own_postgres.url(postgres_database, unix=unix)) as db:
        db.execute("CREATE TABLE t (n int)")
        assert db.execute("SELECT current_database()").fetchone() == (postgres_database,)
        assert db.execute("SHOW is_superuser").fetchone() == ("off",)
        assert db.execute("SHOW fsync").fetchone() == ("on",)


def test_each_test_has_a_database_of_its_own(postgres, postgres_url):
    """A database is empty when it is given, and gone when it is dropped, whoever is in it."""
    other = postgres.create()
    inside = psycopg.connect(postgres.url(other), autocommit=True)
    inside.execute("CREATE TABLE t (n int)")
    with psycopg.connect(postgres_url) as db:
        assert db.execute("SELECT to_regclass('t')").fetchone() == (None,)
    assert len(postgres.backends(other)) == 1
    postgres.drop(other)
    with pytest.raises(psycopg.OperationalError):
        inside.execute("SELECT 1")
    inside.close()
    assert postgres.execute("SELECT 1 FROM pg_database WHERE datname = %s", [other]) == []


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_committed_is_there_after_a_stop(own_postgres, postgres_url, mode):
    """A stop of either kind ends the connections; the next start has what was committed."""
    db = psycopg.connect(postgres_url, autocommit=True)
    db.execute("CREATE TABLE t (n int)")
    own_postgres.stop(mode)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url)
    own_postgres.start()
    with pytest.raises(psycopg.OperationalError):
        db.execute("SELECT 1")
    db.close()
    with psycopg.connect(postgres_url) as again:
        assert again.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_killed_backend_takes_all_others_with_it(own_postgres, postgres_url):
    """When a process of the server is killed, every client is cut off, and the server recovers."""
    with (
        contextlib.closing(psycopg.connect(postgres_url, autocommit=True)) as one,
        contextlib.closing(psycopg.connect(postgres_url, autocommit=True)) as two,
    ):
        one.execute("CREATE TABLE t (n int)")
        own_postgres.kill(one.info.backend_pid)
        for cut in (one, two):
            with pytest.raises(psycopg.OperationalError):
                cut.execute("SELECT 1")
    with psycopg.connect(postgres_url) as again:
        assert again.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_frozen_backend_is_mute_and_comes_back(own_postgres, postgres_url):
    """Frozen, it does not answer, while others do; thawed, it does what it was asked."""
    with psycopg.connect(postgres_url, autocommit=True) as db:
        pid = db.info.backend_pid
        with own_postgres.frozen(pid):
            db.pgconn.send_query(b"SELECT 7")
            with psycopg.connect(postgres_url) as other:
                assert other.execute("SELECT 1").fetchone() == (1,)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state == "T"
            db.pgconn.consume_input()
            assert db.pgconn.is_busy()
        result = db.pgconn.get_result()
        assert result
        assert result.get_value(0, 0) == b"7"
        assert db.pgconn.get_result() is None


@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_a_server_does_not_outlive_its_owner(postgres, end):
    """Killed or interrupted, the owner leaves no server, not even a frozen one, and no folder."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=Path(__file__).parents[2],  # from where the tests are imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        assert Path(folder).exists()
        if end == "killed":
            owner.kill()
    wait_for(lambda: not Path(folder).exists(), "the end of its folder")
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of the server")
