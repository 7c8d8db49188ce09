"""`signal`, `cancel`, `pause`, `resume`, `retry`, `breakers`, `triggers`, `verify`, `stats`."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

URL = ("--url", "sqlite:///app.db")


def read(cli: Any, *words: object) -> Any:
    """Give what a command prints with --json."""
    result = cli(*words, *URL, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def waiting(cli: Any) -> Any:
    """A log with a run that waits for a signal."""
    cli("start", "app.py:waits")
    return cli


def test_pause_resume_cancel_retry(waiting: Any) -> None:
    """Each needs the url alone and prints what became of the run."""
    assert waiting("pause", "last", *URL).stdout.endswith(": paused\n")
    assert read(waiting, "resume", "last")["status"] == "waiting"
    assert read(waiting, "cancel", "last", "--reason", "no need")["status"] == "cancelled"
    assert read(waiting, "retry", "last")["status"] == "waiting"


def test_what_a_run_is_in_no_state_for(waiting: Any) -> None:
    """Refused with exit code 2 and the reason."""
    assert waiting("retry", "last", *URL).exit_code == 2
    waiting("cancel", "last", *URL)
    late = waiting("signal", "last", "approval", "true", *URL)
    assert (late.exit_code, "already cancelled" in late.stderr) == (2, True)


def test_signal(waiting: Any) -> None:
    """A payload is JSON; with the app its type is known and held against."""
    refused = waiting("signal", "last", "approval", "perhaps", "--app", "app.py")
    assert (refused.exit_code, "bool" in refused.stderr) == (2, True)
    waiting("signal", "last", "approval", "true", *URL)
    event = read(waiting, "replay", "last")[-1]
    assert (event["type"], event["data"]["payload"]) == ("signal.received", True)


def test_breakers(cli: Any) -> None:
    """Those of the log and of the app are listed; trip, reset and disable take a known name."""
    assert "no breakers" in cli("breakers", *URL).stderr + "no breakers"
    cli("run", "app.py:calls", "-q")
    assert read(cli, "breakers")[0]["state"] == "open"
    assert read(cli, "breakers", "reset", "api")[0]["state"] == "closed"
    assert read(cli, "breakers", "trip", "api")[0]["state"] == "forced_open"
    assert read(cli, "breakers", "disable", "api")[0]["state"] == "disabled"
    wrong = cli("breakers", "trip", "apy", *URL)
    assert (wrong.exit_code, "did you mean 'api'?" in wrong.stderr) == (2, True)
    assert cli("breakers", "trip", *URL).exit_code == 2


def test_triggers(cli: Any, folder: Path) -> None:
    """Listed from the app before they were ever armed, and from the log with what they did."""
    text = (folder / "app.py").read_text("utf-8")
    (folder / "watch.py").write_text(
        text
        + "from playhead import FileTrigger\n"
        + "engine = Engine('sqlite:///app.db', workflows=[echoes],"
        + " triggers=[FileTrigger('in/*.txt', echoes, settle=0,"
        + " input=lambda f: {'anything': f.facts['path']})])\n",
        "utf-8",
    )
    (folder / "in").mkdir()
    cli("run", "app.py:hello", "name=x", "-q")
    before = json.loads(cli("triggers", "--app", "watch.py", "--json").stdout)[0]
    assert (before["kind"], before["workflow"], before["state"]) == (
        "file", "echo", "not armed yet",
    )  # fmt: skip
    (folder / "in" / "a.txt").write_text("a", "utf-8")
    from watch import engine  # noqa: PLC0415 - the app that the test wrote

    engine.run_until_idle()
    engine.close()
    after = read(cli, "triggers")[0]
    assert (after["state"], after["fired"]) == ("armed", 1)


def test_verify(waiting: Any, folder: Path) -> None:
    """A whole log is exit code 0; one that was changed names the event and is exit code 1."""
    assert read(waiting, "verify")["ok"] is True
    assert "chains whole" in waiting("verify", *URL).stdout
    with sqlite3.connect(folder / "app.db") as database:
        guards = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in guards.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE event SET subject = 'other' WHERE version = 2")
    database.close()
    result = waiting("verify", *URL)
    assert (result.exit_code, "event 2" in result.stdout) == (1, True)
    assert json.loads(waiting("verify", "last", *URL, "--json").stdout)["ok"] is False


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET data = '[]' WHERE version = 2",
        "UPDATE event SET data = '{bad' WHERE version = 1",
        "UPDATE event SET source = 'nowhere' WHERE version = 2",
        "DELETE FROM event WHERE version = 1",
    ],
)
def test_a_damaged_log_is_called_that(waiting: Any, folder: Path, change: str) -> None:
    """Whoever stumbles over a changed event names it, with exit code 2 and no traceback."""
    with sqlite3.connect(folder / "app.db") as database:
        guards = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in guards.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(change)
    database.close()
    for words in (("show", "last"), ("replay", "last"), ("cancel", "last")):
        result = waiting(*words, *URL)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "the log is damaged" in result.stderr or "does not begin with" in result.stderr


def test_stats(waiting: Any) -> None:
    """Runs by status, events, bytes, the earliest due time, workers."""
    doc = read(waiting, "stats")
    assert (doc["runs"], doc["workflows"]) == ({"waiting": 1}, {"waits": 1})
    assert doc["events"] == 2
    assert doc["bytes"] > 0
    assert doc["next_due"] is not None
    assert doc["workers"] == []
    assert "waiting     1" in waiting("stats", *URL).stdout
