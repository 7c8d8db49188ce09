"""Patterns: `*`, `**`, the leading dot, and names of what is unfinished."""

import os
from pathlib import Path

import pytest

from engine.errors import DefinitionError
from triggers.files.pattern import Pattern


def means(pattern: str, relative: str) -> bool:
    """Tell whether a pattern below `/in` means a path below `/in`."""
    compiled = Pattern(f"/in/{pattern}")
    below = Path("/in", relative).relative_to(compiled.root).parts
    places = compiled.start
    for folder in below[:-1]:
        places = compiled.below(places, folder)
    return compiled.fits(places, below[-1]) and not compiled.ignores(below[-1])


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.txt", ["a.txt", "a b.txt", "ä\n.txt"], ["a.txt.gz", "x/a.txt", ".a.txt", "A.TXT"]),
        ("*", ["a", "a.b"], [".a", "x/a"]),
        ("a*z", ["az", "a--z"], ["a", "z", "ab"]),
        ("**/*.txt", ["a.txt", "x/a.txt", "x/y/a.txt"], ["a.csv", ".x/a.txt", "x/.y/a.txt"]),
        ("x/**/y/*.txt", ["x/y/a.txt", "x/1/2/y/a.txt", "x/y/y/a.txt"], ["x/a.txt"]),
        ("**", ["a", "x/a", "x/y/a"], [".a", ".x/a"]),
        ("x/**", ["x/a", "x/y/a"], ["x/.a"]),
        ("*/in.txt", ["x/in.txt"], ["in.txt", "x/y/in.txt", ".x/in.txt"]),
        (".*", [".env"], ["env"]),
        (".env*", [".env", ".env.local"], ["env"]),
        (".x/*", [".x/a"], [".x/.a"]),
        ("**/.x/**/*", [".x/a", "y/.x/a", "y/.x/z/a"], ["y/.z/a", ".x/.z/a"]),
        ("**/**/*.txt", ["a.txt", "x/a.txt", "x/y/z/a.txt"], []),
        ("one.txt", ["one.txt"], ["two.txt"]),
        ("[a]?.txt*", ["[a]?.txt"], ["aa.txt", "[a]b.txt"]),
    ],
)
def test_what_a_pattern_means(pattern: str, yes: list[str], no: list[str]) -> None:
    """`*` is part of a name, `**` any folders, a leading dot is written, the rest is plain."""
    assert [path for path in yes if not means(pattern, path)] == []
    assert [path for path in no if means(pattern, path)] == []


@pytest.mark.parametrize(
    "name",
    ["a~", "a.tmp", "a.part", "a.partial", "a.filepart", "a.crdownload", "a.txt.swp", "4913",
     "~$a.docx", "@eaDir/a", "x.tmp/a"],
)  # fmt: skip
def test_what_is_unfinished_is_left_alone(name: str) -> None:
    """Names of editors, browsers and copy tools start nothing, folders so named neither."""
    assert not means("**/*", name)


@pytest.mark.parametrize("pattern", ["*.tmp", "*.part", "*~", "4913"])
def test_a_pattern_of_such_names_means_them(pattern: str) -> None:
    """Who asks for `*.part` gets them."""
    assert means(pattern, pattern.replace("*", "a"))


def test_the_root_is_the_folder_above_the_first_star(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative patterns stand in the directory of the moment they are made."""
    monkeypatch.chdir(tmp_path)
    pattern = Pattern("in/box/*.txt")
    monkeypatch.chdir("/")
    assert pattern.root == str(tmp_path / "in" / "box")
    assert not pattern.is_deep
    assert Pattern("/in/*/x/*.txt").root == "/in"
    assert Pattern("/in/*/x/*.txt").is_deep
    assert Pattern("/in/**").is_deep
    assert Pattern("/*").root == "/"


@pytest.mark.parametrize("text", ["", "in/", "{folder}", os.fsdecode(b"in\xff/*.txt")])
def test_what_names_no_files_is_refused(text: str, tmp_path: Path) -> None:
    """Nothing, a folder, or a root that is not UTF-8."""
    with pytest.raises(DefinitionError):
        Pattern(text.format(folder=tmp_path))
