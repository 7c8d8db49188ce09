"""Completeness as it is declared: by renaming, by a marker beside it; the evidence is kept."""

import os

import pytest

from playhead import DefinitionError
from tests.journeys.files.stage import (
    declined,
    engine_of,
    fired,
    looked,
    names,
    pause,
    said,
    texts,
)


def evidence(engine):
    """Give what each firing was believed on, oldest first."""
    return [data["facts"]["evidence"] for data in said(engine, "trigger.fired")]


def test_settled_is_the_evidence(url, inbox, frozen):
    """`settle`: the event tells that two looks saw the same, and how long it stood still."""
    engine = engine_of(url, inbox, settle=2)
    (inbox / "a.txt").write_text("a")
    looked(engine, frozen)
    (shown,) = evidence(engine)
    assert "2.0 s apart" in str(shown)


def test_closed_is_the_evidence(file_url, inbox, until):
    """`close`: a file seen being closed says so, and starts long before its settle time."""
    dropped = []

    def one_more():
        if engine.runs():
            return True
        dropped.append(inbox / f"{len(dropped)}.txt")
        dropped[-1].write_text("a")
        pause(0.3)  # one that was closed before the watch was up has to settle
        return False

    with engine_of(file_url, inbox, complete="close", settle=3600) as engine:
        until(one_more)
        until(lambda: engine.runs(status="succeeded"))
        shown = evidence(engine)
    assert all("close" in str(one) for one in shown)


def test_renamed_is_complete_at_once(url, inbox, frozen):
    """`rename`: the name under which it is written means nothing, the final one everything."""
    engine = engine_of(url, inbox, complete="rename", settle=3600)
    (inbox / "a.txt.part").write_text("half")
    looked(engine, frozen)
    assert engine.runs() == []
    (inbox / "a.txt.part").rename(inbox / "a.txt")
    looked(engine, frozen)
    assert texts(engine) == ["half"]
    assert "rename" in str(evidence(engine))


def test_renamed_while_watching(file_url, inbox, outside, until):
    """`rename` while the engine runs: renamed within the folder and moved in from another."""
    with engine_of(file_url, inbox, complete="rename", settle=3600) as engine:
        (inbox / ".a.txt.x7").write_text("a")
        (inbox / ".a.txt.x7").rename(inbox / "a.txt")
        (outside / "b.txt").write_text("b")
        (outside / "b.txt").rename(inbox / "b.txt")
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert texts(engine) == ["a", "b"]


@pytest.mark.parametrize("options", [{"marker": "*.done"}, {"complete": "marker=*.done"}])
@pytest.mark.parametrize("marker", ["a.txt.done", "a.done"])
def test_a_marker_completes_its_file(url, inbox, frozen, options, marker):
    """`marker="*.done"`: the file waits for its marker however long; the marker starts nothing."""
    engine = engine_of(url, inbox, "*", settle=0, **options)
    (inbox / "a.txt").write_text("a")
    (inbox / "b.txt").write_text("b")
    looked(engine, frozen)
    assert engine.runs() == []
    (inbox / marker).touch()
    looked(engine, frozen)
    assert names(engine) == ["a.txt"]
    assert "marker" in str(evidence(engine)) or "done" in str(evidence(engine))


def test_a_marker_before_its_file(url, inbox, frozen):
    """A marker that came first, and a file that came late: one run, for the file."""
    engine = engine_of(url, inbox, settle=0, marker="*.done")
    (inbox / "a.txt.done").touch()
    looked(engine, frozen)
    assert engine.runs() == []
    (inbox / "a.txt").write_text("late")
    looked(engine, frozen)
    assert texts(engine) == ["late"]


def test_a_marker_while_watching(file_url, inbox, until):
    """A marker written while the engine runs starts the run of its file soon."""
    with engine_of(file_url, inbox, settle=0, marker="*.done") as engine:
        for number in range(10):
            (inbox / f"{number}.txt").write_text("x")
        for number in range(0, 10, 2):
            (inbox / f"{number}.txt.done").touch()
        until(lambda: len(engine.runs(status="succeeded")) == 5)
        assert engine.runs(status="succeeded", limit=None)
    assert names(engine) == [f"{number}.txt" for number in range(0, 10, 2)]


@pytest.mark.parametrize(
    "options",
    [
        {"complete": "soon"},
        {"complete": "marker"},
        {"marker": "done"},
        {"marker": "**"},
        {"marker": "*"},
        {"marker": "sub/*.done"},
        {"complete": "close", "marker": "*.done"},
        {"settle": -1},
        {"settle": "1 s"},
        {"key": "name"},
        {"poll": "often"},
        {"poll": 0},
        {"limit": 0},
        {"limit": True},
        {"limit": 1.5},
        {"initial": "no"},
        {"after": ""},
        {"after": None},
        {"after": 7},
        {"after": os.fsdecode(b"d\xe9p\xf4t")},
        {"after": "done", "failed": os.fsdecode(b"d\xe9p\xf4t")},
        {"after": "leave", "failed": "bad"},
        {"after": "done", "key": "path"},
        {"after": "Delete"},
    ],
)
def test_contradictions_are_refused_when_made(inbox, options):
    """Options that cannot be right are refused by the constructor, with the line of the caller."""
    with pytest.raises(DefinitionError) as caught:
        engine_of("sqlite:///:memory:", inbox, **options)
    assert caught.value.where is not None


def test_a_restless_file_is_told_of(url, inbox, frozen):
    """A file that never stands still is declined as too young, once in a while, not each look."""
    engine = engine_of(url, inbox, settle=5)
    for second in range(120):
        (inbox / "a.txt").write_text("x" * second)
        os.utime(inbox / "a.txt", (second, second))
        engine.run_until_idle()
        frozen.tick(1)
    assert engine.runs() == []
    assert any("too young" in reason for reason in declined(engine))
    assert len(declined(engine)) < 10
    looked(engine, frozen, 6)
    assert [len(text) for text in texts(engine)] == [119]


def test_what_is_ignored_is_told(url, inbox):
    """A name that fits but is of the unfinished kind is declined, with its name, once."""
    engine = engine_of(url, inbox, "*")
    (inbox / "a.txt.part").touch()
    for _ in range(5):
        engine.run_until_idle()
    (told,) = said(engine, "trigger.declined")
    assert "ignored name" in told["reason"]
    assert "a.txt.part" in str(told)
    assert fired(engine) == []


def test_what_is_no_file_is_told(url, inbox, outside):
    """A link and a pipe that fit are declined as no regular files, with their names, once."""
    engine = engine_of(url, inbox)
    (inbox / "link.txt").symlink_to(outside)
    os.mkfifo(inbox / "pipe.txt")
    for _ in range(5):
        engine.run_until_idle()
    told = said(engine, "trigger.declined")
    assert all(data["reason"].startswith("not a regular file") for data in told)
    assert "link.txt" in str(told)
    assert "pipe.txt" in str(told)
    assert len(told) <= 2
