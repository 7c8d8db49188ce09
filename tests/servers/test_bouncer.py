"""The pooler of the tests is one: a session is not kept from one transaction to the next."""

import pytest

psycopg = pytest.importorskip(
    "psycopg", reason="needs psycopg: pip install 'playhead[postgres]'"
)


def test_a_pooler_gives_each_transaction_a_backend(bouncer_url):
    """Two clients' transactions at once have two backends, and none is the pid that was told."""
    with psycopg.connect(bouncer_url) as one, psycopg.connect(bouncer_url) as two:
        pids = [db.execute("SELECT pg_backend_pid()").fetchone()[0] for db in (one, two)]
        assert len(set(pids)) == 2
        assert not set(pids) & {one.info.backend_pid, two.info.backend_pid}


def test_behind_a_pooler_a_session_lock_is_left_behind(bouncer_url):
    """A session lock stays with the backend: the next client gets it as its own."""
    lock = "SELECT pg_try_advisory_lock(7)"
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    with psycopg.connect(bouncer_url, autocommit=True) as db:
        assert db.execute(lock).fetchone() == (True,)
    with psycopg.connect(bouncer_url, autocommit=True) as other:
        assert other.execute(held).fetchone() == (1,)
        assert other.execute(lock).fetchone() == (True,)
