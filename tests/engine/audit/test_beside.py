"""Rows, snapshots, keys and values that say otherwise than the events do."""

import pytest

from playhead import PlayheadError


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("status", "failed", "its row says status 'failed', its events 'succeeded'"),
        ("name", "wards", "its row says name 'wards', its events 'words'"),
        ("key", "l", "its row says key 'l', its events 'k'"),
        ("tags", '{"t":"w"}', "its row says tags {'t': 'w'}, its events {'t': 'v'}"),
        ("priority", 4, "its row says priority 4, its events 3"),
        ("waits_on", '["api"]', "its row says waits_on ('api',), its events ()"),
        ("needs", "gpu", "its row says needs 'gpu', its events "),
        ("label", '{"ended":5}', "its row says label Label("),
        ("label", "[]", "its row's label cannot be read"),
        ("owner", "w", "its row says owner 'w', its events None"),
        ("due", 5, "its row says due 5, its events None"),
        ("created", 5, "its row says created 5, its events "),
        ("updated", 5, "its row says updated 5, its events "),
        ("epoch", 1, "its row is at epoch 1, its last event at 2"),
    ],
)
def test_a_row_that_says_otherwise(field, value, told, shop, forger):
    """Each field of a run's row is held against the fold."""
    forger.row(shop.plain, **{field: value})
    shop.finds(shop.plain, told)


HOUR, ALARM = 3_600_000_000, 1_893_459_600_000_000  # when the signal of `waiting` times out


@pytest.mark.parametrize("due", [None, ALARM + 1])
def test_an_orphan_timer(due, shop, forger):
    """A timer is pending, and the row wakes nobody in time for it."""
    forger.row(shop.waiting, due=due)
    shop.finds(shop.waiting, "it is due at 2030-01-01T01:00:00+00:00, and its row's alarm is ")


def test_an_alarm_that_comes_early_is_no_fault(shop, forger):
    """Whoever is woken too early looks, and sets the alarm anew."""
    forger.row(shop.waiting, due=ALARM - HOUR)
    assert shop.look().faults == []


def test_work_that_nobody_would_take(shop, forger):
    """A run that owes a start, with no owner and no alarm, would stand still for ever."""
    forger.row(shop.fresh, due=None)
    shop.finds(shop.fresh, "it owes work, nobody holds it, and its row has no alarm")


def test_the_owner_answers_for_what_he_holds(shop, forger):
    """A run that is held needs no alarm for work that is ready; its timers need theirs."""
    forger.row(shop.fresh, due=None, owner="w")
    forger.row(shop.waiting, owner="w")
    assert shop.look().faults == []


@pytest.mark.parametrize("of", ["plain", "trigger"])
def test_a_snapshot_that_says_otherwise(of, shop, forger):
    """A snapshot is held against the fold of the events up to it, field by field."""
    field = {"plain": "workflow", "trigger": "last"}[of]
    stream = getattr(shop, of)
    forger.run(
        "UPDATE snapshot SET content = CAST(json_set(content, ?, 'x') AS BLOB) WHERE stream = ?"
        " AND version = (SELECT max(version) FROM snapshot AS newest WHERE newest.stream = ?)",
        f"$.{field}", stream, stream,
    )  # fmt: skip
    shop.finds(stream, f' says {field} "x", its events "')


@pytest.mark.parametrize("of", ["plain", "trigger"])
def test_a_snapshot_that_cannot_be_read(of, shop, forger):
    """Bytes that are no snapshot are told; the engine would stumble over them."""
    stream = getattr(shop, of)
    forger.run("DELETE FROM snapshot WHERE stream = ? AND version > 3", stream)
    kind = {"plain": "run/1", "trigger": "trigger/1"}[of]
    forger.run("INSERT OR REPLACE INTO snapshot VALUES (?, ?, 3, x'00')", stream, kind)
    shop.finds(stream, f"its snapshot ({kind}) of event 3 cannot be read")


@pytest.mark.parametrize("version", [0, 99])
def test_a_snapshot_of_what_is_not_there(version, shop, forger):
    """A snapshot belongs to an event."""
    forger.run("INSERT INTO snapshot VALUES (?, 'run/1', ?, x'7b7d')", shop.plain, version)
    shop.finds(shop.plain, f"there is a snapshot of event {version}, which is not there")


