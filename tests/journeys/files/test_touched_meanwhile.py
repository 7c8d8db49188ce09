"""Files that change while their run goes on: only what was claimed is put away."""

import os
import shutil
from pathlib import Path

import pytest

from playhead import Context, Workflow, step
from tests.journeys.files.stage import declined, engine_of, fired, looked, pause, texts
from tests.journeys.files.test_after import held


def meddling(deed):
    """Give a workflow whose step does something to the file that it reads, the first time."""

    @step
    def meddle(path: Path, ctx: Context) -> str:
        text = path.read_text()
        if text == "first":
            deed(path)
        return text

    return Workflow("meddling", steps=[meddle])


@pytest.fixture(params=["delete", "move"])
def after(request, outside):
    """Give each way of putting files away."""
    return "delete" if request.param == "delete" else outside / "done"


def test_rewritten_while_its_run_went_on(url, inbox, after):
    """New content under the name is a new file: it is not put away unread, it has its own run."""
    workflow = meddling(lambda path: path.write_text("the second"))
    engine = engine_of(url, inbox, workflow=workflow, after=after)
    (inbox / "a.txt").write_text("first")
    engine.run_until_idle()
    engine.run_until_idle()
    assert sorted(engine.get(row.id).result(timeout=20) for row in engine.runs()) == [
        "first", "the second",
    ]  # fmt: skip
    assert held(inbox) == {}


def test_replaced_by_a_rename_while_its_run_went_on(url, inbox, outside, after):
    """The same by a rename over it, of equal size: seen by its mtime."""

    def replace(path):
        (outside / "new").write_text("secnd")
        os.utime(outside / "new", (1_600_000_000, 1_600_000_000))
        (outside / "new").rename(path)

    engine = engine_of(url, inbox, workflow=meddling(replace), after=after)
    (inbox / "a.txt").write_text("first")
    engine.run_until_idle()
    engine.run_until_idle()
    assert len(engine.runs()) == len(fired(engine)) == 2
    assert held(inbox) == {}


def test_deleted_by_its_own_step(url, inbox, after):
    """A step that deletes its file leaves nothing to do; that is no error."""
    engine = engine_of(url, inbox, workflow=meddling(Path.unlink), after=after)
    (inbox / "a.txt").write_text("first")
    engine.run_until_idle()
    engine.run_until_idle()
    assert [row.status for row in engine.runs()] == ["succeeded"]
    assert declined(engine) == []


def test_a_link_swapped_in_while_its_run_went_on(url, inbox, outside, after):
    """A link in the file's place: what it points at is not touched, wherever that lies."""
    secret = outside / "secret"
    secret.write_text("first")

    def swap(path):
        stamp = path.stat().st_mtime_ns
        os.utime(secret, ns=(stamp, stamp))
        path.unlink()
        path.symlink_to(secret)

    engine = engine_of(url, inbox, workflow=meddling(swap), after=after)
    (inbox / "a.txt").write_text("first")
    engine.run_until_idle()
    engine.run_until_idle()
    assert secret.read_text() == "first"
    assert not secret.is_symlink()
    assert (inbox / "a.txt").is_symlink()


def test_a_pipe_swapped_in_while_its_run_went_on(url, inbox, after):
    """A FIFO in the file's place hangs nobody and stays."""

    def swap(path):
        path.unlink()
        os.mkfifo(path)

    engine = engine_of(url, inbox, workflow=meddling(swap), after=after)
    (inbox / "a.txt").write_text("first")
    engine.run_until_idle()
    assert (inbox / "a.txt").is_fifo()


def test_a_folder_swapped_for_a_link_while_its_run_went_on(url, inbox, outside, after):
    """The folder above the file becomes a link to a folder with such a file: that one stays."""
    (outside / "theirs").mkdir()

    def swap(path):
        shutil.copy2(path, outside / "theirs" / "a.txt")
        path.parent.rename(outside / "ours")
        path.parent.symlink_to(outside / "theirs")

    (inbox / "deep").mkdir()
    options = {"workflow": meddling(swap), "after": after}
    engine = engine_of(url, inbox, "**/*.txt", **options)
    (inbox / "deep" / "a.txt").write_text("first")
    engine.run_until_idle()
    engine.run_until_idle()
    assert held(outside / "theirs") == {"a.txt": "first"}


def test_an_archive_that_cannot_be_written(file_url, inbox, outside, until):
    """A file stands in the archive's place: said once, the file stays; mended, it is moved."""
    done = outside / "done"
    engine = engine_of(file_url, inbox, settle=0.05, after=done)
    done.write_text("in the way")
    with engine:
        (inbox / "a.txt").write_text("a")
        until(lambda: engine.runs(status="succeeded"))
        until(lambda: declined(engine))
        pause(1.2)
        assert held(inbox) == {"a.txt": "a"}
        assert len(declined(engine)) <= 2
        done.unlink()
        until((done / "a.txt").exists)
    assert held(inbox) == {}
    assert len(fired(engine)) == 1


def test_a_full_archive_loses_nothing(url, inbox, mount, outside):
    """No space on the archive's file system: the file stays whole in the inbox, it is said why."""
    small = outside / "small"
    small.mkdir()
    mount(small, size="4m")
    room = os.statvfs(small)
    (small / "filler").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 100_000))
    (inbox / "a.txt").write_text("x" * 1_000_000)
    engine = engine_of(url, inbox, after=small)
    engine.run_until_idle()
    assert len(held(inbox)["a.txt"]) == 1_000_000
    assert [path.name for path in small.iterdir()] == ["filler"]
    assert any("space" in reason for reason in declined(engine))


def test_a_writer_that_had_not_done(url, inbox, outside, frozen):
    """A writer that paused too long and still holds the file: what it adds goes to the archive."""
    engine = engine_of(url, inbox, after=outside, settle=1)
    with (inbox / "a.txt").open("w") as file:
        file.write("begun")
        file.flush()
        looked(engine, frozen)
        file.write(" and ended")
    looked(engine, frozen)
    assert texts(engine) == ["begun"]
    assert held(outside) == {"a.txt": "begun and ended"}
    assert held(inbox) == {}
