"""A copy of a log at work: of one moment, whole, verified, and named only then."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eventstore import backup, open_log
from eventstore.backup import back_up
from eventstore.errors import StorageCorrupt, StorageError, StorageUnsuitable
from eventstore.testing import birth, fact, step

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "tests" / "histories" / "schema-1.sql"


def names(folder):
    """Give what lies in a folder, but not what the open log keeps there."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("log.db"))


def filled(log, size=400, streams=30):
    """Write some streams, so that a copy takes several steps."""
    for number in range(streams):
        birth(log, f"s{number}", events=(fact(data=f'"{"x" * size}"'),) * 20)


def child(code, *words, check=True, **options):
    """Run Python in another process, in the tree at hand."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, check=check,
        capture_output=True, text=True, timeout=200, **options,
    )  # fmt: skip


def test_a_copy_holds_what_the_log_held_at_one_moment(file_log, path, monkeypatch):
    """Writers go on meanwhile: the copy does not begin anew, and has a prefix of the log."""
    monkeypatch.setattr(backup, "PAGES", 8)
    filled(file_log)
    ended, wrote = threading.Event(), threading.Event()

    def write():
        tip = birth(file_log, "busy")
        while not ended.is_set():
            tip = step(file_log, "busy", tip)
            wrote.set()

    writer = threading.Thread(target=write)
    seen = []

    def progress(done, pages):
        if not seen:
            writer.start()
        wrote.clear()
        assert wrote.wait(10)  # somebody commits between any two steps
        seen.append((done, pages))

    try:
        copied = back_up(str(path), f"{path}.copy", progress=progress)
    finally:
        ended.set()
        writer.join()
    assert len(seen) > 5
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    copy = open_log(f"sqlite:///{path}.copy")
    held = copy.read_all(limit=10_000)
    assert held == file_log.read_all(limit=len(held))
    assert copied.events == len(held) == 600
    assert copied.streams == {"run": {"running": 30}}
    assert list(copy.verify()) == list(file_log.verify()) == []
    copy.close()
    assert len(file_log.read("busy")) > len(seen)


def test_a_copy_made_by_the_process_that_writes_drops_no_lock(file_log, path):
    """Another program that opens and closes the log afterwards takes nothing with it."""
    tip = birth(file_log, "s")
    back_up(str(path), f"{path}.copy")
    looks = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
    looks += "c.execute('SELECT count(*) FROM event').fetchone(); c.close()"
    child(looks, path)
    assert Path(f"{path}-wal").exists()  # the other was not the last to leave
    for _ in range(3):
        tip = step(file_log, "s", tip)
    child(looks, path)
    count = "import sys, eventstore as e; print(len(e.open_log(sys.argv[1]).read('s')))"
    assert child(count, f"sqlite:///{path}").stdout == "4\n"


def test_a_copy_is_a_log_that_goes_on(file_log, path):
    """The copy is opened as any log, with nothing beside it, and can be appended to."""
    tip = birth(file_log, "s")
    back_up(str(path), f"{path}.copy")
    step(file_log, "s", tip)
    copy = open_log(f"sqlite:///{path}.copy")
    assert not Path(f"{path}.copy-wal").exists()
    step(copy, "s", tip)
    assert len(copy.read("s")) == 2
    assert copy.database.ready().raw.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    copy.close()


def test_a_log_of_an_earlier_schema_can_be_copied(tmp_path):
    """What is to be migrated is copied as it is."""
    old = tmp_path / "old.db"
    raw = sqlite3.connect(old)
    raw.executescript(HISTORY.read_text("utf-8"))
    raw.close()
    copied = back_up(str(old), str(tmp_path / "copy.db"))
    assert (copied.schema, copied.events) == (1, 83)
    assert copied.streams["run"] == {"failed": 1, "succeeded": 5, "waiting": 2}


def test_no_file_is_overwritten_unasked(file_log, path, tmp_path):
    """A file that is there stays, but with `force`; it is replaced at one stroke."""
    birth(file_log, "s")
    target = tmp_path / "copy"
    target.write_text("a letter")
    with pytest.raises(StorageError, match="is there already"):
        back_up(str(path), str(target))
    assert target.read_text() == "a letter"
    assert back_up(str(path), str(target), force=True).events == 1
    assert names(tmp_path) == ["copy"]


def test_where_no_copy_can_be(file_log, path, tmp_path):
    """The log itself by any name, a folder, no folder, and a file with a -wal are refused."""
    birth(file_log, "s")
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for name in ("link", "hard", path.name):
        with pytest.raises(StorageUnsuitable, match="is the log itself"):
            back_up(str(path), str(tmp_path / name), force=True)
    for end in ("-wal", "-shm", "-journal"):
        with pytest.raises(StorageUnsuitable, match="or a part of it"):
            back_up(str(path), f"{path}{end}", force=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="is no file that can be replaced"):
        back_up(str(path), str(tmp_path / "pipe"), force=True)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(StorageError, match="is a folder"):
        back_up(str(path), str(tmp_path))
    with pytest.raises(StorageError, match="make it first"):
        back_up(str(path), str(tmp_path / "none" / "copy"))
    (tmp_path / "used-wal").touch()
    with pytest.raises(StorageUnsuitable, match="used-wal lies beside"):
        back_up(str(path), str(tmp_path / "used"), force=True)
    assert names(tmp_path) == ["hard", "link", "pipe", "used-wal"]


def test_a_damaged_log_is_not_copied_in_silence(file_log, path, tmp_path):
    """A copy that does not verify is not kept; the fault is named."""
    birth(file_log, "s")
    file_log.close()
    raw = sqlite3.connect(path)
    raw.execute("DROP TRIGGER event_is_not_updated")
    raw.execute("UPDATE event SET data = '2'")
    raw.commit()
    raw.close()
    with pytest.raises(StorageCorrupt, match="stream 's'"):
        back_up(str(path), str(tmp_path / "copy"))
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(file_log, path, tmp_path):
    """A copy that finds no room is a StorageError; the copy of yesterday stays."""
    filled(file_log)
    (tmp_path / "copy").write_text("yesterday's")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "from eventstore.backup import back_up; from eventstore.errors import StorageError\n"
        "try: back_up(sys.argv[1], sys.argv[2], force=True)\n"
        "except StorageError as error: print(type(error).__name__)"
    )
    said = child(code, path, tmp_path / "copy").stdout
    assert said in ("StorageFull\n", "StorageError\n")
    assert names(tmp_path) == ["copy"]
    assert (tmp_path / "copy").read_text() == "yesterday's"
    assert list(file_log.verify()) == []


def test_a_folder_that_takes_no_file_is_named_and_not_the_log(file_log, path):
    """What cannot be written is the copy: the words are about it, and what to do."""
    filled(file_log)
    if not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc, where nobody makes a file")
    with pytest.raises(
        StorageError, match="cannot write /proc/copy: its folder cannot be"
    ) as no:
        back_up(str(path), "/proc/copy")
    assert str(path) not in str(no.value)


def test_a_copy_that_is_killed_has_no_name(file_log, path, tmp_path):
    """Killed at a step, the copy of yesterday stays, and the next one is made as ever."""
    filled(file_log)
    (tmp_path / "copy").write_text("yesterday's")
    code = (
        "import os, signal, sys; from eventstore import backup; backup.PAGES = 8;"
        "backup.back_up(sys.argv[1], sys.argv[2], force=True,"
        " progress=lambda done, pages: done > 16 and os.kill(os.getpid(), signal.SIGKILL))"
    )
    assert child(code, path, tmp_path / "copy", check=False).returncode == -9
    assert (tmp_path / "copy").read_text() == "yesterday's"
    assert back_up(str(path), str(tmp_path / "copy"), force=True).events == 600
