"""A log that engines wrote has no fault, however deep the look."""


def test_a_healthy_log_stays_quiet(shop):
    """Runs, a breaker, a trigger, snapshots, keys and a blob: nothing is told, all is counted."""
    verdict = shop.look()
    assert (verdict.faults, verdict.notes, verdict.ok) == ([], [], True)
    assert verdict.snapshots >= 5
    assert verdict.streams == 12
    shallow = shop.look(deep=False)
    assert (shallow.faults, shallow.events, shallow.snapshots) == ([], verdict.events, 0)
