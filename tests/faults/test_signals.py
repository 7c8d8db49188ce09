"""Rows 25 and 26: signals at any moment: idle, in a step, in a commit; twice; SIGINT, SIGHUP."""

import contextlib
import signal
import subprocess

import pytest

from tests.journeys.conftest import Program

NAMES = ("first", "second", "third")
SERVE = "import app, sys; sys.exit(app.make(threads=4).serve())"
TELLING = """
import app, sys
from engine.serving import serve

class Teller:
    def opened(self):
        pass

    def draining(self, is_hurried):
        print("draining", flush=True)

sys.exit(serve(app.make(threads=4), Teller()))
"""
IN_COMMIT = """
import app, itertools, os, signal, sys
engine = app.make(threads=4)
database, count = engine.log.database, itertools.count(1)
commit = database.commit

def interrupted(session, size):
    if next(count) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGTERM)
        print("told", flush=True)
    commit(session, size)

database.commit = interrupted
sys.exit(engine.serve())
"""


def told(desk, run):
    return [(event.type, event.subject) for event in desk.history(run)]


def whole(desk, runs):
    """Hold that each result was recorded once, that nobody was charged, and that chains hold."""
    for run in runs:
        kinds = told(desk, run)
        assert [kinds.count(("step.succeeded", name)) for name in NAMES] == [1, 1, 1]
        lost = [event for event in desk.history(run) if event.type == "step.lost"]
        assert [event.data.get("deaths", 0) for event in lost] == [0] * len(lost)
    assert list(desk.log.verify()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_daemon_ends_at_once(serve, started, ended, desk, number):
    """Row 25: exit code 0, nothing said, no worker left in the log."""
    server = serve()
    ended(started("light", 1))
    server.process.send_signal(number)
    assert server.finish() == (0, "", "")
    assert desk.log.workers() == []


def test_a_drain_takes_no_more(app, program, serve, started, ended, desk, until):
    """Row 25: from the signal on nothing new starts, also while a step is waited for."""
    (run,) = started("story", 1)
    (app / "hang").touch()
    server = program(TELLING)
    until((app / "hanging").exists)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.stdout.readline() == "draining\n"
    is_taken = True
    while is_taken:  # by a look that was under way
        (later,) = started("light", 2)
        with contextlib.suppress(AssertionError):
            is_taken = False
            is_taken = until(lambda: len(told(desk, later)) > 1, 1)  # noqa: B023
    assert server.process.poll() is None
    (app / "hang").unlink()
    assert server.finish()[0] == 0
    assert [kind for kind, _ in told(desk, later)] == ["run.started"]
    assert ("step.succeeded", "second") in told(desk, run)
    assert ("step.started", "third") not in told(desk, run)
    assert desk.log.workers() == []
    serve()
    ended([run, later])
    whole(desk, [run])


def test_a_step_beyond_grace_is_let_go_of(app, serve, started, ended, desk, until, noted):
    """Row 25: after `grace` the run is released, charged to nobody, and another goes on."""
    (run,) = started("story", 1)
    (app / "hang").touch()
    server = serve("grace=0.2, lease=60.0")
    until((app / "hanging").exists)
    server.process.send_signal(signal.SIGTERM)
    status, _, err = server.finish()
    assert status == 0
    assert "did not return within 0.2 s" in err
    lost = desk.history(run)[-1]
    assert (lost.type, lost.data["reason"]) == ("step.lost", "its worker shut down")
    assert (desk.log.head(run).owner, desk.log.workers()) == (None, [])
    (app / "hang").unlink()
    serve("lease=60.0")
    ended([run])
    whole(desk, [run])
    assert [note[0] for note in noted()] == ["first", "second", "second", "third"]


@pytest.mark.parametrize("number", [4, 9, 23])
def test_a_signal_in_the_middle_of_a_commit(app, program, serve, started, ended, desk, number):
    """Row 25: SIGTERM between BEGIN and COMMIT, at the nth one: drained, 0, nothing twice."""
    runs = started("story", *range(12))
    status, out, err = program(IN_COMMIT, number).finish()
    assert (status, err) == (0, "")
    assert out == "told\n"
    assert desk.log.workers() == []
    serve()
    ended(runs)
    whole(desk, runs)


def test_two_signals_under_load(serve, started, ended, desk, until, noted):
    """Row 26: a second signal stops at once, exit code 130; the log is sound, the rest is done."""
    started("sleepy", 60)  # else a drain may be over before the second signal comes
    runs = started("story", *range(60))
    server = serve("threads=4")
    until(lambda: noted("sleep") and desk.runs(status="succeeded"))
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    assert server.finish()[0] == 130
    assert list(desk.log.verify()) == []
    serve()
    ended(runs)
    whole(desk, runs)


def test_a_hangup_hurries_nobody(app, serve, started, ended, desk, until):
    """Row 26: SIGHUP drains like SIGTERM; a terminal that goes sends it twice, and that is once."""
    (run,) = started("story", 1)
    (app / "hang").touch()
    server = serve()
    until((app / "hanging").exists)
    server.process.send_signal(signal.SIGHUP)
    server.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(0.3)
    (app / "hang").unlink()
    assert server.finish()[0] == 0
    assert ("step.succeeded", "second") in told(desk, run)


def test_under_nohup_a_hangup_is_nothing(app, started, ended, desk):
    """Row 26: a daemon that was told to ignore SIGHUP works on; SIGTERM ends it."""
    (app / "serve.py").write_text(
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SERVE
    )
    server = Program(app, "import runpy; runpy.run_path('serve.py')")
    try:
        ended(started("light", 1))
        server.process.send_signal(signal.SIGHUP)
        ended(started("light", 2))
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.finish()[0] == 0
    finally:
        if server.process.poll() is None:
            server.kill()
