"""Archives and inboxes that will not: no links, no rights, no room, no such folder any more."""

import errno
import os
import shutil

import pytest

from tests.journeys.files.stage import declined, engine_of, fired, pause, said
from tests.journeys.files.test_after import held, judging
from tests.journeys.files.test_folders import WITHOUT_RIGHTS

LOOK = """
import app
engine = app.make(settle=0, after={after!r})
for _ in range(3):
    engine.run_until_idle()
"""


@pytest.fixture
def forbid():
    """Let nobody write into folders, and give the right back at the end."""
    done = []

    def take(path):
        path.chmod(0o500)
        done.append(path)

    yield take
    for path in done:
        path.chmod(0o700)


def test_a_file_system_without_hard_links(url, inbox, outside, monkeypatch):
    """Where no second name can be had, a rename does it, and still replaces nothing."""

    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    (outside / "b.txt").write_text("here first")
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(url, inbox, after=outside)
    monkeypatch.setattr(os, "link", refuse)
    engine.run_until_idle()
    assert held(inbox) == {}
    assert sorted(held(outside).values()) == ["a.txt", "b.txt", "here first"]
    assert (outside / "b.txt").read_text() == "here first"


@pytest.mark.slow
@pytest.mark.parametrize("after", ["delete", "done"])
def test_an_inbox_that_gives_nothing_away(app, program, reader, inbox, forbid, after):
    """Files that may be read and not taken out stay, said once; their runs are not repeated."""
    (inbox / "a.txt").write_text("a")
    forbid(inbox)
    place = "delete" if after == "delete" else str(app / "done")
    for _ in range(2):
        status, _, err = program(WITHOUT_RIGHTS + LOOK.format(after=place)).finish()
        assert status == 0, err
    assert held(inbox) == {"a.txt": "a"}
    assert len(reader.runs(status="succeeded")) == len(fired(reader)) == 1
    assert 1 <= len(declined(reader)) <= 2
    assert "ermission" in declined(reader)[0]
    inbox.chmod(0o700)
    status, _, err = program(LOOK.format(after=place)).finish()
    assert status == 0, err
    assert held(inbox) == {}


def test_an_archive_without_rights(app, program, reader, inbox, outside, forbid):
    """An archive that may not be written: the file stays in the inbox, whole, and it is said."""
    (inbox / "a.txt").write_text("a")
    forbid(outside)
    code = WITHOUT_RIGHTS + LOOK.format(after=str(outside / "done"))
    status, _, err = program(code).finish()
    assert status == 0, err
    assert held(inbox) == {"a.txt": "a"}
    assert "ermission" in declined(reader)[0]


def test_an_archive_that_is_deleted_meanwhile(file_url, inbox, outside, until):
    """The archive is deleted while the engine serves: it is made anew for the next file."""
    done = outside / "done"
    with engine_of(file_url, inbox, settle=0.05, after=done) as engine:
        for number in range(3):
            (inbox / f"{number}.txt").write_text("x")
            until((done / f"{number}.txt").exists)
            shutil.rmtree(done)
    assert len(fired(engine)) == 3


def test_one_bad_file_does_not_hold_up_the_others(file_url, inbox, outside, until):
    """A file that cannot be moved for lack of a folder: those to the other folder go at once."""
    options = {"after": outside / "done", "failed": outside / "sick", "settle": 0.05}
    engine = engine_of(file_url, inbox, workflow=judging, **options)
    (outside / "sick").write_text("in the way")
    with engine:
        for number in range(5):
            (inbox / f"bad{number}.txt").write_text("bad")
        for number in range(5):
            (inbox / f"{number}.txt").write_text("fine")
        until(lambda: len(held(inbox)) == 5)
        until(lambda: declined(engine))
        pause(1.1)
        assert len(declined(engine)) <= 6
        (outside / "sick").unlink()
        until(lambda: not held(inbox))
    assert len(held(outside / "sick")) == 5
    assert len(fired(engine)) == 10


def test_a_relative_archive_stays_where_it_was_meant(url, inbox, tmp_path, monkeypatch):
    """A relative after= means the directory of the moment the trigger was made."""
    monkeypatch.chdir(tmp_path)
    engine = engine_of(url, "inbox", after="done")
    monkeypatch.chdir("/")
    (inbox / "a.txt").write_text("a")
    engine.run_until_idle()
    assert held(tmp_path / "done") == {"a.txt": "a"}


def test_a_file_that_many_names_share(url, inbox, outside):
    """A file with other hard links is put away by its own name; the other names stay."""
    (outside / "theirs.txt").write_text("shared")
    for name in ("a.txt", "b.txt"):
        os.link(outside / "theirs.txt", inbox / name)
    engine = engine_of(url, inbox, after=outside / "done")
    engine.run_until_idle()
    assert held(inbox) == {}
    assert (outside / "theirs.txt").read_text() == "shared"
    assert held(outside / "done") == {"a.txt": "shared", "b.txt": "shared"}
    assert len(fired(engine)) == 2


@pytest.mark.parametrize("stamp", [-5_000_000_000, 0, 4_000_000_000, 200_000_000_000])
def test_moments_far_away(url, inbox, outside, stamp):
    """Files from before 1970 and from far ahead start their runs and keep their mtime."""
    (inbox / "a.txt").write_text("a")
    os.utime(inbox / "a.txt", (stamp, stamp))
    kept = (inbox / "a.txt").stat().st_mtime_ns
    engine = engine_of(url, inbox, after=outside)
    engine.run_until_idle()
    assert len(fired(engine)) == 1
    assert (outside / "a.txt").stat().st_mtime_ns == kept


def test_a_flood_of_what_starts_nothing_is_told_in_few_events(file_url, inbox, frozen):
    """2,000 names that are ignored, 10 more at each look: events that count, not one for each."""
    engine = engine_of(file_url, inbox, "*")
    for look in range(200):
        for number in range(10):
            (inbox / f"{look}-{number}.part").touch()
        engine.run_until_idle()
        frozen.tick(1)
    frozen.tick(3600)
    engine.run_until_idle()
    told = said(engine, "trigger.declined")
    assert len(told) <= 40
    assert sum(data.get("count", 1) for data in told) == 2000
