"""What the hazards of files need: a folder, a second file system, a daemon in its own process."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from playhead import Engine

APP = '''
"""An application of the tests: what is dropped into `inbox` is read."""
import json, os, threading
from pathlib import Path
from playhead import Context, Engine, FileTrigger, Workflow, step

HERE = Path(__file__).parent


@step
def read(path: Path, ctx: Context) -> int:
    """Write down that the file is read: one line, appended whole."""
    size = len(path.read_bytes())
    while (HERE / "hold").exists():
        threading.Event().wait(0.02)
    with open(HERE / "notes.txt", "a") as file:
        file.write(json.dumps([path.name, ctx.run_id, size]) + "\\n")
    return size


@step
def glance(path: str) -> int:
    return 1


reading = Workflow("reading", steps=[read])
glancing = Workflow("glancing", steps=[glance])


def make(pattern="*.txt", workflow=reading, threads=4, lease=10.0, **options):
    given = {"name": "drops", "settle": 0.1, **options}
    trigger = FileTrigger(HERE / "inbox" / pattern, workflow, **given)
    url = f"sqlite:///{HERE / 'log.db'}"
    return Engine(
        url, workflows=[workflow], triggers=[trigger], threads=threads, lease=lease
    )
'''

SERVE = "import app; raise SystemExit(app.make({options}).serve())"


@pytest.fixture
def tell(capsys):
    """Show a measurement, whatever pytest hides."""

    def show(text):
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return show


@pytest.fixture
def inbox(tmp_path):
    """Give a folder to drop files into."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path):
    """Give a folder beside it, on the same file system."""
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(inbox, tmp_path):
    """Give a folder on another file system: a mounted one, or memory that is there anyway."""
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        if is_mounted(folder):
            stack.callback(unmount, folder)
        elif os.access("/dev/shm", os.W_OK):  # noqa: S108 - the one that is not on disk
            folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
            stack.callback(shutil.rmtree, folder)
        if folder.stat().st_dev == inbox.stat().st_dev:
            pytest.skip("no second file system: not root, and /dev/shm is not there")
        yield folder


def is_mounted(folder, size="64m"):
    """Mount a file system in memory, if this user may."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def unmount(folder):
    """Unmount it, whoever still holds it."""
    command = ["umount", "--lazy", str(folder)]
    subprocess.run(command, check=False, capture_output=True)


@pytest.fixture
def mount():
    """Mount file systems in memory over folders; all are unmounted at the end."""
    done = []

    def put(folder, **options):
        if not is_mounted(folder, **options):
            pytest.skip("mounting needs root")
        done.append(folder)

    yield put
    for folder in reversed(done):
        unmount(folder)


@pytest.fixture
def app(inbox, tmp_path):
    """Write the application beside the inbox; give its folder."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    return tmp_path


@pytest.fixture
def serve(app, program):
    """Start a process that serves the application."""
    return lambda options="": program(SERVE.format(options=options))


@pytest.fixture
def reader(app):
    """Give an engine that only reads and steers."""
    with contextlib.closing(Engine(f"sqlite:///{app / 'log.db'}")) as engine:
        yield engine
