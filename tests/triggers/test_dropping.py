"""A file drop as real writers do it: what the folder shows, what the system tells, what starts."""

import datetime as dt
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from playhead import DefinitionError, Engine, FileTrigger, Workflow, step
from triggers.dropping import WAYS, drop

BYTES = bytes(range(256)) * 40


@step
def read(path: Path) -> int:
    return path.stat().st_size


reading = Workflow("reading", steps=[read])


def fully(dropped: Any) -> None:
    """Go through a slow drop to its end."""
    if isinstance(dropped, Iterator):
        for _ in dropped:
            pass


def names(folder: Path) -> list[str]:
    """Give the names in a folder."""
    return [path.name for path in folder.iterdir()]


def told(folder: Path, by: Any) -> list[tuple[str, str]]:
    """Give what the system tells of a drop of `a.txt` in a folder: event and name, in order."""
    seen: list[tuple[str, str]] = []
    is_over = threading.Event()

    class Seen(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if not event.is_directory:
                name = Path(os.fsdecode(event.dest_path or event.src_path)).name
                seen.append((event.event_type, name))
                if name == "over":
                    is_over.set()

    observer = Observer()
    observer.schedule(Seen(), str(folder))
    observer.start()
    try:
        fully(drop(folder / "a.txt", BYTES, by=by))
        (folder / "over").touch()
        assert is_over.wait(60)
    finally:
        observer.stop()
        observer.join()
    return [(what, name) for what, name in seen if name == "a.txt"]


@pytest.mark.parametrize("by", WAYS)
def test_the_file_is_whole_and_alone(tmp_path: Path, by: Any) -> None:
    """Whichever way it came, its bytes are there and no other name is left in the folder."""
    path = tmp_path / "deep" / "er" / "a.txt"
    dropped = drop(path, BYTES, by=by)
    fully(dropped)
    assert path.read_bytes() == BYTES
    assert names(path.parent) == ["a.txt"]
    if by != "slow":
        assert dropped == path


@pytest.mark.parametrize(
    ("by", "events"),
    [
        ("rename", ["moved"]),
        ("rsync", ["moved"]),
        ("link", ["created"]),
        ("write", ["created", "opened", "modified", "closed"]),
        ("slow", ["created", "opened", *["modified"] * 4, "closed"]),
    ],
)
def test_the_system_tells_what_it_tells_of_real_writers(
    tmp_path: Path, by: Any, events: list[str]
) -> None:
    """A rename is one event, a link is never closed, a slow file is closed once, at its end."""
    seen = [what for what, _ in told(tmp_path, by)]
    if by == "slow":  # the system may make one of two that follow at once
        events, seen = [list(dict.fromkeys(some)) for some in (events, seen)]
    assert seen == events


def test_a_slow_file_grows_when_it_is_asked_to(tmp_path: Path) -> None:
    """Nothing is written before the first piece is asked for; then a piece each time."""
    path = tmp_path / "a.txt"
    slow = drop(path, "0123456789", by="slow", pieces=3)
    assert not path.exists()
    assert [(next(slow), path.read_text("utf-8")) for _ in range(3)] == [
        (path, "0123"), (path, "01234567"), (path, "0123456789"),
    ]  # fmt: skip
    assert list(slow) == []


def test_a_writer_that_dies_leaves_its_half(tmp_path: Path) -> None:
    """A slow drop that nobody goes on with is closed and stays as it is."""
    path = tmp_path / "a.txt"
    slow = drop(path, b"0123", by="slow")
    next(slow)
    del slow
    assert path.read_bytes() == b"0"


@pytest.mark.parametrize("by", WAYS)
def test_an_empty_file(tmp_path: Path, by: Any) -> None:
    """A file without a byte can be dropped in every way."""
    fully(drop(tmp_path / "a.txt", by=by))
    assert (tmp_path / "a.txt").read_bytes() == b""


@pytest.mark.parametrize("by", WAYS)
def test_its_time_may_be_said(tmp_path: Path, by: Any) -> None:
    """`mtime=` is what the file bears, also on a frozen clock."""
    moment = dt.datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=dt.UTC)
    with freeze_time("2030-01-01"):
        fully(drop(tmp_path / "a.txt", by=by, mtime=moment))
    status = (tmp_path / "a.txt").stat()
    assert dt.datetime.fromtimestamp(status.st_mtime, dt.UTC) == moment


@pytest.mark.parametrize("name", ["a" * 255, "-rf", "two\nlines", "é" * 127, "\udcff\udcfe"])
@pytest.mark.parametrize("by", WAYS)
def test_names_that_are_hard(tmp_path: Path, by: Any, name: str) -> None:
    """A name of 255 bytes, with a newline, or that is not UTF-8, can be dropped in every way."""
    fully(drop(tmp_path / name, b"x", by=by))
    assert names(tmp_path) == [name]


def test_a_link_replaces_nothing(tmp_path: Path) -> None:
    """A hard link to a name that is taken fails as the system's does, and leaves nothing."""
    drop(tmp_path / "a.txt", b"old")
    assert drop(tmp_path / "a.txt", b"new").read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        drop(tmp_path / "a.txt", b"newer", by="link")
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "scp"}, "by='scp' is none of 'rename', 'write'"),
        ({"by": "slow", "pieces": 0}, "at least 1"),
        ({"mtime": dt.datetime(2024, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, options: Any, said: str) -> None:
    """A word that is none of them, no pieces, a time without a zone: nothing is written."""
    with pytest.raises(DefinitionError, match=said):
        drop(tmp_path / "a.txt", **options)
    assert names(tmp_path) == []


@pytest.mark.parametrize("by", WAYS)
def test_each_way_starts_one_run(tmp_path: Path, by: Any) -> None:
    """A file that came whichever way starts one run, of the whole file."""
    with freeze_time("2030-01-01") as clock:
        trigger = FileTrigger(str(tmp_path / "*.txt"), reading)
        engine = Engine("sqlite:///:memory:", workflows=[reading], triggers=[trigger])
        dropped = drop(tmp_path / "a.txt", BYTES, by=by)
        for _ in dropped if isinstance(dropped, Iterator) else ():
            engine.run_until_idle()
            clock.tick(0.9)
        for _ in range(3):
            engine.run_until_idle()
            clock.tick(1)
        (row,) = engine.runs()
        assert engine.get(row.id).result(timeout=0) == len(BYTES)
        engine.close()