def test_of_foreign_kinds_nothing_is_claimed(shop, forger):
    """A snapshot of another shape, and a stream of another kind, are another program's business."""
    forger.run("INSERT INTO snapshot VALUES (?, 'run/0', 99, x'00')", shop.plain)
    forger.row(shop.answered, kind="lamp", status="lit")
    verdict = shop.look()
    assert (verdict.faults, verdict.streams) == ([], 12)


def test_a_key_that_leads_nowhere(shop, forger):
    """An inbox key names a stream that is not there."""
    forger.run("INSERT INTO inbox VALUES ('drops', 'x', 'nowhere')")
    shop.finds("nowhere", "key 'x' of 'drops' leads to stream 'nowhere', which is not there")


def test_a_key_that_no_longer_counts(shop, forger):
    """A run was started by a key, and the inbox has forgotten it: it could start again."""
    forger.run("DELETE FROM inbox WHERE source = 'start:words'")
    shop.finds(shop.plain, "key 'k' of 'start:words' counts for ")


def test_a_key_that_leads_elsewhere(shop, forger):
    """A firing started one run, and its key leads to another."""
    forger.run(
        "UPDATE inbox SET stream = ? WHERE source = 'trigger:drops' AND key LIKE 'a.txt%'",
        shop.plain,
    )
    shop.finds(shop.trigger, f"by event 2, and leads to '{shop.plain}'")


def test_a_value_that_is_not_there(shop, forger):
    """A large result is named, and its bytes are gone."""
    forger.run("DELETE FROM blob WHERE length(content) > 64000")
    shop.finds(shop.plain, "event 7 names blob ")


def test_a_definition_that_is_not_there(shop, forger):
    """Without its definition a run cannot be folded."""
    forger.run(
        "DELETE FROM blob WHERE sha256 = (SELECT needs FROM stream WHERE id = ?)", shop.paper
    )
    shop.finds(shop.paper, "event 1 (run.started of 'run'): ")


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("UPDATE event SET data = '{}' WHERE stream = ? AND version = 4", "event 4 (position "),
        ("DELETE FROM event WHERE stream = ? AND version = 4", "event 4 is missing"),
        ("DELETE FROM event WHERE stream = ? AND version > 4", "its last event is 4"),
        ("DELETE FROM stream WHERE id = ?", "it has events but no row"),
        ("UPDATE stream SET hash = x'00' WHERE id = ?", "another hash"),
        ("UPDATE stream SET version = 1000000000 WHERE id = ?", "its last event is 9"),
    ],
)
def test_a_broken_chain_is_told_once(attack, told, shop, forger):
    """What follows from a broken chain (folds, snapshots, rows) is not told beside it."""
    forger.run(attack, shop.answered)
    (fault,) = shop.look().faults
    assert (fault.stream, told in fault) == (shop.answered, True), fault


def test_a_gap_of_thousands_of_versions_is_walked_over(shop, forger):
    """Events far behind a gap are found without reading all that is not there."""
    forger.run(
        "UPDATE event SET version = 50000 WHERE stream = ? AND version = 9", shop.answered
    )
    forger.row(shop.answered, version=50000)
    faults = shop.look().faults
    assert "event 9 to 49999 is missing" in faults[0]
    assert {fault.stream for fault in faults} == {shop.answered}


def test_a_tombstone_is_no_fault(shop, forger):
    """A stream whose events retention has taken keeps its row, and its keys still count."""
    forger.run("DELETE FROM event WHERE stream = ?", shop.plain)
    assert "its last event is 0" in shop.look().faults[0]
    forger.row(shop.plain, purged=5)
    verdict = shop.look()
    assert (verdict.faults, verdict.pruned) == ([], 1)


def test_one_run_alone(shop, forger):
    """With a run only its own faults are told; one that is not there is refused."""
    forger.row(shop.plain, status="failed")
    forger.row(shop.paper, status="failed")
    (fault,) = shop.look(run=shop.paper).faults
    assert (fault.stream, fault.version) == (shop.paper, 12)
    assert shop.look(run=shop.answered).events == 9
    with pytest.raises(PlayheadError, match="no run"):
        shop.look(run="nobody")


def test_a_row_that_cannot_be_read(shop, forger):
    """Tags that are no JSON are told with the stream; what lies beside the streams still is."""
    forger.row(shop.answered, tags="{bad")
    forger.run("INSERT INTO inbox VALUES ('drops', 'x', 'nowhere')")
    row, key = shop.look().faults
    assert f"the row of stream '{shop.answered}' cannot be read: " in row
    assert "leads to stream 'nowhere'" in key
