"""The bar of long commands: on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

URL = ("--url", "sqlite:///app.db")
COMMANDS = [
    (("export", "--out", "log.jsonl"), "exporting events"),
    (("backup", "copy.db"), "copying pages"),
    (("prune", "--older-than", "0s"), "pruning runs"),
]


def on_a_terminal(folder: Path, *words: str) -> str:
    """Run a command whose stderr is a terminal; give what that has shown."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, shown))
    reader.start()
    done = subprocess.run(
        [sys.executable, "-m", "playhead", *words, *URL], cwd=folder, stderr=theirs,
        stdout=subprocess.PIPE, check=False, timeout=200, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    reader.join(30)
    os.close(ours)
    assert done.returncode == 0, shown
    return b"".join(shown).decode()


def _read(terminal: int, shown: list[bytes]) -> None:
    try:
        while some := os.read(terminal, 4096):
            shown.append(some)
    except OSError:  # nobody writes to it any more
        return


def test_a_terminal_sees_a_bar(cli: Any, folder: Path) -> None:
    """On a terminal a long command says how far it is."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    shown = on_a_terminal(folder, "backup", "copy.db")
    assert "copying pages" in shown
    assert "\x1b[" in shown


@pytest.mark.parametrize(("words", "what"), COMMANDS)
def test_a_pipe_sees_none(cli: Any, words: tuple[str, ...], what: str) -> None:
    """In a log of cron, say, there is no bar."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    done = cli(*words, *URL)
    assert done.exit_code == 0, done.stderr
    assert what not in done.stderr
    assert "\x1b" not in done.stderr


def test_json_is_silent_on_a_terminal_too(cli: Any, folder: Path) -> None:
    """Who asks for JSON asks for nothing else."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    assert on_a_terminal(folder, "prune", "--older-than", "0s", "--json") == ""


def test_an_export_before_a_prune_has_its_own_bar(cli: Any, folder: Path) -> None:
    """First the one of the export, then the one of the prune; never both at once."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    shown = on_a_terminal(folder, "prune", "--older-than", "0s", "--export", "gone.jsonl")
    assert 0 <= shown.rindex("exporting events") < shown.index("pruning runs")
