"""Canaries: declared secrets are found in no file, no line of a log and no command's answer."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (
    "log", "extra", "progress", "basic", "url", "chained", "message", "output", "blob", "failure",
    "input", "key", "tag", "payload", "signal", "body", "header", "reason", "steered",
)  # fmt: skip
FIELDS = ("field", "query", "cookie", "hook")
COMMANDS = (
    ("show", "{run}", "--json"), ("show", "{run}"), ("replay", "{run}", "--json"),
    ("runs", "--json"), ("triggers", "explain", "hook", "--json"), ("graph", "{run}"),
)  # fmt: skip


def surroundings():
    """Give an environment with a canary for each place."""
    named = {f"CANARY_{place.upper()}": f"canary/{place}+0x7a" for place in PLACES}
    named |= {f"BIRD_{field}": f"bird-of-{field}-0x7a" for field in FIELDS}
    return {**os.environ, **named, "PYTHONPATH": str(ROOT)}


def found(content):
    """Give the places whose canary stands in some bytes, as it is or in another form."""
    text = content.decode("utf-8", "replace").lower()
    signs = {place: (f"canary/{place}+", f"canary%2f{place}%2b") for place in PLACES}
    signs |= {field: (f"bird-of-{field}-",) for field in FIELDS}
    heard = {place for place, forms in signs.items() if any(form in text for form in forms)}
    if "YXBwOmNhbmFyeS9iYXNpY" in content.decode(
        "utf-8", "replace"
    ):  # app:canary/basic in base64
        heard.add("basic")
    return heard


def sing(folder, server, *, declared):
    """Run the program; give what its files, its lines and the commands say, by where."""
    url = f"sqlite:///{folder / 'log.db'}"
    command = [sys.executable, str(ROOT / "tests/journeys/canaries.py"), url, f"{server}/bird"]
    with (folder / "err.txt").open("wb") as lines:
        process = subprocess.Popen(
            [*command, "declared" if declared else "bare"], env=surroundings(), cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lines,
        )  # fmt: skip
    try:
        said = process.stdout.readline().decode().split()
        assert said[:1] == ["sung"], (folder / "err.txt").read_text()
        heard = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert {"log.db", "log.db-wal", "log.db-shm"} <= heard.keys()
        for parts in COMMANDS:
            words = [part.format(run=said[1]) for part in parts]
            done = subprocess.run(
                [sys.executable, "-m", "playhead", *words, "--url", url], env=surroundings(),
                cwd=folder, capture_output=True, check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            heard[" ".join(parts)] = done.stdout + done.stderr
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait(30)
        process.stdout.close()
    assert process.returncode == 0, (folder / "err.txt").read_text()
    heard["log.db, closed"] = (folder / "log.db").read_bytes()
    heard["stderr"] = (folder / "err.txt").read_bytes()
    return heard


@pytest.mark.slow
def test_no_canary_is_found_anywhere(tmp_path, server):
    """In the database, the files beside it, lines of loggers and answers of commands: none."""
    heard = sing(tmp_path, server.url, declared=True)
    assert {where: places for where in heard if (places := found(heard[where]))} == {}
    marks = b"".join(heard.values())
    missed = [
        place for place in PLACES if f"[redacted:CANARY_{place.upper()}]".encode() not in marks
    ]
    assert missed == []


@pytest.mark.slow
def test_without_secrets_each_canary_is_found(tmp_path, server):
    """The same program that declares nothing writes each of them: the search above can fail."""
    heard = sing(tmp_path, server.url, declared=False)
    assert found(b"".join(heard.values())) == {*PLACES, *FIELDS}
    written = found(heard["log.db"] + heard["log.db-wal"])
    assert written == {*PLACES, *FIELDS} - {"log", "extra", "progress"}
    assert found(heard["stderr"]) >= {"log", "progress", "url", "query"}
