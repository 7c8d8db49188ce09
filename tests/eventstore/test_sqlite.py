# ruff: noqa: S607 - mount and chattr are found on the path
import contextlib
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eventstore import open_log
from eventstore.errors import (
    SchemaMismatch,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnsuitable,
    WrongExpectedVersion,
)
from eventstore.event import Tip
from eventstore.store import WorkerRow
from eventstore.testing import birth, fact, step


def handles(path):
    """Give the files of a database that this process holds open."""
    found = []
    for number in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(number.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


def test_nothing_is_opened_before_the_first_call(path):
    """Making a log touches no file; the first call creates it."""
    log = open_log(f"sqlite:///{path}")
    assert not path.exists()
    assert log.head("s") is None
    assert path.exists()
    log.close()


def test_closing_leaves_no_file_handle(path, file_log):
    """After `close` no file of the database is open, nor any lock file."""
    birth(file_log, "s")
    file_log.changed()
    file_log.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    threads = [threading.Thread(target=file_log.read, args=("s",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handles(path) != []
    file_log.close()
    assert handles(path) == []


def test_the_connection_is_as_safe_as_it_must_be(file_log):
    """Write-ahead log, full sync, guards against REPLACE, no checkpoints but explicit ones."""
    raw = file_log.database.ready().raw
    asked = {
        name: raw.execute(f"PRAGMA {name}").fetchone()[0]
        for name in (
            "journal_mode",
            "synchronous",
            "recursive_triggers",
            "wal_autocheckpoint",
            "auto_vacuum",
        )
    }
    assert asked == {
        "journal_mode": "wal",
        "synchronous": 2,
        "recursive_triggers": 1,
        "wal_autocheckpoint": 0,
        "auto_vacuum": 2,
    }


def test_a_missing_folder_is_named(tmp_path):
    """A folder that is not there is a StorageError that says so, and is not made."""
    log = open_log(f"sqlite:///{tmp_path}/none/log.db")
    with pytest.raises(StorageError, match="make it first"):
        log.head("s")
    assert not (tmp_path / "none").exists()


def test_a_folder_is_no_file(tmp_path):
    """A folder in place of the file is refused."""
    with pytest.raises(StorageError, match="it is a folder"):
        open_log(f"sqlite:///{tmp_path}").head("s")


def test_a_file_that_is_no_database_is_left_alone(path):
    """Some other file is refused and not changed by a byte."""
    path.write_bytes(b"a letter to my aunt " * 200)
    with pytest.raises(StorageCorrupt, match="not a SQLite database"):
        open_log(f"sqlite:///{path}").head("s")
    assert path.read_bytes() == b"a letter to my aunt " * 200
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_programs_database_is_left_alone(path):
    """A database without our stamp is a SchemaMismatch, and is not changed."""
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes(name)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="recipes"):
        open_log(f"sqlite:///{path}").head("s")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_older_schema_is_refused(path, file_log):
    """A log of an older schema is not touched; the message says what to run, backup first."""
    birth(file_log, "s")
    file_log.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE log_meta SET value = '1' WHERE key = 'schema'")
    raw.close()
    with pytest.raises(SchemaMismatch) as refused:
        file_log.head("s")
    url = f"sqlite:///{path}"
    assert f"`playhead backup --url {url} COPY`" in str(refused.value)
    assert f"`playhead migrate --url {url}`" in str(refused.value)


def test_a_newer_schema_is_refused(path, file_log):
    """A log of a newer Playhead is not touched; the message says to update."""
    birth(file_log, "s")
    file_log.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE log_meta SET value = '99' WHERE key = 'schema'")
    raw.close()
    with pytest.raises(SchemaMismatch, match="update Playhead"):
        file_log.head("s")


def test_a_little_room_on_a_full_disk_goes_to_the_database(tmp_path):
    """A disk full of write-ahead log: half a MB more is not eaten by it, but lets it begin anew.

    Without the copy before the next write, that room held 17 more appends, and then none.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    log = open_log(f"sqlite:///{disk}/log.db")
    done = 0
    try:
        with contextlib.suppress(StorageFull):
            while done < 5000:
                birth(log, f"s{done}", events=(fact(),))
                done += 1
        assert 0 < done < 1000
        with pytest.raises(StorageFull):
            birth(log, "no room", events=(fact(),))
        subprocess.run(["mount", "-o", "remount,size=6656k", disk], check=True)
        for number in range(100):
            birth(log, f"t{number}", events=(fact(),))
        assert len(log.heads(kind="run")) == done + 100
        assert list(log.verify()) == []
    finally:
        log.close()
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_and_survived(tmp_path):
    """Hazard 5: no room is StorageFull, and nothing acknowledged is lost.

    With room again the same log goes on.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    log = open_log(f"sqlite:///{disk}/log.db")
    try:
        big = fact(data='"%s"' % ("x" * 20_000))
        done = 0
        told = None
        while told is None and done < 200:
            try:
                birth(log, f"s{done}", events=(big,))
                done += 1
            except StorageFull as error:
                told = str(error)
        assert "free some space" in told
        assert 0 < done < 100
        assert len(log.heads(kind="run")) == done
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        birth(log, "more", events=(big,))
        assert len(log.heads(kind="run")) == done + 1
        assert list(log.verify()) == []
    finally:
        log.close()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("chattr"), reason="needs root and chattr"
)
def test_a_locked_file_or_folder_is_read_only(path, file_log):
    """Hazard 6: an immutable file, or folder, is StorageReadOnly at the first call."""
    birth(file_log, "s")
    file_log.close()
    for target in (path, path.parent):
        if subprocess.run(
            ["chattr", "+i", target], capture_output=True, check=False
        ).returncode:
            pytest.skip("this file system knows no immutable files")
        try:
            before = sorted(file.name for file in path.parent.iterdir())
            with pytest.raises(StorageReadOnly, match="cannot be"):
                file_log.head("s")
            assert sorted(file.name for file in path.parent.iterdir()) == before
        finally:
            subprocess.run(["chattr", "-i", target], check=True)
    assert len(file_log.read("s")) == 1


def test_a_locked_database_is_waited_for_and_then_told(path, file_log):
    """A writer of another program is waited for; past the deadline it is StorageBusy."""
    tip = birth(file_log, "s")
    file_log.database.patience.seconds = 0.3
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy, match="stop it"):
        step(file_log, "s", tip)
    assert len(file_log.read("s")) == 1
    file_log.database.patience.seconds = 10
    threading.Timer(0.1, lambda: other.execute("COMMIT")).start()
    step(file_log, "s", tip)
    other.close()


def test_a_database_locked_between_two_tries_of_one_append_is_told_and_survived(path, file_log):
    """What was not begun a second time is not undone a second time: that freed what others had."""
    tip = birth(file_log, "s")
    step(file_log, "s", tip)
    database = file_log.database
    database.patience.seconds = 0.3
    other = sqlite3.connect(path, isolation_level=None)
    rollback = database.rollback

    def come_between(session):
        rollback(session)
        other.execute("BEGIN IMMEDIATE")
        database.rollback = rollback

    database.rollback = come_between
    with pytest.raises(StorageBusy, match="stop it"):
        step(file_log, "s", tip)  # refused, but first it is looked at
    other.execute("COMMIT")
    other.close()
    with pytest.raises(WrongExpectedVersion):
        step(file_log, "s", tip)
    birth(file_log, "t")


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_deleted_or_replaced_file_is_noticed(path, file_log, suffix):
    """Hazard 9: with the next renewal of a lease the log says that its file is gone, and stops."""
    file_log.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    file_log.renew("w", until=5)
    Path(f"{path}{suffix}").rename(f"{path}.away")
    with pytest.raises(StorageCorrupt, match="was deleted"):
        file_log.renew("w", until=6)
    with pytest.raises(StorageCorrupt):
        birth(file_log, "s")
    shutil.copy(f"{path}.away", f"{path}{suffix}")
    file_log.close()


def test_an_old_log_opened_anew_stands_on_its_own_files(path, file_log):
    """Opened again, alone or beside another log, a log does not mistake its files for strange."""
    file_log.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    file_log.close()
    other = open_log(f"sqlite:///{path}")
    file_log.renew("w", until=5)
    birth(other, "s")
    other.close()
    birth(file_log, "t")
    file_log.database.checkpoint()
    file_log.renew("w", until=6)


def test_statements_are_counted(file_log):
    """A birth is two statements, its row and its events; a read is one."""
    file_log.head("s")
    before = file_log.counters.statements
    birth(file_log, "s", events=(fact(), fact()))
    assert file_log.counters.statements == before + 2
    file_log.read("s")
    assert file_log.counters.statements == before + 3


def test_the_write_ahead_log_does_not_grow_for_ever(path, file_log):
    """Some 60 MB written leave a write-ahead log of at most a few checkpoints' worth."""
    big = fact(data='"%s"' % ("x" * 60_000))
    for number in range(500):
        birth(file_log, f"s{number}", events=(big, big))
    assert Path(f"{path}-wal").stat().st_size < 30 * 2**20
    assert path.stat().st_size > 30 * 2**20


def test_data_version_moves_with_others_commits(path, file_log):
    """`changed` moves when another log on the same file appends, and stands still otherwise."""
    birth(file_log, "s")
    before = file_log.changed()
    assert file_log.changed() == before
    other = open_log(f"sqlite:///{path}")
    birth(other, "t")
    assert file_log.changed() != before
    other.close()


def test_memory_is_private_to_each_log():
    """Two logs in SQLite's memory know nothing of each other."""
    one, two = open_log("sqlite:///:memory:"), open_log("sqlite:///:memory:")
    birth(one, "s")
    assert two.head("s") is None


def test_a_log_that_is_dropped_closes_itself(path):
    """A log that nobody holds any more leaves no file handle and no warning."""
    log = open_log(f"sqlite:///{path}")
    birth(log, "s")
    del log
    gc.collect()
    assert handles(path) == []


def test_a_lost_tail_is_an_older_log_not_a_wrong_one(path, file_log, tmp_path):
    """Hazard 7: a truncated -wal gives an older state that is sound.

    A writer with a later tip is refused.
    """
    tip = birth(file_log, "s")
    for _ in range(9):
        tip = step(file_log, "s", tip)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)  # by another process it would be; nobody else is about
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    os.truncate(f"{copy}-wal", Path(f"{copy}-wal").stat().st_size * 3 // 4)
    older = open_log(f"sqlite:///{copy}")
    events = older.read("s")
    assert 0 < len(events) < 10
    assert list(older.verify()) == []
    with pytest.raises(WrongExpectedVersion):
        step(older, "s", tip)
    older.close()


def test_a_spoilt_index_of_the_log_is_rebuilt(path, file_log, tmp_path):
    """Hazard 7: bytes of chance in the -shm of a log that nobody has open do no harm."""
    birth(file_log, "s")
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    (tmp_path / "copy.db-shm").write_bytes(os.urandom(32768))
    again = open_log(f"sqlite:///{copy}")
    assert len(again.read("s")) == 1
    assert list(again.verify()) == []
    again.close()


def test_a_damaged_page_is_found(path, file_log):
    """Hazard 7: a page overwritten with bytes of chance is told by `verify` or by reading."""
    tip = birth(file_log, "s")
    for _ in range(200):
        tip = step(file_log, "s", tip, fact(data='"%s"' % ("x" * 500)))
    file_log.close()
    with path.open("r+b") as file:
        for page in range(10, 30):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    assert any(file_log.verify())


def test_import_is_light():
    """Importing the package does not import SQLAlchemy; only opening a SQL log does."""
    code = "import sys, eventstore; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.cwd())


def test_a_bad_value_spoils_only_its_own_append(file_log):
    """A value that SQLite cannot hold is refused; the log goes on."""
    with pytest.raises((StorageError, ValueError, OverflowError)):
        birth(file_log, "s", due=2**70)
    with pytest.raises((StorageError, ValueError)):
        birth(file_log, "t", label="\ud800")
    birth(file_log, "s")
    assert list(file_log.verify()) == []


def test_a_tip_from_elsewhere_is_refused(file_log):
    """A tip that the stream never had is refused."""
    birth(file_log, "s")
    with pytest.raises(WrongExpectedVersion):
        step(file_log, "s", Tip(5, 0, b"x"))


def test_urls_that_name_no_log():
    """Unknown urls are refused with what can be written instead."""
    for url in ("", "x.db", "mysql://h/d", "sqlite:/x.db", "sqlite://x.db"):
        with pytest.raises(StorageUnsuitable, match="sqlite:///"):
            open_log(url)
    with pytest.raises(StorageUnsuitable, match="no options"):
        open_log("sqlite:///a.db?mode=ro")


def test_relative_paths_hold_where_they_were_named(tmp_path, monkeypatch):
    """A relative path means the working folder of the moment when the log was made."""
    monkeypatch.chdir(tmp_path)
    log = open_log("sqlite:///log.db")
    monkeypatch.chdir("/")
    birth(log, "s")
    assert (tmp_path / "log.db").exists()
    log.close()
