"""Moving a file away: whole, once, onto nothing; whatever crashes, swaps or is taken."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from triggers.files import tidy
from triggers.files.below import NotTheFile, made

ROOT = Path(__file__).parents[3]
SHARED = Path("/dev/shm")  # noqa: S108 - another file system, if there is one
CRASH = """
import os, sys
sys.path.insert(0, sys.argv[1])
from triggers.files import tidy
source, folder, line = sys.argv[2], sys.argv[3], 0
status = os.stat(source)

def cut(at):
    left = at
    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename != tidy.__file__:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os._exit(1)
        return trace
    return trace

def move():
    size, mtime = status.st_size, status.st_mtime_ns
    tidy.move(*os.path.split(source), folder, "run", size=size, mtime=mtime)

def whole(path):
    return os.path.exists(path) and open(path, "rb").read() == text

text = open(source, "rb").read()
before = {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}
while True:
    child = os.fork()
    if not child:
        sys.settrace(cut(line))
        move()
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    places = [source, *(os.path.join(folder, name) for name in os.listdir(folder)
                        if name not in before)]
    assert any(whole(place) for place in places), (line, places)
    for _ in range(3):
        try:
            move()
        except (tidy.NotTheFile, BlockingIOError):
            pass
    assert not os.path.exists(source), line
    (new,) = set(os.listdir(folder)) - set(before)
    assert whole(os.path.join(folder, new)), line
    for name, kept in before.items():
        assert open(os.path.join(folder, name), "rb").read() == kept, line
    if ended == 0:
        break
    os.rename(os.path.join(folder, new), source) if len(sys.argv) < 5 else None
    if len(sys.argv) > 4:
        os.unlink(os.path.join(folder, new))
        with open(source, "wb") as file:
            file.write(text)
        os.utime(source, ns=(status.st_mtime_ns, status.st_mtime_ns))
    line += 1
print(line)
"""


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder to move to, on the same file system."""
    return tmp_path / "done"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    if not SHARED.is_dir() or SHARED.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to move to")
    with tempfile.TemporaryDirectory(dir=SHARED) as name:
        yield Path(name)


def drop(path: Path, text: str = "abc") -> Path:
    """Write a file."""
    path.write_text(text)
    return path


def move(source: Path, folder: Path) -> Path:
    """Move a file as it stands."""
    status = source.lstat()
    root, name = str(source.parent), source.name
    size, mtime = status.st_size, status.st_mtime_ns
    return folder / tidy.move(root, name, str(folder), "run", size=size, mtime=mtime)


def shown(folder: Path) -> dict[str, str]:
    """Give the texts of a folder by name."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_keeps_its_name_and_the_folder_is_made(tmp_path: Path, done: Path) -> None:
    """Moved into folders that were not there, with its mtime and its mode."""
    source = drop(tmp_path / "a.csv")
    os.utime(source, ns=(1, 1_700_000_000_123_456_789))
    assert move(source, done / "deep") == done / "deep" / "a.csv"
    assert not source.exists()
    assert (done / "deep" / "a.csv").stat().st_mtime_ns == 1_700_000_000_123_456_789


def test_a_name_that_is_taken_is_never_replaced(tmp_path: Path, done: Path) -> None:
    """The run's id is put into the name; then a number too."""
    for text in ("one", "two", "three"):
        move(drop(tmp_path / "a.tar.gz", text), done)
    assert shown(done) == {"a.tar.gz": "one", "a.tar.run.gz": "two", "a.tar.run.2.gz": "three"}


def test_a_name_that_is_a_folder_or_a_link_is_taken_too(tmp_path: Path, done: Path) -> None:
    """Nothing is moved into the one or through the other."""
    (done / "a").mkdir(parents=True)
    (done / "b").symlink_to(tmp_path / "nowhere")
    assert move(drop(tmp_path / "a"), done) == done / "a.run"
    assert move(drop(tmp_path / "b"), done) == done / "b.run"
    assert list((done / "a").iterdir()) == []


