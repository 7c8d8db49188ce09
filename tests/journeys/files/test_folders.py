"""Folders below the root: made and filled at once, moved in whole, gone, closed to this user."""

import shutil
import threading

import pytest

from playhead import DefinitionError, Engine, FileTrigger
from tests.journeys.files.stage import (
    SOON,
    engine_of,
    fired,
    names,
    paths,
    reading,
    said,
    texts,
)

# A superuser may read everything; without these two rights the modes of folders count again.
WITHOUT_RIGHTS = """
import ctypes, os, sys
if os.geteuid() == 0 and "WITHOUT_RIGHTS" not in os.environ:
    libc = ctypes.CDLL(None)
    for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert libc.prctl(24, right, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    os.environ["WITHOUT_RIGHTS"] = "1"
    os.execv(sys.executable, sys.orig_argv)
"""
LOOK = """
import app
engine = app.make({pattern!r}, settle=0)
engine.run_until_idle()
engine.run_until_idle()
"""


@pytest.mark.parametrize("complete", ["settle", "close"])
def test_folders_made_and_filled_at_once(file_url, inbox, until, complete):
    """20 nested folders made and filled faster than any watch can follow: 100 files, 100 runs."""
    options = {"complete": complete, "settle": 0.1}
    with engine_of(file_url, inbox, "**/*.txt", **options) as engine:
        for folder in range(20):
            deep = inbox / str(folder) / "deep" / "er"
            deep.mkdir(parents=True)
            for number in range(5):
                (deep / f"{folder}-{number}.txt").write_text("x")
        until(lambda: len(engine.runs(status="succeeded", limit=None)) == 100)
    assert len(set(paths(engine))) == len(fired(engine)) == 100


def test_a_whole_tree_moved_in(file_url, inbox, outside, until):
    """A tree renamed into the folder: each file in it starts one run, also what comes later."""
    for folder in range(5):
        deep = outside / "tree" / str(folder) / "deep"
        deep.mkdir(parents=True)
        for number in range(4):
            (deep / f"{number}.txt").write_text("x")
    with engine_of(file_url, inbox, "**/*.txt", settle=0.1) as engine:
        (outside / "tree").rename(inbox / "tree")
        until(lambda: len(engine.runs(status="succeeded")) == 20)
        (inbox / "tree" / "3" / "deep" / "late.txt").write_text("late")
        until(lambda: len(engine.runs(status="succeeded")) == 21)
    assert len(set(paths(engine))) == len(fired(engine)) == 21


@pytest.mark.slow
def test_a_tree_copied_in_from_another_file_system(file_url, inbox, elsewhere, until):
    """The same by a copy across file systems."""
    for number in range(30):
        deep = elsewhere / "tree" / str(number % 3)
        deep.mkdir(parents=True, exist_ok=True)
        (deep / f"{number}.txt").write_text("x" * number)
    with engine_of(
        file_url, inbox, "**/*.txt", settle=4
    ) as engine:  # no copy stands still so long
        shutil.move(elsewhere / "tree", inbox / "tree")
        until(lambda: len(engine.runs(status="succeeded")) == 30)
    assert sorted(len(text) for text in texts(engine)) == list(range(30))
    assert len(fired(engine)) == 30


def test_a_tree_renamed_within_the_folder(url, inbox):
    """Its files have other paths now, and each path counts once."""
    (inbox / "one").mkdir()
    (inbox / "one" / "a.txt").write_text("a")
    engine = engine_of(url, inbox, "**/*.txt")
    engine.run_until_idle()
    (inbox / "one").rename(inbox / "two")
    engine.run_until_idle()
    assert paths(engine) == [str(inbox / "one" / "a.txt"), str(inbox / "two" / "a.txt")]


def test_folders_that_come_and_go_while_it_looks(file_url, inbox, until):
    """Trees made and removed all the time harm no look; what stays starts one run each."""
    stop = threading.Event()

    def churn():
        number = 0
        while not stop.is_set():
            folder = inbox / f"churn{number % 7}"
            (folder / "deep").mkdir(parents=True, exist_ok=True)
            (folder / "deep" / "gone.csv").touch()
            shutil.rmtree(folder, ignore_errors=True)
            number += 1

    thread = threading.Thread(target=churn)
    with engine_of(file_url, inbox, "**/*.txt", settle=0.1) as engine:
        thread.start()
        try:
            for number in range(10):
                (inbox / f"stays{number}").mkdir()
                (inbox / f"stays{number}" / "a.txt").write_text("a")
            until(lambda: len(engine.runs(status="succeeded")) == 10)
        finally:
            stop.set()
            thread.join(SOON)
    assert len(fired(engine)) == 10


