"""What makes a file count once: its bytes, read safely and in slices, or its path."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from triggers import FileTrigger
from triggers.files.below import NotTheFile
from triggers.files.identity import Digest
from triggers.testing import PaperEngine, workflow

ROOT = Path(__file__).parents[3]
DOCUMENTS = workflow("documents", "path")
Declined = Callable[[Any], list[tuple[str, dict[str, Any]]]]


def digest_of(path: Path) -> Digest:
    """Begin a digest of a file as it stands."""
    status = path.lstat()
    return Digest(str(path.parent), path.name, status.st_size, status.st_mtime_ns)


def test_a_digest_is_taken_in_slices(tmp_path: Path) -> None:
    """5 MiB, at most 2 at once: three slices, and the digest that hashlib gives."""
    path = tmp_path / "a"
    data = os.urandom(5 << 20)
    path.write_bytes(data)
    digest = digest_of(path)
    assert digest.go_on(2 << 20) == (2 << 20, None)
    assert digest.go_on(2 << 20) == (2 << 20, None)
    assert digest.go_on(2 << 20) == (1 << 20, hashlib.sha256(data).hexdigest())


def test_an_empty_file_has_a_digest(tmp_path: Path) -> None:
    """No bytes are bytes too."""
    (tmp_path / "a").touch()
    assert digest_of(tmp_path / "a").go_on(1) == (0, hashlib.sha256().hexdigest())


@pytest.mark.parametrize("change", ["gone", "grown", "cut", "touched", "link", "folder"])
def test_another_file_is_found_out(tmp_path: Path, change: str) -> None:
    """Between the look and the reading, or between two slices."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (3 << 20))
    digest = digest_of(path)
    digest.go_on(1 << 20)
    if change == "grown":
        path.write_bytes(b"x" * (4 << 20))
    elif change == "cut":
        path.write_bytes(b"x")
    elif change == "touched":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    if change == "link":
        (tmp_path / "b").write_bytes(b"x" * (3 << 20))
        path.symlink_to(tmp_path / "b")
    elif change == "folder":
        path.mkdir()
    with pytest.raises(NotTheFile):
        digest.go_on(5 << 20)


def test_a_fifo_put_in_its_place_hangs_nobody(tmp_path: Path) -> None:
    """It is opened without waiting for a writer, and seen to be no file."""
    path = tmp_path / "a"
    path.write_text("abc")
    digest = digest_of(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotTheFile):
        digest.go_on(1)


def poll(engine: PaperEngine, trigger: FileTrigger, door: Any, times: int = 1) -> None:
    """Look a few times."""
    for _ in range(times):
        engine.poll(trigger, door)


def test_the_same_bytes_count_once_under_any_name(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """A copy, a touched file, the same dropped again: told as duplicates; other bytes start."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, key="sha256", name="in")
    door = engine.door(trigger)
    with freeze_time("2026-01-01") as frozen:
        for name, text in (("a", "one"), ("b", "one"), ("c", "two"), ("a", "one")):
            (inbox / name).write_text(text)
            poll(engine, trigger, door)
            frozen.tick(1)
    digest = hashlib.sha256(b"one").hexdigest()
    assert engine.started()[0]["key"] == f"in/sha256:{digest}"
    assert len(engine.started()) == 2
    told = declined(trigger)
    assert {reason for reason, _ in told} == {"duplicate"}
    assert told[0][1]["names"] == ["b"]


def test_the_same_bytes_twice_in_one_look(engine: PaperEngine, inbox: Path) -> None:
    """Two names that are there at first, one run."""
    for name in "ab":
        (inbox / name).write_text("same")
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, key="sha256")
    poll(engine, trigger, engine.door(trigger), 2)
    assert len(engine.started()) == 1


def test_a_large_file_does_not_hold_the_others(
    engine: PaperEngine, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many bytes a poll; what is read is not read again; each file has its run in the end."""
    monkeypatch.setattr("triggers.files.claim.READ", 2 << 20)
    for number, size in enumerate((1, 5 << 20, 3)):
        path = inbox / f"{number}"
        path.write_bytes(b"x" * size)
        os.utime(path, (number, number))
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, key="sha256")
    door = engine.door(trigger)
    counts: list[int] = []
    read: list[int] = []
    go_on = Digest.go_on

    def spied(self: Digest, most: int) -> tuple[int, str | None]:
        count, found = go_on(self, most)
        read.append(count)
        return count, found

    monkeypatch.setattr(Digest, "go_on", spied)
    for _ in range(5):
        engine.pokes.clear()
        poll(engine, trigger, door)
        counts.append(len(engine.begun_runs))
        if not engine.pokes.is_set():
            break
    assert sum(read) == (5 << 20) + 4
    assert counts == [1, 2, 3]


def test_a_file_in_the_making_is_not_read(
    engine: PaperEngine, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are read once: when the file is complete, and never for what is known."""
    read: list[int] = []
    go_on = Digest.go_on

    def spied(self: Digest, most: int) -> tuple[int, str | None]:
        read.append(most)
        return go_on(self, most)

    monkeypatch.setattr(Digest, "go_on", spied)
    trigger = FileTrigger(inbox / "*", DOCUMENTS, key="sha256")
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        (inbox / "a").write_text("one")
        poll(engine, trigger, door, 3)
        assert read == []
        frozen.tick(1)
        poll(engine, trigger, door, 3)
    assert len(read) == len(engine.started()) == 1


UNREADABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from eventstore import open_log
from triggers import FileTrigger
from triggers.testing import PaperEngine, workflow
engine = PaperEngine(open_log("sqlite:///:memory:"))
trigger = FileTrigger(sys.argv[2], workflow("documents", "path"), settle=0, key="sha256")
door = engine.door(trigger)
door.state()
os.setuid(65534)
for _ in range(3):
    engine.poll(trigger, door)
print([told["reason"] for type_, told in engine.told(trigger) if type_ == "trigger.declined"])
print(len(engine.begun_runs))
engine.log.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_file_that_may_not_be_read_is_told_of() -> None:
    """Once; the others start."""
    with (
        tempfile.TemporaryDirectory() as name
    ):  # not below pytest's own, which is shut to others
        inbox = Path(name)
        inbox.chmod(0o755)
        for letter in "ab":
            (inbox / letter).write_text(letter)
        (inbox / "a").chmod(0)
        command = [sys.executable, "-c", UNREADABLE, str(ROOT), f"{inbox}/*"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "['cannot be read: Permission denied']\n1\n", done.stderr
