"""`migrate`, `backup` and `prune`: what they say, and how they end."""

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import freezegun
import pytest

from eventstore import clock

HISTORY = Path(__file__).parents[2] / "histories" / "schema-1.sql"
URL = ("--url", "sqlite:///app.db")
OLD = ("--url", "sqlite:///old.db")


@pytest.fixture
def old(cli: Any, folder: Path) -> Any:
    """A log of schema 1 in old.db."""
    raw = sqlite3.connect(folder / "old.db")
    raw.executescript(HISTORY.read_text("utf-8"))
    raw.close()
    return cli


@pytest.fixture
def aged(cli: Any) -> Any:
    """A log whose runs, one failed and two succeeded, ended 40 days ago; and one of today."""
    with freezegun.freeze_time(clock.from_us(clock.now_us()) - timedelta(days=40)):
        cli("run", "app.py:bad", "name=x", "-q", "--key", "bad")
        cli("run", "app.py:hello", "name=Ann", "-q", "--key", "ann")
        cli("run", "app.py:hello", "name=Bob", "-q")
        cli("start", "app.py:waits", "--key", "waits")
    cli("run", "app.py:hello", "name=Eve", "-q", "--key", "eve")
    return cli


def test_an_old_log_is_refused_by_all_but_those_that_help(old: Any) -> None:
    """Commands name what to run; backup and migrate work on it as it is."""
    refused = old("runs", *OLD)
    assert refused.exit_code == 2
    assert "playhead backup --url sqlite:///" in refused.stderr
    assert "playhead migrate --url sqlite:///" in refused.stderr
    checked = old("migrate", "--check", *OLD)
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (
        1, "old.db would go from schema 1 to 2",
    )  # fmt: skip
    copied = old("backup", "copy.db", *OLD)
    assert copied.exit_code == 0, copied.stderr
    assert "schema 1, verified" in copied.stdout
    done = old("migrate", *OLD)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0, "old.db went from schema 1 to 2",
    )  # fmt: skip
    assert "backup first: playhead backup --url sqlite:///old.db COPY" in done.stderr
    again = old("migrate", *OLD)
    assert (again.exit_code, again.stdout, again.stderr) == (
        0, "old.db has schema 2: nothing to do\n", "",
    )  # fmt: skip
    assert old("migrate", "--check", *OLD).exit_code == 0
    assert old("verify", *OLD).exit_code == 0
    assert old("runs", "--url", "sqlite:///copy.db").exit_code == 2


def test_migrate_as_json(old: Any) -> None:
    """One object: from, to, the steps, and who is at work."""
    said = json.loads(old("migrate", *OLD, "--json").stdout)
    assert said["from"] == 1
    assert said["to"] == 2
    assert len(said["steps"]) == 1
    assert said["living"] == []


def test_a_backup_says_what_it_holds(cli: Any, folder: Path) -> None:
    """In words and as JSON; a second one to the same file is refused, but with --force."""
    cli("run", "app.py:hello", "name=Ann", "-q")
    done = cli("backup", "copy.db", *URL)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1] == "  1 run: 1 succeeded"
    assert cli("runs", "--url", "sqlite:///copy.db").stdout.count("succeeded") == 1
    refused = cli("backup", "copy.db", *URL)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is there already" in refused.stderr
    said = json.loads(cli("backup", "copy.db", "--force", *URL, "--json").stdout)
    assert (said["path"], said["schema"]) == ("copy.db", 2)
    assert said["streams"] == {"run": {"succeeded": 1}}
    assert said["events"] == 6
    assert not list(folder.glob("*.part*"))


def test_a_log_that_lies_in_no_file_is_no_business_of_backup(cli: Any) -> None:
    """For PostgreSQL the tools of PostgreSQL are named; memory cannot be reached."""
    refused = cli("backup", "copy.db", "--url", "postgresql://nobody@localhost:1/none")
    assert refused.exit_code == 2
    assert "pg_dump" in refused.stderr
    assert "playhead export" in refused.stderr
    assert cli("backup", "copy.db", "--url", "sqlite:///:memory:").exit_code == 2


def test_a_dry_run_deletes_nothing(aged: Any) -> None:
    """It says what would go, by workflow and status, and all is there afterwards."""
    said = aged("prune", "--older-than", "30d", "--dry-run", *URL)
    assert said.exit_code == 0, said.stderr
    assert said.stdout.startswith("3 runs would lose their history: 16 events; they ended from")
    assert said.stdout.splitlines()[1:] == ["  bad: 1 failed", "  hello: 2 succeeded"]
    doc = json.loads(aged("prune", "--older-than", "30d", "--dry-run", *URL, "--json").stdout)
    assert doc["dry_run"]
    assert {"workflow": "hello", "status": "succeeded", "count": 2} in doc["runs"]
    rows = json.loads(aged("runs", *URL, "--json").stdout)
    assert [row["pruned_at"] for row in rows] == [None] * 5


def test_what_was_pruned_stays_in_lists(aged: Any) -> None:
    """Lists, show, replay, verify and stats each say it; nothing is a traceback."""
    done = aged("prune", "--older-than", "30d", *URL)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("3 runs lost their history")
    rows = json.loads(aged("runs", *URL, "--json").stdout)
    gone = [row for row in rows if row["pruned_at"]]
    assert {row["key"] for row in gone} == {"ann", "bad", None}
    assert [row["error"]["type"] for row in gone if row["status"] == "failed"] == ["ValueError"]
    listed = aged("runs", *URL).stdout
    assert listed.count("pruned on 20") == 3
    for command in ("show", "replay", "graph", "retry", "cancel"):
        said = aged(command, gone[0]["id"], *URL)
        assert said.exit_code == 2, command
        assert "its history was pruned on 20" in said.stderr
    assert "5 streams (3 of them pruned)" in aged("verify", *URL).stdout
    stats = json.loads(aged("stats", *URL, "--json").stdout)
    assert (stats["pruned"], sum(stats["runs"].values())) == (3, 5)
    assert aged("prune", "--older-than", "30d", *URL).stdout == "no run is old enough\n"


