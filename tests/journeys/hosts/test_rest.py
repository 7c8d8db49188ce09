"""Processes at rest leave the database at rest; what one writes, the others hear of at once."""

import re
import statistics
from collections import Counter

import pytest

from eventstore import clock
from tests.journeys.hosts.fleet import SOON, Fleet, now
from tests.servers.waiting import wait_for

TRIGGERS = "triggers=app.triggers()[2:] + app.quiet()"
SECONDS, PROCESSES = 10.0, 3


@pytest.mark.slow
def test_at_rest(fleet, statements):
    """Each of three idle processes with triggers asks less than once a second."""
    (fleet.folder / "inbox").mkdir()
    (fleet.folder / "inbox" / "old.txt").write_text("read long ago")
    fleet.serve(*[TRIGGERS] * PROCESSES)
    fleet.engine.close()
    clock.real_sleep(8)  # what was written at the start has been looked at
    for _ in range(3):  # the start was slow, or a process stood still
        said = statements(lambda: clock.real_sleep(SECONDS))
        if len(said) <= PROCESSES * SECONDS:
            return
    pytest.fail(f"{Counter(text[:60] for _, text in said)} in {SECONDS} s")


def test_the_way_to_another_process_is_short(fleet):
    """A start in one process is at work in another within moments, and so is a signal."""
    fleet.serve()
    fleet.done(fleet.start("light", *range(3)))
    assert any(way(fleet) < 0.2 for _ in range(3))  # a machine may be busy with other things


def way(fleet):
    """Give the seconds that starts and signals take to another process: the longer median."""
    starts, signals = [], []
    for number in range(20):
        (run,) = fleet.start("patient")
        wait_for(lambda: run.status == "waiting", "a run that waits")  # noqa: B023
        fleet.engine.signal(run, "go", number)
        fleet.done([run])
        (received,) = fleet.told(run, "signal.received")
        (begun,) = fleet.told(run, "step.started")
        signals.append((begun.at - received.at).total_seconds())
        (run,) = fleet.start("light", number)
        fleet.done([run])
        first, begun = fleet.told(run)[:2]
        starts.append((begun.at - first.at).total_seconds())
    return max(statistics.median(starts), statistics.median(signals))


def forbidden(said):
    """Give what was done that would be lost, or do harm, behind a pooler."""
    patterns = {
        "listens": "LISTEN",
        "locks": r"pg_(try_)?advisory_lock\(",
        "hints": "pg_notify",
    }
    done = {
        what
        for what, pattern in patterns.items()
        if any(re.search(pattern, text) for _, text in said)
    }
    is_prepared = any(name not in {"", "<unnamed>"} for name, _ in said)
    return done | ({"prepares"} if is_prepared else set())


@pytest.fixture(params=["pgbouncer", "proxy"])
def pooled(request, tmp_path, program, postgres_url):
    """Give an application behind a pooler in transaction mode, real and played."""
    if request.param == "pgbouncer":
        url = request.getfixturevalue("bouncer_url")
    else:
        proxy = request.getfixturevalue("postgres_proxy")
        proxy.poses_as_pooler = True
        url = proxy.url(postgres_url)
    made = Fleet(tmp_path, url, program)
    yield made
    made.engine.close()


@pytest.mark.slow
def test_behind_a_pooler(pooled, statements):
    """Nothing is hinted at, locked or prepared; starts, signals and deaths are found by looking."""

    def work():
        victim, heir = pooled.serve("lease=2.0", "lease=2.0")
        pooled.touch("hang")
        (run,), (waiter,) = pooled.start("story", 1), pooled.start("patient")
        wait_for(lambda: waiter.status == "waiting", "a run that waits")
        pooled.engine.signal(waiter, "go", 7)
        assert pooled.done([waiter]) == [7]
        pid = wait_for(lambda: pooled.notes("second"), "a step that hangs")[0][3]
        if pid != victim.process.pid:
            victim, heir = heir, victim
        victim.kill()
        died = now()
        pooled.remove("hang")
        assert pooled.done([run]) == [25]
        assert pooled.notes("second")[1][3] == heir.process.pid
        assert pooled.notes("second")[1][4] - died < 2.0 + SOON

    said = statements(work)
    assert forbidden(said) == set()
    assert any("INSERT" in text for _, text in said)
    pooled.check()


def test_in_front_of_no_pooler(fleet, statements):
    """On a connection of its own a process listens, holds a lock, hints, and prepares."""

    def work():
        fleet.serve()
        fleet.done(fleet.start("light", *range(5)))

    assert forbidden(statements(work)) == {"listens", "locks", "hints", "prepares"}
