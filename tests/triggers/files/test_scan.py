"""A look at a folder: regular files only, links never, names that are not UTF-8 in hex."""

import os
from pathlib import Path

import pytest

from triggers.files.complete import Marker
from triggers.files.pattern import Pattern
from triggers.files.scan import glance, scan


def names(pattern: Path | str) -> list[str]:
    """Give what a look sees, sorted."""
    return sorted(found.relative for found in scan(Pattern(str(pattern))).files)


def test_a_look_sees_name_size_and_mtime(tmp_path: Path) -> None:
    """Each file with its relative path, bytes and nanoseconds."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("abc")
    os.utime(tmp_path / "x" / "a.txt", ns=(5, 1_700_000_000_123_456_789))
    assert scan(Pattern(f"{tmp_path}/**/*.txt")).files == [
        ("x/a.txt", 3, 1_700_000_000_123_456_789)
    ]


def test_links_and_what_is_no_file_are_left_alone(tmp_path: Path) -> None:
    """A link to a file or a folder, a pipe and a folder start nothing; a hard link may."""
    outside, inside = tmp_path / "out", tmp_path / "in"
    (outside / "deep").mkdir(parents=True)
    inside.mkdir()
    (outside / "deep" / "secret.txt").write_text("x")
    (inside / "link.txt").symlink_to(outside / "deep" / "secret.txt")
    (inside / "folder").symlink_to(outside / "deep")
    (inside / "loop").symlink_to(inside)
    os.mkfifo(inside / "pipe.txt")
    (inside / "folder.txt").mkdir()
    os.link(outside / "deep" / "secret.txt", inside / "hard.txt")
    assert names(inside / "**" / "*.txt") == ["hard.txt"]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """The folder that the user names is the user's word."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").touch()
    (tmp_path / "named").symlink_to(tmp_path / "real")
    assert names(tmp_path / "named" / "*.txt") == ["a.txt"]


def test_a_name_that_is_not_utf8_is_given_in_hex(tmp_path: Path) -> None:
    """Its bytes, and the folder's above it, so that the file can be found."""
    folder = os.fsencode(tmp_path)
    os.mkdir(folder + b"/caf\xe9")  # noqa: PTH102
    for name in (b"/a\xff.txt", b"/caf\xe9/b.txt", b"/fine.txt"):
        Path(os.fsdecode(folder + name)).touch()
    look = scan(Pattern(f"{tmp_path}/**/*.txt"))
    assert [found.relative for found in look.files] == ["fine.txt"]
    assert sorted(look.unreadable) == [b"a\xff.txt".hex(), b"caf\xe9/b.txt".hex()]


def test_a_missing_root_raises(tmp_path: Path) -> None:
    """No folder, or a file in its place: the caller is told."""
    with pytest.raises(FileNotFoundError):
        scan(Pattern(f"{tmp_path}/none/*.txt"))
    (tmp_path / "none").touch()
    with pytest.raises(NotADirectoryError):
        scan(Pattern(f"{tmp_path}/none/*.txt"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The rest is seen all the same."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.txt").touch()
    (tmp_path / "shut").chmod(0)
    look = scan(Pattern(f"{tmp_path}/**/*.txt"))
    (tmp_path / "shut").chmod(0o700)
    assert [found.relative for found in look.files] == ["a.txt"]
    assert look.closed == ["shut/: Permission denied"]


def test_a_glance_sees_what_a_look_would(tmp_path: Path) -> None:
    """Of the files that it is told of: only what is meant, regular, and reached without a link."""
    for name in (
        "a.txt",
        "x/b.txt",
        "x/b.csv",
        "a.txt.tmp",
        "done/c.txt",
        "a.done",
        "out/d.txt",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("abc")
    (tmp_path / "in" / "out").rename(tmp_path / "out")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "in" / "a.txt")
    (tmp_path / "in" / "folder.txt").mkdir()
    told = [
        *("a.txt", "x/b.txt", "x/b.csv", "a.txt.tmp", "done/c.txt", "a.done", "out/d.txt"),
        *(
            "link.txt",
            "folder.txt",
            "gone.txt",
            "x/gone/e.txt",
            "bad\udcff.txt",
            "../out/d.txt",
        ),
    ]
    deep = Pattern(f"{tmp_path}/in/**/*.txt")
    seen = glance(deep, told, without={"done"}, marker=Marker("*.done").names)
    assert [found.relative for found in seen] == ["a.txt", "x/b.txt"]
    assert set(seen) < set(scan(deep).files)
    flat = Pattern(f"{tmp_path}/in/*")
    seen = glance(flat, told, marker=Marker("*.done").names)
    assert [found.relative for found in seen] == ["a.txt"]
