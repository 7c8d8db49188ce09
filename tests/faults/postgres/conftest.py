"""What the faults of PostgreSQL share: a database of their own, and processes that work on it."""

import pytest

from eventstore import open_log
from playhead import Engine
from tests.faults.stage import story

SERVE = "import app, sys; app.make(sys.argv[1], lease={lease}).serve()"


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
def serve(app, program, postgres_url):
    """Start a process that serves the application, by default reaching the server directly."""
    return lambda url=postgres_url, lease=60.0: program(SERVE.format(lease=lease), url)


@pytest.fixture
def desk(app, postgres_url):
    """Give an engine that starts, reads and steers, and does no work."""
    engine = Engine(postgres_url, workflows=[story])
    yield engine
    engine.close()


def told(engine, run):
    """Give the history in short: type and subject of each event."""
    return [(event.type, event.subject) for event in engine.history(run)]
