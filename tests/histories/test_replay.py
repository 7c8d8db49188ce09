"""Every released shape of the log is replayed for ever."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.core import define
from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import Run, display_status

RUNS = [
    (file.stem, number, run)
    for file in sorted(Path(__file__).parent.glob("*.json"))
    for number, run in enumerate(json.loads(file.read_text()))
]


@pytest.mark.parametrize(
    ("release", "number", "run"), RUNS, ids=[f"{r}-{n}" for r, n, _ in RUNS]
)
def test_a_recorded_history_still_folds(release: str, number: int, run: dict[str, Any]) -> None:
    """A history of an earlier release folds event by event into the state it had."""
    plan = Plan(define.decode(json.dumps(run["definition"]).encode()))
    folded = Run(f"{release}-{number}")
    for version, type_, type_version, subject, source, dest, data, at in run["events"]:
        assert type_version == 1
        evolve(folded, plan, version, type_, subject, source, dest, data, at)
    assert display_status(folded) == run["ends"]["status"]
    assert folded.place == run["ends"]["state"]


@pytest.mark.parametrize(
    ("release", "number", "run"), RUNS, ids=[f"{r}-{n}" for r, n, _ in RUNS]
)
def test_a_recorded_definition_keeps_its_hash(
    release: str, number: int, run: dict[str, Any]
) -> None:
    """The hash that run.started names is still the hash of its definition."""
    definition = define.decode(json.dumps(run["definition"]).encode())
    assert json.loads(run["events"][0][6])["definition"] == define.hash_of(definition)


def test_the_histories_show_every_kind_of_machine() -> None:
    """The histories of each release hold events of run, step, machine, signal and timer."""
    for release in {r for r, _, _ in RUNS}:
        kinds = {
            e[1].split(".")[0] for r, _, run in RUNS if r == release for e in run["events"]
        }
        assert kinds == {"run", "step", "machine", "signal", "timer"}
