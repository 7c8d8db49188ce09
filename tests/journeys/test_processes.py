"""Several processes on one log: deaths, zombies, drains, quarantine, forks."""

import contextlib
import json
import shutil
import signal as signals
import sqlite3
from pathlib import Path

import pytest

from eventstore import clock, open_log
from playhead import Engine
from tests.servers.kinds import POSTGRES

STAGE = Path(__file__).parents[1] / "faults" / "stage.py"
SERVE = "import app; app.make({options}).serve()"
LONG = "lease=90.0"  # seconds: nothing waits for it to run out
ONE = """
import app, sys
engine = app.make({options})
run = engine.get(sys.argv[1])
with engine:
    print(run.result(timeout=50))
"""


@pytest.fixture(params=["sqlite", POSTGRES])
def log_url(request, tmp_path):
    """Give a database that processes can share, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    return request.getfixturevalue("postgres_log_url")


@pytest.fixture
def app(tmp_path, log_url):
    """Write the application; give its folder."""
    shutil.copy(STAGE, tmp_path / "app.py")
    (tmp_path / "url").write_text(log_url)
    return tmp_path


@pytest.fixture
def serve(program):
    """Start a process that serves the application."""
    return lambda options="": program(SERVE.format(options=options))


@pytest.fixture
def reader(app, log_url):
    """Give an engine that only reads and steers."""
    with contextlib.closing(Engine(log_url)) as engine:
        yield engine


def noted(app):
    """Give what the steps wrote down."""
    path = app / "notes.txt"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def started(program, workflow, *inputs):
    """Start runs of a workflow in a process that ends at once; give their ids."""
    code = (
        "import app, sys; engine = app.make()\n"
        f"for x in map(int, sys.argv[1:]): print(engine.start(app.{workflow}, x=x).id)"
    )
    status, out, err = program(code, *inputs).finish()
    assert status == 0, err
    return out.split()


def test_start_in_one_process_and_work_in_another(app, program, serve, reader, until):
    """What one process starts and leaves, another does."""
    (run_id,) = started(program, "story", 1)
    assert noted(app) == []
    serve()
    until(lambda: reader.get(run_id).status == "succeeded")
    assert reader.get(run_id).result(timeout=1) == 25
    assert [n[0] for n in noted(app)] == ["first", "second", "third"]


def test_a_start_reaches_a_serving_process_at_once(app, program, serve, reader, until):
    """A start from another process wakes the idle server: no need to wait for its poll."""
    server = serve()
    (warm,) = started(program, "light", 1)
    until(lambda: reader.get(warm).status == "succeeded")
    assert server.process.poll() is None
    waits = []
    for number in range(3):  # the least counts: machines stand still now and then
        (run_id,) = started(program, "light", number)
        until(lambda: reader.get(run_id).status == "succeeded")  # noqa: B023
        asked, begun = reader.history(run_id)[:2]
        waits.append((begun.at - asked.at).total_seconds())
    assert min(waits) < 0.5


def test_a_signal_from_another_process(app, serve, reader, until, program):
    """A signal sent by a process without workflows wakes the run in the one that serves."""
    code = "import app; print(app.make().start(app.patient).id)"
    _, out, _ = program(code).finish()
    run_id = out.strip()
    serve()
    until(lambda: reader.get(run_id).status == "waiting")
    reader.signal(run_id, "go", 7)
    until(lambda: reader.get(run_id).status == "succeeded")
    assert reader.get(run_id).result(timeout=1) == 7


def test_kill_9_in_mid_run_and_another_goes_on_at_once(app, program, serve, reader, until):
    """After `kill -9` another process goes on at once; no finished step is repeated."""
    (run_id,) = started(program, "story", 1)
    (app / "hang").touch()
    victim = serve(LONG)
    until((app / "hanging").exists)
    until(lambda: ("step.succeeded", "first") in told(reader, run_id))
    victim.kill()
    (app / "hang").unlink()
    heir = program(ONE.format(options=LONG), run_id)
    status, out, err = heir.finish()
    assert status == 0, err
    assert out.strip() == "25"
    names = [n[0] for n in noted(app)]
    assert names == ["first", "second", "second", "third"]
    keys = {n[3] for n in noted(app) if n[0] == "second"}
    assert keys == {f"{run_id}/second:1"}
    attempts = [n[2] for n in noted(app) if n[0] == "second"]
    assert attempts in ([1, 1], [1, 2])
    kinds = told(reader, run_id)
    assert ("step.lost", "second") in kinds
    assert kinds.count(("step.succeeded", "first")) == 1
    lost = next(e for e in reader.history(run_id) if e.type == "step.lost")
    again = [e for e in reader.history(run_id) if e.type == "step.started"][-2]
    assert (again.at - lost.at).total_seconds() < 9, "as long as that a suspect would wait"


def told(engine, run):
    return [(event.type, event.subject) for event in engine.history(run)]


def test_a_running_process_takes_over_within_moments(app, program, serve, reader, until):
    """A process already serving takes over a dead one's run well before the lease has run out."""
    (run_id,) = started(program, "story", 1)
    (app / "hang").touch()
    victim = serve(LONG)
    until((app / "hanging").exists)
    serve(LONG)
    (other,) = started(program, "light", 5)
    until(lambda: reader.get(other).status == "succeeded")
    victim.kill()
    (app / "hang").unlink()
    until(lambda: reader.get(run_id).status == "succeeded", 30)
    assert [n[0] for n in noted(app) if n[1] == run_id] == [
        "first",
        "second",
        "second",
        "third",
    ]


