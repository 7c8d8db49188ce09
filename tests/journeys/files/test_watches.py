"""The watch: it leaves nothing behind, and where the system will not tell, looks go on."""

import gc
import os
import shutil
import threading

import pytest

from tests.journeys.files.stage import came, declined, engine_of, fired, handles, names, watches

UNABLE = 78  # exit code: this system does not allow what the test needs

# A user namespace of its own, in which the system has only so much to give.
SCARCE = """
import ctypes
from pathlib import Path
try:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
    Path("/proc/sys/user/max_inotify_{what}").write_text("{left}")
except (AssertionError, OSError):
    raise SystemExit(78)
import app
"""

# A mount namespace of its own, in which the table of mounts tells of another file system.
FAKE = """
import ctypes, os, subprocess
from pathlib import Path

def mount(*words):
    if subprocess.run(["mount", *words], check=False).returncode != 0:
        raise SystemExit(78)

if ctypes.CDLL(None).unshare(0x00020000) != 0:  # CLONE_NEWNS
    raise SystemExit(78)
table = f"/proc/{{os.getpid()}}/mountinfo"
mount("--make-rprivate", "/")
inbox = os.path.realpath("inbox")
played = f"999 27 0:999 / {{inbox}} rw,relatime shared:9 - {kind} host:/export rw\\n"
Path("played").write_text(Path(table).read_text() + played)
mount("--bind", "played", table)
import app
raise SystemExit(app.make().serve())
"""


def test_closing_leaves_no_watch_no_thread_no_handle(file_url, inbox, until):
    """After a deep watch, busy folders and a close, all is as it was before."""
    gc.collect()
    threads, held = set(threading.enumerate()), watches()
    held_before = handles()
    for round_ in range(3):
        with engine_of(file_url, inbox, "**/*.txt", settle=0.05) as engine:
            for number in range(10):
                folder = inbox / str(round_) / str(number)
                folder.mkdir(parents=True)
                (folder / "a.txt").write_text("a")
            until(lambda: len(engine.runs(status="succeeded", limit=None)) == len(list(
                inbox.rglob("*.txt")
            )))  # fmt: skip
            until(lambda: watches() > held)
        until(lambda: set(threading.enumerate()) <= threads, what="the end of all threads")
        assert watches() == held
    gc.collect()
    assert handles() <= held_before


def test_closing_without_a_root_leaves_nothing(file_url, inbox, until):
    """Closed after the root was deleted and while it is missing: nothing is left either."""
    threads, held = set(threading.enumerate()), watches()
    with engine_of(file_url, inbox, settle=0.05) as engine:
        until(lambda: watches() > held)
        shutil.rmtree(inbox)
        until(lambda: declined(engine))
    until(lambda: set(threading.enumerate()) <= threads, what="the end of all threads")
    assert watches() == held


def test_a_poll_in_seconds_asks_the_system_for_nothing(file_url, inbox, until):
    """poll=0.1: no inotify watch is held, and files start their runs all the same."""
    held = watches()
    with engine_of(file_url, inbox, "**/*.txt", settle=0.1, poll=0.1) as engine:
        came(engine, inbox, until, "a.txt")
        (inbox / "deep").mkdir()
        came(engine, inbox / "deep", until, "b.txt")
        assert watches() == held
    assert len(fired(engine)) == 2


def test_events_come_while_the_clock_stands_still(file_url, inbox, outside, until, frozen):
    """On a frozen clock the system's events are heard, also after a file was moved out."""
    with engine_of(file_url, inbox, complete="close", settle=3600) as engine:
        until(lambda: watches() > 0)
        for number in range(3):
            (inbox / "out.csv").touch()
            (inbox / "out.csv").rename(outside / f"{number}.csv")
            came(engine, inbox, until, f"{number}.txt")
        frozen.tick(60)
        came(engine, inbox, until, "later.txt")
    assert len(fired(engine)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("what", ["instances", "watches"])
def test_a_system_that_refuses_watches_is_looked_at(app, program, reader, until, what):
    """No inotify instance or watch left for this user: looks find the files, nothing is lost."""
    daemon = program(SCARCE.format(what=what, left=0) + "raise SystemExit(app.make().serve())")
    ready_or_skip(daemon, app, until)
    (app / "inbox" / "a.txt").write_text("a")
    until(lambda: names(reader, status="succeeded") == ["a.txt"])
    if os.geteuid() == 0:  # others may not look into another namespace
        assert watches(daemon.process.pid) == 0
    (app / "inbox" / "b.txt").write_text("b")
    until(lambda: names(reader, status="succeeded") == ["a.txt", "b.txt"])


def test_watches_that_do_not_reach_every_folder(app, program, reader, until):
    """Only three watches are left for 20 folders: files in all of them start their runs."""
    code = SCARCE.format(what="watches", left=3)
    daemon = program(code + "raise SystemExit(app.make('**/*.txt').serve())")
    ready_or_skip(daemon, app, until)
    for number in range(20):
        (app / "inbox" / str(number)).mkdir()
        (app / "inbox" / str(number) / "a.txt").write_text("a")
    until(lambda: len(reader.runs(status="succeeded")) == 20)
    (app / "inbox" / "19" / "b.txt").write_text("b")
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 21)
    assert len(fired(reader)) == 21


def ready_or_skip(daemon, app, until):
    """Wait for a process's database; skip if this system does not let it play its part."""
    until(lambda: (app / "log.db").exists() or daemon.process.poll() is not None)
    if daemon.process.poll() == UNABLE:
        pytest.skip("namespaces or mounts are not allowed here")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nfs4", "whatfs"])
def test_a_network_file_system_is_looked_at(app, program, reader, until, kind):
    """Where others may change files unseen by this system no watch is held; looks find them."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    daemon = program(FAKE.format(kind=kind))
    ready_or_skip(daemon, app, until)
    (app / "inbox" / "a.txt").write_text("a")
    until(lambda: names(reader, status="succeeded") == ["a.txt"])
    assert watches(daemon.process.pid) == 0
    (app / "inbox" / "b.txt").write_text("b")
    until(lambda: names(reader, status="succeeded") == ["a.txt", "b.txt"])
