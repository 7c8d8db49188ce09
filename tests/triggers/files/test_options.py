"""What cannot be right is refused when the trigger is made: what is wrong, what to write, where."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import DefinitionError
from triggers import FileTrigger, signal
from triggers.testing import workflow

DOCUMENTS = workflow("documents", "path")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"complete": "soon"}, "none of 'settle', 'close', 'rename'"),
        ({"complete": "closed"}, "did you mean 'close'"),
        ({"complete": 5}, "complete=5 is none of"),
        ({"complete": "close", "marker": "*.done"}, "contradict each other"),
        ({"marker": "done"}, "write e.g. marker='\\*.done'"),
        ({"marker": 5}, "marker=5"),
        ({"key": "name"}, "none of 'path"),
        ({"key": "sha-256"}, "did you mean 'sha256'"),
        ({"key": ["path"]}, "is none of"),
        ({"after": ""}, "'delete' or a folder, e.g. after='done'"),
        ({"after": None}, "'leave', 'delete' or a folder"),
        ({"after": "Delete"}, "did you mean 'delete'"),
        ({"after": b"done"}, "or a folder"),
        ({"after": "inbox"}, "is the folder that is watched"),
        ({"after": "x/../inbox/"}, "is the folder that is watched"),
        ({"after": "done", "failed": "inbox"}, "failed=.* is the folder that is watched"),
        ({"after": "inbox/way/x"}, "goes through .*inbox/way, a link"),
        ({"after": "full"}, "is no folder"),
        ({"failed": "bad"}, "moves nothing with after='leave'"),
        ({"after": "done", "key": "path"}, "taken away unread"),
        ({"after": "delete", "key": "path"}, "taken away unread"),
        ({"limit": 0}, "at least 1"),
        ({"limit": -1}, "at least 1"),
        ({"limit": True}, "at least 1"),
        ({"limit": 1.5}, "at least 1"),
        ({"settle": -1}, "at least 0 seconds"),
        ({"settle": "1s"}, "number of seconds"),
        ({"poll": "never"}, "none of 'auto'"),
        ({"poll": "Auto"}, "did you mean 'auto'"),
        ({"poll": 0}, "at least 0.01 seconds"),
        ({"poll": -5}, "at least 0.01 seconds"),
        ({"poll": None}, "number of seconds"),
        ({"initial": "no"}, "True or False"),
        ({"name": ""}, "not empty"),
    ],
)
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], says: str
) -> None:
    """The error says what is wrong, names the near miss, and where it was written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "full").touch()
    (tmp_path / "inbox" / "way").symlink_to(tmp_path)
    with pytest.raises(DefinitionError, match=says) as caught:
        FileTrigger("inbox/*.txt", DOCUMENTS, **options)
    assert caught.value.where is not None
    assert caught.value.where.startswith("test_options.py:")


@pytest.mark.parametrize("pattern", ["", "inbox/", "in\udcff/*", "in/\0*", None, 3, b"in/*"])
def test_a_pattern_of_nothing_is_refused(pattern: Any) -> None:
    """Empty, a folder, a folder whose name is no text, a zero byte, neither text nor path."""
    with pytest.raises(DefinitionError, match="pattern"):
        FileTrigger(pattern, DOCUMENTS)


@pytest.mark.parametrize(
    "options",
    [
        {"key": "path"},
        {"key": "sha256", "after": "delete"},
        {"after": Path("Delete")},
        {"after": Path("done"), "failed": Path("bad")},
        {"after": "inbox/done"},
        {"after": "delete", "failed": "inbox/done"},
        {"complete": "rename", "settle": 0},
        {"complete": "marker=*.ok", "marker": "*.ok"},
        {"marker": ".*.ok"},
        {"limit": 1, "poll": 2.5, "initial": False},
    ],
)
def test_what_may_well_be_right_is_taken(options: dict[str, Any]) -> None:
    """Also when the folder is not there yet."""
    FileTrigger("nowhere/yet/*.txt", DOCUMENTS, **options)


def test_limit_counts_runs_that_are_started() -> None:
    """A signal starts none."""
    with pytest.raises(DefinitionError, match="counts the runs that a trigger starts"):
        FileTrigger("in/*", signal("go", to=lambda firing: firing.key), limit=2)


def test_it_hears_of_ends_if_they_matter_to_it() -> None:
    """With `limit=`, or if something becomes of the file."""
    assert FileTrigger("in/*", DOCUMENTS).hears is None
    assert FileTrigger("in/*", DOCUMENTS, limit=3).hears == "documents"
    assert FileTrigger("in/*", DOCUMENTS, after="done").hears == "documents"
    for workflow_, heard in ((None, None), ("w", "w"), (DOCUMENTS, "documents")):
        told = signal("go", to=lambda firing: firing.key, workflow=workflow_)
        assert FileTrigger("in/*", told, after="done").hears == heard


def test_an_old_trigger_keeps_its_revision() -> None:
    """Options at their defaults are not in its text: nothing is armed anew by an upgrade."""
    plain = FileTrigger("/in/*", DOCUMENTS).revision()
    assert "after" not in plain
    assert "initial" not in plain
    others = [
        FileTrigger("/in/*", DOCUMENTS, **options).revision()
        for options in ({"after": "done"}, {"initial": False}, {"marker": "*.done"})
    ]
    assert len({plain, *others}) == 4
    assert FileTrigger("/in/*", DOCUMENTS, limit=3, poll=5).revision() == plain


def test_the_database_may_not_lie_where_the_trigger_looks(tmp_path: Path) -> None:
    """Not in the folder, not below it if the pattern goes deep, not through a link."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "log.db").touch()
    (tmp_path / "in" / "alias.db").symlink_to(tmp_path / "db" / "log.db")
    flat = FileTrigger(tmp_path / "in" / "*.csv", DOCUMENTS)
    deep = FileTrigger(tmp_path / "in" / "**" / "*.csv", DOCUMENTS)
    linked = FileTrigger(tmp_path / "link" / "*.csv", DOCUMENTS)
    for trigger in (flat, deep, linked):
        for name in ("in/log.db", "link/log.db", "in/alias.db"):
            with pytest.raises(DefinitionError, match="drops its locks") as caught:
                trigger.check_log(str(tmp_path / name))
            assert "write FileTrigger('inbox/*'" in str(caught.value)
        trigger.check_log(str(tmp_path / "db" / "log.db"))
        trigger.check_log(str(tmp_path / "log.db"))
        trigger.check_log(str(tmp_path / "inn" / "log.db"))
    with pytest.raises(DefinitionError, match="drops its locks"):
        deep.check_log(str(tmp_path / "in" / "sub" / "log.db"))
    flat.check_log(str(tmp_path / "in" / "sub" / "log.db"))
