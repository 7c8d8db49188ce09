"""A `when` is asked in the turn that settled its last upstream, before that turn is appended."""

import datetime

from freezegun import freeze_time

from playhead import Engine, Timer, Workflow, step


def test_a_when_may_look_at_a_large_output_of_its_own_turn() -> None:
    """An output of 70,000 bytes lies in a blob, and the `when` of the next step reads it."""

    @step
    def write(n: int) -> str:
        return "x" * n

    @step(when=lambda write: len(write) > 5)
    def count(write: str) -> int:
        return len(write)

    engine = Engine("sqlite:///:memory:", workflows=[Workflow("w", steps=[write, count])])
    assert engine.run("w", n=70_000) == 70_000
    assert engine.run("w", n=5) is None


def test_a_when_may_look_at_the_due_time_of_a_timer_of_its_own_turn() -> None:
    """A timer fires, and the `when` behind it is asked with its due time in the same turn."""

    @step(when=lambda pause: pause.minute == 5)
    def go(pause: datetime.datetime) -> int:
        return pause.minute

    pause = Timer("pause", datetime.timedelta(minutes=5))
    with freeze_time("2026-01-01 00:00:00") as frozen:
        engine = Engine("sqlite:///:memory:", workflows=[Workflow("w", steps=[pause, go])])
        run = engine.start("w")
        engine.run_until_idle()
        frozen.tick(datetime.timedelta(minutes=5))
        engine.run_until_idle()
        assert run.result() == 5
