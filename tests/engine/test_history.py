"""Rows for readers can be copied, kept and sent away."""

import copy
import dataclasses
import pickle

from playhead import Engine, Workflow, step


def test_a_row_can_be_copied_and_pickled() -> None:
    """A row survives `asdict`, `deepcopy` and `pickle`; a copy here still finds large values."""

    @step
    def write(n: int) -> str:
        return "x" * n

    engine = Engine("sqlite:///:memory:", workflows=[Workflow("w", steps=[write])])
    engine.run("w", n=100_000)
    row = engine.history(engine.runs()[0].id)[2]
    assert dataclasses.asdict(row)["type"] == "step.succeeded"
    assert copy.deepcopy(row).value("output") == "x" * 100_000
    assert pickle.loads(pickle.dumps(row)) == row  # noqa: S301 - our own bytes
    engine.close()
