"""Purging in a SQLite file: under a permit, whole or not at all, and the room is given back."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore import open_log
from eventstore.testing import birth, fact, step

ROOT = Path(__file__).parents[2]


def fill(log, streams=6, size=2_000):
    """Write streams that rest; give their tips."""
    events = (fact(data=f'"{"x" * size}"'),) * 10
    return {f"s{n}": birth(log, f"s{n}", events=events) for n in range(streams)}


def test_nobody_deletes_an_event_without_a_permit(file_log, path):
    """Before and after a purge the database itself refuses; no permit is left behind."""
    tips = fill(file_log)
    other = sqlite3.connect(path)
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError, match="without a purge_permit"):
            other.execute("DELETE FROM event WHERE stream = 's1'")
        other.rollback()
        file_log.purge({"s0": tips["s0"]}, now=9)
    assert other.execute("SELECT count(*) FROM purge_permit").fetchone() == (0,)
    assert other.execute("SELECT count(*) FROM event").fetchone() == (50,)
    other.close()


def test_the_file_gets_smaller(file_log, path):
    """What was purged is cut off the file, in steps, while the log stays open."""
    tips = fill(file_log, streams=40, size=20_000)
    file_log.database.checkpoint()
    before = path.stat().st_size
    kept = tips.pop("s7")
    assert len(file_log.purge(tips, now=9)) == 39
    freed = file_log.reclaim()
    assert freed > before * 0.9
    assert path.stat().st_size < before * 0.1
    step(file_log, "s7", kept)
    assert list(file_log.verify()) == []


def test_readers_and_writers_go_on_beside_a_purge(file_log, path):
    """Another connection that reads sees the stream whole until it asks again."""
    tips = fill(file_log)
    other = open_log(f"sqlite:///{path}")
    session = other.database.take()
    session.raw.execute("BEGIN")
    count = "SELECT count(*) FROM event"
    assert session.raw.execute(count).fetchone() == (60,)
    file_log.purge({"s0": tips["s0"]}, now=9)
    assert session.raw.execute(count).fetchone() == (60,)
    session.raw.execute("COMMIT")
    assert session.raw.execute(count).fetchone() == (50,)
    other.database.give(session)
    other.close()


DYING = """
import json, os, signal, sys
import eventstore.sqlite.joining  # once, not in each child
from eventstore import open_log

left, last = 0, None
ends = []
for path in sys.argv[1:]:
    pid = os.fork()
    if not pid:
        log = open_log("sqlite:///" + path)
        tips = {h.id: h.tip for h in log.old_heads(kind="run", before=10**18)}
        raw = log.database.ready().raw
        left = len(ends) + 1
        def count(statement):
            global left, last
            left -= statement != last  # triggers, and pages that are cut off, tell it again
            last = statement
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        raw.set_trace_callback(count)
        log.purge(tips, now=9)
        log.reclaim()
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(ends))
"""


@pytest.mark.slow
def test_a_purge_that_is_killed_is_whole_or_nothing_and_can_be_repeated(
    file_log, path, tmp_path
):
    """Killed before its nth statement: all streams or none are gone, no permit stays."""
    fill(file_log)
    file_log.close()
    copies = [shutil.copy(path, tmp_path / f"{n}.db") for n in range(24)]
    done = subprocess.run(
        [sys.executable, "-c", DYING, *map(str, copies)], cwd=ROOT,
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    ends = json.loads(done.stdout)
    killed = [copy for copy, end in zip(copies, ends, strict=True) if end == -9]
    assert 10 < len(killed) < 24, ends
    purged = []
    for copy in killed:
        log = open_log(f"sqlite:///{copy}")
        assert list(log.verify()) == []
        gone = {head.purged for head in log.heads(kind="run")}
        assert gone in ({None}, {9})
        assert len(log.read_all()) == (60 if gone == {None} else 0)
        tips = {head.id: head.tip for head in log.old_heads(kind="run", before=10**18)}
        assert len(log.purge(tips, now=10)) == len(tips)
        log.reclaim()
        raw = log.database.ready().raw
        assert raw.execute("SELECT count(*) FROM purge_permit").fetchone() == (0,)
        assert list(log.verify()) == []
        log.close()
        purged.append(gone == {9})
    assert sorted(purged) == purged  # from some statement on, the commit, all are gone
    assert not purged[0]
    assert purged[-1]
