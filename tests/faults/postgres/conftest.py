"""What the faults of PostgreSQL share: a database of their own, an application, its processes."""

import json
import shutil
from pathlib import Path

import pytest

from eventstore import open_log
from playhead import Engine
from tests.faults.postgres.stage import story
from tests.journeys.conftest import program, wait_until

__all__ = ["program"]

SERVE = "import app, sys; app.make(sys.argv[1], lease={lease}).serve()"


@pytest.fixture
def until():
    """Wait for a condition with a deadline."""
    return wait_until


@pytest.fixture
def log_at():
    """Open logs, which are closed at the end."""
    opened = []

    def open_(url):
        opened.append(open_log(url))
        return opened[-1]

    yield open_
    for log in opened:
        log.close()


@pytest.fixture
def log(log_at, postgres_url):
    """A log in a database of its own, reached directly."""
    return log_at(postgres_url)


@pytest.fixture
def app(tmp_path, postgres_url):
    """Lay out the application; give its folder."""
    shutil.copy(Path(__file__).with_name("stage.py"), tmp_path / "app.py")
    (tmp_path / "url").write_text(postgres_url)
    return tmp_path


@pytest.fixture
def serve(app, program, postgres_url):
    """Start a process that serves the application, by default reaching the server directly."""
    return lambda url=postgres_url, lease=3.0: program(SERVE.format(lease=lease), url)


@pytest.fixture
def desk(app, postgres_url):
    """Give an engine that starts, reads and steers, and does no work."""
    engine = Engine(postgres_url, workflows=[story])
    yield engine
    engine.close()


@pytest.fixture
def noted(app):
    """Give what the steps wrote down: step, run, process."""

    def read():
        path = app / "notes.txt"
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read


def told(engine, run):
    """Give the history in short: type and subject of each event."""
    return [(event.type, event.subject) for event in engine.history(run)]