def test_processes_share_the_runs(app, program, serve, reader, until):
    """Three processes share the runs; each step's result is recorded exactly once."""
    ids = started(program, "story", *range(60))
    for _ in range(3):
        serve("threads=2")
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 60)
    for run_id in ids:
        kinds = told(reader, run_id)
        for name in ("first", "second", "third"):
            assert kinds.count(("step.succeeded", name)) == 1
        assert len(kinds) == 8
    assert len(noted(app)) == 180


def test_a_stopped_worker_is_fenced(app, program, serve, reader, until):
    """A SIGSTOPped worker loses its run after the lease; revived, it writes nothing to it."""
    (run_id,) = started(program, "story", 1)
    (app / "hang").touch()
    zombie = serve("lease=1.0")
    until((app / "hanging").exists)
    zombie.halt(reader.log)
    (app / "hang").unlink()
    serve(LONG)
    until(lambda: reader.get(run_id).status == "succeeded")
    before = [str(event) for event in reader.history(run_id)]
    zombie.process.send_signal(signals.SIGCONT)
    (other,) = started(program, "light", 9)
    until(lambda: reader.get(other).status == "succeeded")
    more = started(program, "light", *range(10, 30))
    until(lambda: all(reader.get(one).status == "succeeded" for one in more))
    assert [str(event) for event in reader.history(run_id)] == before
    assert told(reader, run_id).count(("step.succeeded", "second")) == 1
    assert ("step.quarantined", "second") not in told(reader, run_id)
    keys = [n[3] for n in noted(app) if n[:2] == ["second", run_id]]
    assert keys == [f"{run_id}/second:1"] * 2, "whoever is called can tell that it is the same"
    zombie.process.send_signal(signals.SIGTERM)
    status, _, err = zombie.finish()
    assert status == 0, err


def test_who_comes_after_a_lease_ran_out_takes_over(app, program, serve, reader, until):
    """A worker that starts when a stopped one's lease has run out takes its run at once."""
    (run_id,) = started(program, "story", 1)
    (app / "hang").touch()
    zombie = serve("lease=0.5")
    until((app / "hanging").exists)
    zombie.halt(reader.log)
    (app / "hang").unlink()
    until(lambda: all(worker.until < clock.now_us() for worker in reader.log.workers()))
    serve()
    until(lambda: reader.get(run_id).status == "succeeded")


