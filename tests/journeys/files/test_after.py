"""What becomes of files when their runs have ended: moved, deleted, kept; none overwritten."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from playhead import DefinitionError, Engine, FileTrigger, Signal, Workflow, step
from tests.journeys.files.stage import engine_of, fired, looked, names, texts
from tests.journeys.files.test_names import ODD


@step
def strict(path: Path) -> str:
    text = path.read_text()
    if "bad" in text:
        raise ValueError("cannot be read")
    return text


judging = Workflow("judging", steps=[strict])


def held(folder):
    """Give the files below a folder, by relative path, with what is in them."""
    found = {}
    for path in filter(Path.is_file, sorted(folder.rglob("*"))):
        with contextlib.suppress(FileNotFoundError):  # moved just now
            found[str(path.relative_to(folder))] = path.read_text()
    return found


def test_left_where_it_is(url, inbox):
    """after="leave", and nothing said: the file stays, whatever its run came to."""
    (inbox / "a.txt").write_text("a")
    (inbox / "b.txt").write_text("bad")
    for options in ({}, {"after": "leave"}):
        engine_of(url, inbox, workflow=judging, **options).run_until_idle()
    assert held(inbox) == {"a.txt": "a", "b.txt": "bad"}


def test_moved_when_its_run_has_succeeded(url, inbox, outside):
    """A folder: the file goes there under its own name, else to `failed` in it."""
    done = outside / "not" / "yet" / "there"
    engine = engine_of(url, inbox, workflow=judging, after=done)
    (inbox / "a.txt").write_text("a")
    (inbox / "b.txt").write_text("bad")
    os.utime(inbox / "a.txt", (1_600_000_000, 1_600_000_000))
    engine.run_until_idle()
    assert held(inbox) == {}
    assert held(done) == {"a.txt": "a", "failed/b.txt": "bad"}
    assert (done / "a.txt").stat().st_mtime == 1_600_000_000


def test_deleted_when_its_run_has_succeeded(url, inbox):
    """after="delete": gone on success; a file whose run failed is kept in `failed` of the root."""
    engine = engine_of(url, inbox, workflow=judging, after="delete")
    (inbox / "a.txt").write_text("a")
    (inbox / "b.txt").write_text("bad")
    engine.run_until_idle()
    assert held(inbox) == {"failed/b.txt": "bad"}


def test_a_failed_folder_of_ones_own(url, inbox, outside):
    """failed=: where files go whose runs failed or were cancelled."""
    options = {"after": "delete", "failed": outside / "sick"}
    engine = engine_of(url, inbox, workflow=judging, **options)
    (inbox / "b.txt").write_text("bad")
    engine.run_until_idle()
    assert held(outside) == {"sick/b.txt": "bad"}
    assert held(inbox) == {}


def test_it_waits_for_the_end_of_the_run(file_url, inbox, outside):
    """A run that waits keeps its file; cancelled, the file goes to `failed`, also in a restart."""

    @step
    def take(path: str, go: str) -> str:
        return go

    waiting = Workflow("waiting", steps=[Signal("go", str), take])
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(file_url, inbox, workflow=waiting, after=outside)
    engine.run_until_idle()
    assert len(held(inbox)) == 2
    by_name = {os.path.basename(row.inputs["path"]): row for row in engine.runs()}  # noqa: PTH119
    engine.signal(by_name["a.txt"].id, "go", "yes")
    engine.run_until_idle()
    assert held(outside) == {"a.txt": "a.txt"}
    again = engine_of(file_url, inbox, workflow=waiting, after=outside)
    again.cancel(by_name["b.txt"].id)
    again.run_until_idle()
    again.run_until_idle()
    assert held(outside) == {"a.txt": "a.txt", "failed/b.txt": "b.txt"}
    assert held(inbox) == {}


def test_a_name_that_is_taken(url, inbox, outside):
    """Names taken in the archive: the new file gets its run's id before the suffix."""
    (outside / "a.txt").write_text("here first")
    (outside / "b.txt").mkdir()
    (outside / "c.txt").symlink_to(inbox / "c.txt")
    for name in ("a.txt", "b.txt", "c.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(url, inbox, after=outside)
    engine.run_until_idle()
    ids = {os.path.basename(row.inputs["path"])[0]: row.id for row in engine.runs()}  # noqa: PTH119
    assert held(outside) == {"a.txt": "here first"} | {
        f"{letter}.{ids[letter]}.txt": f"{letter}.txt" for letter in "abc"
    }
    assert held(inbox) == {}


def test_the_same_name_day_after_day(url, inbox, outside, frozen):
    """30 files of one name, one after another: 30 runs, and 30 files in the archive."""
    engine = engine_of(url, inbox, after=outside)
    for day in range(30):
        (inbox / "daily.txt").write_text(f"day {day}")
        os.utime(inbox / "daily.txt", (day, day))
        looked(engine, frozen, 1)
    assert sorted(held(outside).values()) == sorted(f"day {day}" for day in range(30))
    assert len(fired(engine)) == 30
    assert held(inbox) == {}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_odd_names_are_moved_too(url, inbox, outside, name):
    """Odd names go under their own, and under another if it is taken, also those of 255 bytes."""
    (outside / name).write_text("here first")
    (inbox / name).write_text("odd")
    engine = engine_of(url, inbox, after=outside)
    engine.run_until_idle()
    assert held(inbox) == {}
    assert sorted(held(outside).values()) == ["here first", "odd"]
    assert (outside / name).read_text() == "here first"


def test_files_of_many_folders_meet_in_one(url, inbox, outside):
    """`**`: files of one name from ten folders are ten files in the archive."""
    for number in range(10):
        (inbox / str(number)).mkdir()
        (inbox / str(number) / "a.txt").write_text(str(number))
    engine = engine_of(url, inbox, "**/*.txt", after=outside)
    engine.run_until_idle()
    assert sorted(held(outside).values()) == [str(number) for number in range(10)]
    assert held(inbox) == {}


def test_an_archive_on_another_file_system(url, inbox, elsewhere):
    """Moved across file systems: the same bytes, mtime and mode, and no half copies beside it."""
    (inbox / "a.txt").write_text("x" * 3_000_000)
    (inbox / "a.txt").chmod(0o640)
    os.utime(inbox / "a.txt", ns=(10**18, 10**18 + 5))
    (elsewhere / "b.txt").write_text("here first")
    (inbox / "b.txt").write_text("b")
    engine = engine_of(url, inbox, after=elsewhere)
    engine.run_until_idle()
    (row,) = (row for row in engine.runs() if row.inputs["path"].endswith("b.txt"))
    assert sorted(path.name for path in elsewhere.iterdir()) == sorted(
        ["a.txt", "b.txt", f"b.{row.id}.txt"]
    )
    status = (elsewhere / "a.txt").stat()
    assert (status.st_size, status.st_mtime_ns) == (3_000_000, 10**18 + 5)
    assert status.st_mode & 0o777 == 0o640
    assert held(inbox) == {}


@pytest.mark.parametrize("options", [{"after": "{inbox}/done"}, {"after": "delete"}])
def test_what_was_put_away_is_no_new_drop(url, inbox, options):
    """The archive and `failed` may lie below a deep pattern: what lies there starts nothing."""
    given = {key: value.format(inbox=inbox) for key, value in options.items()}
    engine = engine_of(url, inbox, "**/*.txt", workflow=judging, **given)
    for number in range(3):
        (inbox / f"{number}.txt").write_text("fine")
        (inbox / f"b{number}.txt").write_text("bad")
    for _ in range(3):
        engine.run_until_idle()
    assert len(engine.runs()) == len(fired(engine)) == 6
    kept = [text for text in held(inbox).values() if text == "bad"]
    assert len(kept) == 3


def test_the_watched_folder_is_no_archive(inbox):
    """after= the folder itself, also by another name for it, is refused with what to write."""
    (inbox.parent / "also").symlink_to(inbox)
    for folder in (inbox, f"{inbox}/../inbox", inbox.parent / "also"):
        with pytest.raises(DefinitionError):
            engine_of("sqlite:///:memory:", inbox, after=folder)


def test_two_triggers_in_a_row(url, inbox, outside):
    """One trigger's archive may be the next one's inbox: each file passes both, once."""
    last = outside / "last"
    triggers = [
        FileTrigger(f"{inbox}/*.txt", judging, name="one", settle=0, after=outside),
        FileTrigger(f"{outside}/*.txt", judging, name="two", settle=0, after=last),
    ]
    engine = Engine(url, workflows=[judging], triggers=triggers)
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(name)
    engine.run_until_idle()
    engine.run_until_idle()
    assert held(last) == {"a.txt": "a.txt", "b.txt": "b.txt"}
    assert len(engine.runs()) == 4


def test_a_marker_goes_with_its_file(url, inbox, outside):
    """marker= and after=: file and marker leave together; the next file of that name waits."""
    engine = engine_of(url, inbox, after=outside, marker="*.done")
    (inbox / "a.txt").write_text("one")
    (inbox / "a.txt.done").touch()
    engine.run_until_idle()
    assert held(inbox) == {}
    (inbox / "a.txt").write_text("another")
    engine.run_until_idle()
    assert texts(engine) == ["one"]
    (inbox / "a.txt.done").touch()
    engine.run_until_idle()
    assert texts(engine) == ["another", "one"]


def test_the_same_file_dropped_again(url, inbox, outside):
    """Dropped again with size and mtime as before: no second run, and no byte is lost."""
    engine = engine_of(url, inbox, after=outside)
    (inbox / "a.txt").write_text("same")
    shutil.copy2(inbox / "a.txt", inbox / "copy.csv")
    engine.run_until_idle()
    shutil.copy2(inbox / "copy.csv", inbox / "a.txt")
    for _ in range(3):
        engine.run_until_idle()
    assert names(engine) == ["a.txt"]
    assert held(outside)["a.txt"] == "same"
