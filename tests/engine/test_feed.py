"""`engine.feed`: the whole log as rows, for who embeds the engine."""

import subprocess
import sys
import threading

import pytest

from engine.errors import StorageError, ValueRefused
from eventstore import clock
from playhead import Engine, Workflow, step

APPENDER = """
import sys
from eventstore import clock, open_log
from eventstore.testing import birth
log = open_log(sys.argv[1])
for number, _ in enumerate(iter(sys.stdin.readline, "")):
    began = clock.real_seconds()
    birth(log, f"s{number}")
    print(began, flush=True)
"""
SOON = 0.05  # seconds until a follower knows of an append of another process
WORST = 1.0  # and when it does not know so soon
TRIES = 5  # on a machine that is busy with other things


@step
def greet(name: str) -> str:
    return f"Hello, {name}! " * 9000


@step
def boom(greet: str) -> str:
    raise ValueError(len(greet))


hello = Workflow("hello", steps=[greet])
fails = Workflow("fails", steps=[greet, boom])


@pytest.fixture
def engine(tmp_path):
    made = Engine(f"sqlite:///{tmp_path}/log.db", workflows=[hello, fails])
    yield made
    made.close()


def test_rows_are_those_of_the_history(engine):
    """In order of position, with kind, name and run beside them; large values can be had."""
    one = engine.start(hello, name="a")
    two = engine.start(hello, name="b")
    engine.run_until_idle()
    rows = list(engine.feed(follow=False))
    assert [row.position for row in rows] == sorted(row.position for row in rows)
    for run in (one, two):
        history = engine.history(run)
        mine = [row for row in rows if row.run == run.id]
        assert [(r.version, r.type, r.data, r.at) for r in mine] == [
            (r.version, r.type, r.data, r.at) for r in history
        ]
    assert {(row.kind, row.name) for row in rows} == {("run", "hello")}
    done = next(row for row in rows if row.type == "step.succeeded")
    assert done.value("output").startswith("Hello, a!")
    assert "output_blob" in done.data


def test_filters_by_workflow_and_type(engine):
    """Only its runs, only those types; one type may be given as a text."""
    engine.start(hello, name="a")
    failed = engine.start(fails, name="b")
    engine.run_until_idle()
    rows = list(engine.feed(workflow=fails, types=["step.failed", "run.failed"], follow=False))
    assert [(row.run, row.type) for row in rows] == [
        (failed.id, "step.failed"),
        (failed.id, "run.failed"),
    ]
    ends = engine.feed(types="run.succeeded", follow=False)
    assert [row.name for row in ends] == ["hello"]


def test_a_cursor_goes_on_where_the_last_one_stopped(engine):
    """What was taken does not come again, also for another engine; what was not, does."""
    engine.start(hello, name="a")
    engine.run_until_idle()
    every = [row.position for row in engine.feed(follow=False)]
    with engine.feed(cursor="mirror") as feed:
        first = [next(feed).position for _ in range(3)]
    other = Engine(engine.url)
    rest = [row.position for row in other.feed(cursor="mirror", follow=False)]
    other.close()
    assert first + rest[1:] == every
    assert rest[0] == first[-1]  # it was handed out, and nobody came back to say it was taken
    assert engine.feed(cursor="mirror").position == every[-1]


def test_live_until_stopped(engine):
    """A feed in a thread hears what the engine does, and ends when it is told to."""
    feed = engine.feed(types=["run.succeeded"])
    runs, heard = [], threading.Event()

    def follow():
        for row in feed:
            runs.append(row.run)
            heard.set()

    follower = threading.Thread(target=follow)
    follower.start()
    with engine:
        run = engine.start(hello, name="a")
        assert heard.wait(30)
    feed.stop()
    follower.join(30)
    assert (runs, follower.is_alive()) == ([run.id], False)


def test_what_cannot_be_followed_is_refused(engine):
    """A cursor knows where to go on; types are texts; a second follower of a name is told."""
    with pytest.raises(ValueRefused, match="cursor 'm' knows where to go on"):
        engine.feed(after=3, cursor="m")
    with pytest.raises(ValueRefused, match="is no text"):
        engine.feed(types=[3])
    for place in ("7", -1, True, 2.0):
        with pytest.raises(ValueRefused, match="is no position"):
            engine.feed(after=place)
    with pytest.raises(ValueRefused, match="has no name"):
        engine.feed(cursor="")
    with pytest.raises(ValueRefused, match="NUL"):
        engine.feed(cursor="a\0b")
    engine.start(hello, name="a")
    one, two = (engine.feed(cursor="m", follow=False) for _ in range(2))
    assert len(list(one)) > 0
    with pytest.raises(StorageError, match="'m' was moved by another follower"):
        list(two)


def test_an_append_of_another_process_is_heard_at_once(engine):
    """Half of the times within 50 ms, and always within a second."""
    command = [sys.executable, "-c", APPENDER, engine.url]
    feed = engine.feed()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        for first in range(0, 20 * TRIES, 20):
            took = []
            for number in range(first, first + 20):
                child.stdin.write("\n")
                child.stdin.flush()
                assert next(feed).stream == f"s{number}"
                heard = clock.real_seconds()
                took.append(heard - float(child.stdout.readline()))
            if sorted(took)[10] < SOON and max(took) < WORST:
                break
        child.communicate()
    assert sorted(took)[10] < SOON
    assert max(took) < WORST
