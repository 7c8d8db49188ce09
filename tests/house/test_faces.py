"""The faces of the packages: their public names exist, and an import does little."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("eventstore", "engine", "triggers", "playhead")
HEAVY = {"sqlalchemy", "httpx", "watchdog", "tenacity", "transitions", "typer", "rich"}
LOOK = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
__import__(sys.argv[2])
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([loaded, threading.active_count(), os.listdir()]))
"""
each_package = pytest.mark.parametrize("package", PACKAGES)


def skip_unless_there(package: str) -> None:
    """Skip while a package has no face."""
    if not (ROOT / package / "__init__.py").exists():
        pytest.skip(f"{package}/__init__.py is not written yet")


def import_alone(package: str, folder: Path) -> tuple[set[str], int, list[str]]:
    """Import a package in a process of its own, in an empty folder.

    Returns:
        The top-level modules loaded, the number of threads, the files left in the folder.
    """
    command = [sys.executable, "-W", "error", "-c", LOOK, str(ROOT), package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, threads, files = json.loads(done.stdout)
    return set(loaded), threads, files


def in_order(name: str) -> tuple[int, str]:
    """Sort as ruff does (RUF022): CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@each_package
def test_the_public_names_exist_and_are_sorted(package: str) -> None:
    """`__all__` is sorted, names nothing twice, and every name in it can be imported."""
    skip_unless_there(package)
    face = importlib.import_module(package)
    names = list(getattr(face, "__all__", ()))
    assert names == sorted(set(names), key=in_order)
    assert [name for name in names if not hasattr(face, name)] == []


@each_package
def test_an_import_does_nothing(package: str, tmp_path: Path) -> None:
    """Importing a package starts no thread and writes no file."""
    skip_unless_there(package)
    _, threads, files = import_alone(package, tmp_path)
    assert (threads, files) == (1, [])


def test_the_face_is_lazy(tmp_path: Path) -> None:
    """`import playhead` alone loads no database, HTTP, file watching or terminal library."""
    skip_unless_there("playhead")
    loaded, _, _ = import_alone("playhead", tmp_path)
    assert loaded & HEAVY == set()
