"""Row 20: positions are drawn before they can be seen, and who follows the log misses none."""

import threading

import psycopg
import pytest

from eventstore.errors import StorageError
from eventstore.testing import birth, fact

WRITERS, EACH = 8, 30
PAUSES = ("0", "0.002", "0", "0.02")  # seconds

# Between the draw of a position and its commit a write now takes its time, or is undone.
LATE = """
CREATE FUNCTION playhead.takes_its_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.subject = 'held' THEN
    PERFORM pg_advisory_xact_lock(8128);
  ELSE
    PERFORM pg_sleep(NEW.subject::float);
  END IF;
  IF NEW.source = 'undone' THEN RAISE EXCEPTION 'undone'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER takes_its_time AFTER INSERT ON playhead.event
  FOR EACH ROW EXECUTE FUNCTION playhead.takes_its_time();
"""


@pytest.fixture
def late(log, own_postgres, postgres_database):
    """Make every write take as long as its event's subject says: in seconds, or held by a lock."""
    log.head("nobody")
    own_postgres.execute(LATE, database=postgres_database)


class Follower(threading.Thread):
    """Reads the log on and on, from the last position it saw, until it is told to stop."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self.read, self.seen, self.stops = read, [], threading.Event()
        self.start()

    def run(self):
        last = False
        while not last:
            last = self.stops.is_set()  # and once more after that
            while positions := self.read(self.seen[-1] if self.seen else 0):
                self.seen += positions

    def finish(self):
        self.stops.set()
        self.join()
        return self.seen


def naive(url):
    """Give a reader that takes what it can see for all there is."""
    db = psycopg.connect(url, autocommit=True)
    ask = "SELECT position FROM playhead.event WHERE position > %s ORDER BY position LIMIT 100"
    return db, lambda after: [position for (position,) in db.execute(ask, [after])]


def follow(log):
    """Give a reader of the log's own feed."""
    return lambda after: [event.position for event in log.read_all(after=after, limit=100)]


def write(log, number):
    """Give birth to streams, slowly or fast, some in vain."""
    for turn in range(EACH):
        pause = PAUSES[(turn + number) % len(PAUSES)]
        source = "undone" if (turn * WRITERS + number) % 11 == 0 else "a"
        try:
            birth(log, f"s{number}-{turn}", events=(fact(subject=pause, source=source),))
        except StorageError:
            assert source == "undone"


def test_a_live_follower_sees_every_event_once_in_order(log_at, log, late, postgres_url):
    """Eight writers, with delays and rollbacks: the feed shows all; a naive reader does not."""
    db, read = naive(postgres_url)
    follower, simpleton = Follower(follow(log)), Follower(read)
    writers = [
        threading.Thread(target=write, args=(log_at(postgres_url), number))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    seen, naively = follower.finish(), simpleton.finish()
    there = read_all(db)
    db.close()
    assert seen == there
    assert there == sorted(set(there))
    assert there[-1] > len(there), "no position was lost to a rollback: nothing was tried"
    assert len(naively) < len(there), "the naive reader missed none: nothing was tried"


def read_all(db):
    """Give every position there is in the end."""
    rows = db.execute("SELECT position FROM playhead.event ORDER BY position")
    return [position for (position,) in rows]


def test_what_commits_late_is_waited_for(log_at, log, late, postgres_url, until):
    """An event with a lower position that commits later holds the feed up, and is seen first."""
    db, read = naive(postgres_url)
    assert log.read_all() == []
    db.execute("SELECT pg_advisory_lock(8128)")
    slow = threading.Thread(
        target=birth,
        args=(log_at(postgres_url), "slow"),
        kwargs={"events": (fact(subject="held"),)},
    )
    slow.start()
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 8128 AND NOT granted"
    until(lambda: db.execute(held).fetchone())
    birth(log, "fast", events=(fact(subject="0"),))
    assert read(0) == [2]
    assert log.read_all() == []
    db.execute("SELECT pg_advisory_unlock(8128)")
    slow.join()
    assert [event.stream for event in log.read_all()] == ["slow", "fast"]
    assert read(2) == []
    db.close()
