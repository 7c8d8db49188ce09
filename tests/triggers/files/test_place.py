"""Where a folder lies: whether the system's word on changes there is to be trusted."""

from pathlib import Path

import pytest

from triggers import FileTrigger
from triggers.files.place import skipped, strange
from triggers.testing import PaperEngine, workflow

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - {root} /dev/sda1 rw
40 22 0:40 / {at} rw,relatime shared:2 - {kind} server:/x rw
"""


def table(folder: Path, at: Path, kind: str, root: str = "ext4") -> Path:
    """Write a table of mounts as the kernel gives it."""
    path = folder / "mountinfo"
    path.write_text(TABLE.format(root=root, at=at, kind=kind))
    return path


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "virtiofs", "ceph", "whatfs"]
)
def test_others_may_change_files_there(tmp_path: Path, kind: str) -> None:
    """A network file system, or one that nobody knows, is named."""
    mount = tmp_path / "mount"
    mounts = table(tmp_path, mount, kind)
    assert strange(str(mount / "deep" / "in"), mounts) == kind
    assert strange(str(tmp_path / "mounted"), mounts) == ""


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay"])
def test_this_system_changes_files_there(tmp_path: Path, kind: str) -> None:
    """Its own disks, its memory, the root of a container: it tells of all changes."""
    assert strange(str(tmp_path / "in"), table(tmp_path, tmp_path, kind)) == ""


def test_the_links_to_a_folder_are_followed_first(tmp_path: Path) -> None:
    """What counts is where it really lies."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = table(tmp_path, tmp_path / "far", "nfs")
    assert strange(str(tmp_path / "near"), mounts) == "nfs"


def test_a_system_without_such_a_table_is_trusted(tmp_path: Path) -> None:
    """Not Linux: watchdog knows its ways there. An empty table says nothing."""
    assert strange(str(tmp_path), tmp_path / "none") == ""
    (tmp_path / "empty").touch()
    assert strange(str(tmp_path), tmp_path / "empty") == "unknown"


def test_one_line_says_that_there_are_only_looks(
    engine: PaperEngine,
    inbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And with `poll=` in seconds nobody asks, and nothing is said."""
    caplog.set_level("INFO", "playhead.triggers")
    monkeypatch.setattr("triggers.files.trigger.strange", lambda _: "nfs4")
    for options in ({}, {"poll": 5}):
        trigger = FileTrigger(inbox / "*", workflow("documents", "path"), **options)
        trigger.open(engine.door(trigger))
        trigger.close()
    (line,) = caplog.records
    assert line.action == "trigger.looks_only"  # type: ignore[attr-defined]
    assert "nfs4" in line.getMessage()


def test_folders_below_the_root_are_left_out(tmp_path: Path) -> None:
    """As a look meets them, also through a link; those elsewhere are nothing to it."""
    (tmp_path / "in" / "done").mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "in")
    folders = tuple(str(tmp_path / one) for one in ("way/done", "in/x/y", "out", "in", "inn"))
    assert skipped(str(tmp_path / "in"), folders) == {"done", "x/y"}
