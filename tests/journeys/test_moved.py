"""What was going on in a log goes on where the log arrives."""

import io
import subprocess
import sys

import pytest

from eventstore import arrival, clock
from eventstore.export import export
from playhead import Engine, RunTrigger, Workflow, step

APP = """
import sys
from eventstore import clock
from playhead import Engine, Workflow, step

@step
def work(n: int) -> int:
    print("at work", flush=True)
    clock.real_sleep(60)
    return n

engine = Engine(sys.argv[1], workflows=[Workflow("work", steps=[work])])
engine.start("work", n=3)
engine.run_until_idle()
"""


@step
def work(n: int) -> int:
    return n


@step
def note(run: str) -> str:
    return run


works = Workflow("work", steps=[work])
notes = Workflow("note", steps=[note])


def made(url):
    """Give an engine that notes each run of `work` that has succeeded."""
    return Engine(url, workflows=[works, notes], triggers=[RunTrigger(works, notes)])


def move(source, target):
    """Move the log of one engine into that of another."""
    file = io.BytesIO()
    export(source.log, file.write)
    file.seek(0)
    arrival.take(target.log, file, arrival.check(file))


def test_a_trigger_that_follows_ends_goes_on_where_it_was(tmp_path):
    """Ends that fired before the move do not fire again; one that had not yet fires once."""
    old, new = (made(f"sqlite:///{tmp_path}/{name}.db") for name in ("old", "new"))
    old.run_until_idle()  # arms it
    first = old.start(works, n=1)
    old.run_until_idle()
    quiet = Engine(old.url, workflows=[works])
    second = quiet.start(works, n=2)
    quiet.run_until_idle()
    quiet.close()
    old.close()
    move(old, new)
    third = new.start(works, n=3)
    new.run_until_idle()
    new.run_until_idle()
    noted = [run.inputs["run"] for run in new.runs(notes)]
    assert sorted(noted) == sorted([first.id, second.id, third.id])
    old.close()
    new.close()


@pytest.mark.slow
def test_a_run_that_was_at_work_goes_on(tmp_path):
    """Its engine was killed in a step, its log moved: the step runs again, and the run ends."""
    url = f"sqlite:///{tmp_path}/old.db"
    with subprocess.Popen(
        [sys.executable, "-c", APP, url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "at work\n"
        child.kill()
    old, new = made(url), made(f"sqlite:///{tmp_path}/new.db")
    (row,) = old.runs(works)
    assert old.log.head(row.id).owner is not None
    move(old, new)
    head = new.log.head(row.id)
    assert (head.owner, head.due) == (None, head.updated)
    assert head.due <= clock.now_us()
    new.run_until_idle()
    assert new.get(row.id).result(timeout=0) == 3
    steps = [event.type for event in new.history(row.id) if event.subject == "work"]
    assert steps == ["step.started", "step.lost", "step.started", "step.succeeded"]
    old.close()
    new.close()
