"""The far host of the tests: reached, unplugged without a word, and reached again."""

import pytest

from tests.servers.waiting import wait_for

psycopg = pytest.importorskip(
    "psycopg", reason="needs psycopg: pip install 'playhead[postgres]'"
)


def test_a_far_server_is_unplugged_without_a_word(far_postgres, postgres_url):
    """Unplugged, a request has no answer and no error; the client's own patience ends it."""
    url = far_postgres.url(postgres_url)
    with psycopg.connect(f"{url}?tcp_user_timeout=500", autocommit=True) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
        far_postgres.unplug()
        db.pgconn.send_query(b"SELECT 7")
        db.pgconn.consume_input()
        assert db.pgconn.is_busy()

        def is_noticed():
            try:
                db.pgconn.consume_input()
            except psycopg.OperationalError:
                return True
            return False

        wait_for(is_noticed, "an error from the kernel")
    far_postgres.plug()
    with psycopg.connect(url, connect_timeout=10) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
