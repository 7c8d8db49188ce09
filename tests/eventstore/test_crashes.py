"""Killed, cut off from the disk, forked: what was acknowledged stays, and each hazard is named.

The faults are real: `kill -9`, injected system calls, limits. They happen to the children of
`crashing.py` and `meeting.py`, programs of their own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")


def scene(name, path, program="crashing.py"):
    """Play a scene of a program; give what it found."""
    told = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / program), name, str(path)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    found = json.loads(told.stdout)
    if found is None:
        pytest.skip("strace may not attach here")
    return found


def test_kill_at_any_instant_loses_nothing_acknowledged(path):
    """Hazard 1: after each of 15 kills, acknowledged <= stored <= acknowledged + 1, and sound."""
    results = scene("kill_at_any_instant", path)
    assert all(done <= stored <= done + 1 for done, stored, _ in results), results
    assert all(faults == [] for *_, faults in results)
    assert sum(done for done, *_ in results) > 50


@needs_strace
def test_kill_at_the_nth_write_or_sync_loses_nothing_acknowledged(path):
    """Hazard 2: killed at chosen writes and syncs, the same holds."""
    results = scene("kill_at_a_write", path)
    assert all(done <= stored <= done + 1 for done, stored, _ in results), results
    assert all(faults == [] for *_, faults in results)


@needs_strace
def test_one_failed_sync_is_mended(path):
    """Hazard 4: a sync that fails once with EIO is mended; nothing is lost or written twice."""
    said, stored, after = scene("sync_fails_once", path)
    assert said == [str(number) for number in range(40)]
    assert stored == after == [0, 40, []]


@needs_strace
def test_nothing_is_acknowledged_while_syncs_fail(path):
    """Hazard 4: while all syncs fail nothing is acknowledged, also not what can be read.

    Once the disk is well, the same ids complete the log.
    """
    said, stored, after = scene("sync_fails_for_ever", path)
    good = [line for line in said if not line.startswith("!")]
    assert good == [str(number) for number in range(len(good))]
    assert 0 < len(good) < 10
    assert all("StorageError" in line for line in said[len(good) :])
    assert len(good) <= stored[1] <= len(good) + 1
    assert after == [0, 40, []]


def test_a_limit_on_the_size_of_files_is_told(path):
    """Hazard 5: a write beyond the limit is a StorageError; what was acknowledged is there."""
    (done, error), stored, faults = scene("small_files_only", path)
    assert error.startswith("StorageError")
    assert str(path) in error
    assert int(done) == stored > 0
    assert faults == []


@needs_root
def test_without_rights_nothing_is_begun():
    """Hazard 6: who may not write gets StorageReadOnly at once, and nothing was created."""
    folder = Path("/tmp") / f"playhead-readonly-{os.getpid()}"  # noqa: S108 - others must reach it
    folder.mkdir(mode=0o755)
    try:
        (said,) = scene("as_nobody", folder / "log.db")
        assert said.startswith("StorageReadOnly")
        assert str(folder) in said
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder)


def test_own_files_are_never_opened(path):
    """Hazard 9: Python never opens the database, its -wal or its -shm; that would drop locks."""
    assert scene("own_files_are_not_opened", path, "meeting.py") == [[], []]


def test_a_forked_child_is_refused_and_does_no_harm(path):
    """Hazard 11: in a child each call says what to do, and a log of its own works.

    The parent's connections, ears and files outlive the child's end.
    """
    said, heard, has_wal, judged, events = scene("fork_with_an_open_log", path, "meeting.py")
    assert all("new Engine in the child" in line for line in said[:5])
    assert said[5] == 2
    assert heard == ["s"]
    assert has_wal is True
    assert judged[2] == []
    assert events == 5


def test_a_free_lock_is_a_death(path):
    """A killed worker is buried although its lease runs and a child it forked lives on."""
    before, after, again, rows, lost_by, died, left, locks = scene(
        "free_lock", path, "meeting.py"
    )
    assert (before, after, again) == ([], ["dead"], [])
    assert rows == [["dead", True]]
    assert (lost_by, died) == ("dead", True)
    assert left == []
    assert locks == []


def test_a_held_lock_is_no_death(path):
    """A stopped worker whose lease ran out is not buried, but its streams can be taken over."""
    buried, lost_by, died, refused = scene("held_lock", path, "meeting.py")
    assert (buried, lost_by, died) == ([], "slow", False)
    assert "at work in another process" in refused


def test_four_processes_share_a_file(path):
    """Four processes append to streams of their own and to one they share; all are complete."""
    said, sizes, faults = scene("many_processes", path, "meeting.py")
    assert said == [["done"]] * 4
    assert sizes == {"p0": 60, "p1": 60, "p2": 60, "p3": 60, "shared": 240}
    assert faults == []


def test_a_hint_crosses_processes(path):
    """A hint wakes a worker in another process within a moment, unless the machine is busy."""
    seconds, heard = scene("hint_across", path, "meeting.py")
    assert heard == ["s1", "s2"]
    assert min(seconds) < 0.5