def test_a_key_of_a_pruned_run_is_taken(aged: Any) -> None:
    """`start` gives the same run; `run` has no result to give and says why."""
    aged("prune", "--older-than", "30d", *URL)
    rows = json.loads(aged("runs", *URL, "--json").stdout)
    (ann,) = [row["id"] for row in rows if row["key"] == "ann"]
    started = aged("start", "app.py:hello", "name=Ann", "--key", "ann")
    assert json.loads(started.stdout) == ann
    again = aged("run", "app.py:hello", "name=Ann", "--key", "ann", "-q")
    assert again.exit_code == 2
    assert "its history was pruned on 20" in again.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--older-than", "30d", "--status", "waiting"), "only ended runs can be pruned"),
        (("--older-than", "30d", "--status", "paused"), "cancel a live one first"),
        (("--older-than", "2999-01-01"), "is still to come"),
        (("--older-than", "soon"), "is no ISO time and no age"),
        (("--older-than", "30d", "--export", "app.py"), "is there already"),
        (("--older-than", "30d", "--export", "none/x.jsonl"), "there is no folder"),
    ],
)
def test_a_prune_that_cannot_be_meant(aged: Any, words: tuple[str, ...], why: str) -> None:
    """Refused in words before anything is touched."""
    refused = aged("prune", *words, *URL)
    assert refused.exit_code == 2
    assert why in refused.stderr
    assert "pruned on" not in aged("runs", *URL).stdout


def test_one_of_each_is_said_as_one(aged: Any) -> None:
    """`1 event` and `1 run`, with the moment when it ended."""
    waiting = json.loads(aged("runs", "--workflow", "waits", "--json", *URL).stdout)[0]["id"]
    aged("cancel", waiting, *URL)
    done = aged("prune", "--older-than", "0s", "--workflow", "waits", *URL)
    assert done.stdout.startswith("1 run lost its history: 4 events; it ended at 20")
    aged("start", "app.py:waits")
    assert aged("verify", "last", *URL).stdout.startswith("ok: 2 events in 1 stream, ")


def test_a_workflow_that_nobody_knows_is_named(aged: Any) -> None:
    """`prune` is refused with what may be meant; a list of its runs is empty and says why."""
    why = "there is no run of a workflow 'helo' in sqlite:///app.db; did you mean 'hello'?"
    done = aged("prune", "--older-than", "30d", "--workflow", "helo", *URL)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"playhead: {why}\n")
    listed = aged("runs", "--workflow", "helo", *URL)
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert listed.stderr == f"no runs like that: {why}\n"
    other = aged("prune", "--older-than", "30d", "--workflow", "zzz", *URL)
    assert other.stderr.endswith("; known: bad, hello, waits\n")
    fresh = aged("prune", "--older-than", "30d", "--workflow", "publish", "--app", "app.py")
    assert (fresh.exit_code, fresh.stdout) == (0, "no run is old enough\n")


def test_filters(aged: Any) -> None:
    """`--workflow` and `--status` narrow it; a date in place of an age counts from there."""
    soon = (clock.from_us(clock.now_us()) - timedelta(days=1)).isoformat()
    said = aged("prune", "--older-than", soon, "--workflow", "hello", "--dry-run", *URL)
    assert said.stdout.splitlines()[1:] == ["  hello: 2 succeeded"]
    said = aged("prune", "--older-than", "30d", "--status", "failed", *URL)
    assert said.stdout.splitlines()[1:2] == ["  bad: 1 failed"]
    assert aged("runs", *URL).stdout.count("pruned on") == 1


def test_an_export_holds_what_goes(aged: Any, folder: Path) -> None:
    """The file is whole before anything is deleted, and has exactly the runs that went."""
    rows = json.loads(aged("runs", *URL, "--json").stdout)
    done = aged("prune", "--older-than", "30d", "--export", "gone.jsonl", *URL)
    assert done.exit_code == 0, done.stderr
    assert "their history is in gone.jsonl" in done.stderr
    lines = [json.loads(line) for line in (folder / "gone.jsonl").read_text().splitlines()]
    written = {line["stream"] for line in lines if "position" in line and "stream" in line}
    now = json.loads(aged("runs", *URL, "--json").stdout)
    assert written == {row["id"] for row in now if row["pruned_at"]}
    assert len(written) == 3
    assert len(rows) == len(now)
    assert not list(folder.glob("*.part"))


def test_what_could_not_be_imported_again_is_not_deleted(aged: Any, folder: Path) -> None:
    """An event that was changed by hand is found before the file gets its name; all stays."""
    raw = sqlite3.connect(folder / "app.db")
    guards = raw.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall()
    for name, _ in guards:
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute("UPDATE event SET data = replace(data, 'Ann', 'Eve')")
    for _, sql in guards:
        raw.execute(sql)
    raw.commit()
    raw.close()
    done = aged("prune", "--older-than", "30d", "--export", "gone.jsonl", *URL)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "what was written could not be imported again: line " in done.stderr
    assert done.stderr.endswith("`playhead verify` says; nothing was deleted\n")
    assert not list(folder.glob("gone*"))
    assert "pruned" not in aged("runs", *URL).stdout
    copied = aged("backup", "copy.db", *URL)
    assert copied.stderr.endswith("`playhead verify` names them all. No copy was kept\n")
