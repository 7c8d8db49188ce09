"""A log of schema 1 becomes one of today's: the same as a new one, once, whole or not at all."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore import clock, open_log, schema
from eventstore.errors import SchemaMismatch, StorageError, StorageUnsuitable
from eventstore.migrating import WorkersAtWork, migrate_file
from eventstore.sqlite.database import Sqlite
from eventstore.sqlite.locks import LockFiles
from eventstore.store import Counters, WorkerRow

HISTORY = Path(__file__).parents[1] / "histories" / "schema-1.sql"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A log of schema 1 as it was recorded."""
    made = tmp_path_factory.mktemp("recorded") / "log.db"
    raw = sqlite3.connect(made)
    raw.executescript(HISTORY.read_text("utf-8"))
    raw.close()
    return made


@pytest.fixture
def old(recorded, path):
    """A copy of the recorded log, to be changed."""
    shutil.copy(recorded, path)
    return path


def ask(path, text):
    """Give the rows of a statement, by a connection of our own."""
    raw = sqlite3.connect(path)
    try:
        return raw.execute(text).fetchall()
    finally:
        raw.close()


def shape(path):
    """Give columns, kinds of tables, indexes and triggers of a database."""
    tables = [n for (n,) in ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        "columns": {name: ask(path, f"PRAGMA table_xinfo({name})") for name in tables},
        "tables": ask(path, "SELECT name, strict, wr FROM pragma_table_list ORDER BY name"),
        "rest": ask(
            path,
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table'"
            " ORDER BY type, name",
        ),
        "stamp": ask(path, "SELECT key, value FROM log_meta WHERE key <> 'store'"),
        "vacuum": ask(path, "PRAGMA auto_vacuum"),
    }


def test_a_migrated_log_and_a_new_one_are_the_same(old, tmp_path):
    """Columns with types and order, kinds of tables, indexes, triggers and stamp agree."""
    migrate_file(str(old))
    new = open_log(f"sqlite:///{tmp_path / 'new.db'}")
    new.head("s")
    new.close()
    assert shape(old) == shape(tmp_path / "new.db")
    assert shape(old)["columns"]["blob"][-1][1] == "kept"


def test_what_was_in_it_is_in_it(old):
    """Every event, row, key and blob is as before; a worker counts as heard of when it came."""
    kept = ("event", "stream", "inbox", "wait", "snapshot", "cursor", "blob")
    before = {table: ask(old, f"SELECT * FROM {table}") for table in kept}  # noqa: S608
    migrate_file(str(old))
    after = {table: ask(old, f"SELECT * FROM {table}") for table in kept}  # noqa: S608
    assert after.pop("blob") == [(*row, 0) for row in before.pop("blob")]
    assert after == before
    log = open_log(f"sqlite:///{old}")
    assert list(log.verify()) == []
    assert [(row.renewed, row.skew) for row in log.workers()] == [(1, None)]
    log.close()


def test_a_log_of_today_is_left_as_it_is(old):
    """A second migration finds nothing to do."""
    first = migrate_file(str(old))
    assert (first.found, first.schema) == (1, schema.VERSION)
    assert len(first.steps) == schema.VERSION - 1
    changes = ask(old, "PRAGMA schema_version")
    assert migrate_file(str(old)) == (schema.VERSION, schema.VERSION, (), ())
    assert ask(old, "PRAGMA schema_version") == changes


def test_a_check_says_what_would_be_done_and_writes_nothing(old):
    """The answer is that of the migration; the file is the same to the byte."""
    before = old.read_bytes()
    steps = ("adds worker.locked, worker.renewed, worker.skew and blob.kept",)
    assert migrate_file(str(old), is_check=True) == (1, schema.VERSION, steps, ())
    assert old.read_bytes() == before


def test_workers_at_work_are_in_the_way(old):
    """A worker whose lease runs is named and refused, unless told otherwise."""
    until = clock.now_us() + 60 * clock.SECOND
    raw = sqlite3.connect(old)
    raw.execute(
        "INSERT INTO worker VALUES ('w1', 'night', 'host', 77, 1, ?, '[]', 0)", (until,)
    )
    raw.commit()
    raw.close()
    with pytest.raises(WorkersAtWork, match=r"worker night \(process 77 on host\)"):
        migrate_file(str(old))
    assert ask(old, "SELECT value FROM log_meta WHERE key = 'schema'") == [("1",)]
    assert len(migrate_file(str(old), is_check=True).living) == 1
    assert migrate_file(str(old), anyway=True).found == 1
    assert ask(old, "SELECT value FROM log_meta WHERE key = 'schema'") == [("2",)]


