"""A worker on threads of its own: what it does not wait for."""

from pathlib import Path

import pytest

from eventstore import NEW, Append, Headline, NewEvent, Row, Write, clock, open_log
from playhead import Engine, Workflow, step


@step
def nothing() -> None:
    return None


quick = Workflow("quick", steps=[nothing])


def test_a_freed_slot_is_filled_at_once(tmp_path: Path) -> None:
    """400 runs that wait for 2 slots: no look waits for the next slice of 50 ms (10 s in all)."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    sender = Engine(url, workflows=[quick])
    for _ in range(400):
        sender.start(quick)
    sender.close()
    with Engine(url, workflows=[quick], threads=2) as engine:
        until = clock.real_seconds() + 8
        while clock.real_seconds() < until:
            if len(engine.runs(status="succeeded", limit=None)) == 400:
                break
            clock.real_sleep(0.05)
        else:
            done = len(engine.runs(status="succeeded", limit=None))
            raise AssertionError(f"{done} of 400 after 8 s")


@pytest.mark.parametrize("data", ["{}", '{"workflow":1}', "[]"])
def test_a_run_that_cannot_be_read_keeps_no_other_from_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: str
) -> None:
    """It is let go of with a line in the log; those that were claimed with it are done."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = open_log(url)
    told = NewEvent("run.started", "run", "", "running", data, 1)
    write = Write("spoilt", "run", NEW, (told,), Row("running", 1), Headline("quick"))
    log.append(Append("spoilt", (write,)))
    log.close()
    sender = Engine(url, workflows=[quick])
    ids = [sender.start(quick).id for _ in range(3)]
    sender.close()
    with Engine(url, workflows=[quick]) as engine:
        for run_id in ids:
            assert engine.get(run_id).result(timeout=5) is None
    lines = [line for line in caplog.records if getattr(line, "action", "") == "run_unreadable"]
    assert "spoilt" in lines[0].getMessage()
    log = open_log(url)
    assert log.read("spoilt")[0].data == data, "nothing was written to it"
    log.close()
