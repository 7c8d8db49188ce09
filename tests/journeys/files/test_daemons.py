"""Daemons over a folder: down, killed at any moment, two at once, paused; each file one run."""

import asyncio
import json
import signal

import pytest

from engine.testing import crash_after
from playhead import Context, Engine, Workflow, step
from tests.journeys.files.stage import (
    declined,
    engine_of,
    fired,
    names,
    paths,
    pause,
    said,
    texts,
)

ROUNDS = 10  # kills; 20 more, with files that go as well, in test_put_away.py


def noted(app):
    """Give the names that steps wrote down, in order; a step may run twice after a kill."""
    path = app / "notes.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)[0] for line in lines]


def assert_each_once(reader, expected):
    """Hold every file against the log: one firing, one run, none for anything else."""
    assert names(reader) == sorted(expected)
    assert len(fired(reader)) == len(set(fired(reader))) == len(expected)
    runs = {row.id for row in reader.runs(limit=None)}
    assert {data["run"] for data in said(reader, "trigger.fired")} == runs


@pytest.mark.slow
def test_files_dropped_while_it_was_down(app, serve, reader, inbox, until):
    """Before the first start, and between a drain and the next one: each starts one run."""
    expected = []
    for wave in range(3):
        for number in range(5):
            expected.append(f"{wave}-{number}.txt")
            (inbox / expected[-1]).write_text("x")
        daemon = serve()
        until(lambda: len(reader.runs(status="succeeded")) == len(expected))
        daemon.process.send_signal(signal.SIGTERM)
        status, _, err = daemon.finish()
        assert status == 0, err
    assert_each_once(reader, expected)
    assert sorted(noted(app)) == sorted(expected)


def test_files_dropped_while_it_was_down_after_a_kill(app, serve, reader, inbox, until):
    """The same after `kill -9`: what was fired is not fired again."""
    (inbox / "a.txt").write_text("a")
    daemon = serve()
    until(lambda: reader.runs(status="succeeded"))
    daemon.kill()
    (inbox / "b.txt").write_text("b")
    serve()
    until(lambda: len(reader.runs(status="succeeded")) == 2)
    assert_each_once(reader, ["a.txt", "b.txt"])


@pytest.mark.slow
def test_killed_again_and_again_while_files_come(app, serve, reader, inbox, until):
    """10 kills at ever other moments of a stream of files: each file is one run, none is lost."""
    expected = []
    daemon = serve()
    until((app / "log.db").exists)
    for round_ in range(ROUNDS):
        for number in range(10):
            expected.append(f"{round_}-{number}.txt")
            (inbox / expected[-1]).write_text("x")
            pause(number * 0.618 % 1 * 0.02)
        pause(round_ * 0.618 % 1 * 0.6)  # the golden section meets no rhythm
        daemon.kill()
        daemon = serve()
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == len(expected))
    assert_each_once(reader, expected)
    assert set(noted(app)) == set(expected)


@pytest.mark.parametrize("performed", [False, True])
@pytest.mark.parametrize("commits", range(1, 8))
def test_cut_off_between_any_two_commits(file_url, inbox, commits, performed):
    """Cut off after 1 to 7 commits of three files' runs: the next engine makes it three runs."""
    for name in ("a.txt", "b.txt", "c.txt"):
        (inbox / name).write_text(name)
    first = engine_of(file_url, inbox)
    with crash_after(commits, first, performed=performed) as cut:
        first.run_until_idle()
    assert cut.crashed
    second = engine_of(file_url, inbox)
    second.run_until_idle()
    assert_each_once(second, ["a.txt", "b.txt", "c.txt"])
    assert texts(second) == ["a.txt", "b.txt", "c.txt"]


@pytest.mark.slow
def test_two_daemons_on_one_folder(app, serve, reader, inbox, until):
    """A burst of 500 files before two daemons: each file is one run, and both are content."""
    daemons = [serve(), serve()]
    until(lambda: len(reader.log.workers()) == 2)
    expected = [f"{number}.txt" for number in range(500)]
    for name in expected:
        (inbox / name).write_text("x")
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 500)
    for daemon in daemons:
        daemon.process.send_signal(signal.SIGTERM)
    for daemon in daemons:
        status, _, err = daemon.finish()
        assert status == 0, err
        assert "Traceback" not in err
    assert_each_once(reader, expected)
    assert sorted(noted(app)) == sorted(expected)


@pytest.mark.slow
def test_two_daemons_and_one_is_killed(app, serve, reader, inbox, until):
    """One of two is killed in mid-burst: the other brings all files to their end."""
    victim, _ = serve(), serve()
    until(lambda: len(reader.log.workers()) == 2)
    expected = [f"{number}.txt" for number in range(100)]
    for name in expected:
        (inbox / name).write_text("x")
    until(lambda: len(fired(reader)) > 10)
    victim.kill()
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 100)
    assert_each_once(reader, expected)


