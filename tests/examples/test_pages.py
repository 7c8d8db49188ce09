"""The pages of the documentation do what they say: their code runs, and prints what they show."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from eventstore import open_log

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
    "docs/how-to/run-on-postgresql.md",
}  # fmt: skip
ON_A_SERVER = ROOT / "docs/how-to/run-on-postgresql.md"  # it finds a log's url in PLAYHEAD_URL


def named(path: Path) -> str:
    """Give a page as people write it, from the root of the tree."""
    return path.relative_to(ROOT).as_posix()


def pages() -> list[object]:
    """Give the pages that have code in them."""
    return [
        pytest.param(page, marks=marks(page), id=named(page))
        for page in PAGES
        if re.search(r"^```(python|console)$", page.read_text("utf-8"), re.MULTILINE)
        and named(page) not in HELD_ELSEWHERE
    ]


def marks(page: Path) -> list[pytest.MarkDecorator]:
    """Give the marks of a page's test."""
    slow = [pytest.mark.slow] if named(page) in SLOW else []
    return [*slow, pytest.mark.postgres] if page == ON_A_SERVER else slow


@pytest.mark.parametrize("page", pages())
def test_a_page_does_what_it_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each block of code on the page runs, in order, and prints what the page shows."""
    bin_folder = str(Path(sys.executable).parent)
    surroundings = {**os.environ, "PATH": bin_folder + os.pathsep + os.environ["PATH"]}
    surroundings.pop("PYTHONPATH", None)
    if page == ON_A_SERVER:
        surroundings["PLAYHEAD_URL"] = request.getfixturevalue("postgres_url")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(RUNNER), str(page)], cwd=tmp_path, env=surroundings,
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    """Each relative link of a page leads to a file of the tree."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_sql_of_the_page_about_servers(own_postgres: Any) -> None:
    """Who follows it has a log with the least rights; what it asks a server has an answer."""
    postgres, page = own_postgres, ON_A_SERVER.read_text("utf-8")
    role, schema, *asks = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    name = f"words_{os.getpid()}"
    make_role, make_database = (
        line.replace("words", name) for line in role.strip().splitlines()
    )
    try:
        postgres.execute(make_role)
        postgres.execute(make_database)
        parts = urlsplit(postgres.url(name))
        place = f"{name}:choose-one@{parts.hostname}:{parts.port}"
        own = f"postgresql://{place}/{name}"
        for url in (own, own + "?schema=theirs"):
            made = open_log(url)
            assert made.counts("run") == []
            made.close()
        for ask in asks:
            postgres.execute(ask, database=name)
        given = postgres.create()
        postgres.execute(f"REVOKE CREATE ON DATABASE {given} FROM PUBLIC")
        postgres.execute(schema.replace("words", name), database=given)
        made = open_log(f"postgresql://{place}/{given}")
        assert made.counts("run") == []
        made.close()
        postgres.drop(given)
    finally:
        postgres.drop(name)
        postgres.execute(f"DROP ROLE IF EXISTS {name}")
    assert len(asks) == 5
