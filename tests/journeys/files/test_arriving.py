"""How files come: moved in, copied from elsewhere, written anew, touched, under a new name."""

import os
import shutil
import subprocess

import pytest

from playhead import DefinitionError
from tests.journeys.files.stage import engine_of, fired, looked, names, texts

MUCH = 10_000_000  # bytes


def test_moved_in_from_another_folder(url, inbox, outside, until):
    """A rename into the folder starts one run; the system tells of no close."""
    with engine_of(url, inbox, complete="close", settle=0.2) as engine:
        for name in ("a.txt", "b.txt"):
            (outside / name).write_text(name)
            (outside / name).rename(inbox / name)
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert texts(engine) == ["a.txt", "b.txt"]
    assert len(fired(engine)) == 2


@pytest.mark.slow
def test_moved_in_from_another_file_system(file_url, inbox, elsewhere, until):
    """`mv` across file systems is a copy and a delete: one run, and it sees the whole file."""
    with engine_of(file_url, inbox, settle=4) as engine:  # no copy stands still so long
        (elsewhere / "big.txt").write_text("x" * MUCH)
        command = ["mv", elsewhere / "big.txt", inbox]
        subprocess.run(command, check=True)
        (elsewhere / "small.txt").write_text("small")
        shutil.move(elsewhere / "small.txt", inbox / "small.txt")
        until(lambda: len(engine.runs(status="succeeded")) == 2)
        sizes = sorted(len(text) for text in texts(engine))
    assert sizes == [5, MUCH]
    assert len(fired(engine)) == 2


def test_moved_out_again_before_it_settled(url, inbox, outside, frozen):
    """A file that is gone before it was complete starts nothing, and counts when it is back."""
    engine = engine_of(url, inbox, settle=2)
    (inbox / "a.txt").write_text("a")
    engine.run_until_idle()
    (inbox / "a.txt").rename(outside / "a.txt")
    looked(engine, frozen)
    assert engine.runs() == []
    (outside / "a.txt").rename(inbox / "a.txt")
    engine.run_until_idle()
    assert engine.runs() == [], "the time away does not count as standing still"
    looked(engine, frozen)
    assert texts(engine) == ["a"]


def test_new_content_is_a_new_run(url, inbox):
    """A file rewritten under its name starts another run; the one before keeps its result."""
    engine = engine_of(url, inbox)
    for text in ("one", "three", "three five"):
        (inbox / "a.txt").write_text(text)
        engine.run_until_idle()
    engine.run_until_idle()
    assert texts(engine) == ["one", "three", "three five"]
    assert names(engine) == ["a.txt"] * 3


def test_new_content_of_the_same_size_is_a_new_run(url, inbox):
    """As many bytes as before, written a nanosecond later: another file."""
    engine = engine_of(url, inbox)
    for text, at in (("one", 10**18), ("two", 10**18 + 1)):
        (inbox / "a.txt").write_text(text)
        os.utime(inbox / "a.txt", ns=(at, at))
        engine.run_until_idle()
    assert texts(engine) == ["one", "two"]


def test_rewritten_by_a_rename_over_it(url, inbox):
    """An editor that saves by renaming over the old file makes a new one of it."""
    engine = engine_of(url, inbox)
    (inbox / "a.txt").write_text("one")
    engine.run_until_idle()
    (inbox / "a.txt.tmp").write_text("three")
    (inbox / "a.txt.tmp").rename(inbox / "a.txt")
    engine.run_until_idle()
    assert texts(engine) == ["one", "three"]


@pytest.mark.parametrize(("key", "runs"), [("path+size+mtime", 2), ("path", 1)])
def test_touched_counts_as_the_key_says(url, inbox, key, runs):
    """The same bytes with a new mtime: another file by size and mtime, the same by its path."""
    engine = engine_of(url, inbox, key=key)
    (inbox / "a.txt").write_text("same")
    engine.run_until_idle()
    os.utime(inbox / "a.txt", (1_600_000_000, 1_600_000_000))
    engine.run_until_idle()
    assert texts(engine) == ["same"] * runs


