"""What becomes of a file: moved or deleted when its run has ended, and not a moment before."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from eventstore import clock
from eventstore.errors import StorageBusy
from triggers import FileTrigger
from triggers.files import tidy
from triggers.testing import PaperEngine, workflow

DOCUMENTS = workflow("documents", "path")
Declined = Callable[[Any], list[tuple[str, dict[str, Any]]]]


class Folder:
    """A trigger with its folder and door, as one process has them."""

    def __init__(self, engine: PaperEngine, inbox: Path, **options: Any) -> None:
        self.engine, self.inbox, self.options = engine, inbox, options
        self.restart()

    def restart(self) -> None:
        """Begin anew, as another process would."""
        options = {"settle": 0, "name": "in", "after": self.inbox.parent / "done"}
        pattern = self.options.get("pattern", "*.csv")
        rest = {key: value for key, value in self.options.items() if key != "pattern"}
        self.trigger = FileTrigger(self.inbox / pattern, DOCUMENTS, **{**options, **rest})
        self.door = self.engine.door(self.trigger)

    def drop(self, name: str, text: str = "abc", mtime: int = 100) -> Path:
        """Write a file."""
        path = self.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (mtime, mtime))
        return path

    def poll(self) -> int | None:
        """Look once."""
        return self.engine.poll(self.trigger, self.door)

    def end(self, status: str = "succeeded", which: int = -1) -> None:
        """End a run, and let the trigger hear of it."""
        self.engine.end(self.engine.begun_runs[which], status)
        self.trigger.ended(self.door, 0)


def names(folder: Path) -> list[str]:
    """Give what lies below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """Where files go."""
    return tmp_path / "done"


@pytest.mark.parametrize(
    ("status", "goes"),
    [("succeeded", ["a.csv"]), ("failed", ["failed/a.csv"]), ("cancelled", ["failed/a.csv"])],
)
def test_a_file_is_moved_when_its_run_has_ended(
    engine: PaperEngine, inbox: Path, done: Path, status: str, goes: list[str]
) -> None:
    """To the folder, or to `failed` in it; while the run lives it stays."""
    folder = Folder(engine, inbox)
    folder.drop("a.csv")
    folder.poll()
    folder.poll()
    assert names(inbox) == ["a.csv"]
    folder.end(status)
    assert names(done) == goes
    assert names(inbox) == []
    folder.poll()
    assert len(engine.begun_runs) == 1


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_file_is_deleted_when_its_run_has_succeeded(
    engine: PaperEngine, inbox: Path, status: str
) -> None:
    """When it has failed, it goes to `failed` in the watched folder, where nothing finds it."""
    folder = Folder(engine, inbox, after="delete", pattern="**/*.csv")
    folder.drop("a.csv")
    folder.poll()
    folder.end(status)
    assert names(inbox) == ([] if status == "succeeded" else ["failed/a.csv"])
    folder.restart()
    folder.poll()
    assert len(engine.begun_runs) == 1


def test_failed_is_where_the_user_says(engine: PaperEngine, inbox: Path, done: Path) -> None:
    """Another folder, made when the first file goes there."""
    folder = Folder(engine, inbox, failed=done.parent / "bad")
    folder.drop("a.csv")
    folder.poll()
    folder.end("failed")
    assert names(done.parent / "bad") == ["a.csv"]
    assert not done.exists()


def test_a_name_that_is_taken_gets_the_run(
    engine: PaperEngine, inbox: Path, done: Path
) -> None:
    """Two of one name, from one folder or from two, are both kept."""
    folder = Folder(engine, inbox, pattern="**/*.csv")
    for name, text in (("a.csv", "1"), ("a.csv", "22"), ("deep/a.csv", "333")):
        folder.drop(name, text)
        folder.poll()
        folder.end()
    runs = engine.begun_runs
    assert names(done) == sorted(["a.csv", f"a.{runs[1]}.csv", f"a.{runs[2]}.csv"])
    assert (done / f"a.{runs[2]}.csv").read_text() == "333"


