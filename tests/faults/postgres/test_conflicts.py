"""Row 19: other transactions are in the way; what passes is tried again, and nobody hears of it."""

import threading

import psycopg
import pytest

from eventstore import Append, Write
from eventstore.errors import AppendRefused, StorageBusy
from eventstore.testing import birth, fact, row
from tests.journeys.conftest import wait_until


def both(name, tips):
    """Give an append to two streams, in the order that they come."""
    writes = (Write(stream, "run", tip, (fact(),), row()) for stream, tip in tips.items())
    return Append(name, tuple(writes))


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_crossing_appends_pass_whatever_the_servers_isolation(
    own_postgres, postgres_database, postgres_url, log_at, isolation
):
    """Row 19: stricter isolation by default makes appends neither fail nor count twice."""
    own_postgres.execute(
        f"ALTER DATABASE \"{postgres_database}\" SET default_transaction_isolation = '{isolation}'"
    )
    logs = [log_at(postgres_url) for _ in range(4)]
    tips = {name: birth(logs[0], name) for name in ("a", "b")}
    errors, written = [], []

    def cross(number):
        log, order = logs[number], ("a", "b") if number % 2 else ("b", "a")
        for turn in range(20):
            try:
                now = {name: log.head(name).tip for name in order}
                log.append(both(f"{number}-{turn}", now))
            except AppendRefused:
                continue  # another was faster: that is what it is for
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one too many
                errors.append(error)
            else:
                written.append(turn)

    threads = [threading.Thread(target=cross, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert written
    for name, tip in tips.items():
        assert logs[0].head(name).tip.version == tip.version + len(written)
    assert list(logs[0].verify()) == []


def test_an_append_that_the_server_ends_in_a_deadlock_is_done_again(
    own_postgres, postgres_database, log
):
    """Row 19: two transactions wait for each other; the server ends ours, and it is done again."""
    tips = {name: birth(log, name) for name in ("a", "b")}
    lock = "SELECT 1 FROM playhead.stream WHERE id = %s FOR UPDATE"
    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SET deadlock_timeout = '30s'")  # so that the other side looks first
        other.execute(lock, ["b"])
        appending = threading.Thread(target=log.append, args=(both("both", tips),))
        appending.start()
        appending.join(0.3)
        assert appending.is_alive()
        other.execute(lock, ["a"])
    appending.join(20)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    wait_until(lambda: own_postgres.execute(deadlocks, [postgres_database]) == [(1,)], 10)
    assert [log.head(name).tip.version for name in tips] == [2, 2]
    assert len(log.read("a")) == len(log.read("b")) == 2


def test_a_row_that_stays_locked_is_busy_in_words(own_postgres, postgres_database, log):
    """Row 19: who holds a row for ever is waited for in vain, and the error says where to look."""
    tip = birth(log, "s")
    log.database.ready().run("SET lock_timeout = '50ms'")  # of which there are ten seconds
    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SELECT 1 FROM playhead.stream FOR UPDATE")
        with pytest.raises(StorageBusy, match="pg_stat_activity"):
            log.append(both("a", {"s": tip}))
    assert log.append(both("a", {"s": tip}))[0].version == 2
