"""Two living workers under one name: the id and the epoch decide, and people are told."""

import json
import os
import signal
import subprocess
import sys

import pytest

from engine.namesakes import namesakes
from eventstore import open_log
from eventstore.errors import Fenced
from eventstore.store import WorkerRow
from eventstore.testing import birth, step
from tests.journeys.conftest import wait_until

WARNED = "another worker is named 'ann'"


def worker(id_, name="ann", host="h", pid=1, until=10, **more):
    return WorkerRow(id_, name, host, pid, 0, until, (), **more)


@pytest.mark.slow
def test_two_daemons_of_one_name_share_the_work(app, serve, started, desk, ended, noted):
    """Row 22: the second start warns and names the first's process; each result counts once."""
    one = serve("worker='ann', threads=2")
    warm = started("light", 1)
    ended(warm)
    two = serve("worker='ann', threads=2")
    wait_until(lambda: len(desk.log.workers()) == 2, what="the second worker")
    runs = started("story", *range(20))
    ended(runs)
    for run in runs:
        kinds = [(event.type, event.subject) for event in desk.history(run)]
        assert [kinds.count(("step.succeeded", s)) for s in ("first", "second", "third")] == [
            1, 1, 1,
        ]  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-m", "playhead", "stats", "--url", desk.url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for daemon, other in ((one, two), (two, one)):
        assert f"process {daemon.process.pid}: lease until" in told
        assert f"    the same name: process {other.process.pid} on " in told
    errors = []
    for daemon in (one, two):
        daemon.process.send_signal(signal.SIGTERM)
        status, _, err = daemon.finish()
        assert status == 0, err
        errors.append(err)
    assert WARNED not in errors[0]
    assert errors[1].count(WARNED) == 1
    assert f"process {one.process.pid} on " in errors[1]


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_a_name_is_free_again_when_its_worker_is_gone(serve, started, ended, desk, how):
    """A restart under the same name is quiet, also right after `kill -9`, within the lease."""
    one = serve("worker='ann', lease=60.0")
    ended(started("light", 1))
    if how == "killed":
        one.kill()
    else:
        one.process.send_signal(signal.SIGTERM)
        assert one.finish()[0] == 0
    assert len(desk.log.workers()) == (how == "killed")
    two = serve("worker='ann', lease=60.0")
    ended(started("light", 2))
    two.process.send_signal(signal.SIGTERM)
    status, _, err = two.finish()
    assert status == 0
    assert WARNED not in err


def test_other_names_and_no_names_are_quiet(app, program):
    """Two engines of different names, or of none, beside each other say nothing."""
    code = """
import app, json
told = []
for names in ((None, None), ("ann", "bob"), (None, "ann")):
    with app.make(worker=names[0]) as one, app.make(worker=names[1]):
        assert len(one.log.workers()) == 2
"""
    assert program(code).finish() == (0, "", "")


def test_one_engine_that_works_again_and_again_is_told_once(app, program):
    """Each `run()` enters anew; the other's name is told the first time only."""
    code = """
import app
one, two = app.make(worker="ann"), app.make(worker="ann")
with one:
    for x in range(3):
        two.run(app.light, x=x)
        two.run_until_idle()
"""
    status, _, err = program(code).finish()
    assert status == 0
    assert err.count(WARNED) == 1


def test_the_epoch_decides_and_not_the_name(tmp_path):
    """Row 22: alike in name, host and process, as in two containers, one fences the other."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    one, two = open_log(url), open_log(url)
    one.enter(worker("a", until=10))
    tip = birth(one, "s", owner="a")
    two.enter(worker("b", until=100))
    (claim,) = two.claim("b", kind="run", now=50, limit=1)
    assert (claim.lost_by, claim.died) == ("a", False)
    with pytest.raises(Fenced):
        step(one, "s", tip)
    step(two, "s", claim.head.tip)
    assert list(two.verify()) == []
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("other", "count"),
    [
        (worker("b"), 1),
        (worker("a"), 0),
        (worker("b", name="bob"), 0),
        (worker("b", until=5), 0),
        (worker("b", dead=True), 0),
        (worker("b", name="h:1"), 0),
        (worker("b", host="elsewhere", pid=2), 1),
    ],
    ids=["alike", "itself", "other name", "lease ran out", "dead", "made up", "elsewhere"],
)
def test_who_is_a_namesake(other, count):
    """A living other worker that was given the same name."""
    assert len(namesakes(worker("a"), [worker("a"), other], 5)) == count


def test_names_made_up_of_host_and_process_are_nobodys():
    """Two containers may have the same host name and the same process number."""
    rows = [worker("a", name="h:1"), worker("b", name="h:1")]
    assert namesakes(rows[0], rows, 5) == []


def test_stats_as_json_names_them(app, program, desk):
    """`playhead stats --json` lists for each worker who bears its name too."""
    code = """
import app, subprocess, sys
with app.make(worker="ann"), app.make(worker="ann"), app.make(worker="bob"):
    subprocess.run([sys.executable, "-m", "playhead", "stats", "--json", "--url", sys.argv[1]])
"""
    one = program(code, desk.url)
    _, out, _ = one.finish()
    rows = {row["id"]: row for row in json.loads(out)["workers"]}
    by_name = {row["name"]: row for row in rows.values()}
    ann = [row["id"] for row in rows.values() if row["name"] == "ann"]
    assert {n["id"] for one in ann for n in rows[one]["namesakes"]} == set(ann)
    assert by_name["bob"]["namesakes"] == []
    assert by_name["ann"]["namesakes"][0]["pid"] == one.process.pid != os.getpid()