def test_sigterm_drains(app, program, serve, reader, until):
    """After SIGTERM the step in flight ends and is recorded, nothing new begins, exit is 0."""
    (run_id,) = started(program, "story", 1)
    (app / "hang").touch()
    server = serve()
    until((app / "hanging").exists)
    server.process.send_signal(signals.SIGTERM)
    with pytest.raises(Exception, match="timed out"):
        server.process.wait(0.5)
    (app / "hang").unlink()
    status, _, err = server.finish()
    assert status == 0, err
    kinds = told(reader, run_id)
    assert ("step.succeeded", "second") in kinds
    assert "Traceback" not in err
    heir = program(ONE.format(options=""), run_id)
    status, out, err = heir.finish()
    assert out.strip() == "25", err
    assert [n[0] for n in noted(app)] == ["first", "second", "third"]
    assert not any(
        kind in ("step.lost", "step.quarantined") for kind, _ in told(reader, run_id)
    )


def test_sigint_ends_an_idle_server(app, serve, program, reader, until):
    """SIGINT ends an idle server with 0, at once and quietly."""
    server = serve()
    (run_id,) = started(program, "light", 1)
    until(lambda: reader.get(run_id).status == "succeeded")
    server.process.send_signal(signals.SIGINT)
    status, _, err = server.finish()
    assert status == 0
    assert "Traceback" not in err


def test_a_step_lost_once_simply_runs_again(app, program, serve, reader, until):
    """A step whose process died once runs again at once and without any charge."""
    (run_id,) = started(program, "killer", 4)
    (app / "poison").touch()
    status, _, _ = serve().finish()
    assert status == 77
    (app / "poison").unlink()
    serve()
    until(lambda: reader.get(run_id).status == "succeeded")
    assert len(noted(app)) == 2


def test_a_step_that_kills_its_process_is_quarantined(app, program, serve, reader, until):
    """Three deaths as a suspect quarantine the step and park the run; `retry` frees it."""
    (run_id,) = started(program, "killer", 4)
    (app / "poison").touch()
    for _ in range(5):
        status, _, _ = serve().finish()
        assert status == 77
    survivor = serve()
    until(lambda: reader.get(run_id).status == "parked")
    kinds = [kind for kind, _ in told(reader, run_id)]
    assert kinds.count("step.lost") == 5
    assert kinds.count("step.quarantined") == 1
    assert kinds[-1] == "run.parked"
    assert len(noted(app)) == 5
    assert survivor.process.poll() is None
    (other,) = started(program, "light", 1)
    until(lambda: reader.get(other).status == "succeeded")
    (app / "poison").unlink()
    reader.retry(run_id)
    until(lambda: reader.get(run_id).status == "succeeded")
    assert reader.get(run_id).result(timeout=1) == 4


def test_on_lost_fail_never_runs_twice(app, program, serve, reader, until):
    """`on_lost="fail"`: a step whose process died is not called again; the run fails."""
    (run_id,) = started(program, "fragile", 4)
    (app / "poison").touch()
    status, _, _ = serve().finish()
    assert status == 77
    serve()
    until(lambda: reader.get(run_id).status == "failed")
    assert len(noted(app)) == 1
    assert reader.get(run_id).error is not None


def test_one_key_from_many_processes_is_one_run(app, program, reader):
    """Processes that start with one key at the same time start one run."""
    code = "import app; print(app.make().start(app.light, x=1, key='k').id)"
    programs = [program(code) for _ in range(4)]
    ids = set()
    for one in programs:
        status, out, err = one.finish()
        assert status == 0, err
        ids.add(out.strip())
    assert len(ids) == 1
    assert len(reader.runs()) == 1