def test_a_long_name_stays_a_name(tmp_path: Path, done: Path) -> None:
    """255 bytes and taken: the stem gives way, also amid letters of several bytes."""
    name = "ü" * 125 + ".csvx"
    assert len(name.encode()) == 255
    move(drop(tmp_path / name, "one"), done)
    move(drop(tmp_path / name, "two"), done)
    assert sorted(shown(done).values()) == ["one", "two"]
    assert {path.suffix for path in done.iterdir()} == {".csvx"}


@pytest.mark.parametrize("change", ["gone", "grown", "touched", "link", "folder", "fifo"])
def test_another_file_under_the_name_is_left_alone(
    tmp_path: Path, done: Path, change: str
) -> None:
    """Neither moved nor deleted: it is not the file that was claimed."""
    path = drop(tmp_path / "a")
    status = path.stat()
    if change == "grown":
        drop(path, "abcd")
    elif change == "touched":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    if change == "link":
        path.symlink_to(drop(tmp_path / "other"))
    elif change == "folder":
        path.mkdir()
    elif change == "fifo":
        os.mkfifo(path)
    as_claimed = {"size": status.st_size, "mtime": status.st_mtime_ns}
    with pytest.raises(NotTheFile):
        tidy.move(str(tmp_path), "a", str(done), "run", **as_claimed)
    with pytest.raises(NotTheFile):
        tidy.delete(str(tmp_path), "a", **as_claimed)
    assert os.path.lexists(path) == (change != "gone")
    assert not done.exists()


