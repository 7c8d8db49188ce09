"""Killed between the commit and the move: every file is once in the inbox or the archive."""

import json
import shutil
import signal

import pytest

from engine.testing import crash_after
from tests.journeys.files.stage import engine_of, fired, names, pause
from tests.journeys.files.test_after import held, judging

# A child process is cut off before its nth call that touches the disk, which is also after the one
# before it; then another child goes on. Both are forked from one that has imported everything.
CUTS = """
import json, os, shutil, sys, warnings
from pathlib import Path
import app, engine.driving, eventstore.sql
from playhead import Engine
warnings.simplefilter("ignore")
ARCHIVE = Path(sys.argv[1])
CALLS = ("link", "unlink", "remove", "rename", "replace", "fsync", "utime", "open", "chmod",
         "fchmod", "makedirs", "mkdir", "truncate", "ftruncate", "symlink", "copy_file_range",
         "sendfile")
TEXT = "x" * 300_000

def cut_at(n):
    left = n
    def wrap(call):
        def cut(*args, **kwargs):
            nonlocal left
            if any("log.db" in str(arg) for arg in args):
                return call(*args, **kwargs)
            left -= 1
            if left == 0:
                os._exit(9)
            return call(*args, **kwargs)
        return cut
    for name in CALLS:
        if hasattr(os, name):
            setattr(os, name, wrap(getattr(os, name)))

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def run():
    engine = app.make(settle=0, after=AFTER, threads=1, marker=MARKER)
    engine.run_until_idle()
    engine.run_until_idle()
    engine.close()

def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]

AFTER = "delete" if sys.argv[2] == "delete" else ARCHIVE
MARKER = "*.done" if sys.argv[2] == "marker" else None
inbox = app.HERE / "inbox"
count, told = 0, []
for n in range(1, 60):
    for folder in (inbox, ARCHIVE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
    for path in app.HERE.glob("log.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (ARCHIVE / "b.txt").write_text("here first")
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(name + TEXT)
        if MARKER:
            (inbox / f"{name}.done").write_text("marker")
    code = in_child(lambda: (cut_at(n), run()))
    again = in_child(run)
    kept = sorted(p.read_text() for p in files(ARCHIVE) if p.suffix == ".txt")
    reader = Engine(f"sqlite:///{app.HERE / 'log.db'}")
    started = sorted(os.path.basename(row.inputs["path"]) for row in reader.runs())
    done = {row.status for row in reader.runs()}
    reader.close()
    expected = ["here first"] if AFTER == "delete" else ["a.txt" + TEXT, "b.txt" + TEXT, "here first"]
    wrong = {}
    if again != 0: wrong["second"] = again
    if started != ["a.txt", "b.txt"]: wrong["started"] = started
    if done != {"succeeded"}: wrong["done"] = sorted(done)
    if files(inbox): wrong["left in the inbox"] = [str(p) for p in files(inbox)]
    if kept != sorted(expected): wrong["kept"] = [(p.name, p.stat().st_size) for p in files(ARCHIVE)]
    if wrong:
        told.append([n, code, wrong])
    if code == 0:
        break
    count += 1
print(json.dumps([count, told]))
"""  # noqa: E501


@pytest.mark.slow
@pytest.mark.parametrize("place", ["move", "delete", "elsewhere", "marker"])
def test_cut_off_at_every_call(app, program, outside, request, place):
    """Cut between any two calls that move files: the next process ends it, nothing twice."""
    archive = request.getfixturevalue("elsewhere") if place == "elsewhere" else outside
    status, out, err = program(CUTS, archive / "done", place).finish()
    assert status == 0, err
    count, told = json.loads(out.splitlines()[-1])
    assert told == []
    assert count > 4, "it was cut somewhere"