def test_by_its_path_a_file_counts_once_for_ever(url, inbox):
    """With key="path", new bytes, a rename over it and a deletion in between start nothing."""
    engine = engine_of(url, inbox, key="path")
    (inbox / "a.txt").write_text("one")
    engine.run_until_idle()
    (inbox / "a.txt").write_text("other bytes")
    engine.run_until_idle()
    (inbox / "a.txt").unlink()
    engine.run_until_idle()
    (inbox / "a.txt").write_text("back again")
    engine.run_until_idle()
    assert texts(engine) == ["one"]


def test_the_same_content_under_a_new_name(url, inbox):
    """A copy and a rename in the folder are new files: each name starts its run."""
    engine = engine_of(url, inbox)
    (inbox / "a.txt").write_text("same")
    engine.run_until_idle()
    shutil.copy2(inbox / "a.txt", inbox / "b.txt")
    engine.run_until_idle()
    (inbox / "b.txt").rename(inbox / "c.txt")
    engine.run_until_idle()
    assert names(engine) == ["a.txt", "b.txt", "c.txt"]
    assert texts(engine) == ["same"] * 3


def test_restored_as_it_was_is_the_same_file(url, inbox, outside):
    """Deleted and brought back with its size and mtime, also in the next engine: no new run."""
    engine = engine_of(url, inbox)
    (inbox / "a.txt").write_text("a")
    shutil.copy2(inbox / "a.txt", outside / "a.txt")
    engine.run_until_idle()
    (inbox / "a.txt").unlink()
    engine.run_until_idle()
    shutil.copy2(outside / "a.txt", inbox / "a.txt")
    engine.run_until_idle()
    assert len(engine.runs()) == len(fired(engine)) == 1


def test_zero_bytes_are_a_file(url, inbox, frozen):
    """An empty file starts a run when it has settled; filled later, it is another file."""
    engine = engine_of(url, inbox, settle=1)
    (inbox / "a.txt").touch()
    engine.run_until_idle()
    assert engine.runs() == []
    looked(engine, frozen)
    assert texts(engine) == [""]
    (inbox / "a.txt").write_text("filled")
    looked(engine, frozen)
    assert texts(engine) == ["", "filled"]


def test_created_empty_and_filled_soon_is_one_file(url, inbox, frozen):
    """A name that is made first and filled within the settle time starts one run, with all."""
    engine = engine_of(url, inbox, settle=2)
    (inbox / "a.txt").touch()
    engine.run_until_idle()
    frozen.tick(1)
    (inbox / "a.txt").write_text("filled")
    looked(engine, frozen)
    assert texts(engine) == ["filled"]


def test_a_clock_set_back_starts_nothing_twice(file_url, inbox, frozen):
    """The clock jumps back a day, in one engine and in the next: no file counts again."""
    engine = engine_of(file_url, inbox, settle=1)
    (inbox / "a.txt").write_text("a")
    looked(engine, frozen)
    frozen.move_to("2029-12-31")
    looked(engine, frozen)
    again = engine_of(file_url, inbox, settle=1)
    looked(again, frozen)
    (inbox / "b.txt").write_text("b")
    looked(again, frozen)
    assert texts(again) == ["a", "b"]


def test_a_pattern_that_matches_nothing_is_quiet(url, inbox, until):
    """Many files, none of them meant: no run, no event but that the trigger is armed."""
    for number in range(50):
        (inbox / f"{number}.csv").touch()
    engine = engine_of(url, inbox, "*.json")
    engine.run_until_idle()
    engine.run_until_idle()
    with engine:
        (inbox / "more.csv").touch()
        until(lambda: engine.log.read("trigger:drops"))
    assert engine.runs() == []
    assert [event.type for event in engine.log.read("trigger:drops")] == ["trigger.armed"]


@pytest.mark.parametrize("pattern", ["", "inbox/", "{inbox}", "{inbox}/"])
def test_a_pattern_of_no_files_is_refused(tmp_path, inbox, pattern):
    """Nothing, or a folder itself, is refused when the trigger is made, with what to write."""
    with pytest.raises(DefinitionError):
        engine_of("sqlite:///:memory:", "", pattern.format(inbox=inbox)).run_until_idle()
