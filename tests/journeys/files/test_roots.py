"""What may befall the watched folder itself: deleted, renamed, remounted, missing, back again."""

import shutil
import subprocess

import pytest

from tests.journeys.files.stage import (
    came,
    declined,
    engine_of,
    fired,
    names,
    pause,
    texts,
)


@pytest.mark.parametrize("complete", ["settle", "close"])
def test_deleted_and_made_again(file_url, inbox, until, complete):
    """The root is deleted while it is watched: said once; what comes when it is back counts."""
    with engine_of(file_url, inbox, complete=complete, settle=0.1) as engine:
        came(engine, inbox, until, "a.txt")
        shutil.rmtree(inbox)
        until(lambda: declined(engine))
        inbox.mkdir()
        came(engine, inbox, until, "b.txt")
        came(engine, inbox, until, "c.txt")
    assert texts(engine) == ["a.txt", "b.txt", "c.txt"]
    gone, back = declined(engine)
    assert "No such file" in gone
    assert "back" in back


@pytest.mark.slow
def test_deleted_and_made_again_faster_than_a_look(file_url, inbox, until):
    """Gone and back at once, perhaps with the same inode: files are seen as before."""
    with engine_of(file_url, inbox, settle=0.1) as engine:
        came(engine, inbox, until, "a.txt")
        for number in range(2):
            shutil.rmtree(inbox)
            inbox.mkdir()
            came(engine, inbox, until, f"{number}.txt")
    assert len(fired(engine)) == 3


def test_renamed_and_made_again(file_url, inbox, outside, until):
    """The root is moved away and made anew: the new one counts, the old one no longer."""
    away = outside / "away"
    with engine_of(file_url, inbox, complete="close", settle=0.1) as engine:
        came(engine, inbox, until, "a.txt")
        inbox.rename(away)
        inbox.mkdir()
        (away / "old.txt").write_text("old")
        came(engine, inbox, until, "b.txt")
        (away / "older.txt").write_text("older")
        came(engine, inbox, until, "c.txt")
        pause(0.3)
    assert texts(engine) == ["a.txt", "b.txt", "c.txt"]


def test_renamed_and_back(file_url, inbox, outside, until):
    """The root is away for a while and comes back with its files: none counts twice."""
    with engine_of(file_url, inbox, settle=0.1) as engine:
        came(engine, inbox, until, "a.txt")
        inbox.rename(outside / "away")
        (outside / "away" / "b.txt").write_text("b.txt")
        until(lambda: declined(engine))
        (outside / "away").rename(inbox)
        until(lambda: "b.txt" in names(engine, status="succeeded"))
    assert texts(engine) == ["a.txt", "b.txt"]
    assert len(fired(engine)) == 2


@pytest.mark.slow
def test_remounted(file_url, inbox, until, mount):
    """Another file system is mounted over the root and taken away: each time what is there."""
    with engine_of(file_url, inbox, settle=0.1) as engine:
        came(engine, inbox, until, "below.txt")
        mount(inbox)
        came(engine, inbox, until, "above.txt")
        came(engine, inbox, until, "more.txt")
        command = ["umount", inbox]
        subprocess.run(command, check=True)
        came(engine, inbox, until, "again.txt")
    assert texts(engine) == ["above.txt", "again.txt", "below.txt", "more.txt"]
    assert len(fired(engine)) == 4


def test_missing_at_the_start(file_url, tmp_path, until):
    """A root that is not there, nor its parents: said once, waited for, and then watched."""
    inbox = tmp_path / "not" / "yet"
    with engine_of(file_url, inbox, settle=0.1) as engine:
        until(lambda: declined(engine))
        pause(1.2)
        assert len(declined(engine)) == 1
        inbox.mkdir(parents=True)
        came(engine, inbox, until, "a.txt")
    assert texts(engine) == ["a.txt"]


def test_a_file_where_the_root_should_be(file_url, tmp_path, until):
    """A file in the root's place is told in words; when a folder stands there, it is watched."""
    inbox = tmp_path / "inbox"
    inbox.write_text("no folder")
    with engine_of(file_url, inbox, settle=0.1) as engine:
        until(lambda: declined(engine))
        assert "Not a directory" in declined(engine)[0]
        inbox.unlink()
        inbox.mkdir()
        came(engine, inbox, until, "a.txt")
    assert texts(engine) == ["a.txt"]
