"""What is worth a look and no fault: work that waits, leases that ran out."""

import freezegun
import pytest

from engine.audit import notes
from eventstore import WorkerRow, clock
from tests.engine.audit.conftest import T0

LATER = "2030-01-01T00:30:00+00:00"


def enter(log, until, name="east"):
    """Let a worker enter whose lease runs out then; gives its id."""
    log.enter(WorkerRow("w1", name, "host", 1, 0, until, ()))
    return "w1"


def test_a_run_that_was_due_long_ago(shop):
    """It is named with the moment; one that is due later, or held, is left alone."""
    verdict = shop.look(at=LATER)
    (note,) = verdict.notes
    assert note == (
        f"run {shop.fresh} (words) has been due since 2030-01-01T00:00:10Z, and nobody holds it"
    )
    assert (note.stream, verdict.ok) == (shop.fresh, True)
    assert shop.look(at="2030-01-01T00:01:09+00:00").notes == []


def test_many_that_are_late_are_counted(shop, forger, monkeypatch):
    """Ten are named, the others counted: here it is one of each."""
    monkeypatch.setattr(notes, "MOST", 1)
    forger.row(shop.waiting, due=5)
    first, rest = shop.look(at=LATER).notes
    assert first.startswith("run ")
    assert rest == "runs that have been due for long, and that nobody holds: 1 more"


@pytest.mark.parametrize(
    ("lease", "told"),
    [
        (None, "1 run held by worker w1, which has no lease"),
        (
            "2029-12-31T23:59:50+00:00",
            "1 run held by worker east (w1), whose lease ran out at ",
        ),
        ("dead", "1 run held by worker east (w1), which is dead"),
        (LATER, None),
    ],
)
def test_who_holds_runs_without_a_lease(lease, told, shop, forger):
    """No lease, one that ran out, a dead worker's: each is told; a lease that runs is fine."""
    log = shop.engine.log
    if lease == "dead":
        enter(log, 5)
        forger.run("UPDATE worker SET dead = 1")
    elif lease is not None:
        with freezegun.freeze_time(lease):
            enter(log, clock.now_us())
    forger.row(shop.fresh, owner="w1")
    verdict = shop.look(at=T0)
    assert verdict.faults == []
    assert [told in note for note in verdict.notes] == [True] * (told is not None)
    log.leave("w1", now=5)
