"""Back-pressure: no more runs live than allowed; what is not claimed stays on disk and is next."""

import json
import threading

import pytest

from playhead import Signal, Workflow, step
from tests.journeys.files.stage import declined, engine_of, fired, names, paths, pause, texts

LIVE = ["running", "waiting", "scheduled"]


@step
def take(path: str, go: str) -> str:
    return go


waiting = Workflow("waiting", steps=[Signal("go", str), take])


def test_never_more_than_five_live(file_url, inbox, until):
    """limit=5 and 100 files: at no moment are more than five of their runs alive; all are done."""
    lock = threading.Lock()
    inside = most = 0

    @step
    def work(path: str) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        pause(0.01)
        with lock:
            inside -= 1
        return 1

    workflow = Workflow("working", steps=[work])
    for number in range(100):
        (inbox / f"{number}.txt").touch()
    seen = 0
    with engine_of(file_url, inbox, workflow=workflow, settle=0.05, limit=5) as engine:

        def all_done():
            nonlocal seen
            seen = max(seen, len(engine.runs(status=LIVE, limit=None)))
            return len(engine.runs(status="succeeded", limit=None)) == 100

        until(all_done)
    assert 0 < seen <= 5
    assert 0 < most <= 5
    assert len(set(paths(engine))) == len(fired(engine)) == 100


def test_all_are_done_in_one_call(url, inbox):
    """By hand too: one `run_until_idle` brings all of them to their end, three at a time."""
    for number in range(20):
        (inbox / f"{number}.txt").write_text(str(number))
    engine = engine_of(url, inbox, limit=3)
    engine.run_until_idle()
    assert len(texts(engine)) == 20


def test_the_next_file_starts_when_a_run_has_ended(file_url, inbox):
    """limit=2: of four files two wait on disk; a success and a failure make room, in order."""
    for number in range(4):
        (inbox / f"{number}.txt").touch()
    engine = engine_of(file_url, inbox, workflow=waiting, limit=2)
    engine.run_until_idle()
    assert names(engine) == ["0.txt", "1.txt"]
    first, second = sorted(engine.runs(), key=lambda row: row.inputs["path"])
    engine.signal(first.id, "go", "yes")
    engine.run_until_idle()
    assert names(engine) == ["0.txt", "1.txt", "2.txt"]
    engine.cancel(second.id)
    engine.run_until_idle()
    assert names(engine) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_full_is_told_once(url, inbox):
    """What waits because of the limit is an event that says full; not one for each look."""
    for number in range(50):
        (inbox / f"{number}.txt").touch()
    engine = engine_of(url, inbox, workflow=waiting, limit=1)
    for _ in range(20):
        engine.run_until_idle()
    assert any("full" in reason for reason in declined(engine))
    assert len(declined(engine)) < 5


def test_the_limit_holds_over_a_restart(file_url, inbox):
    """Runs that live from before count: the next engine starts no more than there is room for."""
    for number in range(5):
        (inbox / f"{number}.txt").touch()
    for _ in range(3):
        engine = engine_of(file_url, inbox, workflow=waiting, limit=2)
        engine.run_until_idle()
    assert len(engine.runs()) == 2


def test_runs_of_others_take_no_room(file_url, inbox):
    """Runs of the same workflow that the trigger did not start do not count against it."""
    engine = engine_of(file_url, inbox, workflow=waiting, limit=1)
    for number in range(3):
        engine.start(waiting, path=f"by hand {number}")
    (inbox / "a.txt").touch()
    engine.run_until_idle()
    assert len(fired(engine)) == 1


def test_a_file_that_goes_while_it_waits(url, inbox):
    """A file deleted while it waited for room starts nothing, and the next one does."""
    for name in ("a.txt", "b.txt", "c.txt"):
        (inbox / name).touch()
    engine = engine_of(url, inbox, workflow=waiting, limit=1)
    engine.run_until_idle()
    (row,) = engine.runs()
    left = sorted(path for path in inbox.iterdir() if str(path) != row.inputs["path"])
    left[0].unlink()
    engine.signal(row.id, "go", "yes")
    engine.run_until_idle()
    assert sorted(paths(engine)) == sorted([row.inputs["path"], str(left[1])])


@pytest.mark.slow
def test_two_daemons_share_the_limit(app, serve, reader, inbox, until):
    """limit=3 and two daemons: together they never have more than three alive."""
    for number in range(60):
        (inbox / f"{number}.txt").write_text("x")
    for _ in range(2):
        serve("limit=3")
    most = 0

    def all_done():
        nonlocal most
        most = max(most, len(reader.runs(status=LIVE, limit=None)))
        return len(reader.runs(status="succeeded", limit=None)) == 60

    until(all_done)
    lines = (app / "notes.txt").read_text().splitlines()
    assert sorted(json.loads(line)[0] for line in lines) == sorted(names(reader))
    assert len(fired(reader)) == 60
    assert 0 < most <= 3


def test_with_after_the_folder_empties_itself(file_url, inbox, outside, until):
    """limit=4 and a folder to go to: 40 files pass through it, each once."""
    for number in range(40):
        (inbox / f"{number}.txt").write_text(str(number))
    with engine_of(file_url, inbox, settle=0.05, limit=4, after=outside) as engine:
        until(lambda: not list(inbox.iterdir()))
    assert sorted(path.name for path in outside.iterdir()) == sorted(
        f"{number}.txt" for number in range(40)
    )
    assert len(fired(engine)) == 40
