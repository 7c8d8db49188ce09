"""The pages of the documentation do what they say: their code runs, and prints what they show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_page.py")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
HELD_ELSEWHERE = {"docs/cli.md"}  # tests/playhead/cli: it needs a project made by `init`
SLOW = {
    "README.md", "docs/tutorial.md", "docs/how-to/run-on-a-schedule.md",
    "docs/how-to/receive-webhooks.md", "docs/how-to/watch-a-folder.md",
}  # fmt: skip


def named(path: Path) -> str:
    """Give a page as people write it, from the root of the tree."""
    return path.relative_to(ROOT).as_posix()


def pages() -> list[object]:
    """Give the pages that have code in them."""
    return [
        pytest.param(
            page, marks=pytest.mark.slow if named(page) in SLOW else (), id=named(page)
        )
        for page in PAGES
        if re.search(r"^```(python|console)$", page.read_text("utf-8"), re.MULTILINE)
        and named(page) not in HELD_ELSEWHERE
    ]


@pytest.mark.parametrize("page", pages())
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """Each block of code on the page runs, in order, and prints what the page shows."""
    bin_folder = str(Path(sys.executable).parent)
    surroundings = {**os.environ, "PATH": bin_folder + os.pathsep + os.environ["PATH"]}
    surroundings.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(RUNNER), str(page)], cwd=tmp_path, env=surroundings,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    """Each relative link of a page leads to a file of the tree."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
