"""`runs`, `show`, `replay` and `graph`: what was recorded, now and at any moment."""

import json
from pathlib import Path
from typing import Any

import pytest

ROW = {
    "id", "workflow", "status", "state", "key", "inputs", "tags", "started_at", "ended_at",
    "error", "pruned_at",
}  # fmt: skip
URL = ("--url", "sqlite:///app.db")


@pytest.fixture
def done(cli: Any) -> Any:
    """A log with a run that failed and, newer, one that succeeded."""
    cli("run", "app.py:bad", "name=x", "-q")
    cli("run", "app.py:hello", "name=Ann", "-q", "--key", "k", "--tag", "a=b")
    return cli


def read(cli: Any, *words: object) -> Any:
    """Give what a command prints with --json."""
    result = cli(*words, *URL, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_runs_as_json(done: Any) -> None:
    """An array, newest first, of the shape that is promised; errors name type and step."""
    new, old = read(done, "runs")
    assert set(new) == set(old) == ROW
    assert (new["workflow"], new["status"], new["key"], new["error"]) == (
        "hello", "succeeded", "k", None,
    )  # fmt: skip
    assert (new["inputs"], new["tags"]) == ({"name": "Ann"}, {"a": "b"})
    assert old["error"]["type"] == "ValueError"
    assert (old["error"]["step"], old["error"]["attempts"]) == ("boom", 1)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--workflow", "hello"), ["hello"]),
        (("--status", "failed"), ["bad"]),
        (("--status", "failed", "--status", "succeeded"), ["hello", "bad"]),
        (("--key", "k"), ["hello"]),
        (("--tag", "a=b"), ["hello"]),
        (("--tag", "a=c"), []),
        (("--since", "1h"), ["hello", "bad"]),
        (("--since", "2999-01-01"), []),
        (("--limit", "1"), ["hello"]),
        (("--limit", "0"), ["hello", "bad"]),
    ],
)
def test_runs_are_filtered(done: Any, words: tuple[str, ...], found: list[str]) -> None:
    """All filters are to hold; of statuses any."""
    assert [row["workflow"] for row in read(done, "runs", *words)] == found


def test_runs_for_people(done: Any) -> None:
    """A table; what is left out by the limit, and a misspelt status, are told on stderr."""
    listing = done("runs", *URL, "--limit", "1")
    assert "hello" in listing.stdout
    assert "the newest 1" in listing.stderr
    assert "no runs like that" in done("runs", *URL, "--key", "none").stderr
    wrong = done("runs", *URL, "--status", "succeded")
    assert (wrong.exit_code, "did you mean 'succeeded'?" in wrong.stderr) == (2, True)


def test_show_as_json(done: Any) -> None:
    """The row, and steps by name, waits, result."""
    doc = read(done, "show", "last")
    assert set(doc) >= ROW - {"pruned_at"} | {"steps", "waits", "result"}
    assert doc["result"] == "HELLO, ANN!"
    assert doc["steps"]["greet"]["output"] == "Hello, Ann!"
    assert doc["steps"]["shout"]["inputs"] == {"greet": "Hello, Ann!"}
    failed = read(done, "show", read(done, "runs")[1]["id"])
    assert failed["steps"]["boom"]["error"]["message"] == "no such \x1b[31mx"
    assert failed["steps"]["boom"]["state"] == "failed"


def test_show_at_a_moment(done: Any) -> None:
    """At a version, before everything, at a time; what is neither is exit code 2."""
    doc = read(done, "show", "last", "--at", "3")
    assert (doc["status"], doc["ended_at"], doc["result"]) == ("running", None, None)
    assert doc["steps"]["shout"]["state"] == "blocked"
    assert read(done, "show", "last", "--at", "0")["status"] == "–"  # noqa: RUF001
    whole = read(done, "show", "last", "--at", "2999-01-01T00:00:00Z")
    assert whole["status"] == "succeeded"
    assert done("show", "last", "--at", "99", *URL).exit_code == 2
    assert done("show", "last", "--at", "soon", *URL).exit_code == 2


def test_show_for_people(done: Any) -> None:
    """Status, steps with output or error, the last events; no control characters."""
    text = done("show", read(done, "runs")[1]["id"], *URL).stdout
    assert "failed" in text
    assert "ValueError: no such \\x1b[31mx" in text
    assert "step.failed" in text
    assert "\x1b" not in text


