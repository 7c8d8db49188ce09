"""The linters pass: format, lint, types and floors, one test each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent  # not resolved: the programs stand beside the link


def assert_passes(*command: str | Path) -> None:
    """Run a program at the root of the tree and show what it says if it is not content."""
    quiet = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)


def test_the_tree_is_formatted() -> None:
    """`ruff format` would change nothing."""
    assert_passes(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_the_tree_is_linted() -> None:
    """`ruff check` finds nothing."""
    assert_passes(sys.executable, "-m", "ruff", "check", ".")


def test_the_types_hold() -> None:
    """`mypy --strict` finds nothing in the four packages."""
    assert_passes(sys.executable, "-m", "mypy")


def test_the_floors_hold() -> None:
    """Imports run down only, in no circle, and through the one doors."""
    assert_passes(BIN / "lint-imports")
