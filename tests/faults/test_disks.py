# ruff: noqa: S607 - mount is found on the path
"""Rows 2, 3, 5, 6 and 7: killed at a write, cut off between commits, no room, spoilt bytes.

The faults befall the children of `disks.py`, a program of its own; more of them are in
tests/eventstore/test_crashes.py and test_sqlite.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore import open_log
from eventstore.errors import StorageReadOnly
from eventstore.testing import birth

HERE = Path(__file__).parent
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")


def scene(name, folder, *, quiet=True):
    """Play a scene of `disks.py`; give what it found."""
    told = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "disks.py"), name, str(folder / "log.db")],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert not quiet or told.stderr == ""
    found = json.loads(told.stdout)
    if found is None:
        pytest.skip("strace may not attach here")
    return found


@needs_strace
def test_killed_while_a_database_is_founded(tmp_path):
    """Row 2: wherever the maker of a log is killed, the next one founds it, or finds it sound."""
    results = scene("killed_while_founding", tmp_path)
    assert all(done <= stored <= done + 1 for done, stored, *_ in results), results
    assert [faults for _, _, *faults in results] == [[[], "ok"]] * len(results)
    assert {done for done, *_ in results} >= {0, 1}, "killed within the founding, and after it"


@needs_strace
def test_killed_while_the_log_is_copied(tmp_path):
    """Row 2: writes and syncs of checkpoints are killed too; nothing acknowledged is lost."""
    results = scene("killed_while_copying", tmp_path)
    assert all(done <= stored <= done + 1 for done, stored, *_ in results), results
    assert [faults for _, _, *faults in results] == [[[], "ok"]] * len(results)
    assert {done for done, *_ in results} >= {0, 2}


@pytest.mark.slow
def test_a_process_that_ends_at_each_failpoint(tmp_path):
    """Row 3: ended before or after each commit; the next process brings the run to its end.

    Every result is recorded once. What a step did to the world is there once, or twice if its
    attempt was cut off, with the same key; a result that was committed is never made again.
    """
    for site, number, code, alive, told, seen in scene("failpoints", tmp_path, quiet=False):
        result, kinds, faults = told
        died = number <= 4  # the commits of the run
        assert (code, alive) == ((137, []) if died else (0, ["alive"])), (site, number)
        assert (result, faults) == (25, [])
        for step in ("one", "two", "three"):
            effects = [line for line in seen if line.startswith(step)]
            again = kinds.count(["step.lost", step])
            assert kinds.count(["step.succeeded", step]) == 1
            assert 1 <= len(effects) <= 1 + again <= 2, (site, number, step)
            assert len(set(effects)) == 1, "the idempotency key is the same"
        if site == "before_commit" and 1 < number <= 4:
            assert len(seen) == 4, "the effect was there, its record was not"


def test_an_engine_without_room_goes_on_when_there_is_some(tmp_path):
    """Row 5: at a limit on the size of files starts are refused and health says why.

    With room again the same engine, on the same connections, ends every run that was accepted;
    no step that had succeeded runs again.
    """
    refused, alive, reason, whole, once, count, well, faults = scene(
        "room_for_an_engine", tmp_path, quiet=False
    )
    assert refused.startswith("StorageError")
    assert alive
    assert "log.db" in reason
    assert (whole, once, well, faults) == (True, True, True, [])
    assert count > 5


@needs_root
def test_a_file_system_that_is_mounted_for_reading(tmp_path):
    """Row 6: where nothing can be written a log is refused at its first call, old and new alike."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        old, new = open_log(f"sqlite:///{disk}/old.db"), open_log(f"sqlite:///{disk}/new.db")
        birth(old, "s")
        old.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = sorted(file.name for file in disk.iterdir())
        for log in (old, new):
            with pytest.raises(StorageReadOnly, match="cannot be"):
                log.head("s")
        assert sorted(file.name for file in disk.iterdir()) == before
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert old.head("s") is not None
        old.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_spoilt_bytes_are_found(tmp_path):
    """Row 7: each page in turn spoilt, the file cut, a letter of an event changed.

    `verify` tells each of them. Reading gives what was written or StorageCorrupt, but for the
    changed letter, which only the chain of hashes knows; an append rests on whole pages or fails.
    """
    found = scene("damaged_pages", tmp_path)
    whole, letter = found.pop("whole"), found.pop("letter")
    assert whole == {"read": True, "verify": [], "append": 27}
    assert letter["read"] is False
    assert "'b'" in letter["verify"][0], letter
    assert len(found) > 20
    assert [where for where, told in found.items() if not told["verify"]] == []
    assert {told["read"] for told in found.values()} == {True, "StorageCorrupt"}
    assert {told["append"] for told in found.values()} == {27, "StorageCorrupt"}
