"""`triggers`: listed, paused, explained, backfilled; and what `show` says a run follows from."""

import json
from pathlib import Path
from typing import Any

import pytest

from playhead.loading import load_engine

URL = ("--url", "sqlite:///app.db")
WATCH = """
from datetime import UTC, datetime
from playhead import AtTrigger, CronTrigger, FileTrigger, RunTrigger, step, Workflow

@step
def after(run: str) -> str:
    return run

afterwards = Workflow("afterwards", steps=[after])
engine = Engine(
    "sqlite:///app.db",
    workflows=[echoes, hello, afterwards],
    triggers=[
        FileTrigger("in/*.txt", echoes, settle=0, input=lambda f: {"anything": f.facts["path"]}),
        RunTrigger(echoes, afterwards),
        CronTrigger("0 6 * * *", "hello", input=lambda f: {"name": str(f.at)}, name="daily"),
        AtTrigger(datetime(2020, 1, 1, tzinfo=UTC), "hello",
                  input=lambda f: {"nme": 1}, name="slip"),
    ],
)
"""
FILES = "file:in/*.txt:echo"


def read(cli: Any, *words: object) -> Any:
    """Give what a command prints with --json."""
    result = cli(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def dropped(cli: Any, folder: Path) -> Any:
    """A log in which a dropped file has run, and was followed by another run."""
    text = (folder / "app.py").read_text("utf-8") + WATCH
    (folder / "watch.py").write_text(text, "utf-8")
    (folder / "in").mkdir()
    (folder / "in" / "a.txt").write_text("a", "utf-8")
    engine = load_engine("watch.py")
    engine.run_until_idle()
    engine.close()
    return cli


def test_show_names_what_caused_a_run(dropped: Any, folder: Path) -> None:
    """From the run that followed, over the run it follows, back to the file; or to a call."""
    rows = read(dropped, "runs", "--workflow", "afterwards", *URL)
    doc = read(dropped, "show", rows[0]["id"], *URL)
    firing, end, file = doc["causes"]
    assert (firing["kind"], end["workflow"], end["status"]) == ("run", "echo", "succeeded")
    assert (file["trigger"], file["facts"]["path"]) == (FILES, str(folder / "in" / "a.txt"))
    shown = dropped("show", rows[0]["id"], *URL).stdout
    assert "caused by" in shown
    assert f"path {folder / 'in' / 'a.txt'}" in shown
    dropped("start", "app.py:hello", "name=x")
    assert read(dropped, "show", "last", *URL)["causes"] == []
    assert "a call, not a trigger" in dropped("show", "last", *URL).stdout


def test_pause_and_resume_by_a_part_of_the_name(dropped: Any) -> None:
    """With the url alone; a second pause is refused, and so is what is no trigger."""
    assert read(dropped, "triggers", "pause", "file:", *URL) == {
        "name": FILES, "state": "paused",
    }  # fmt: skip
    states = {t["name"]: t["state"] for t in read(dropped, "triggers", *URL)}
    assert states[FILES] == "paused"
    again = dropped("triggers", "pause", "file:", *URL)
    assert (again.exit_code, "nothing to pause" in again.stderr) == (2, True)
    assert read(dropped, "triggers", "resume", FILES, *URL)["state"] == "armed"


def test_explain_says_what_was_and_was_not_started(dropped: Any) -> None:
    """Each event with key, run or reason; filtered by time and by what it names."""
    told = read(dropped, "triggers", "explain", "file:", *URL)
    assert [event["type"] for event in told["events"]] == ["trigger.armed", "trigger.fired"]
    assert told["events"][1]["run"]
    slip = dropped("triggers", "explain", "slip", *URL).stdout
    assert "declined" in slip
    assert "did you mean 'name'?" in slip
    about = read(dropped, "triggers", "explain", "file:", "--about", "a.txt", *URL)
    assert [event["type"] for event in about["events"]] == ["trigger.fired"]
    assert (
        read(dropped, "triggers", "explain", "file:", "--about", "b.txt", *URL)["events"] == []
    )
    later = dropped("triggers", "explain", "file:", "--since", "2099-01-01T00:00Z", *URL)
    assert "nothing happened like that" in later.stderr
    one = dropped("triggers", "explain", "file:", "--limit", "1", *URL)
    assert "1 earlier events" in one.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("triggers", "pause"), "which trigger?"),
        (("triggers", "explain", "nothing"), "known: "),
        (("triggers", "pause", "e"), "part of several"),
        (("triggers", "backfill", "daily"), "--app"),
    ],
)
def test_a_wrong_name_is_refused(dropped: Any, words: tuple[str, ...], says: str) -> None:
    """Exit code 2, and what to write instead."""
    refused = dropped(*words, *URL)
    assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def test_what_has_no_slots_is_not_backfilled(dropped: Any) -> None:
    """A file trigger has none; and the time to begin at must be said."""
    for name, says in (("file:", "no slots to backfill"), ("daily", "backfill from when?")):
        refused = dropped("triggers", "backfill", name, "--app", "watch.py")
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def test_a_changed_schedule_is_not_backfilled_behind_the_daemon(
    dropped: Any, folder: Path
) -> None:
    """Arming it would make the daemon that serves the older one stand down; the same one may."""
    span = ("--from", "2026-01-01T00:00Z", "--to", "2026-01-03T00:00Z")
    text = (folder / "watch.py").read_text("utf-8")
    (folder / "other.py").write_text(text.replace("0 6 * * *", "0 7 * * *"), "utf-8")
    refused = dropped("triggers", "backfill", "daily", *span, "--app", "other.py")
    assert (refused.exit_code, "not the one that is armed" in refused.stderr) == (2, True)
    done = read(dropped, "triggers", "backfill", "daily", *span, "--app", "watch.py")
    assert (done["started"], done["duplicate"], len(done["runs"])) == (2, 0, 2)
    again = read(dropped, "triggers", "backfill", "daily", *span, "--app", "watch.py")
    assert (again["started"], again["duplicate"]) == (0, 2)