def test_show_says_why_a_run_waits(cli: Any) -> None:
    """One line names the signal and its deadline; of a machine the signals it takes."""
    cli("start", "app.py:waits")
    assert "signal 'approval' until 20" in cli("show", "last", *URL).stdout
    cli("start", "app.py:publish", "topic=x")
    assert "no worker is about" in cli("show", "last", *URL).stdout


def test_export_writes_a_file_for_each_stage(done: Any, folder: Path) -> None:
    """Numbered in order, with step, output, time and version; with --at only what was by then."""
    assert done("show", "last", *URL, "--export", "out/stages").exit_code == 0
    files = sorted(path.name for path in (folder / "out/stages").iterdir())
    assert files == ["01_greet.json", "02_shout.json"]
    stage = json.loads((folder / "out/stages/01_greet.json").read_text("utf-8"))
    assert (stage["step"], stage["output"], stage["version"]) == ("greet", "Hello, Ann!", 3)
    done("show", "last", *URL, "--export", "early", "--at", "3")
    assert [path.name for path in (folder / "early").iterdir()] == ["01_greet.json"]


def test_a_run_may_be_named_by_a_part(done: Any) -> None:
    """A begin or end that only one id has; a part that several have is refused with them."""
    new, old = (row["id"] for row in read(done, "runs"))
    assert read(done, "show", new[-6:])["id"] == new
    assert read(done, "show", old[-6:].upper())["id"] == old
    both = done("show", new[:3], *URL)
    assert both.exit_code == 2
    assert new in both.stderr
    assert old in both.stderr
    assert "no run 'zz'" in done("show", "zz", *URL).stderr


def test_replay_lists_when_there_is_no_terminal(done: Any) -> None:
    """Each event a line; with --json whole; up to --at."""
    text = done("replay", "last", *URL).stdout
    assert [line.split()[2] for line in text.splitlines()[1:]] == [
        "run.started", "step.started", "step.succeeded", "step.started", "step.succeeded",
        "run.succeeded",
    ]  # fmt: skip
    events = read(done, "replay", "last")
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[2]["data"]["output"] == "Hello, Ann!"
    assert len(read(done, "replay", "last", "--at", "3")) == 3


def test_graph(done: Any) -> None:
    """A workflow or a run, in Mermaid or DOT; a run shows where it stood."""
    assert done("graph", "app.py:hello").stdout.startswith("flowchart LR")
    assert done("graph", "publish", "--app", "app.py").stdout.startswith("stateDiagram-v2")
    assert done("graph", "app.py:hello", "--format", "dot").stdout.startswith('digraph "hello"')
    assert "visited" in done("graph", "last", *URL).stdout
    assert "active" in done("graph", "last", *URL, "--at", "2").stdout
    assert done("graph", "app.py:hello", "--at", "2").exit_code == 2


def test_reading_makes_no_database(cli: Any, folder: Path) -> None:
    """A url whose file is not there, or is empty, or is private, is told; nothing is made."""
    (folder / "empty.db").touch()
    for url in ("sqlite:///none.db", "sqlite:///empty.db", "sqlite:///:memory:", "nonsense"):
        for words in (["runs"], ["show", "last"], ["stats"], ["verify"], ["cancel", "last"]):
            result = cli(*words, "--url", url)
            assert (result.exit_code, result.stdout) == (2, ""), (words, url)
    assert sorted(path.name for path in folder.iterdir()) == ["app.py", "empty.db"]
    assert (folder / "empty.db").stat().st_size == 0


def test_a_large_value_is_shortened_for_people_only(cli: Any, folder: Path) -> None:
    """JSON and exports carry every byte of a value that lies in a blob; a listing says where."""
    (folder / "big.py").write_text(
        "from playhead import Engine, Workflow, step\n@step\ndef big():\n    return 'y' * 100_000\n"
        "w = Workflow('big', steps=[big])\nengine = Engine('sqlite:///app.db', workflows=[w])\n",
        "utf-8",
    )
    cli("run", "big.py:w", "-q")
    whole = "y" * 100_000
    doc = read(cli, "show", "last", "--export", "out")
    assert doc["result"] == doc["steps"]["big"]["output"] == whole
    assert json.loads((folder / "out/01_big.json").read_text("utf-8"))["output"] == whole
    assert read(cli, "replay", "last")[2]["data"]["output"] == whole
    assert "output kept apart" in cli("replay", "last", *URL).stdout
    assert len(cli("show", "last", *URL).stdout) < 5_000
