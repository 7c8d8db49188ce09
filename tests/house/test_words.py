"""The words of the tree: captions, names and sizes of files, one door to the clock."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("eventstore", "engine", "triggers", "playhead")
CAPTION = 100  # characters
ROOM = 300  # lines
VAGUE = {"manager", "helper", "util", "common", "misc", "data", "info"}
CLOCK = re.compile(
    r"\b(time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|sleep)"
    r"|(datetime|dt)\.(now|utcnow|today)|date\.today|func\.now|uuid\.uuid[14])$"
)


def named(path: Path) -> str:
    """Give a path as people write it, from the root of the tree."""
    return path.relative_to(ROOT).as_posix()


MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
each_module = pytest.mark.parametrize("path", MODULES, ids=named)


def clock_rows(text: str) -> list[int]:
    """Give the lines of Python source that name a clock, a sleep or a source of ids."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and CLOCK.search(ast.unparse(node))
    )


def allowed_rooms(text: str) -> dict[str, str]:
    """Give the reason for each file that may be larger than a room."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {
        path.strip(): reason.strip() for path, _, reason in (x.partition(":") for x in lines)
    }


@each_module
def test_a_module_has_a_caption(path: Path) -> None:
    """The first line of a module's docstring is a caption of at most 100 characters."""
    caption = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
    assert caption.strip(), f"{named(path)} has no caption"
    assert len(caption) <= CAPTION, f"{named(path)}: {len(caption)} characters: {caption}"


def test_a_room_has_at_most_300_lines() -> None:
    """A file over 300 lines, and no other, stands in allowed.txt with its reason."""
    allowed = allowed_rooms(Path(__file__).with_name("allowed.txt").read_text("utf-8"))
    lines = {named(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    large = {path: count for path, count in lines.items() if count > ROOM}
    assert {path: count for path, count in large.items() if path not in allowed} == {}
    assert [path for path in allowed if path not in large] == [], "needs no leave any more"
    assert [path for path, reason in allowed.items() if not reason] == [], "says no reason"


@each_module
def test_a_file_is_named_by_what_it_holds(path: Path) -> None:
    """No file or folder is a manager, helper, util, common, misc, data or info."""
    words = re.split(r"[/_.]", named(path).lower())
    assert not {word.removesuffix("s") for word in words} & {v.removesuffix("s") for v in VAGUE}


@each_module
def test_the_clock_has_one_door(path: Path) -> None:
    """Only eventstore/clock.py reads a clock, sleeps or draws an id."""
    if named(path) == "eventstore/clock.py":
        return
    found = [f"{named(path)}:{row}" for row in clock_rows(path.read_text("utf-8"))]
    assert found == [], "ask eventstore/clock.py"


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_a_test_says_the_fact_it_proves(path: Path) -> None:
    """Every test function has a docstring."""
    tests = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    assert [test.name for test in tests if not ast.get_docstring(test)] == []


def test_the_search_for_clocks_sees_code_and_nothing_else() -> None:
    """A name is found, called or not; a word in a string or a comment is left alone."""
    text = """
x = "time.sleep(1)"  # datetime.now()
y = datetime.datetime.now(UTC)
z = field(default_factory=time.time)
w = ctx.now() + self.time
"""
    assert clock_rows(text) == [3, 4]


def test_the_list_of_large_rooms_reads_path_and_reason() -> None:
    """A line is a path, a colon and a reason; comments and empty lines say nothing."""
    text = "# why\n\nengine/app.py: one object to hold\nengine/x.py:\n"
    assert allowed_rooms(text) == {"engine/app.py": "one object to hold", "engine/x.py": ""}
