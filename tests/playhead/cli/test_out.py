"""What is printed holds nothing that a terminal obeys, and JSON nothing less than all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from playhead.cli import out


def test_control_characters_are_escaped() -> None:
    """Escapes, bells, C1 controls and bidi overrides are shown, not obeyed."""
    assert out.plain("a\x1b[31m\x07\x9b\u202e\n") == "a\\x1b[31m\\x07\\x9b\\u202e\\n"
    assert out.plain("déjà → 日本") == "déjà → 日本"


def test_json_is_the_same_value_escaped() -> None:
    """JSON on a terminal is harmless and still the same value."""
    value = {"a\x9b": "\x1b\x7f\u202e\U000e0001 é", "list": ["x" * 1000]}
    text = out.json_text(value)
    assert not set("\x1b\x7f\x9b\u202e\U000e0001") & set(text)
    assert json.loads(text) == value


def test_short_is_short() -> None:
    """A shortened value ends in an ellipsis and has the width asked for."""
    assert out.short("x" * 100, 10) == '"xxxxxxxx…'
    assert out.short([1], 10) == "[1]"


@pytest.mark.parametrize("words", ["stats --json", "runs", "export", "verify"])
def test_a_full_disk_behind_stdout_is_told(cli: Any, folder: Path, words: str) -> None:
    """One sentence and exit code 2, whichever way a command writes; no traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full, where every write finds no room")
    cli("run", "app.py:hello", "name=Ann", "-q")
    with Path("/dev/full").open("w") as full:
        done = _ended(f"playhead {words} --url sqlite:///app.db", folder, stdout=full)
    assert (done.returncode, done.stderr) == (
        2, "playhead: cannot write to stdout: No space left on device\n",
    )  # fmt: skip


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_stdout_that_is_closed_is_nowhere(cli: Any, folder: Path, closed: str) -> None:
    """The command does its work; nothing that it opens is taken for stdout."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    command = f"playhead export --out log.jsonl --url sqlite:///app.db {closed}"
    assert _ended(command, folder).returncode == 0
    assert _ended(f"playhead stats --url sqlite:///app.db {closed}", folder).returncode == 0
    lines = (folder / "log.jsonl").read_text("utf-8").splitlines()
    assert all(json.loads(line)["line"] for line in lines)
    assert "chains whole" in cli("verify", "--url", "sqlite:///app.db").stdout


def _ended(command: str, folder: Path, **given: Any) -> "subprocess.CompletedProcess[str]":
    command = command.replace("playhead", f"{sys.executable} -m playhead", 1)
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, stderr=subprocess.PIPE, text=True,
        check=False, **given,
    )  # fmt: skip
