"""`export --follow`: the log as JSON lines into a pipe, live."""

import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import clock, open_log
from eventstore.testing import birth, fact, step
from playhead import Engine

PATIENCE = 60.0  # seconds
SAID = {
    "position", "at", "kind", "name", "stream", "version", "type", "subject", "source", "dest",
    "data", "cause",
}  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Any]:
    """A log with one event."""
    made = open_log(f"sqlite:///{tmp_path}/app.db")
    birth(made, "a")
    yield made
    made.close()


def following(folder: Path, *words: str, **options: Any) -> "subprocess.Popen[str]":
    """Start `playhead export --follow`."""
    command = [sys.executable, "-m", "playhead", "export", "--follow"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(
        [*command, "--url", "sqlite:///app.db", *words], cwd=folder, **options
    )


def ended(child: "subprocess.Popen[str]") -> tuple[int, str]:
    """Give exit code and words of a command that is to end by itself."""
    _, words = child.communicate(timeout=PATIENCE)
    return child.returncode, words


def line(child: "subprocess.Popen[str]") -> Any:
    """Give the next line."""
    return json.loads(child.stdout.readline())  # type: ignore[union-attr]


def test_lines_come_as_events_come(log: Any, tmp_path: Path) -> None:
    """What was there first, then each append at once; Ctrl-C ends it with 130."""
    with following(tmp_path) as child:
        first = line(child)
        assert set(first) == SAID
        assert (first["stream"], first["version"], first["data"]) == ("a", 1, {"n": 1})
        assert first["at"] == "1970-01-01T00:00:00.001000Z"
        waits = []
        for number in range(2, 6):
            step(log, "a", log.head("a").tip, fact(data='{\n "é\u2028" :\r\n 1.50}'))
            began = clock.real_seconds()
            next_ = line(child)
            waits.append(clock.real_seconds() - began)
            assert (next_["version"], next_["data"]) == (number, {"é\u2028": 1.5})
        assert statistics.median(waits) < 1
        child.send_signal(signal.SIGINT)
        assert ended(child) == (130, "interrupted\n")


def test_after_a_position_and_of_some_types(log: Any, tmp_path: Path) -> None:
    """Only those behind it, only those types."""
    last = log.last_position()
    birth(log, "b", events=(fact(type="x"), fact(type="y")))
    with following(tmp_path, "--after", str(last), "--type", "y") as child:
        assert line(child)["position"] == last + 2
        child.send_signal(signal.SIGINT)
        assert ended(child)[0] == 130


@pytest.mark.slow
def test_the_reader_goes_away(log: Any, tmp_path: Path) -> None:
    """As `| head -1` does: also when nothing more comes it ends, quietly and with 0."""
    for more in (0, 2000):
        if more:  # more than a pipe holds
            birth(log, "b", events=(fact(),) * more)
        with following(tmp_path) as child:
            line(child)
            child.stdout.close()  # type: ignore[union-attr]
            child.stdout = None
            assert ended(child) == (0, "")


@pytest.mark.slow
def test_a_cursor_keeps_the_place_also_when_killed(log: Any, tmp_path: Path) -> None:
    """SIGKILL, and the next follower of that name misses nothing; at most a page comes twice."""
    for number in range(30):
        birth(log, f"s{number}")
    with following(tmp_path, "--cursor", "mirror") as child:
        seen = [line(child)["stream"] for _ in range(31)]
        until = clock.real_seconds() + PATIENCE
        while not log.cursor("mirror").version and clock.real_seconds() < until:
            clock.real_sleep(0.01)
        child.kill()
        child.communicate()
    birth(log, "late")
    with following(tmp_path, "--cursor", "mirror") as child:
        assert line(child)["stream"] == "late"
        child.send_signal(signal.SIGINT)
        assert ended(child)[0] == 130
    assert seen == ["a", *(f"s{number}" for number in range(30))]


def test_two_with_one_cursor(log: Any, tmp_path: Path) -> None:
    """The one that is overtaken says so, with exit code 2."""
    with following(tmp_path, "--cursor", "mirror") as one:
        line(one)
        until = clock.real_seconds() + PATIENCE
        while not log.cursor("mirror").version and clock.real_seconds() < until:
            clock.real_sleep(0.01)
        stands = log.cursor("mirror")
        log.move_cursor(stands, stands.position, now=1)  # another follower
        birth(log, "b")
        assert line(one)["stream"] == "b"
        code, words = ended(one)
    assert code == 2
    assert "cursor 'mirror' was moved by another follower" in words


def test_only_the_runs_of_a_workflow(cli: Any, folder: Path) -> None:
    """With an app's log: events of its runs, large values by name."""
    cli("run", "app.py:bad", "name=x", "-q")
    cli("run", "app.py:hello", "name=Ann", "times=9000", "-q")
    with following(folder, "--workflow", "hello") as child:
        rows = [line(child) for _ in range(6)]
        child.send_signal(signal.SIGINT)
        ended(child)
    assert {(row["kind"], row["name"]) for row in rows} == {("run", "hello")}
    done = next(row for row in rows if row["type"] == "step.succeeded")
    engine = Engine("sqlite:///app.db")
    assert engine.log.blob(done["data"]["output_blob"]).startswith(b'"Hello, Ann!')
    engine.close()


def test_a_terminal_gets_nothing_that_it_would_obey(log: Any, tmp_path: Path) -> None:
    """Escapes that mean the same in JSON stand for controls and for what turns text around."""
    birth(log, "b", events=(fact(data='"\u202e\x9b"', subject="\x7f"),))
    ours, theirs = pty.openpty()
    with following(tmp_path, "--after", "1", stdout=theirs) as child:
        os.close(theirs)
        shown = b""
        while b"\n" not in shown:
            shown += os.read(ours, 4096)
        child.send_signal(signal.SIGINT)
        reader = threading.Thread(target=_drain, args=(ours,))
        reader.start()
        assert ended(child)[0] == 130
        reader.join(PATIENCE)
    os.close(ours)
    assert shown.strip().isascii()
    row = json.loads(shown)
    assert (row["data"], row["subject"]) == ("\u202e\x9b", "\x7f")


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # nobody writes to it any more
        return


def test_a_reader_goes_away_when_another_has_the_cursor(log: Any, tmp_path: Path) -> None:
    """The place is kept before the command ends, so that what hinders it is a sentence."""
    tip = birth(log, "many")
    for _ in range(600):  # more than a pipe holds, so that the follower stands in mid-page
        tip = step(log, "many", tip)
    with following(tmp_path, "--cursor", "c") as child:
        line(child)
        log.move_cursor(log.cursor("c"), 3, now=1)
        child.stdout.close()  # type: ignore[union-attr]
        words = child.stderr.read()  # type: ignore[union-attr]
        assert child.wait(PATIENCE) == 2
    assert words.startswith("playhead: cursor 'c' was moved by another follower: it stands at")
    assert "Exception ignored" not in words


def test_a_position_that_is_still_to_come_is_told(log: Any, tmp_path: Path) -> None:
    """Who follows a log that was restored from a backup hears that it lies behind."""
    with following(tmp_path, "--after", "7") as child:
        words = child.stderr.readline()  # type: ignore[union-attr]
        child.send_signal(signal.SIGINT)
        assert ended(child)[0] == 130
    assert words.startswith(
        "--after 7 lies behind the last event, 1: what comes up to 7 is left"
    )


def test_a_workflow_without_runs_is_waited_for_and_named(log: Any, tmp_path: Path) -> None:
    """It may come yet; a name that was mistyped is seen at once, not after a day of silence."""
    with following(tmp_path, "--workflow", "helo") as child:
        words = child.stderr.readline()  # type: ignore[union-attr]
        child.send_signal(signal.SIGINT)
        assert ended(child)[0] == 130
    assert words.startswith("there is no run of a workflow 'helo' in sqlite:///app.db; known: ")
    assert words.endswith(". It is waited for\n")
