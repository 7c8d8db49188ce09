"""`export` and `import`: a log moves by a file or a pipe, whole or not at all."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from eventstore import open_log
from playhead import Engine

URL = ("--url", "sqlite:///app.db")
NEW_URL = ("--url", "sqlite:///new.db")


@pytest.fixture
def done(cli: Any) -> Any:
    """A log with runs that ended, one that waits, and a breaker."""
    cli("run", "app.py:hello", "name=Ann\u202e", "-q", "--key", "k")
    cli("run", "app.py:bad", "name=x", "-q")
    cli("run", "app.py:calls", "-q")
    cli("start", "app.py:waits")
    return cli


def body(file: str) -> list[bytes]:
    """Give the lines of an export between header and footer."""
    return Path(file).read_bytes().splitlines()[1:-1]


def test_a_log_moves_by_a_file(done: Any, folder: Path) -> None:
    """What was there is there: runs, keys, breaker; the waiting run goes on in the new log."""
    assert "exported 5 streams, " in done("export", *URL, "--out", "log.jsonl").stderr
    assert not list(folder.glob("*.part"))
    result = done("import", "log.jsonl", *NEW_URL)
    assert re.search(r"imported 5 streams, \d+ events, .* into sqlite:///new.db", result.stderr)
    assert "chains whole" in done("verify", *NEW_URL).stdout
    assert done("export", *NEW_URL, "--out", "again.jsonl").exit_code == 0
    assert body("again.jsonl") == body("log.jsonl")
    old, new = (json.loads(done("runs", *url, "--json").stdout) for url in (URL, NEW_URL))
    assert new == old
    waits = new[0]["id"]
    assert done("signal", waits, "approval", "true", "--app", "app.py", *NEW_URL).exit_code == 0
    import app  # noqa: PLC0415 - the folder's

    engine = Engine("sqlite:///new.db", workflows=app.engine.workflows.values())
    engine.run_until_idle()
    assert engine.get(waits).result(timeout=0) == "yes"
    assert engine.start(app.hello, name="Ann\u202e", key="k").id == new[3]["id"]
    assert engine.breaker("api").state == "open"
    engine.close()


@pytest.mark.slow
def test_a_log_moves_by_a_pipe(done: Any, folder: Path) -> None:
    """`export | import -` in two processes; a second time nothing is doubled."""
    playhead = [sys.executable, "-m", "playhead"]
    for said in ("imported 5 streams", "5 streams were here already"):
        with subprocess.Popen(
            [*playhead, "export", *URL], cwd=folder, stdout=subprocess.PIPE
        ) as source:
            ended = subprocess.run(
                [*playhead, "import", *NEW_URL, "-"], cwd=folder, stdin=source.stdout,
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        assert said in ended.stderr
    old, new = (json.loads(done("runs", *url, "--json").stdout) for url in (URL, NEW_URL))
    assert new == old


def test_one_run_leaves_with_its_definition(done: Any, folder: Path) -> None:
    """It can be shown in the new log; the other runs are not there."""
    rows = json.loads(done("runs", *URL, "--json").stdout)
    one = next(row["id"] for row in rows if row["workflow"] == "hello")
    assert done("export", *URL, "--run", one[-6:], "--out", "one.jsonl").exit_code == 0
    assert done("import", "one.jsonl", *NEW_URL).exit_code == 0
    assert [r["id"] for r in json.loads(done("runs", *NEW_URL, "--json").stdout)] == [one]
    assert json.loads(done("show", one, *NEW_URL, "--json").stdout)["result"].startswith(
        "HELLO"
    )


def test_an_empty_log_and_a_pruned_one_move_too(cli: Any, folder: Path) -> None:
    """Nothing is nothing there; a tombstone is one, and what it was can be taken in elsewhere."""
    open_log("sqlite:///app.db").read_all()
    assert cli("export", *URL, "--out", "none.jsonl").stderr.startswith(
        "exported 0 streams, 0 ev"
    )
    assert "imported 0 streams, 0 events" in cli("import", "none.jsonl", *NEW_URL).stderr
    cli("run", "app.py:hello", "name=Ann", "-q")
    later = ("prune", "--older-than", "0s", "--app", "app.py", "--export", "old.jsonl")
    assert cli(*later).exit_code == 0
    assert "exported 1 stream, 0 events" in cli("export", *URL, "--out", "log.jsonl").stderr
    assert cli("import", "log.jsonl", *NEW_URL).exit_code == 0
    assert "1 stream was here already" in cli("import", "old.jsonl", *NEW_URL).stderr
    assert json.loads(cli("runs", *NEW_URL, "--json").stdout)[0]["status"] == "succeeded"
    assert cli("import", "old.jsonl", "--url", "sqlite:///old.db").exit_code == 0
    shown = json.loads(cli("show", "last", "--url", "sqlite:///old.db", "--json").stdout)
    assert shown["result"] == "HELLO, ANN!"


def _changed(lines: list[bytes]) -> list[bytes]:
    where = next(n for n, line in enumerate(lines) if b'"step.started"' in line)
    return [*lines[:where], lines[where].replace(b"running", b"Running"), *lines[where + 1 :]]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda lines: lines[:-1], r"cut off after line \d+: .* nothing was imported"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "is not a line of an export"),
        (lambda lines: lines[:4], "cut off after line 4"),
        (lambda lines: [*lines[:-2], lines[-1]], "not as it was written|does not fit"),
        (_changed, r"line \d+: event 2 of stream '\w+' does not follow .* hash does not fit"),
        (lambda lines: [*lines, lines[1]], "more behind the last line"),
        (lambda lines: [lines[0], *reversed(lines[1:-1]), lines[-1]], "no row|out of order"),
        (lambda _: [b"id,workflow", b"1,2"], "not an export of a log"),
        (lambda _: [b'{"format":3}'], "not an export of a log"),
        (lambda _: [], "not an export of a log"),
        (lambda _: [b"\xff\xfe\x00"], "not an export of a log"),
        (
            lambda lines: [lines[0].replace(b'"version":1', b'"version":9'), *lines[1:]],
            r"format 9, written by Playhead [\d.]+; this Playhead reads up to 1: update it",
        ),
    ],
)  # fmt: skip
def test_what_is_no_whole_export_is_refused(done: Any, harm: Any, says: str) -> None:
    """In one sentence, with exit code 2; no database is made."""
    done("export", *URL, "--out", "log.jsonl")
    lines = harm(Path("log.jsonl").read_bytes().splitlines())
    Path("log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    result = done("import", "log.jsonl", *NEW_URL)
    assert result.exit_code == 2
    assert re.search(says, result.stderr), result.stderr
    assert not Path("new.db").exists()


def test_an_export_arrives_by_a_named_pipe(done: Any, folder: Path) -> None:
    """`import <(zcat log.jsonl.gz)` is as good as a file."""
    done("export", *URL, "--out", "log.jsonl")
    os.mkfifo("pipe")
    writer = threading.Thread(
        target=lambda: Path("pipe").write_bytes(Path("log.jsonl").read_bytes())
    )
    writer.start()
    result = done("import", "pipe", *NEW_URL)
    writer.join()
    assert "imported 5 streams" in result.stderr


def test_the_file_is_named_for_its_own_faults_only(done: Any) -> None:
    """What is wrong with the log is not said of the export; either way nothing was imported."""
    done("export", *URL, "--out", "log.jsonl")
    Path("other.db").write_bytes(b"something else" * 99)
    for url in ("sqlite:///none/new.db", "sqlite:///other.db"):
        refused = done("import", "log.jsonl", "--url", url)
        assert (refused.exit_code, "log.jsonl" in refused.stderr) == (2, False)
    with Path("log.jsonl").open("a") as file:
        file.write("and more")
    refused = done("import", "log.jsonl", *NEW_URL)
    assert refused.stderr.startswith("playhead: log.jsonl: there is more behind the last line")
    assert refused.stderr.endswith("; nothing was imported\n")


def test_another_history_is_named(done: Any) -> None:
    """A breaker of the same name in both logs: it is named and nothing is imported."""
    done("export", *URL, "--out", "log.jsonl")
    done("run", "app.py:calls", "-q", "--url", "sqlite:///new.db")
    result = done("import", "log.jsonl", *NEW_URL)
    assert result.exit_code == 2
    assert "log.jsonl: stream 'breaker:api' stands in this log with another" in result.stderr
    assert len(json.loads(done("runs", *NEW_URL, "--json").stdout)) == 1


def test_into_a_log_with_events_of_its_own(done: Any) -> None:
    """It says that positions are new and cursors were left out; not if nothing came."""
    log = open_log("sqlite:///app.db")
    log.move_cursor(log.cursor("mirror"), 3, now=1)
    log.close()
    done("export", *URL, "--out", "log.jsonl")
    done("run", "app.py:hello", "name=y", "-q", "--url", "sqlite:///new.db")
    result = done("import", "log.jsonl", *NEW_URL)
    assert "have new positions" in result.stderr
    assert "cursor" not in result.stderr.partition("into")[0]
    assert "positions" not in done("import", "log.jsonl", *NEW_URL).stderr
    again = done("import", "log.jsonl", *NEW_URL, "--json")
    assert (again.stderr, json.loads(again.stdout)) == (
        "", {"streams": 0, "grown": 0, "there": 5, "events": 0, "keys": 0, "blobs": 0,
             "cursors": 0, "has_kept_positions": False},
    )  # fmt: skip
    assert len(json.loads(done("runs", *NEW_URL, "--json").stdout)) == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("export",), "which log?"),
        (("export", "--url", "sqlite:///none.db"), "there is no database none.db"),
        (("export", *URL, "--after", "3"), "--after goes with --follow"),
        (("export", *URL, "--follow", "--after", str(2**63)), "Invalid value for '--after'"),
        (("export", *URL, "--follow", "--out", "x"), "leave out --out and --run"),
        (("export", *URL, "--follow", "--after", "3", "--cursor", "c"), "leave out --after"),
        (("export", *URL, "--run", "nope"), "no run 'nope'"),
        (("export", *URL, "--out", "none/x.jsonl"), "there is no folder none; make it first"),
        (("export", *URL, "--out", "."), "--out . is a folder; name a file in it"),
        (("export", *URL, "--out", "pipe"), "--out pipe is no file; what is to go there, goes"),
        (("export", *URL, "--out", "app.db"), "--out app.db is the log itself"),
        (("export", *URL, "--out", "hard"), "--out hard is the log itself"),
        (("export", *URL, "--out", "link-wal"), "--out link-wal is the log itself, or a part"),
        (("export", *URL, "--out", "app.db-journal"), "app.db-journal is the log itself, or"),
        (("prune", *URL, "--older-than", "9d", "--export", "app.db-journal"), "the log itself"),
        (("import", "x.jsonl"), "which log?"),
        (("import", "none.jsonl", *NEW_URL), "cannot read none.jsonl: No such file"),
        (("import", ".", *NEW_URL), "cannot read .: Is a directory"),
        (("import", "x", "--url", "sqlite:///:memory:"), "ends with this command"),
    ],
)  # fmt: skip
def test_what_cannot_be_obeyed(done: Any, words: tuple[str, ...], says: str) -> None:
    """A sentence on stderr, and exit code 2."""
    os.mkfifo("pipe")
    os.link("app.db", "hard")
    Path("link-wal").symlink_to("app.db-wal")
    before = sorted(Path().iterdir())
    result = done(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert sorted(Path().iterdir()) == before
    assert Path("pipe").is_fifo()
    assert done("verify", *URL).exit_code == 0


def test_workers_that_still_work_are_named(done: Any, folder: Path) -> None:
    """Who exports while an engine is open hears that it is to be stopped before a move."""
    with Engine("sqlite:///app.db", worker="ann"):
        said = done("export", *URL, "--out", "log.jsonl").stderr
    assert "at work on this log: ann." in said
    assert "stop every engine on it first" in said