@pytest.mark.parametrize("is_held", [True, False])
def test_a_lock_says_more_than_a_lease(old, is_held):
    """A held lock is a living worker although its lease ran out; a free one is none."""
    until = 1 if is_held else clock.now_us() + 60 * clock.SECOND
    raw = sqlite3.connect(old)
    raw.execute("INSERT INTO worker VALUES ('w1', '', 'h', 77, 1, ?, '[]', 0)", (until,))
    raw.commit()
    raw.close()
    locks = LockFiles(Sqlite(str(old), Counters()))
    locks.take("w1")
    if not is_held:
        locks.close()
    assert len(migrate_file(str(old), is_check=True).living) == int(is_held)
    locks.close()


DYING = """
import os, signal, sys, json
from eventstore import migrations
from eventstore.migrating import migrate_file
from eventstore.sqlite.session import Session

tune = Session.tune

def dying(left):
    def count(statement):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    def tuned(self):
        tune(self)
        self.raw.set_trace_callback(count)
    return tuned

ends = []
for path in sys.argv[1:]:
    pid = os.fork()
    if not pid:
        Session.tune = dying(len(ends) + 1)
        migrate_file(path)
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(ends))
"""


@pytest.mark.slow
def test_a_migration_that_is_killed_can_be_repeated(old, tmp_path):
    """Killed before its nth statement, for each n, the log is of schema 1 and migrates then."""
    copies = [shutil.copy(old, tmp_path / f"{n}.db") for n in range(20)]
    done = subprocess.run(
        [sys.executable, "-c", DYING, *map(str, copies)], env={**os.environ},
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    ends = json.loads(done.stdout)
    killed = [copy for copy, end in zip(copies, ends, strict=True) if end == -9]
    assert 9 <= len(killed) < 20, ends
    assert ends == [-9] * len(killed) + [0] * (20 - len(killed))
    for copy in killed:
        assert ask(copy, "SELECT value FROM log_meta WHERE key = 'schema'") == [("1",)]
        assert migrate_file(str(copy)).found == 1
    assert len({json.dumps(shape(copy)) for copy in copies}) == 1


def test_what_cannot_be_migrated(tmp_path, path):
    """No file, an empty one, another program's, and a newer Playhead's are each refused."""
    with pytest.raises(StorageError, match="there is no log"):
        migrate_file(str(path))
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(StorageUnsuitable, match="nothing to migrate"):
        migrate_file(str(path))
    other = tmp_path / "other.db"
    raw = sqlite3.connect(other)
    raw.execute("CREATE TABLE recipes(name)")
    raw.commit()
    raw.close()
    with pytest.raises(SchemaMismatch, match="recipes"):
        migrate_file(str(other))
    newer = open_log(f"sqlite:///{tmp_path / 'newer.db'}")
    newer.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    newer.leave("w", now=0)
    newer.close()
    raw = sqlite3.connect(tmp_path / "newer.db")
    raw.execute("UPDATE log_meta SET value = '99' WHERE key = 'schema'")
    raw.commit()
    raw.close()
    with pytest.raises(SchemaMismatch, match="update Playhead"):
        migrate_file(str(tmp_path / "newer.db"))


def test_alembic_is_imported_only_to_migrate(path, old):
    """A new log is created and used without it; a log of today asks for no migration either."""
    code = (
        "import sys; from playhead import Engine; from eventstore.migrating import migrate_file;"
        "engine = Engine('sqlite:///' + sys.argv[1]); engine.runs(); engine.close();"
        "migrate_file(sys.argv[1]); assert 'alembic' not in sys.modules;"
        "migrate_file(sys.argv[2]); assert 'alembic' in sys.modules"
    )
    command = [sys.executable, "-c", code, str(path.with_name("new.db")), str(old)]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, timeout=200)
