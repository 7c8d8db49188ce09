"""`export` and `import` while others write, killed in the middle, and on a full disk."""

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from eventstore import NEW, Append, Headline, InboxKey, Row, Write, arrival, clock, open_log
from eventstore.export import export
from eventstore.schema import SQLITE_GUARDS
from eventstore.testing import birth, fact, step

URL = ("--url", "sqlite:///app.db")
NEW_URL = ("--url", "sqlite:///new.db")
PATIENCE = 60.0  # seconds
# An import that is killed as soon as a file has a size: from inside, for who watches from outside
# may stand still until it is over.
KILLED = """
import os, runpy, signal, sys, threading

def watch(file, size):
    while not os.path.exists(file) or os.path.getsize(file) < size:
        threading.Event().wait(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=watch, args=(sys.argv.pop(1), int(sys.argv.pop(1))), daemon=True).start()
runpy.run_module("playhead", run_name="__main__", alter_sys=True)
"""


def many(path: Path, runs: int) -> None:
    """Fill a log with ended runs of five events."""
    log = open_log(f"sqlite:///{path}")
    for start in range(0, runs, 500):
        writes = tuple(
            Write(
                f"r{number:06}", "run", NEW, (fact(data='"%s"' % ("x" * 300)),) * 5,
                Row("succeeded"), Headline("hello", f"k{number}"),
            )
            for number in range(start, min(start + 500, runs))
        )  # fmt: skip
        keys = tuple(InboxKey("hello", f"k{write.stream}", write.stream) for write in writes)
        log.append(Append(f"a{start}", writes, keys))
    log.close()


def test_an_export_is_one_moment(tmp_path: Path) -> None:
    """Taken while others append to the same streams: rows and events fit, each time."""
    log = open_log(f"sqlite:///{tmp_path}/app.db")
    stop = threading.Event()

    def work(name: str) -> None:
        tip = birth(log, name)
        while not stop.is_set():
            tip = step(log, name, tip)
            birth(log, f"{name}-{tip.version}", inbox=(InboxKey("d", clock.new_id(), name),))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    counts = []
    try:
        for number in range(12):
            with (tmp_path / "log.jsonl").open("wb") as file:
                counts.append(_exported(log, file.write))
            _import(
                tmp_path, f"sqlite:///{tmp_path}/new{number % 2}.db"
            )  # what has grown grows
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    log.close()


def _exported(log: Any, write: Any) -> int:
    return export(log, write).events


def _import(folder: Path, url: str) -> None:
    target = open_log(url)
    with (folder / "log.jsonl").open("rb") as file:
        arrival.take(target, file, arrival.check(file))
    assert list(target.verify()) == []
    target.close()


@pytest.mark.slow
def test_killed_in_the_middle_and_done_again(tmp_path: Path) -> None:
    """SIGKILL at several moments of an import leaves nothing of it; then it is done whole, once."""
    many(tmp_path / "app.db", 3000)
    command = [sys.executable, "-m", "playhead"]
    export = [*command, "export", "--url", "sqlite:///app.db", "--out", "log.jsonl"]
    subprocess.run(export, cwd=tmp_path, check=True, capture_output=True)
    took = [*command, "import", "log.jsonl", "--url", "sqlite:///new.db"]
    for size in (1, 2_000_000):
        words = [sys.executable, "-c", KILLED, "new.db-wal", str(size), *took[3:]]
        child = subprocess.run(
            words, cwd=tmp_path, stderr=subprocess.DEVNULL, check=False, timeout=PATIENCE
        )
        assert child.returncode == -signal.SIGKILL
        log = open_log(f"sqlite:///{tmp_path}/new.db")
        assert log.heads(kind="run") == log.read_all() == []
        log.close()
        with sqlite3.connect(tmp_path / "new.db") as other:
            guards = other.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")
            assert guards.fetchone() == (len(SQLITE_GUARDS),)
        other.close()
    for said in ("imported 3000 streams, 15000 events", "3000 streams were here already"):
        ended = subprocess.run(took, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert said in ended.stderr
    log = open_log(f"sqlite:///{tmp_path}/new.db")
    assert len(log.read_all(limit=100_000)) == 15_000
    assert list(log.verify()) == []
    log.close()


def test_a_full_disk_leaves_no_half_export(folder: Path) -> None:
    """The file that was there stays as it was; what went wrong is said."""
    Path("log.jsonl").write_text("before")
    many(folder / "many.db", 300)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (99_999,) * 2)"
    code = f"{limited}; from playhead.cli import main; main()"
    command = [sys.executable, "-c", code, "export", "--out", "log.jsonl"]
    command += ["--url", "sqlite:///many.db"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--out log.jsonl: File too large; nothing was written" in ended.stderr
    assert Path("log.jsonl").read_text() == "before"
    assert not list(folder.glob("*.part"))


def test_without_room_for_what_readers_share_the_reason_is_told(folder: Path) -> None:
    """A reader of a file needs 32 kB beside it; on a full disk it says that room is missing."""
    many(folder / "many.db", 3)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (900,) * 2)"
    code = f"{limited}; from playhead.cli import main; main()"
    command = [sys.executable, "-c", code, "stats", "--url", "sqlite:///many.db"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "there is no room left for its -shm file; free some space" in ended.stderr


@pytest.mark.slow
def test_two_exports_to_one_file_are_each_whole(cli: Any, folder: Path) -> None:
    """Each writes beside the other; the file is that of one of them, and nothing else is left."""
    many(folder / "many.db", 1000)
    words = ["export", "--url", "sqlite:///many.db", "--out", "log.jsonl"]
    command = [sys.executable, "-m", "playhead", *words]
    both = [subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) for _ in range(2)]
    assert [one.communicate(timeout=60)[1].count(b"exported 1000") for one in both] == [1, 1]
    assert cli("import", "log.jsonl", *NEW_URL).exit_code == 0
    assert not list(folder.glob("*.part"))


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_import(cli: Any, folder: Path) -> None:
    """The log says that there is no room, and holds nothing of the export."""
    many(folder / "many.db", 3000)
    cli("export", "--url", "sqlite:///many.db", "--out", "log.jsonl")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (900_000,) * 2)"
    code = f"{limited}; from playhead.cli import main; main()"
    command = [sys.executable, "-c", code, "import", "log.jsonl", *NEW_URL]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "the disk" in ended.stderr or "no room" in ended.stderr
    log = open_log(f"sqlite:///{folder}/new.db")
    assert log.heads(kind="run") == []
    assert list(log.verify()) == []
    log.close()
