"""Errors carry their facts as fields, and keep them on the way to another process."""

import inspect
import pickle

import pytest

from engine import errors
from playhead import Engine, PlayheadError, RunFailed, Workflow, step


def test_all_are_one_tree() -> None:
    """Every error of the engine is a PlayheadError."""
    kinds = [
        k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, Exception)
    ]
    assert len(kinds) > 10
    assert all(issubclass(kind, PlayheadError) for kind in kinds)


def test_run_failed_says_what_failed_and_how_to_replay_it(tmp_path) -> None:
    """RunFailed carries run, step, attempts and error, and prints the whole replay command."""

    @step
    def work() -> int:
        raise ConnectionError("down")

    url = f"sqlite:///{tmp_path / 'log.db'}"
    engine = Engine(url, workflows=[Workflow("w", steps=[work])])
    with pytest.raises(RunFailed) as caught:
        engine.run("w")
    engine.close()
    failed = caught.value
    assert (failed.step, failed.attempts, failed.error) == ("work", 1, "down")
    assert failed.error.type == "ConnectionError"
    assert "raise ConnectionError" in failed.error.traceback
    assert f"playhead replay {failed.run_id} --url {url}" in str(failed)


def test_an_error_survives_pickling() -> None:
    """An error that crosses to another process keeps type, text and fields."""
    before = RunFailed("run1", "work", 2, "ValueError", "no", "trace")
    after = pickle.loads(pickle.dumps(before))  # noqa: S301 - our own bytes
    assert type(after) is RunFailed
    assert str(after) == str(before)
    assert (after.step, after.attempts, after.error.type) == ("work", 2, "ValueError")


def test_a_refused_run_opens_no_database(tmp_path) -> None:
    """An input that is refused leaves no file behind."""

    @step
    def work(n: int) -> int:
        return n

    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[Workflow("w", steps=[work])])
    with pytest.raises(PlayheadError):
        engine.run("w", m=1)
    assert list(tmp_path.iterdir()) == []