@pytest.mark.parametrize("performed", [False, True])
@pytest.mark.parametrize("commits", range(1, 7))
def test_cut_off_between_any_two_commits(file_url, inbox, outside, commits, performed):
    """Cut off after 1 to 6 commits: what had ended is moved by the next engine, nothing twice."""
    for name, text in (("a.txt", "a"), ("b.txt", "bad"), ("c.txt", "c")):
        (inbox / name).write_text(text)
    first = engine_of(file_url, inbox, workflow=judging, after=outside)
    with crash_after(commits, first, performed=performed) as cut:
        first.run_until_idle()
    assert cut.crashed
    second = engine_of(file_url, inbox, workflow=judging, after=outside)
    second.run_until_idle()
    second.run_until_idle()
    assert held(outside) == {"a.txt": "a", "c.txt": "c", "failed/b.txt": "bad"}
    assert held(inbox) == {}
    assert len(fired(second)) == len(second.runs()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("place", "kills"), [("move", 20), ("elsewhere", 5)])
def test_killed_again_and_again(
    app, serve, reader, inbox, outside, until, request, place, kills
):
    """20 kills while files come and go: each is once in inbox or archive, and one run."""
    archive = request.getfixturevalue("elsewhere") if place == "elsewhere" else outside
    options = f"after={str(archive)!r}, settle=0.05"
    expected = []
    daemon = serve(options)
    for round_ in range(kills):
        for number in range(10):
            expected.append(f"{round_}-{number}.txt")
            (inbox / expected[-1]).write_text(expected[-1] * 1000)
        pause(0.3 + round_ * 0.618 % 1 * 0.5)  # the golden section meets no rhythm
        daemon.kill()
        here = {path.name for path in inbox.iterdir()}
        there = {path.name for path in archive.iterdir() if not path.name.startswith(".")}
        assert here | there == set(expected)
        daemon = serve(options)
    until(lambda: not list(inbox.iterdir()))
    assert names(reader, status="succeeded") == sorted(expected)
    assert len(fired(reader)) == len(reader.runs(limit=None)) == len(expected)
    assert held(archive) == {name: name * 1000 for name in expected}


@pytest.mark.slow
def test_two_daemons_put_away_together(app, serve, reader, inbox, outside, until):
    """Two daemons with a folder to go to: 200 files, each once in the archive, none twice."""
    daemons = [serve(f"after={str(outside)!r}") for _ in range(2)]
    until(lambda: len(reader.log.workers()) == 2)
    expected = [f"{number}.txt" for number in range(200)]
    for name in expected:
        (inbox / name).write_text(name)
    until(lambda: len(held(outside)) == 200)
    until(lambda: not list(inbox.iterdir()))
    for daemon in daemons:
        daemon.process.send_signal(signal.SIGTERM)
    for daemon in daemons:
        status, _, err = daemon.finish()
        assert status == 0, err
        assert "Traceback" not in err
    assert held(outside) == {name: name for name in expected}
    assert len(fired(reader)) == len(reader.runs(limit=None)) == 200


def test_what_ended_while_it_was_down_is_put_away(file_url, inbox, outside):
    """A run brought to its end by an engine without the trigger: the next one moves the file."""
    (inbox / "a.txt").write_text("a")
    first = engine_of(file_url, inbox, workflow=judging, after=outside)
    with crash_after(1, first):
        first.run_until_idle()
    other = engine_of(file_url, inbox.parent / "nothing", workflow=judging, name="other")
    other.run_until_idle()
    assert held(inbox) == {"a.txt": "a"}
    engine_of(file_url, inbox, workflow=judging, after=outside).run_until_idle()
    assert held(inbox) == {}
    assert held(outside) == {"a.txt": "a"}


def test_moved_by_hand_meanwhile(file_url, inbox, outside):
    """Somebody moves the file to the archive by hand before the engine does: nothing is lost."""
    (inbox / "a.txt").write_text("a")
    first = engine_of(file_url, inbox, workflow=judging, after=outside)
    with crash_after(2, first):
        first.run_until_idle()
    shutil.move(inbox / "a.txt", outside / "a.txt")
    second = engine_of(file_url, inbox, workflow=judging, after=outside)
    second.run_until_idle()
    assert held(outside) == {"a.txt": "a"}
    assert len(fired(second)) == 1
