"""What the faults share: an application in a folder of its own, and processes to hurt."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from playhead import Engine
from tests.journeys.conftest import Program, file_url, program, until, url, wait_until

__all__ = ["Program", "file_url", "program", "until", "url"]

SERVE = "import app, sys; sys.exit(app.make({options}).serve())"


@pytest.fixture
def app(tmp_path):
    """Lay out the application; give its folder."""
    shutil.copy(Path(__file__).with_name("stage.py"), tmp_path / "app.py")
    return tmp_path


@pytest.fixture
def serve(app, program):
    """Start a process that serves the application."""
    return lambda options="": program(SERVE.format(options=options))


@pytest.fixture
def desk(app):
    """Give an engine that starts, reads and steers, and does no work."""
    engine = Engine(f"sqlite:///{app / 'log.db'}")
    yield engine
    engine.close()


@pytest.fixture
def starter(app):
    """Give an engine with the application's workflows that starts runs, and does no work."""
    spec = importlib.util.spec_from_file_location("stage", app / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine = module.make()
    yield engine
    engine.close()


@pytest.fixture
def started(starter):
    """Start runs that others are to do; give their ids."""
    return lambda workflow, *inputs: [starter.start(workflow, x=x).id for x in inputs]


@pytest.fixture
def noted(app):
    """Give what the steps wrote down: step, run, attempt, key, process."""

    def read(*steps):
        path = app / "notes.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [one for one in notes if not steps or one[0] in steps]

    return read


@pytest.fixture
def ended(desk):
    """Wait until runs have the status."""

    def wait(runs, status="succeeded"):
        wait_until(
            lambda: all(desk.get(run).status == status for run in runs),
            what=f"{status} of {len(runs)} runs",
        )

    return wait