def test_hidden_and_unfinished_folders_are_left_alone(url, inbox):
    """What lies in `.git`, in a folder of a copy tool or of a photo index starts nothing."""
    for folder in (".git", "half.part", "@eaDir", "fine"):
        (inbox / folder).mkdir()
        (inbox / folder / "a.txt").write_text(folder)
    engine = engine_of(url, inbox, "**/*.txt")
    engine.run_until_idle()
    assert texts(engine) == ["fine"]


@pytest.fixture
def look(program):
    """Look twice in a process to which the modes of folders mean what they say."""

    def look_twice(pattern):
        status, _, err = program(WITHOUT_RIGHTS + LOOK.format(pattern=pattern)).finish()
        assert status == 0, err

    return look_twice


@pytest.fixture
def forbid():
    """Take all rights from folders or files, and give them back at the end."""
    done = []

    def take(path):
        path.chmod(0)
        done.append(path)

    yield take
    for path in done:
        path.chmod(0o700)


def test_an_unreadable_folder_is_told_and_the_others_go_on(reader, look, forbid, inbox):
    """A folder below the root that this user may not read: an event with its name; no stop."""
    for folder in ("closed", "open"):
        (inbox / folder).mkdir()
        (inbox / folder / f"{folder}.txt").write_text("x")
    forbid(inbox / "closed")
    look("**/*.txt")
    assert names(reader, status="succeeded") == ["open.txt"]
    (told,) = said(reader, "trigger.declined")
    assert "closed" in str(told)
    assert "Permission denied" in str(told)
    (inbox / "closed").chmod(0o700)
    look("**/*.txt")
    assert names(reader, status="succeeded") == ["closed.txt", "open.txt"]


def test_an_unreadable_root_is_told(reader, look, forbid, inbox):
    """A root that this user may not read: one event that says so, and no crash."""
    (inbox / "a.txt").write_text("x")
    forbid(inbox)
    look("*.txt")
    assert reader.runs() == []
    (told,) = said(reader, "trigger.declined")
    assert "Permission denied" in told["reason"]


def test_an_unreadable_file_is_the_steps_business(reader, look, forbid, inbox):
    """A file that may be seen and not read starts its run; the step fails with the reason."""
    (inbox / "a.txt").write_text("x")
    forbid(inbox / "a.txt")
    look("*.txt")
    (row,) = reader.runs()
    assert row.status == "failed"
    assert "Permission denied" in str(row.error)


def test_the_database_in_the_watched_folder_is_refused(inbox):
    """A log that would be one of its own files is refused, with what to write instead."""
    (inbox.parent / "also").symlink_to(inbox)
    places = [("*", inbox), ("**/*", inbox / "deep"), ("*.txt", inbox.parent / "also")]
    for pattern, place in places:
        with pytest.raises(DefinitionError, match=r"log\.db"):
            engine_of(f"sqlite:///{place / 'log.db'}", inbox, pattern).run_until_idle()
        assert not (place / "log.db").exists()


def test_the_database_below_a_shallow_pattern_is_fine(inbox):
    """The log may lie in a folder that the pattern does not look into."""
    (inbox / "log").mkdir()
    (inbox / "a.txt").write_text("a")
    engine = engine_of(f"sqlite:///{inbox / 'log' / 'log.db'}", inbox)
    engine.run_until_idle()
    assert names(engine) == ["a.txt"]


def test_two_patterns_over_one_folder(url, inbox):
    """Two triggers over one folder are two: each starts its own run for what it means."""
    triggers = [
        FileTrigger(f"{inbox}/{pattern}", reading, settle=0, name=pattern)
        for pattern in ("*.txt", "a*")
    ]
    for name in ("a.txt", "b.txt", "a.csv"):
        (inbox / name).write_text(name)
    engine = Engine(url, workflows=[reading], triggers=triggers)
    engine.run_until_idle()
    assert names(engine) == ["a.csv", "a.txt", "a.txt", "b.txt"]