def test_a_file_swapped_in_the_last_moment_goes_back(
    tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename over it between the look and the link: the new file stands where it stood."""
    source = drop(tmp_path / "a", "old")
    link = os.link

    def swapped(*args: object, **options: object) -> None:
        monkeypatch.setattr(os, "link", link)
        drop(tmp_path / "b", "new").rename(source)
        link(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", swapped)
    with pytest.raises(NotTheFile):
        move(source, done)
    assert source.read_text() == "new"
    assert shown(done) == {}


def test_deleted_is_gone(tmp_path: Path) -> None:
    """The file that was claimed is unlinked, and no other name of it."""
    path = drop(tmp_path / "a")
    os.link(path, tmp_path / "b")
    status = path.stat()
    tidy.delete(str(tmp_path), "a", size=status.st_size, mtime=status.st_mtime_ns)
    assert shown(tmp_path) == {"b": "abc"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
@pytest.mark.parametrize("renames", [True, False], ids=["renameat2", "plain"])
def test_where_links_are_refused_it_is_renamed(
    tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, renames: bool
) -> None:
    """Files of another user, FAT: still nothing is replaced."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    if not renames:
        monkeypatch.setattr(tidy.ctypes, "CDLL", lambda *_, **__: object())
    move(drop(tmp_path / "a", "one"), done)
    move(drop(tmp_path / "a", "two"), done)
    assert shown(done) == {"a": "one", "a.run": "two"}
    assert not (tmp_path / "a").exists()


def test_to_another_file_system_it_is_copied(tmp_path: Path, elsewhere: Path) -> None:
    """Bytes, mtime and mode; names that are taken stay; nothing hidden is left."""
    source = drop(tmp_path / "a.csv", "one")
    source.chmod(0o640)
    os.utime(source, ns=(1, 1_700_000_000_123_456_789))
    target = move(source, elsewhere / "done")
    assert (target.stat().st_mtime_ns, target.stat().st_mode & 0o777) == (
        1_700_000_000_123_456_789,
        0o640,
    )
    move(drop(tmp_path / "a.csv", "two"), elsewhere / "done")
    assert shown(elsewhere / "done") == {"a.csv": "one", "a.run.csv": "two"}
    assert not source.exists()


def test_a_copy_that_fails_leaves_the_file(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the source stays whole, the target folder stays clean."""
    source = drop(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        move(source, elsewhere)
    assert source.read_text() == "abc"
    assert list(elsewhere.iterdir()) == []


def test_a_file_system_that_knows_less_will_do(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No modes, folders that cannot be synced, as on FAT and shares: it is moved all the same."""
    sync = os.fsync

    def no_folders(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(file)

    def no_modes(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fsync", no_folders)
    monkeypatch.setattr(os, "fchmod", no_modes)
    move(drop(tmp_path / "a"), elsewhere)
    assert shown(elsewhere) == {"a": "abc"}


def test_two_that_copy_at_once_do_not_meet(tmp_path: Path, elsewhere: Path) -> None:
    """While another holds the hidden copy, the file waits for the next look."""
    source = drop(tmp_path / "a")
    hidden = elsewhere / f".run.{zlib.crc32(b'a'):08x}.part"
    with hidden.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            move(source, elsewhere)
        assert hidden.exists()
    move(source, elsewhere)
    assert shown(elsewhere) == {"a": "abc"}


@pytest.mark.parametrize("way", ["x", "x/y"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(
    tmp_path: Path, done: Path, way: str
) -> None:
    """Just such a file lies where it leads: it is neither moved nor deleted."""
    root, theirs = tmp_path / "in", tmp_path / "theirs"
    (root / way).mkdir(parents=True)
    (theirs / "y").mkdir(parents=True)
    for folder in (theirs, theirs / "y"):
        os.utime(drop(folder / "a"), (1, 1))
    shutil.rmtree(root / "x")
    (root / "x").symlink_to(theirs)
    with pytest.raises(NotTheFile):
        tidy.move(str(root), f"{way}/a", str(done), "run", size=3, mtime=10**9)
    with pytest.raises(NotTheFile):
        tidy.delete(str(root), f"{way}/a", size=3, mtime=10**9)
    assert (theirs / "a").exists()
    assert (theirs / "y" / "a").exists()


def test_nothing_is_moved_through_a_link_that_somebody_put_there(tmp_path: Path) -> None:
    """A folder below the watched one is made and entered step by step, and never as a link."""
    root, theirs = tmp_path / "in", tmp_path / "theirs"
    theirs.mkdir()
    root.mkdir()
    source = drop(root / "a")
    (root / "done").symlink_to(theirs)
    for folder in (root / "done", root / "done" / "failed"):
        with pytest.raises(NotADirectoryError):
            move(source, folder)
    assert list(theirs.iterdir()) == []
    assert source.exists()
    with made(str(root), str(root / "new" / "deep")) as folder_fd:
        assert os.fstat(folder_fd).st_ino == (root / "new" / "deep").stat().st_ino


def crash_everywhere(source: Path, folder: Path, *more: str) -> int:
    """Crash a move before each line of it, and let the next look finish the job."""
    command = [sys.executable, "-c", CRASH, str(ROOT), str(source), str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_a_crash_at_any_line_loses_and_doubles_nothing(
    tmp_path: Path, done: Path, *, taken: bool
) -> None:
    """At every line there is a whole copy; after the next move there is one, and one only."""
    done.mkdir()
    if taken:
        drop(done / "a.csv", "another")
    assert crash_everywhere(drop(tmp_path / "a.csv"), done) > 15


@pytest.mark.slow
@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_a_crash_at_any_line_of_a_copy(tmp_path: Path, elsewhere: Path, *, taken: bool) -> None:
    """The same across file systems."""
    if taken:
        drop(elsewhere / "a.csv", "another")
    assert crash_everywhere(drop(tmp_path / "a.csv"), elsewhere, "anew") > 40


RACE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from triggers.files import tidy
root, folder = sys.argv[2:4]
names = sorted(os.listdir(root))
sys.stdin.readline()
for name in names:
    for _ in range(1000):
        try:
            tidy.move(root, name, folder, "run", size=100_000, mtime=10**9)
        except BlockingIOError:
            continue
        except tidy.NotTheFile:
            pass
        break
"""


@pytest.mark.parametrize("is_far", [False, True], ids=["near", "far"])
def test_three_processes_move_the_same_files(
    tmp_path: Path, done: Path, elsewhere: Path, *, is_far: bool
) -> None:
    """Each file is there once, whole, under its own name, whoever was first."""
    root, folder = tmp_path / "in", elsewhere if is_far else done
    root.mkdir()
    for number in range(100):
        os.utime(drop(root / f"{number}.csv", f"{number:05}" * 20_000), (1, 1))
    command = [sys.executable, "-c", RACE, str(ROOT), str(root), str(folder)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate(timeout=60)
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert list(root.iterdir()) == []
    assert shown(folder) == {f"{n}.csv": f"{n:05}" * 20_000 for n in range(100)}
