"""What makes a file the same: its bytes; and what was there first does not count if so wished."""

import os
import shutil

from tests.journeys.files.stage import declined, engine_of, fired, looked, names, said, texts


def test_the_same_bytes_under_a_new_name_are_a_duplicate(url, inbox):
    """key="sha256": a copy starts nothing; the event says duplicate and names the file."""
    engine = engine_of(url, inbox, key="sha256")
    (inbox / "a.txt").write_text("same")
    engine.run_until_idle()
    shutil.copy(inbox / "a.txt", inbox / "b.txt")
    (inbox / "c.txt").write_text("other")
    for _ in range(3):
        engine.run_until_idle()
    assert names(engine) == ["a.txt", "c.txt"]
    (told,) = said(engine, "trigger.declined")
    assert told["reason"] == "duplicate"
    assert "b.txt" in str(told)


def test_many_copies_at_once_are_one_run(url, inbox):
    """key="sha256": ten copies that come together start one run, in this engine and the next."""
    for number in range(10):
        (inbox / f"{number}.txt").write_text("same")
    for _ in range(2):
        engine = engine_of(url, inbox, key="sha256")
        engine.run_until_idle()
        engine.run_until_idle()
        if url.endswith(":memory:"):
            break
    assert len(engine.runs()) == len(fired(engine)) == 1


def test_by_its_bytes_a_touched_file_is_the_same(url, inbox):
    """key="sha256": a new mtime, or the same bytes written again, starts nothing."""
    engine = engine_of(url, inbox, key="sha256")
    (inbox / "a.txt").write_text("same")
    engine.run_until_idle()
    os.utime(inbox / "a.txt", (1_600_000_000, 1_600_000_000))
    engine.run_until_idle()
    (inbox / "a.txt").write_text("same")
    engine.run_until_idle()
    (inbox / "a.txt").write_text("other")
    engine.run_until_idle()
    assert texts(engine) == ["other", "other"] or len(fired(engine)) == 2
    assert len(engine.runs()) == 2


def test_bytes_that_cannot_be_read_hang_nobody(url, inbox, frozen):
    """key="sha256": a name that became a pipe after the first look is not opened for its bytes."""
    engine = engine_of(url, inbox, key="sha256", settle=1)
    (inbox / "a.txt").touch()
    engine.run_until_idle()
    (inbox / "a.txt").unlink()
    os.mkfifo(inbox / "a.txt")
    looked(engine, frozen)
    assert engine.runs() == []


def test_zero_bytes_are_the_same_everywhere(url, inbox):
    """key="sha256": all empty files are one."""
    for name in ("a.txt", "b.txt"):
        (inbox / name).touch()
    engine = engine_of(url, inbox, key="sha256")
    engine.run_until_idle()
    assert len(engine.runs()) == 1


def test_what_was_there_first_does_not_count(file_url, inbox):
    """initial=False: files from before the first arming start nothing, later ones do."""
    for name in ("old.txt", "older.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(file_url, inbox, initial=False)
    engine.run_until_idle()
    assert engine.runs() == []
    (inbox / "new.txt").write_text("new")
    engine.run_until_idle()
    assert texts(engine) == ["new"]
    (inbox / "old.txt").write_text("old, and written anew")
    engine.run_until_idle()
    assert names(engine) == ["new.txt", "old.txt"]


def test_initial_speaks_of_the_first_time_only(file_url, inbox):
    """initial=False: what came while the daemon was down was not there at first: it counts."""
    (inbox / "old.txt").write_text("old")
    engine_of(file_url, inbox, initial=False).run_until_idle()
    (inbox / "meanwhile.txt").write_text("meanwhile")
    engine = engine_of(file_url, inbox, initial=False)
    engine.run_until_idle()
    assert texts(engine) == ["meanwhile"]


def test_initial_in_a_folder_that_comes_later(file_url, tmp_path):
    """initial=False: files in a root that was missing at the first arming: none is lost."""
    folder = tmp_path / "later"
    engine = engine_of(file_url, folder, initial=False)
    engine.run_until_idle()
    folder.mkdir()
    engine.run_until_idle()
    (folder / "a.txt").write_text("a")
    engine.run_until_idle()
    assert texts(engine) == ["a"]


def test_what_comes_while_paused_is_told(file_url, inbox):
    """A file that comes while the trigger is paused: one event that says so, no run, no loss."""
    engine = engine_of(file_url, inbox)
    engine.run_until_idle()
    door = engine.doorways.doors["drops"]
    door.pause(by="ann")
    for number in range(3):
        (inbox / f"{number}.txt").write_text("x")
    for _ in range(5):
        engine.run_until_idle()
    assert engine.runs() == []
    assert "paused" in declined(engine)
    assert len(declined(engine)) <= 3
    door.resume(by="ann")
    engine.run_until_idle()
    assert len(engine.runs()) == 3