def test_a_fork_is_refused(app, program):
    """An open engine used in a forked child raises, rather than spoiling the log."""
    code = """
import app, os, sys, warnings
warnings.simplefilter("ignore")
engine = app.make()
engine.run(app.light, x=1)
child = os.fork()
if child == 0:
    try:
        engine.start(app.light, x=2)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        os._exit(7)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), len(engine.runs()), engine.run(app.light, x=3))
"""
    status, out, err = program(code).finish()
    assert status == 0, err
    lines = out.strip().splitlines()
    assert lines[-1] == "7 1 3", out
    assert "fork" in out.lower()


def test_a_new_engine_in_the_child_is_fine(app, program):
    """A child that makes its own engine after the fork works on the same log."""
    code = """
import app, os, warnings
warnings.simplefilter("ignore")
engine = app.make()
engine.run(app.light, x=1)
child = os.fork()
if child == 0:
    other = app.make()
    ok = other.run(app.light, x=2) == 2
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), len(engine.runs()))
"""
    status, out, err = program(code).finish()
    assert status == 0, err
    assert out.strip() == "0 2", err


def test_the_log_survives_kills_at_any_moment(app, log_url, program, serve, reader, until):
    """Killed again and again, the work is done in the end, and each result once."""
    ids = started(program, "story", *range(30))
    for round_ in range(4):
        victim = serve("threads=4")
        until(lambda: len(noted(app)) > 8 * (round_ + 1), 20)  # noqa: B023
        victim.kill()
    serve()
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 30)
    for run_id in ids:
        kinds = told(reader, run_id)
        for name in ("first", "second", "third"):
            assert kinds.count(("step.succeeded", name)) == 1
    with contextlib.closing(open_log(log_url)) as log:
        assert list(log.verify()) == []
    if log_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(app / "log.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_interrupt_in_engine_run_lets_go_of_the_run(app, program, reader, until):
    """Ctrl-C in `engine.run` raises KeyboardInterrupt; the run is released, charged to nobody."""
    (app / "hang").touch()
    code = """
import app
engine = app.make()
try:
    engine.run(app.story, x=1, key="k")
except KeyboardInterrupt:
    print("interrupted")
"""
    one = program(code)
    until((app / "hanging").exists)
    one.process.send_signal(signals.SIGINT)
    status, out, err = one.finish()
    assert (status, out.strip()) == (0, "interrupted"), err
    (app / "hang").unlink()
    (row,) = reader.runs()
    assert row.status in ("running", "waiting")
    status, out, err = program(ONE.format(options=""), row.id).finish()
    assert out.strip() == "25", err
    assert [n[0] for n in noted(app)] == ["first", "second", "second", "third"]


def test_processes_share_a_breaker(app, program, serve, reader, until):
    """A breaker opened by one process parks the steps of all; one probe closes it for all."""
    (app / "down").touch()
    for _ in range(2):
        serve("threads=1")
    until(lambda: len(reader.log.workers()) == 2)
    ids = started(program, "guarded", *range(12))
    until(lambda: reader.breaker("api").state != "closed")
    until(lambda: len(reader.runs(status="failed", limit=None)) >= 2)
    (app / "down").unlink()
    until(lambda: reader.breaker("api").state == "closed")
    until(lambda: not reader.runs(status=["running", "waiting"]))
    rows = [reader.get(one).status for one in ids]
    assert rows.count("failed") + rows.count("succeeded") == 12
    assert rows.count("succeeded") >= 6, "parked attempts were not spent"


def test_a_dead_prober_frees_the_probe(app, program, serve, reader, until):
    """A process that dies as the probe does not leave the breaker half open for ever."""
    (app / "down").touch()
    server = serve()
    started(program, "guarded", 1, 2)
    until(lambda: reader.breaker("api").state == "open")
    (app / "poison").touch()  # before the run is there: it may be probed at once
    (run_id,) = started(program, "guarded", 3)
    status, _, _ = server.finish()
    assert status == 77
    (app / "down").unlink()
    (app / "poison").unlink()
    serve()
    until(lambda: reader.get(run_id).status == "succeeded")
    until(lambda: reader.breaker("api").state == "closed")
