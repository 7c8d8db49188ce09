"""The page of faults names tests that exist, and a test for every row that it owes."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
OWED = {*range(1, 28), *range(44, 49), *range(50, 55)}
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(text: str) -> dict[int, list[str]]:
    """Give the cells of each numbered row of a page's tables."""
    found: dict[int, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdecimal():
            assert int(cells[0]) not in found, f"row {cells[0]} stands twice"
            found[int(cells[0])] = cells
    return found


def missing(text: str) -> list[str]:
    """Give the tests that a page names and that are not there."""
    lost = []
    for file, name in TEST.findall(text):
        path = ROOT / file
        tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            lost.append(f"{file}::{name}")
    return lost


def test_every_test_that_the_page_names_exists() -> None:
    """A test that was renamed or taken away is missed here."""
    assert missing(PAGE.read_text("utf-8")) == []


@pytest.mark.parametrize("number", sorted(OWED))
def test_a_row_has_its_test(number: int) -> None:
    """Each row says how it is made, real or simulated, what holds, and which tests prove it."""
    row = rows(PAGE.read_text("utf-8"))[number]
    assert len(row) == 5
    _, fault, made, holds, proof = row
    assert fault
    assert holds
    assert made.startswith(("real", "simulated"))
    assert TEST.findall(proof), row


def test_the_search_finds_what_is_not_there() -> None:
    """A file or a name that is nowhere is told; one that is there is not."""
    text = (
        "| 1 | a | real | b | `tests/house/test_faults.py::missing_one` `tests/none.py::test_x`"
        " `tests/house/test_faults.py::test_a_row_has_its_test` |\n| row | x |\n"
    )
    assert missing(text) == ["tests/house/test_faults.py::missing_one", "tests/none.py::test_x"]
    assert list(rows(text)) == [1]