@pytest.mark.parametrize("inside", ["done", "deep/done"])
def test_what_was_moved_is_no_drop(engine: PaperEngine, inbox: Path, inside: str) -> None:
    """The folders of `after` and `failed` below the watched one are not looked at."""
    (inbox / "deep").mkdir()
    (inbox.parent / "way").symlink_to(inbox)
    folder = Folder(
        engine, inbox, pattern="**/*.csv", after=inbox.parent / "way" / inside, key="sha256"
    )
    for status in ("succeeded", "failed"):
        folder.drop("a.csv", status)
        folder.poll()
        folder.end(status)
    assert names(inbox) == [f"{inside}/a.csv", f"{inside}/failed/a.csv"]
    folder.restart()
    folder.poll()
    assert len(engine.begun_runs) == 2


@pytest.mark.parametrize("after", ["done", "delete"])
@pytest.mark.parametrize("key", ["path+size+mtime", "sha256"])
def test_what_ended_while_nobody_looked_is_moved(
    engine: PaperEngine, inbox: Path, done: Path, after: str, key: str
) -> None:
    """A crash between the commit and the move: the next process finishes the job."""
    folder = Folder(engine, inbox, key=key, after=done if after == "done" else after)
    folder.drop("a.csv")
    folder.drop("b.csv", "other")
    folder.poll()
    engine.end(engine.begun_runs[0])
    folder.restart()
    folder.poll()
    folder.poll()
    assert names(inbox) == ["b.csv"]
    assert names(done) == (["a.csv"] if after == "done" else [])
    assert engine.told(folder.trigger)[-1][0] == "trigger.fired"  # and nothing is said of it


def test_another_file_under_the_name_stays(
    engine: PaperEngine, inbox: Path, done: Path
) -> None:
    """Changed while its run lived: it is another file, with a run of its own."""
    folder = Folder(engine, inbox)
    folder.drop("a.csv", "one")
    folder.poll()
    folder.drop("a.csv", "other")
    folder.end()
    assert names(inbox) == ["a.csv"]
    folder.poll()
    folder.end()
    assert names(done) == ["a.csv"]
    assert (done / "a.csv").read_text() == "other"


