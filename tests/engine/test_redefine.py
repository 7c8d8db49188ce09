"""Runs that meet other code than they began with: they go on, wait for better, or are parked."""

from pathlib import Path

import pytest

from playhead import Engine, Signal, Workflow, step


def flow(*extra: object, last: str = "b", name: str = "flow") -> Workflow:
    """Give `a -> go -> last`, and whatever else."""

    @step
    def a(n: int) -> int:
        return n

    @step(name=last, after=["go"])
    def b(a: int) -> int:
        return a + 1

    return Workflow(name, steps=[a, Signal("go", after=["a"]), b, *extra])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


def begun(url: str) -> str:
    """Give a run that waits for `go` under the plain definition."""
    engine = Engine(url, workflows=[workflow := flow()])
    run = engine.start(workflow, n=1)
    engine.run_until_idle()
    engine.close()
    return run.id


def test_a_step_added_behind_fits(url: str) -> None:
    """A run goes on under a definition with a step added behind what has run, and says so."""
    run = begun(url)

    @step
    def c(b: int) -> int:
        return b * 10

    engine = Engine(url, workflows=[flow(c)])
    engine.signal(run, "go")
    engine.run_until_idle()
    assert engine.get(run).result() == 20
    assert "run.redefined" in [event.type for event in engine.history(run)]
    engine.close()


def test_a_step_that_has_run_must_stay(url: str) -> None:
    """A run whose finished step is gone from the code is parked, with the reason."""
    run = begun(url)

    @step
    def other(n: int) -> int:
        return n

    @step(after=["go"])
    def b(other: int) -> int:
        return other

    engine = Engine(url, workflows=[Workflow("flow", steps=[other, Signal("go"), b])])
    engine.signal(run, "go")
    engine.run_until_idle()
    assert engine.get(run).status == "parked"
    assert "'a'" in engine.history(run)[-1].data["reason"]
    engine.close()


def test_a_parked_run_goes_on_when_the_code_is_back(url: str) -> None:
    """`retry` frees a run that was parked for its definition, once fitting code is there."""
    run = begun(url)
    engine = Engine(url, workflows=[flow(last="renamed")])
    assert engine.get(run).status == "waiting"
    engine.signal(run, "go")
    engine.run_until_idle()
    assert engine.get(run).status == "succeeded"  # `b` had not run: it may be renamed
    engine.close()


def test_the_same_definition_is_no_change(url: str) -> None:
    """A restart with the same code records no redefinition."""
    run = begun(url)
    engine = Engine(url, workflows=[flow()])
    engine.signal(run, "go")
    engine.run_until_idle()
    assert "run.redefined" not in [event.type for event in engine.history(run)]
    engine.close()


def test_a_run_is_left_to_a_worker_that_has_its_code(url: str) -> None:
    """While a living worker offers a run's own definition, a worker with another leaves it."""
    old = Engine(url, workflows=[flow()])
    with old:
        run = old.start("flow", n=1)
        new = Engine(url, workflows=[flow(step(name="c", after=["b"])(lambda: 0))])
        with new:
            new.signal(run.id, "go")
            assert old.get(run.id).result(timeout=20) == 2
    assert "run.redefined" not in [event.type for event in old.history(run)]
    old.close()
