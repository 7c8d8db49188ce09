"""Row 27: the wall clock of one worker jumps, by a preloaded library; the others' clocks do not."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.journeys.conftest import Program

HOUR, DAY = 3600, 86_400
SERVE = "import app, sys; sys.exit(app.make(lease=1.0, threads=4).serve())"
jumps = pytest.mark.parametrize("seconds", [-HOUR, DAY], ids=["an hour back", "a day ahead"])


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """Give the compiled library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler here to make a clock that jumps")
    library = tmp_path_factory.mktemp("shim") / "clock.so"
    source = Path(__file__).with_name("clock_shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Jumping(Program):
    """A program whose wall clock is put by `jump`."""

    def __init__(self, shim, folder, code):
        self.offset = folder / "offset"
        self.jump(0)
        before = os.environ.copy()
        os.environ.update(LD_PRELOAD=str(shim), CLOCK_OFFSET=str(self.offset))
        try:
            super().__init__(folder, code)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def jump(self, seconds):
        """Put the clock so many seconds from the true time."""
        aside = self.offset.with_suffix(".new")
        aside.write_text(str(seconds))
        aside.replace(self.offset)


@pytest.fixture
def jumping(app, shim):
    """Start a program with a clock that can be put; it is killed at the end."""
    begun = []

    def start(code=SERVE):
        begun.append(Jumping(shim, app, code))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def whole(desk, run, *steps):
    """Hold that each result is recorded once, nobody is charged, and the order is the versions'."""
    events = desk.history(run)
    kinds = [(event.type, event.subject) for event in events]
    assert [kinds.count(("step.succeeded", step)) for step in steps] == [1] * len(steps)
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    lost = [event for event in events if event.type == "step.lost"]
    assert [event.data.get("deaths", 0) for event in lost] == [0] * len(lost)


def test_the_shim_moves_the_clock_and_nothing_else(jumping):
    """The test of the tester: `datetime.now` jumps by a day, the monotonic clock does not."""
    code = """
import datetime, time, sys
input_ = open("offset", "w"); input_.write("86400"); input_.close()
since = time.monotonic()
print(datetime.datetime.now(datetime.timezone.utc).isoformat(), time.monotonic() - since < 5)
"""
    status, out, err = jumping(code).finish()
    assert (status, err) == (0, "")
    moment, is_steady = out.split()
    away = datetime.fromisoformat(moment) - datetime.now(UTC)  # noqa: TID251 - the true time
    assert timedelta(hours=23) < away < timedelta(hours=25)
    assert is_steady == "True"


@pytest.mark.slow
@jumps
def test_a_clock_that_jumps_beside_one_that_is_right(
    jumping, serve, started, desk, ended, seconds, noted
):
    """Two daemons share 16 runs while the clock of one jumps: each result counts once.

    Whoever takes a run from the other by the wrong clock fences it; nobody is charged with it.
    """
    one = jumping()
    serve("lease=1.0, threads=4")
    ended(started("light", *range(4)))
    runs = started("story", *range(8))
    one.jump(seconds)
    runs += started("story", *range(8))
    (long,) = started("sleepy", 2)
    ended([*runs, long])
    for run in runs:
        whole(desk, run, "first", "second", "third")
    whole(desk, long, "sleep")
    keys = {note[3] for note in noted("sleep")}
    assert keys == {f"{long}/sleep:1"}
    assert list(desk.log.verify()) == []


@pytest.mark.slow
@jumps
def test_a_clock_that_jumps_alone(app, jumping, started, desk, ended, until, seconds):
    """A worker whose clock jumps under a step keeps its lease, records the result and goes on."""
    one = jumping()
    (run,) = started("story", 1)
    ended([run])
    (app / "hang").touch()
    (held,) = started("story", 5)
    until((app / "hanging").exists)
    one.jump(seconds)
    until(lambda: abs((desk.log.workers()[0].until - _now()) / 1e6 - seconds) < 60)
    (app / "hang").unlink()
    ended([held])
    whole(desk, held, "first", "second", "third")
    assert [event.type for event in desk.history(held)].count("step.lost") == 0


def _now():
    return datetime.now(UTC).timestamp() * 1e6  # noqa: TID251 - the true time


def test_a_timer_never_fires_early_by_the_clock_that_fires_it(
    jumping, serve, desk, until, starter
):
    """A timer of an hour: it fires when some worker's clock says so, and records that time.

    It is early by no more than the clock is wrong; an hour back it does not fire.
    """
    one = jumping()
    run = starter.start("hour").id
    serve("lease=1.0")
    until(lambda: desk.get(run).status == "waiting")
    until(lambda: len(desk.log.workers()) == 2)
    one.jump(-HOUR)
    until(lambda: any(w.until < _now() - HOUR / 2 * 1e6 for w in desk.log.workers()))
    assert desk.get(run).status == "waiting"
    one.jump(DAY)
    until(lambda: desk.get(run).status == "succeeded")
    kinds = {event.type: event for event in desk.history(run)}
    due = kinds["timer.set"].data["due"]
    fired = kinds["timer.fired"].at.timestamp() * 1e6
    assert due <= fired < _now() + (DAY + 60) * 1e6
    assert [e.type for e in desk.history(run)].count("timer.fired") == 1