def test_a_file_that_is_gone_is_no_trouble(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """Moved away by somebody else: nothing is said."""
    folder = Folder(engine, inbox)
    folder.drop("a.csv")
    folder.poll()
    (inbox / "a.csv").unlink()
    folder.end()
    assert declined(folder.trigger) == []


def test_the_same_dropped_again_is_told_and_moved(
    engine: PaperEngine, inbox: Path, done: Path, declined: Declined
) -> None:
    """It starts nothing; its run has ended, so it goes where that one went, and is not doubled."""
    folder = Folder(engine, inbox)
    with freeze_time("2026-01-01") as frozen:
        for _ in range(3):
            folder.drop("a.csv")
            folder.poll()
            if len(engine.begun_runs) == 1:
                engine.end(engine.begun_runs[0]) if not names(done) else None
            folder.poll()
            frozen.tick(5)
    assert len(engine.begun_runs) == 1
    assert names(inbox) == []
    assert names(done) == ["a.csv"]
    assert [reason for reason, _ in declined(folder.trigger)] == ["duplicate"]


def test_the_marker_goes_with_its_file(engine: PaperEngine, inbox: Path, done: Path) -> None:
    """To the same folder, or into nothing; other markers stay."""
    folder = Folder(engine, inbox, marker="*.done")
    for name in ("a.csv", "a.csv.done", "b.csv", "c.done"):
        folder.drop(name)
    folder.poll()
    folder.end()
    assert names(done) == ["a.csv", "a.csv.done"]
    assert names(inbox) == ["b.csv", "c.done"]
    deleting = Folder(engine, inbox, marker="*.done", after="delete", name="again")
    folder.drop("b.done")
    deleting.poll()
    deleting.end()
    assert names(inbox) == ["c.done"]


@pytest.mark.parametrize("key", ["path+size+mtime", "sha256"])
def test_a_file_that_lost_its_marker_before_a_crash_is_moved(
    engine: PaperEngine, inbox: Path, done: Path, key: str
) -> None:
    """The marker goes first: what is left of the pair is found by its key."""
    folder = Folder(engine, inbox, marker="*.done", key=key)
    folder.drop("a.csv")
    folder.drop("a.done")
    folder.drop("b.csv", "no marker yet")
    folder.poll()
    (inbox / "a.done").unlink()
    engine.end(engine.begun_runs[0])
    folder.restart()
    folder.poll()
    folder.poll()
    assert names(done) == ["a.csv"]
    assert names(inbox) == ["b.csv"]
    assert len(engine.begun_runs) == 1


def test_a_file_that_cannot_be_moved_is_told_of_and_tried_again(
    engine: PaperEngine,
    inbox: Path,
    done: Path,
    declined: Declined,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file stands where the folder should be: one event, growing pauses, then it goes."""
    folder = Folder(engine, inbox)
    tries = 0

    def counted(*args: Any, **options: Any) -> str:
        nonlocal tries
        tries += 1
        return move(*args, **options)

    with freeze_time("2026-01-01") as frozen, pytest.MonkeyPatch.context() as patch:
        move = tidy.move
        patch.setattr(tidy, "move", counted)
        folder.drop("a.csv")
        folder.poll()
        done.write_text("in the way")
        engine.end(engine.begun_runs[0])
        for _ in range(64):
            folder.poll()
            frozen.tick(1)
        assert names(inbox) == ["a.csv"]
        assert tries == 7  # at 0, 1, 3, 7, 15, 31 and 63 s
        done.unlink()
        frozen.tick(300)
        folder.poll()
    assert names(done) == ["a.csv"]
    ((reason, facts),) = declined(folder.trigger)
    assert reason == "cannot be moved: File exists"
    assert facts["path"] == str(inbox / "a.csv")
    assert facts["run"] == engine.begun_runs[0]
    assert [record.action for record in caplog.records] == ["trigger.file_stays"]  # type: ignore[attr-defined]


def test_an_end_costs_no_look(engine: PaperEngine, inbox: Path, done: Path) -> None:
    """`ended` moves what is remembered, though the folder holds new files that no look saw."""
    folder = Folder(engine, inbox)
    folder.drop("a.csv")
    folder.poll()
    folder.drop("b.csv")
    folder.end()
    assert names(done) == ["a.csv"]
    assert len(engine.begun_runs) == 1


@pytest.mark.parametrize("ask", ["statuses", "decline"])
def test_a_log_that_fails_for_a_while_keeps_no_file_from_moving(
    engine: PaperEngine, inbox: Path, done: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """Neither the question who has ended nor the word why one stays is needed to remember them."""
    folder = Folder(engine, inbox)
    for name in ("a.csv", "b.csv", "c.csv"):
        folder.drop(name)
    folder.poll()

    def refuse(*_: object, **__: object) -> None:
        raise StorageBusy("somebody holds it")

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for run in engine.begun_runs:
        engine.end(run)
    with monkeypatch.context() as held:
        held.setattr(folder.door, ask, refuse)
        held.setattr(tidy, "move", full)
        with pytest.raises(StorageBusy):
            folder.trigger.ended(folder.door, 0)
    with freeze_time("2050-01-01"):
        folder.trigger.ended(folder.door, clock.now_us())
    assert names(done) == ["a.csv", "b.csv", "c.csv"]


def test_with_leave_nothing_moves(engine: PaperEngine, inbox: Path) -> None:
    """The default: the file is the user's."""
    folder = Folder(engine, inbox, after="leave")
    folder.drop("a.csv")
    folder.poll()
    folder.end("failed")
    folder.poll()
    assert names(inbox) == ["a.csv"]


def test_many_runs_end_at_once(engine: PaperEngine, inbox: Path, done: Path) -> None:
    """1200 files of 1200 runs: a few polls move them all."""
    folder = Folder(engine, inbox)
    for number in range(1200):
        folder.drop(f"{number}.csv", str(number))
    for _ in range(4):
        folder.poll()
    assert len(engine.begun_runs) == 1200
    for run in engine.begun_runs:
        engine.end(run)
    folder.poll()
    assert len(names(done)) == 1200
    assert names(inbox) == []
