"""Row 9: whoever reads the database as a file drops SQLite's locks; nothing of ours ever does.

The proof is the locks themselves, asked for from another process: while the engine's connections
are open it holds one on the database and one on the -shm.
"""

import json
import subprocess
import sys

import pytest

LOCKS = """
import fcntl, json, struct, sys

def is_held(path, start, length):
    with open(path, "rb+") as file:
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, 0, start, length, 0)
        got = fcntl.fcntl(file, fcntl.F_GETLK, asked)
        return struct.unpack("hhqqi", got)[0] != fcntl.F_UNLCK

path = sys.argv[1]
print(json.dumps([is_held(path, 0x40000002, 510), is_held(path + "-shm", 128, 1)]))
"""
TRIGGER = """
import app, json, os, sys, threading
from pathlib import Path
from playhead import Engine, FileTrigger, Workflow, step

@step
def read(path: Path) -> str:
    return path.read_text()

reading = Workflow("reading", steps=[read])
engine = Engine(
    "sqlite:///log.db", workflows=[reading],
    triggers=[FileTrigger("inbox/*", reading, key="sha256", settle=0, poll=0.05, after="done")],
)
os.makedirs("inbox")
with engine:
    engine.start(reading, path="app.py").result(timeout=50)
    for name in json.loads(sys.argv[1]):
        os.link(name, f"inbox/{name}.txt")
    for name in json.loads(sys.argv[2]):
        open(name, "rb").close()
    Path("inbox/letter.txt").write_text("hello")
    print("ready", flush=True)
    threading.Event().wait(60)
"""
FILES = ["log.db", "log.db-wal", "log.db-shm"]


def locks(path):
    """Ask another process which of the two locks somebody holds."""
    asked = subprocess.run(
        [sys.executable, "-c", LOCKS, str(path)], capture_output=True, text=True, check=True
    )
    return json.loads(asked.stdout)


@pytest.fixture
def talk(program):
    """Start a program that says when it is ready, and ends when it is told to."""

    def start(code, *args):
        one = program(code, *args)
        assert one.process.stdout.readline() == "ready\n", one.finish()
        return one

    return start


def test_a_watch_does_not_open_hard_links_to_the_database(app, talk, desk, ended, until):
    """A drop folder with links to the database's files: a letter is read, they are not.

    They start nothing, and the trigger's events say why; all locks are held as before.
    """
    talk(TRIGGER, json.dumps(FILES), "[]")
    until(lambda: len(desk.runs(workflow="reading", status="succeeded")) == 2)
    until(lambda: [f.name for f in (app / "done").glob("*")] == ["letter.txt"])
    (head,) = desk.log.heads(kind="trigger")
    declined = [e for e in desk.log.read(head.id) if e.type == "trigger.declined"]
    told = [json.loads(event.data) for event in declined]
    own = [one for one in told if one["reason"] == "the engine's own database"]
    names = {name for one in own for name in one["facts"]["names"]}
    assert names == {f"{name}.txt" for name in FILES}
    assert locks(app / "log.db") == [True, True]
    assert len(desk.runs(workflow="reading")) == 2


@pytest.mark.parametrize(
    ("file", "held"), [("log.db", [False, True]), ("log.db-shm", [True, False])]
)
def test_the_test_sees_a_file_that_was_opened(app, talk, file, held):
    """One plain open and close in the engine's process is enough, and is seen: the lock is gone."""
    talk(TRIGGER, "[]", json.dumps([file]))
    assert locks(app / "log.db") == held


def test_all_that_looks_at_a_log_keeps_its_locks(app, talk):
    """Reading, verifying, counting, copying, another engine on the file: the locks stay."""
    code = """
import app, threading
from eventstore.backup import back_up
from playhead import render
from playhead.cli import upkeep
engine, other = app.make(), app.make()
with engine:
    run = engine.start(app.story, x=1)
    run.result(timeout=50)
    render.run_doc(engine, engine.playhead(run))
    upkeep._stats(engine)
    assert list(engine.log.verify()) == []
    engine.log.database.checkpoint()
    assert back_up(engine.log.path, "copy.db").faults == ()
    engine.health()
    other.runs()
    other.close()
    engine.worker.renew()
    engine.causes(run)
    print("ready", flush=True)
    threading.Event().wait(60)
"""
    talk(code)
    assert locks(app / "log.db") == [True, True]


def test_a_link_to_another_file_is_a_file(app, talk, desk, until):
    """A hard link to anything else is a file like others, and starts its run."""
    talk(TRIGGER, '["app.py"]', "[]")
    until(lambda: len(desk.runs(workflow="reading", status="succeeded")) == 3)
    until(lambda: len(list(app.glob("done/*"))) == 2)
