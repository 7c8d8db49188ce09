"""A worker on threads of its own: what it does not wait for."""

from pathlib import Path

from eventstore import clock
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