def test_paused_and_resumed(file_url, inbox, until):
    """What is dropped while paused stays in the folder and starts its runs after the resume."""
    with engine_of(file_url, inbox, settle=0.05) as engine:
        (inbox / "before.txt").write_text("before")
        until(lambda: len(engine.runs(status="succeeded")) == 1)
        door = engine.doorways.doors["drops"]
        assert door.pause(by="ann")
        for number in range(5):
            (inbox / f"{number}.txt").write_text("x")
        pause(1.5)
        assert len(engine.runs()) == 1
        assert (inbox / "0.txt").exists()
        assert door.resume(by="ann")
        until(lambda: len(engine.runs(status="succeeded")) == 6)
    assert len(fired(engine)) == 6


def test_paused_across_a_restart(file_url, inbox, until):
    """A pause outlives the engine that was told of it; another engine may resume."""
    engine = engine_of(file_url, inbox)
    engine.run_until_idle()
    engine.doorways.doors["drops"].pause(by="ann")
    (inbox / "a.txt").write_text("a")
    second = engine_of(file_url, inbox)
    second.run_until_idle()
    assert second.runs() == []
    third = engine_of(file_url, inbox)
    third.doorways.doors["drops"].resume(by="bob")
    third.run_until_idle()
    assert texts(third) == ["a"]


def test_an_input_function_that_raises(file_url, inbox, until):
    """`input=` raises for one file: an event with the reason; the watch and the others go on."""

    def shown(firing):
        if "bad" in firing.facts["path"]:
            raise LookupError("no such customer")
        return {"path": firing.facts["path"]}

    with engine_of(file_url, inbox, settle=0.05, input=shown) as engine:
        for name in ("bad.txt", "good.txt"):
            (inbox / name).write_text(name)
        until(lambda: engine.runs(status="succeeded"))
        until(lambda: declined(engine))
        (inbox / "more.txt").write_text("more")
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert names(engine) == ["good.txt", "more.txt"]
    (reason,) = declined(engine)
    assert "no such customer" in reason
    assert (inbox / "bad.txt").exists()


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, KeyboardInterrupt])
def test_an_input_function_that_wants_out(file_url, inbox, until, error):
    """`input=` raises what ends a thread: an event with the reason, and the engine goes on."""

    def shown(firing):
        if "bad" in firing.facts["path"]:
            raise error("out")
        return {"path": firing.facts["path"]}

    with engine_of(file_url, inbox, settle=0.05, input=shown) as engine:
        (inbox / "bad.txt").write_text("bad")
        until(lambda: declined(engine))
        (inbox / "good.txt").write_text("good")
        until(lambda: engine.runs(status="succeeded"))
    assert names(engine) == ["good.txt"]
    assert error.__name__ in declined(engine)[0]


class Mute(Exception):
    """An error that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [ValueError("a lone \ud800"), Mute(), ValueError("x" * 10**6)]
)
def test_an_error_that_cannot_be_shown(file_url, inbox, error):
    """An error without words, or with words that are no text, holds up no other file."""

    def shown(firing):
        if "bad" in firing.facts["path"]:
            raise error
        return {"path": firing.facts["path"]}

    for name in ("bad.txt", "good.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(file_url, inbox, input=shown)
    for _ in range(3):
        engine.run_until_idle()
    assert names(engine, status="succeeded") == ["good.txt"]
    (reason,) = declined(engine)
    assert type(error).__name__ in reason
    assert len(reason) < 1000


@pytest.mark.parametrize("gives", [None, [], {"path": float("nan")}, {"other": 1}, {}])
def test_an_input_function_that_gives_nonsense(file_url, inbox, gives):
    """What no run can start with is declined in words; the next look does not try it again."""
    engine = engine_of(file_url, inbox, input=lambda _: gives)
    (inbox / "a.txt").write_text("a")
    for _ in range(3):
        engine.run_until_idle()
    assert engine.runs() == []
    assert len(declined(engine)) == 1


def test_a_step_that_raises(file_url, inbox):
    """A run that fails is a run: the file does not start another, and the others go on."""

    @step
    def strict(path: str, ctx: Context) -> str:
        if "bad" in path:
            raise ValueError("cannot be read")
        return path

    workflow = Workflow("strict", steps=[strict])
    for name in ("bad.txt", "good.txt"):
        (inbox / name).write_text(name)
    for _ in range(2):
        engine = engine_of(file_url, inbox, workflow=workflow)
        engine.run_until_idle()
    assert names(engine, status="failed") == ["bad.txt"]
    assert names(engine, status="succeeded") == ["good.txt"]
    assert len(fired(engine)) == 2


def test_a_file_gone_before_its_step_runs(file_url, inbox):
    """A file deleted between the firing and the step: the step meets it and the run fails."""
    (inbox / "a.txt").write_text("a")
    first = engine_of(file_url, inbox)
    with crash_after(2, first):
        first.run_until_idle()
    assert paths(first) == [str(inbox / "a.txt")]
    (inbox / "a.txt").unlink()
    second = engine_of(file_url, inbox)
    second.run_until_idle()
    (row,) = Engine(file_url).runs()
    assert row.status == "failed"
