"""Row 19: other transactions are in the way; what passes is tried again, and nobody hears of it."""

import threading

import psycopg
import pytest

from eventstore import Append, Write, clock
from eventstore.batch import Entry
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


@pytest.mark.slow
def test_an_append_that_the_server_ends_in_a_deadlock_is_done_again(
    own_postgres, postgres_database, log
):
    """Row 19: two transactions wait for each other; the server ends ours, and it is done again."""
    # Ours looks after 5 s, when the other is there for certain, and the other after it.
    own_postgres.execute(f"ALTER DATABASE {postgres_database} SET deadlock_timeout = '5s'")
    tips = {name: birth(log, name) for name in ("a", "b")}
    lock = "SELECT 1 FROM playhead.stream WHERE id = %s FOR UPDATE"
    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(lock, ["b"])
        appending = threading.Thread(target=log.append, args=(both("both", tips),))
        appending.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_until(lambda: own_postgres.execute(waits, [postgres_database]))
        other.execute(lock, ["a"])
    appending.join(60)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    wait_until(lambda: own_postgres.execute(deadlocks, [postgres_database]) == [(1,)])
    assert [log.head(name).tip.version for name in tips] == [2, 2]
    assert len(log.read("a")) == len(log.read("b")) == 2


def test_a_row_that_stays_locked_does_not_spoil_its_neighbours(
    own_postgres, postgres_database, log
):
    """Row 19: of those that share a commit, only who wants that row is kept from writing."""
    tips = {name: birth(log, name) for name in ("a", "s", "t")}
    log.database.ready().run("SET lock_timeout = '100ms'")  # of which there are ten seconds
    answers = {}
    go = threading.Event()

    def write(name):
        try:
            log.append(both(name, {name: tips[name]}))
        except StorageBusy as error:
            answers[name] = str(error)
        else:
            answers[name] = "done"

    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SELECT 1 FROM playhead.stream WHERE id = 's' FOR UPDATE")
        threads = [threading.Thread(target=log._writer.do, args=(lambda _: go.wait(10),))]
        threads[0].start()
        queue = log._writer._queue
        wait_until(lambda: queue._led)
        threads += [threading.Thread(target=write, args=(name,)) for name in tips]
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: len(queue._waiting) == 3)
        go.set()
        for thread in threads:
            thread.join(60)
    assert "pg_stat_activity" in answers.pop("s")
    assert answers == {"a": "done", "t": "done"}
    assert log.append(both("again", {"s": tips["s"]}))[0].version == 2
    assert list(log.verify()) == []


@pytest.mark.slow
def test_many_rows_that_stay_locked_are_waited_for_once(own_postgres, postgres_database, log):
    """Row 19: of twenty who share a commit, nineteen do not wait as long again, one by one."""
    tips = {f"s{n}": birth(log, f"s{n}") for n in range(20)}
    log.database.ready().run("SET lock_timeout = '2s'")  # of which there are ten
    entries = [Entry(both(name, {name: tip})) for name, tip in tips.items()]
    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SELECT 1 FROM playhead.stream FOR UPDATE")
        begun = clock.real_seconds()
        log._writer._write(entries)
        took = clock.real_seconds() - begun
    assert all(isinstance(entry.error, StorageBusy) for entry in entries)
    assert took < 20  # seconds; one by one it is more than forty
    assert log.append(both("again", tips))[0].version == 2


def test_a_row_that_stays_locked_is_busy_in_words(own_postgres, postgres_database, log):
    """Row 19: who holds a row for ever is waited for in vain, and the error says where to look."""
    tip = birth(log, "s")
    log.database.ready().run("SET lock_timeout = '50ms'")  # of which there are ten seconds
    with psycopg.connect(own_postgres.admin_url(postgres_database)) as other:
        other.execute("SELECT 1 FROM playhead.stream FOR UPDATE")
        with pytest.raises(StorageBusy, match="pg_stat_activity"):
            log.append(both("a", {"s": tip}))
    assert log.append(both("a", {"s": tip}))[0].version == 2
