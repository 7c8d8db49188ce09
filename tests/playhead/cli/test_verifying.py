"""`verify` and `verify --deep`: what is printed where, and what a file that cannot be read says."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from eventstore import clock
from playhead import Engine
from playhead.cli.progress import Checking
from tests.engine.audit.forger import Forger

URL = ("--url", "sqlite:///app.db")


@pytest.fixture
def forged(cli: Any, folder: Path) -> tuple[Any, str]:
    """A log with one run, whose row says otherwise than its events; the chain is whole."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    run = json.loads(cli("runs", *URL, "--json").stdout)[0]["id"]
    with Forger(folder / "app.db") as hand:
        hand.row(run, status="failed")
    return cli, run


def test_a_log_that_makes_sense(cli: Any) -> None:
    """Exit code 0, one line; with --json the counts, and no faults and notes."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    done = cli("verify", "--deep", *URL)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "ok: 6 events in 1 stream, chains whole, moves legal; rows, keys and 0 snapshots say what"
        " the events say\n"
    )
    assert json.loads(cli("verify", "last", "--deep", *URL, "--json").stdout) == {
        "ok": True, "deep": True, "streams": 1, "events": 6, "snapshots": 0, "pruned": 0,
        "faults": [],
        "notes": [],
    }  # fmt: skip


def test_a_fault_that_only_the_deep_look_sees(forged: tuple[Any, str]) -> None:
    """Each fault is a line on stdout, their number is on stderr, the exit code is 1."""
    cli, run = forged
    assert cli("verify", *URL).exit_code == 0
    told = f"stream '{run}': its row says status 'failed', its events 'succeeded'"
    done = cli("verify", "--deep", *URL)
    assert (done.exit_code, done.stdout, done.stderr) == (1, f"{told}\n", "1 fault found\n")
    done = cli("verify", "--deep", *URL, "--json")
    assert done.exit_code == 1
    doc = json.loads(done.stdout)
    assert doc["faults"] == [{"stream": run, "version": 6, "fault": told}]
    assert (doc["ok"], doc["deep"]) == (False, True)


def test_a_note_is_no_fault(cli: Any, folder: Path) -> None:
    """A run that waits for long without a worker is told on stderr, and the exit code is 0."""
    cli("start", "app.py:hello", "name=Ann")
    with Forger(folder / "app.db") as hand:
        hand.run("UPDATE stream SET due = 5")
    done = cli("verify", "--deep", *URL)
    assert (done.exit_code, done.stdout[:2]) == (0, "ok")
    assert done.stderr.startswith("note: run ")
    (note,) = json.loads(cli("verify", "--deep", *URL, "--json").stdout)["notes"]
    assert note["note"].endswith("has been due since 1970-01-01T00:00:00Z, and nobody holds it")
    assert cli("verify", *URL).stderr == ""


def _foreign(path: Path) -> None:
    path.write_text("no database, only words\n" * 100)


def _first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(4096))


def _every_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def _events(path: Path) -> None:
    database = sqlite3.connect(path)
    ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'")
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(
    ("spoil", "code"), [(_foreign, 2), (_first_page, 2), (_every_page, 2), (_events, 1)]
)
def test_verify_does_not_send_to_itself(spoil: Any, code: int, cli: Any, folder: Path) -> None:
    """What cannot be read is told; other commands name `verify` where that can say more."""
    for name in ("Ann", "Bob"):
        cli("run", "app.py:hello", f"name={name}", "-q")
    spoil(folder / "app.db")
    for deep in ([], ["--deep"]):
        done = cli("verify", *deep, *URL)
        told = done.stdout + done.stderr
        assert (done.exit_code, "app.db" in told) == (code, True), told
        assert "playhead verify" not in told
        assert done.stdout.count("stream '") == 2 * (code == 1)
    helps = "`playhead verify` says what can still be read" in cli("runs", *URL).stderr
    assert helps == (code == 1)


def test_progress_is_told_when_it_takes_longer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing within the first second; then a line for each tenth of the way, on stderr."""
    seconds = 0.0
    monkeypatch.setattr(clock, "real_seconds", lambda: seconds)
    with Checking(Engine("memory://"), 2_000) as told:
        told.looked(1_000)
        assert capsys.readouterr().err == ""
        seconds = 1.1
        for events in (1_000, 1_001, 1_100, 1_250, 2_500):
            told.looked(events)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "looked at 1,000 of 2,000 events, 50%",
        "looked at 1,250 of 2,000 events, 62%",
        "looked at 2,500 of 2,500 events, 100%",
    ]
