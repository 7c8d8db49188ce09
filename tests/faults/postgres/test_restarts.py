"""Rows 12 and 13: the server is restarted, crashes or ends connections, again and again."""

import threading

import pytest

from eventstore.testing import birth, step
from tests.faults.postgres.conftest import told
from tests.faults.stage import story

pytestmark = pytest.mark.slow


class Load(threading.Thread):
    """Appends one event after another to a stream of its own, until it is told to stop."""

    def __init__(self, log, name):
        super().__init__(daemon=True)
        self.log, self.stream, self.error = log, name, None
        self.stops = threading.Event()
        self.tip = birth(log, name)
        self.start()

    def run(self):
        try:
            while not self.stops.is_set():
                self.tip = step(self.log, self.stream, self.tip)
        except Exception as error:  # noqa: BLE001 - it is judged in `finish`
            self.error = error

    def finish(self):
        """Give how many events were acknowledged."""
        self.stops.set()
        self.join(60)
        assert self.error is None
        return self.tip.version


def grown(loads):
    """Give a condition: each of some loads has acknowledged ten more events; none has failed."""

    def condition(goals=tuple(load.tip.version + 10 for load in loads)):
        for load in loads:
            if load.error is not None:
                raise load.error
        return all(load.tip.version >= goal for load, goal in zip(loads, goals, strict=True))

    return condition


@pytest.mark.parametrize("fault", ["terminated", "fast", "immediate", "killed"])
def test_what_was_acknowledged_is_there_once(
    own_postgres, postgres_database, postgres_url, log_at, log, until, fault
):
    """Rows 12, 13: whatever ends the connections in mid-append, no append fails or counts twice."""
    loads = [Load(log_at(postgres_url), f"s{number}") for number in range(4)]
    for _ in range(3):
        until(grown(loads))
        if fault == "terminated":
            for pid in own_postgres.backends(postgres_database):
                own_postgres.terminate(pid)
        elif fault == "killed":
            own_postgres.kill(own_postgres.backends(postgres_database)[0])
        else:
            own_postgres.restart(fault)
    until(grown(loads))
    acknowledged = [load.finish() for load in loads]
    for load, version in zip(loads, acknowledged, strict=True):
        events = log.read(load.stream)
        assert [event.version for event in events] == list(range(1, version + 1))
        assert len({event.append_id for event in events}) == version
    assert list(log.verify()) == []


def test_daemons_outlive_a_server_that_stops_again_and_again(
    own_postgres, app, serve, desk, until, noted
):
    """Row 12: two daemons work on through stops of both kinds; nobody dies and nothing is lost."""
    daemons = [serve(), serve()]
    until(lambda: len(desk.log.workers()) == 2)
    runs, stops = [], threading.Event()

    def keep_starting():
        while not stops.is_set():
            runs.append(desk.start(story, x=len(runs)).id)
            stops.wait(0.02)

    starter = threading.Thread(target=keep_starting)
    starter.start()
    for mode in ("immediate", "fast") * 3:
        goal = len(runs) + 10
        until(lambda goal=goal: len(runs) >= goal)
        own_postgres.restart(mode)
    stops.set()
    starter.join()
    until(lambda: len(desk.runs(status="succeeded", limit=None)) == len(runs))
    assert [daemon.process.poll() for daemon in daemons] == [None, None]
    assert len(desk.log.workers()) == 2
    for run in runs:
        kinds = told(desk, run)
        assert kinds.count(("step.succeeded", "first")) == 1
        assert kinds.count(("step.succeeded", "second")) == 1
        assert ("step.lost", "first") not in kinds
        assert ("step.lost", "second") not in kinds
    assert list(desk.log.verify()) == []
