"""The wire that can be cut: what each of its faults does to a real client and a real server."""

import threading

import pytest

from tests.servers.waiting import wait_for

psycopg = pytest.importorskip(
    "psycopg", reason="needs psycopg: pip install 'playhead[postgres]'"
)


@pytest.fixture
def proxy(postgres_proxy):
    """A proxy in front of the server."""
    return postgres_proxy


@pytest.fixture
def url(proxy, postgres_url):
    """The url of an empty database that leads through the proxy."""
    return proxy.url(postgres_url)


def test_it_passes_on_what_comes(proxy, url):
    """A client works through it as without it; encryption is refused; answers may be large."""
    with psycopg.connect(f"{url}?sslmode=prefer") as db:
        assert db.execute("SELECT repeat('x', 3000000)").fetchone() == ("x" * 3_000_000,)
        assert db.execute("SELECT %s::text", ["y" * 3_000_000]).fetchone() == ("y" * 3_000_000,)
        assert db.info.backend_pid == db.execute("SELECT pg_backend_pid()").fetchone()[0]
    assert proxy.taken == 1


def test_a_cut_ends_the_connections_there_are(proxy, url):
    """A cut is an error for who is connected, at once; who comes then is served."""
    with psycopg.connect(url, autocommit=True) as db:
        assert proxy.cut() == 1
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 1")
    with psycopg.connect(url) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
    proxy.refusing = True
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


@pytest.mark.parametrize("way", ["to_server", "to_client"])
def test_a_mute_wire_says_nothing(proxy, url, postgres, postgres_database, way):
    """Mute, it lets the client wait without an error; a request it has let through is done."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE t (n int)")
        threads = [threading.Thread(target=db.execute, args=["INSERT INTO t VALUES (1)"])]
        count = "SELECT count(*) FROM t"
        with proxy.muted(**{"to_server": False, "to_client": False, way: True}):
            threads[0].start()
            if way == "to_client":
                wait_for(
                    lambda: postgres.execute(count, database=postgres_database)[0][0], "a row"
                )
            threads[0].join(0.3)
            assert threads[0].is_alive()
            if way == "to_server":
                assert postgres.execute(count, database=postgres_database) == [(0,)]
        threads[0].join(60)
        assert db.execute(count).fetchone() == (1,)


def test_the_answer_to_a_prepared_statement_gets_lost(proxy, url):
    """A statement that the client has named before is known when it is asked for again."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as db:
        for number in range(2):
            assert db.execute("SELECT 7 + %s", [number]).fetchone() == (7 + number,)
        lost = proxy.lose_answer("SELECT 7", tag="SELECT")
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 7 + %s", [3])
        assert lost.wait()


@pytest.mark.parametrize("pipeline", [False, True])
def test_the_answer_to_a_commit_gets_lost(proxy, url, postgres, postgres_database, pipeline):
    """The client gets an error for its commit, and the row is there; the next commit passes."""
    with psycopg.connect(url) as db:
        db.execute("CREATE TABLE t (n int)")
        db.commit()
        lost = proxy.lose_answer()
        with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - where it shows is the point
            if pipeline:
                with db.pipeline():
                    db.execute("INSERT INTO t VALUES (1)")
                    db.commit()
            else:
                db.execute("INSERT INTO t VALUES (1)")
                db.commit()
        assert lost.wait()
    assert postgres.execute("SELECT n FROM t", database=postgres_database) == [(1,)]
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO t VALUES (2)")
    assert len(postgres.execute("SELECT n FROM t", database=postgres_database)) == 2


def test_each_answer_is_late(proxy, url):
    """A delay is waited for before an answer comes."""
    with psycopg.connect(url, autocommit=True) as db:
        proxy.delay = 0.2
        asked = threading.Thread(target=db.execute, args=["SELECT 1"])
        asked.start()
        asked.join(0.15)
        assert asked.is_alive()
        asked.join(60)
        assert not asked.is_alive()


def test_it_poses_as_a_pooler(proxy, url):
    """Posing, it says another pid than the server does; a request to cancel still finds its way."""
    proxy.poses_as_pooler = True
    with psycopg.connect(url, autocommit=True) as db:
        assert db.info.backend_pid != db.execute("SELECT pg_backend_pid()").fetchone()[0]
        refused = []

        def wait():
            try:
                db.execute("SELECT pg_sleep(30)")
            except psycopg.errors.QueryCanceled as error:
                refused.append(error)

        asked = threading.Thread(target=wait)
        asked.start()
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE %s AND state = 'active'"
        with psycopg.connect(url, autocommit=True) as other:
            wait_for(
                lambda: other.execute(sleeping, ["SELECT pg_sleep%"]).fetchone(), "a query"
            )
        db.cancel_safe()
        asked.join(60)
        assert len(refused) == 1
