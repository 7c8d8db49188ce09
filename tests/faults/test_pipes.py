"""Row 54: nobody reads stdout or stderr, or the reader is slow or gone; whoever works, works on."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from playhead import Engine, Workflow, step
from tests.journeys.conftest import wait_until

LOUD = """
import logging
import app
from playhead import Context, Engine, Workflow, step

{setup}

@step
def say(x: int, ctx: Context) -> int:
    {words}
    return x

loud = Workflow("loud", steps=[say])
engine = Engine("sqlite:///log.db", workflows=[loud, app.light], threads=2, grace={grace})
"""
LINE = '"x" * 99'
OWN_HANDLER = """
import sys
from engine import serving
serving.LAST = 1.0
logging.basicConfig(stream=sys.stdout)
"""


class Unread:
    """A program of the command line whose stderr, or stdout, is a pipe of 4 KiB read by nobody."""

    def __init__(self, folder, *words, stream="stderr"):
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writing}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "playhead", *words],
            cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **streams,
        )  # fmt: skip
        os.close(writing)

    def text(self):
        """Read at last, to the end."""
        with os.fdopen(self.reading, errors="replace") as pipe:
            self.reading = None
            return pipe.read()

    def is_full(self):
        """Tell whether the pipe can take no more than a few bytes."""
        waiting = fcntl.ioctl(self.reading, 0x541B, b"\0" * 4)  # FIONREAD
        return int.from_bytes(waiting, sys.byteorder) > 3900

    def drop(self):
        """Go away without having read."""
        if self.reading is not None:
            os.close(self.reading)
            self.reading = None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.drop()


@pytest.fixture
def unread(app):
    """Start commands that nobody reads; all are ended at the end."""
    begun = []

    def start(*words, **options):
        begun.append(Unread(app, *words, **options))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


@pytest.fixture
def loud(app):
    """Lay out an app whose step says something to a stream."""

    def lay(words, setup="", grace=0.3):
        (app / "loud.py").write_text(LOUD.format(words=words, setup=setup, grace=grace))

    return lay


@step
def say(x: int) -> int:
    return x


@pytest.fixture
def spoken(app):
    """Start loud runs; the daemon's own definition is the same."""
    workflow = Workflow("loud", steps=[say])
    engine = Engine(f"sqlite:///{app / 'log.db'}", workflows=[workflow])
    yield lambda count: [engine.start(workflow, x=x).id for x in range(count)]
    engine.close()


@pytest.mark.slow
def test_a_daemon_whose_lines_nobody_reads(unread, loud, spoken, desk, ended):
    """A full stderr: 300 runs and their warnings are done; SIGTERM ends it with 0, softly."""
    loud(f"ctx.log.warning({LINE})")
    daemon = unread("serve", "loud.py")
    ended(spoken(300))
    assert daemon.is_full()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0
    assert desk.log.workers() == []
    said = daemon.text()
    assert "is ready on" in said
    assert len(said) < 5000


def test_a_daemon_whose_reader_comes_late(unread, loud, spoken, ended):
    """Lines wait for a slow reader: none is lost, and the last one comes too."""
    loud(f"ctx.log.warning({LINE})")
    daemon = unread("serve", "loud.py")
    ids = spoken(100)
    ended(ids)
    read = []
    reader = threading.Thread(target=lambda: read.append(daemon.text()))
    reader.start()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0
    reader.join()
    assert all(f"{run} loud: succeeded" in read[0] for run in ids)
    assert read[0].count("x" * 99) == 100
    assert read[0].endswith("drained; what was not done stays in the log\n")


def test_a_daemon_whose_reader_has_gone(unread, loud, spoken, ended):
    """A closed stderr is no reason to end, nor to end badly."""
    loud(f"ctx.log.warning({LINE})")
    daemon = unread("serve", "loud.py")
    wait_until(lambda: os.read(daemon.reading, 100))
    daemon.drop()
    ended(spoken(20))
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "setup", "code"),
    [
        ("print('x' * 9999)", "", 0),
        (f"for _ in range(99): ctx.log.warning({LINE})", OWN_HANDLER, 130),
    ],
    ids=["print", "handler"],
)
def test_a_step_that_waits_for_its_reader_waits_alone(
    unread, loud, spoken, started, desk, ended, until, words, setup, code
):
    """What a step prints, or logs by its own handler, holds that step; others go on.

    SIGTERM ends the daemon after `grace`, and the step is released, charged to nobody. Only if
    the app's own handler holds the daemon's last word too is it not waited for, and that is 130.
    """
    loud(words, setup=setup)
    daemon = unread("serve", "loud.py", stream="stdout")
    (stuck,) = spoken(1)
    until(daemon.is_full)
    ended(started("light", *range(20)))
    assert desk.get(stuck).status == "running"
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == code
    lost = desk.history(stuck)[-1]
    assert (lost.type, lost.data["reason"]) == ("step.lost", "its worker shut down")


def test_a_run_whose_progress_nobody_reads(unread, loud, app, desk, until):
    """`run` with a full stderr does its work; the run has ended before a line is read."""
    loud("for n in range(200): ctx.progress(n / 200, 'x' * 99); ctx.log.info('')")
    one = unread("run", "loud.py:loud", "x=1")
    until(lambda: (app / "log.db").exists() and desk.runs(status="succeeded"))
    assert one.process.poll() is None, "the last lines wait for their reader"
    said = one.text()
    assert one.process.wait(60) == 0
    assert "say: succeeded" in said


TORN = """
import signal, sys
from engine.serving import _Asked
if len(sys.argv) > 1:
    sys.stderr.write("x" * int(sys.argv[1]))
_Asked(None)(signal.SIGALRM, None)
"""


@pytest.mark.parametrize(("before", "told"), [(0, True), (4096, False)])
def test_the_last_word_of_what_hangs_waits_for_nobody(before, told):
    """A process torn off by its alarm says so if the pipe has room, and ends in any case."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    one = subprocess.Popen([sys.executable, "-c", TORN, str(before)], stderr=writing)
    os.close(writing)
    try:
        assert one.wait(20) == 130
    finally:
        one.kill()
        one.wait()
    with os.fdopen(reading) as pipe:
        assert ("something hangs" in pipe.read()) is told
