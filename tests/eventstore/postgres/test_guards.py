"""Events are immutable in PostgreSQL itself; what its owner changes all the same is found."""

import psycopg
import pytest

from eventstore import open_log
from eventstore.testing.facts import birth, fact, step

pytestmark = pytest.mark.postgres


@pytest.fixture
def log(postgres_url):
    """A log with two streams of three events."""
    made = open_log(postgres_url)
    for name in ("s", "t"):
        tip = birth(made, name)
        for number in range(2):
            tip = step(made, name, tip, fact(data=f'"{name}{number}"'))
    yield made
    made.close()


@pytest.fixture
def raw(postgres_url, log):
    """A plain connection of the tables' owner, who sees them without naming the schema."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET search_path = playhead")
        yield connection


ATTACKS = (
    "UPDATE event SET data = '1' WHERE stream = 's'",
    "UPDATE event SET at = at + 1",
    "DELETE FROM event WHERE stream = 's' AND version = 2",
    "DELETE FROM event",
    "TRUNCATE event",
    "TRUNCATE stream, event CASCADE",
    (
        "INSERT INTO event SELECT * FROM event WHERE stream = 's' AND version = 1"
        " ON CONFLICT (position) DO UPDATE SET data = '2'"
    ),
    (
        "MERGE INTO event USING (SELECT 's' AS id) AS one ON stream = id"
        " WHEN MATCHED THEN UPDATE SET data = '2'"
    ),
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_events_are_immutable_in_the_database(raw, log, attack):
    """A plain connection, of the owner himself, cannot change, remove or replace an event."""
    before = log.read_all()
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        raw.execute(attack)
    assert log.read_all() == before


def test_a_permit_lets_a_stream_go(raw, log):
    """With a row in `purge_permit` the events of that stream, and no others, can be deleted."""
    raw.execute("INSERT INTO purge_permit VALUES ('s')")
    raw.execute("DELETE FROM event WHERE stream = 's'")
    with pytest.raises(psycopg.errors.RestrictViolation):
        raw.execute("DELETE FROM event WHERE stream = 't'")
    assert any("'s'" in fault for fault in log.verify())
    raw.execute("UPDATE stream SET purged = 5 WHERE id = 's'")
    assert list(log.verify()) == []


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("UPDATE event SET data = '0' WHERE stream = 's' AND version = 2", "event 2"),
        ("UPDATE event SET epoch = 7 WHERE stream = 's' AND version = 1", "event 1"),
        ("DELETE FROM event WHERE stream = 's' AND version = 2", "event 2 is missing"),
        ("DELETE FROM event WHERE stream = 's' AND version = 3", "its last event is 2"),
        ("DELETE FROM stream WHERE id = 's'", "no row"),
        ("UPDATE stream SET hash = '\\x00' WHERE id = 's'", "another hash"),
    ],
)
def test_what_was_edited_by_hand_is_found(raw, log, attack, told):
    """Row 8: with the guards taken away, `verify` names the stream and the event."""
    raw.execute("ALTER TABLE event DISABLE TRIGGER USER")
    raw.execute(attack)
    faults = list(log.verify())
    assert any(told in fault and "'s'" in fault for fault in faults), faults
    assert not any("'t'" in fault for fault in faults)
