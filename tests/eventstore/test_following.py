"""A live follower on PostgreSQL, while eight writers draw positions, dawdle and give up."""

import threading

import pytest

from eventstore import clock, open_log
from eventstore.feed import Feed

WRITERS, EACH = 8, 60
PATIENCE = 60.0  # seconds
WRITE = (
    "INSERT INTO playhead.event(stream, version, type, type_version, epoch, subject, source, dest,"
    " data, at, append_id, hash) VALUES (%s, %s, 't', 1, 0, '', '', '', '{}', 0, 'a', '')"
)


def write(address, name, kept):
    """Append events one by one, each some time before its commit; give a tenth of them up."""
    import psycopg  # noqa: PLC0415 - a bare clone may be without

    chance = clock.new_chance(name)
    with psycopg.connect(address) as connection:
        for number in range(1, EACH + 1):
            connection.execute(WRITE, (name, number))
            clock.real_sleep(chance.random() * 0.01)
            if chance.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()
                kept.append((name, number))


class Naive:
    """Reads what stands behind the last position it has seen, as one would think."""

    def __init__(self, log):
        self._log, self._is_over = log, threading.Event()
        self.seen = []

    def read(self):
        sql, last = self._log.database.sql, 0
        while not self._is_over.is_set():
            for row in self._log.database.query(sql.READ_ALL, (last, sql.MOST, 1000)):
                last = row[0]
                self.seen.append((row[1], row[2]))

    def stop(self):
        self._is_over.set()


@pytest.mark.slow
def test_nothing_is_skipped_that_a_naive_reader_skips(postgres_url):
    """What was committed comes once each, by position; a naive reader beside it loses some."""
    followed, other = open_log(postgres_url), open_log(postgres_url)
    followed.head("x")
    feed, naive, seen, kept = Feed(followed, cursor="mirror"), Naive(other), [], []
    readers = [
        threading.Thread(target=lambda: seen.extend(feed)),
        threading.Thread(target=naive.read),
    ]
    writers = [
        threading.Thread(target=write, args=(postgres_url, f"w{number}", kept))
        for number in range(WRITERS)
    ]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join(PATIENCE)
    until = clock.real_seconds() + PATIENCE
    while len(seen) < len(kept) and clock.real_seconds() < until:
        clock.real_sleep(0.01)
    feed.stop()
    naive.stop()
    for thread in readers:
        thread.join(PATIENCE)
    assert sorted((event.stream, event.version) for event in seen) == sorted(kept)
    positions = [event.position for event in seen]
    assert positions == sorted(set(positions))
    assert followed.cursor("mirror").position == positions[-1]
    assert set(naive.seen) < set(kept)
    followed.close()
    other.close()
