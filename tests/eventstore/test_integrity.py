import sqlite3

import pytest

from eventstore.testing import birth, fact, step


@pytest.fixture
def raw(path, file_log):
    """A plain connection beside a log with two streams of three events."""
    for name in ("s", "t"):
        tip = birth(file_log, name)
        for number in range(2):
            tip = step(file_log, name, tip, fact(data=f'"{name}{number}"'))
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


COPY = (
    "REPLACE INTO event SELECT {}, version, type, type_version, epoch, subject, source, dest, '2',"
    " at, cause, append_id, hash FROM event WHERE stream = 's'"
)
ATTACKS = (
    "UPDATE event SET data = '1' WHERE stream = 's'",
    "UPDATE event SET at = at + 1",
    "DELETE FROM event WHERE stream = 's' AND version = 2",
    "DELETE FROM event",
    "INSERT OR REPLACE INTO event SELECT * FROM event WHERE stream = 's'",
    COPY.format("position + 100, stream"),
    COPY.format("position, 'u'"),
    "UPDATE OR REPLACE event SET version = version + 1 WHERE stream = 's' AND version = 1",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_events_are_immutable_in_the_database(raw, file_log, attack):
    """A plain connection cannot change, remove or replace an event."""
    before = file_log.read_all()
    with pytest.raises(sqlite3.IntegrityError, match="immutable"):
        raw.execute(attack)
    assert file_log.read_all() == before


def test_a_permit_lets_a_stream_go(raw, file_log):
    """With a row in `purge_permit` the events of that stream, and no others, can be deleted."""
    raw.execute("INSERT INTO purge_permit VALUES ('s')")
    raw.execute("DELETE FROM event WHERE stream = 's'")
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute("DELETE FROM event WHERE stream = 't'")
    assert any("'s'" in fault for fault in file_log.verify())
    raw.execute("UPDATE stream SET purged = 5 WHERE id = 's'")
    assert list(file_log.verify()) == []


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("UPDATE event SET data = '0' WHERE stream = 's' AND version = 2", "event 2"),
        ("UPDATE event SET at = 0 WHERE stream = 's' AND version = 3", "event 3"),
        ("UPDATE event SET dest = 'x' WHERE stream = 's' AND version = 1", "event 1"),
        ("UPDATE event SET cause = 'x@1' WHERE stream = 's' AND version = 1", "event 1"),
        ("UPDATE event SET epoch = 7 WHERE stream = 's' AND version = 1", "event 1"),
        ("DELETE FROM event WHERE stream = 's' AND version = 2", "event 2 is missing"),
        ("DELETE FROM event WHERE stream = 's' AND version = 3", "its last event is 2"),
        ("DELETE FROM event WHERE stream = 's'", "its last event is 0"),
        ("DELETE FROM stream WHERE id = 's'", "no row"),
        ("UPDATE stream SET hash = x'00' WHERE id = 's'", "another hash"),
        ("UPDATE stream SET version = 9 WHERE id = 's'", "stands at version 9"),
    ],
)
def test_what_was_edited_by_hand_is_found(raw, file_log, attack, told):
    """Hazard 8: with the guards taken away, `verify` names the stream and the event."""
    for guard in ("event_is_not_updated", "event_is_not_deleted"):
        raw.execute(f"DROP TRIGGER {guard}")
    raw.execute(attack)
    faults = list(file_log.verify())
    assert any(told in fault and "'s'" in fault for fault in faults), faults
    assert not any("'t'" in fault for fault in faults)
    assert list(file_log.verify("t")) == []


def test_a_changed_blob_is_found(raw, file_log):
    """A blob whose bytes no longer have its name is told, and is not handed out."""
    name = file_log.put_blob(b"good")
    raw.execute("UPDATE blob SET content = x'00' WHERE sha256 = ?", (name,))
    assert any(name in fault for fault in file_log.verify())
    with pytest.raises(Exception, match="no longer"):
        file_log.blob(name)
