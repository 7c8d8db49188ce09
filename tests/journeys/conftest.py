"""What the journeys share: a log of each kind, waiting with a deadline, a real HTTP server."""

import contextlib
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime
from types import SimpleNamespace

import freezegun.api
import pytest

from eventstore import sql
from tests.servers.kinds import POSTGRES

T0 = "2030-01-01T00:00:00+00:00"
START = datetime.fromisoformat(T0)
PATIENCE = 60.0  # real seconds that a test waits for what must come; slow machines need them


def wait_until(condition, seconds=PATIENCE, what="the condition"):
    """Give the first true answer of a condition, asked until a deadline on the real clock."""
    pause = threading.Event()
    end = freezegun.api.real_monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if freezegun.api.real_monotonic() > end:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        pause.wait(0.01)


@pytest.fixture
def until():
    """Wait for a condition with a deadline."""
    return wait_until


# The journeys that also go to a server: where claims, due times, breakers, signals, steering,
# processes and triggers are at work, for there its transactions, locks and order of rows could
# differ. What a run computes from its events is the same above any log, and costs here ten times
# what it costs in memory. Processes: `test_processes.py`, on its own.
ON_POSTGRES = {
    "test_breakers",
    "test_embedding",
    "test_file_trigger",
    "test_schedules",
    "test_signals_timers",
    "test_steering",
    "test_together",
    "test_webhooks",
}


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Send the journeys of some modules to a server too."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if "url" in metafunc.fixturenames and module in ON_POSTGRES:
        kinds = pytest.mark.parametrize("url", ["memory", "file", POSTGRES], indirect=True)
        metafunc.definition.add_marker(kinds)


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    """Give a database in memory, one in a file, and one on a server."""
    if request.param == "postgres":
        made = request.getfixturevalue("postgres_log_url")
        yield made
        close_logs(made)
    elif request.param == "memory":
        yield "sqlite:///:memory:"
    else:
        yield f"sqlite:///{tmp_path / 'log.db'}"


def close_logs(url):
    """Let go of the connections of engines that a test has left open."""
    for log in list(sql._open_logs):
        if log.url == url:
            log.close()


@pytest.fixture
def file_url(tmp_path):
    """Give a database in a file."""
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def frozen():
    """Freeze the clock at the start of 2030."""
    with freezegun.freeze_time(T0) as clock:
        yield clock


def told(engine, run):
    """Give the history in short: type and subject of each event."""
    return [(event.type, event.subject) for event in engine.history(run)]


@pytest.fixture
def events():
    """Give the history of a run as pairs of type and subject."""
    return told


@pytest.fixture
def server():
    """Serve HTTP on loopback: `.answers` maps a path to statuses, `.seen` is what was asked."""
    box = SimpleNamespace(answers={}, seen=[], gate=None)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            box.seen.append((self.path, dict(self.headers.items()), body))
            if box.gate is not None:
                box.gate.wait(PATIENCE)
            statuses = box.answers.get(self.path, 200)
            status = statuses
            if isinstance(statuses, list):
                status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            payload = json.dumps({"path": self.path, "count": len(box.seen)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(payload)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    box.url = f"http://127.0.0.1:{made.server_port}"
    yield box
    if box.gate is not None:
        box.gate.set()
    made.shutdown()
    made.server_close()
    thread.join()


class Program:
    """A Python program in a process of its own, in a folder with an `app.py`."""

    def __init__(self, folder, code, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *map(str, args)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, seconds=PATIENCE):
        """Wait for the end; give status, stdout and stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def kill(self):
        """End it as `kill -9` does."""
        self.process.kill()
        return self.finish()

    def halt(self, log):
        """Let it stand still as SIGSTOP does, at a moment when it writes nothing to a log's file.

        Else nobody could write to that for as long as it stands still.
        """
        while True:
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
            if log.path is None or is_writable(log.path):
                return
            self.process.send_signal(signal.SIGCONT)
            threading.Event().wait(0.005)


def is_writable(path):
    """Tell whether nobody is writing to a database file just now."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        db.execute("ROLLBACK")
        return True


@pytest.fixture
def program(tmp_path):
    """Start Python programs beside an `app.py`; those still alive are killed at the end."""
    started = []

    def start(code, *args):
        made = Program(tmp_path, code, *args)
        started.append(made)
        return made

    yield start
    for made in started:
        if made.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                made.process.send_signal(18)
            made.process.kill()
        made.process.communicate()
