"""Engines on one database share runs, breakers and triggers; what one is told, all know."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.servers.waiting import wait_for

TRIGGERS = "triggers=app.triggers()"


def most_at_once(notes):
    """Give how many naps were taken at the same time, by what was written down."""
    moments = sorted((note[4], 1 if note[0] == "nap" else -1) for note in notes)
    most = flying = 0
    for _, change in moments:
        flying += change
        most = max(most, flying)
    return most


def test_another_process_adds_throughput(fleet):
    """Two processes with two slots each have three or four steps in flight, one has two."""
    fleet.serve("threads=2")
    fleet.done(fleet.start("naps", *range(8)))
    assert most_at_once(fleet.notes()) == 2
    fleet.serve("threads=2")

    def are_side_by_side():
        fleet.done(fleet.start("naps", *range(32)))
        return most_at_once(fleet.notes()) > 2

    wait_for(are_side_by_side, "more naps at once than one process has slots")
    assert most_at_once(fleet.notes()) in {3, 4}
    assert len({note[3] for note in fleet.notes()}) == 2
    fleet.check()


def test_a_signal_from_a_third_process(fleet):
    """A process that does no work signals runs that wait; either of two others goes on."""
    fleet.serve("", "")
    runs = [run for _ in range(6) for run in fleet.start("patient")]
    wait_for(lambda: all(run.status == "waiting" for run in runs), "runs that wait")
    for number, run in enumerate(runs):
        fleet.engine.signal(run, "go", number, key="once")
        fleet.engine.signal(run, "go", number, key="once")
    assert fleet.done(runs) == list(range(6))
    assert all(len(fleet.told(run, "signal.received")) == 1 for run in runs)
    fleet.check()


@pytest.mark.slow
def test_two_processes_share_a_breaker(fleet):
    """A breaker opens once for both and has one probe at a time; who is parked goes on after."""
    fleet.touch("down")
    fleet.touch("gate")
    fleet.serve("threads=2", "threads=2")
    runs = fleet.start("guarded", *range(16))
    breaker = fleet.engine.breaker("api")
    wait_for(lambda: len({note[3] for note in fleet.notes("ask")}) == 2, "steps in both")
    fleet.remove("gate")
    wait_for(lambda: breaker.state != "closed", "an open breaker")
    fleet.remove("down")
    wait_for(lambda: all(run.status in {"succeeded", "failed"} for run in runs), "the ends")
    assert breaker.state == "closed"
    moves = [event.type for event in fleet.engine.log.read("breaker:api")]
    notes = {"breaker.failed", "breaker.recovered"}
    assert [move for move in moves if move not in notes] == [
        "breaker.opened", "breaker.half_opened", "breaker.probed", "breaker.closed",
    ]  # fmt: skip
    failed = [run for run in runs if run.status == "failed"]
    assert 3 <= len(failed) <= 6  # three open it; so many may have been in flight beside
    fleet.check()


@pytest.mark.slow
def test_two_processes_share_their_triggers(any_fleet):
    """The same cron, interval and file triggers in two processes fire each slot and file once."""
    fleet = any_fleet
    inbox = fleet.folder / "inbox"
    inbox.mkdir()
    servers = fleet.serve(TRIGGERS, TRIGGERS)
    for number in range(12):
        (inbox / f"{number}.txt").write_text(str(number))
    engine = fleet.engine
    wait_for(lambda: len(engine.runs("files", "succeeded")) >= 12, "the files")
    for server in servers:
        goal = len(engine.runs("beats", limit=None)) + 10
        wait_for(lambda: len(engine.runs("beats", limit=None)) >= goal, "slots")  # noqa: B023
        server.kill()
    read = [next(iter(row.inputs.values())) for row in engine.runs("files", limit=None)]
    assert sorted(map(str, read)) == sorted(str(inbox / f"{n}.txt") for n in range(12))
    for name, every in (("beats", timedelta(seconds=0.25)), ("ticks", timedelta(seconds=1))):
        rows = engine.runs(name, limit=None)
        slots = sorted(datetime.fromisoformat(str(row.inputs["slot"])) for row in rows)
        assert {after - before for before, after in pairwise(slots)} == {every}, name
        assert slots[-1] - slots[0] > timedelta(seconds=2), name
    fleet.check()
