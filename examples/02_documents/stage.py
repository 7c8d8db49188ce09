"""The demo's stage: the folder, the service and the worker as processes of their own.

Whatever happens, leaving the stage ends every process that was started on it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from playhead import Engine

HERE = Path(__file__).resolve().parent
ENDINGS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
PATIENCE = 60.0  # seconds until something that should have happened did not
PACE = "0.03"  # the pipeline's waits, shortened: a breaker stays open 1.8 s in place of 60


class NotAsPromised(Exception):
    """Something that should have happened did not."""


class Stage:
    """A folder with an inbox and a log; the service and the worker beside it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="playhead-demo-"))
        self.inbox = self.folder / "inbox"
        self.inbox.mkdir()
        self.port = free_port()
        self.url = f"sqlite:///{self.folder / 'playhead.db'}"
        self.engine = Engine(self.url)  # to look through; it runs nothing
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._pause = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in ENDINGS:  # a second Ctrl-C does not stop the stopping
            signal.signal(number, signal.SIG_IGN)
        self.engine.close()
        for process in self._running.values():
            process.kill()
            process.wait()

    def sweep(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # Processes.

    def start_service(self) -> None:
        """Start the service, always at the same address."""
        self._start("service", str(HERE / "service.py"), "--port", str(self.port))
        self.wait_until("the service answers", self._answers)

    def kill_service(self) -> None:
        """Tell the service to die, and see that it has."""
        with contextlib.suppress(httpx.TransportError):
            self._http("POST", "/die")
        self._running["service"].wait(PATIENCE)

    def start_worker(self) -> None:
        """Start `playhead serve app.py`, as anybody would in a terminal of its own."""
        self._start("worker", "-m", "playhead", "serve", str(HERE / "app.py"))

    def kill_worker(self) -> None:
        """End the worker with kill -9: it can tidy up nothing."""
        self._running["worker"].kill()
        self._running["worker"].wait(PATIENCE)

    def playhead(self, *arguments: str) -> str:
        """Run a command of the command line on the log; give what it prints."""
        command = [sys.executable, "-m", "playhead", *arguments, "--url", self.url]
        done = subprocess.run(  # noqa: S603 - our own program
            command, cwd=self.folder, env=self._surroundings(), capture_output=True, text=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise NotAsPromised(f"playhead {' '.join(arguments)} said: {done.stderr.strip()}")
        return done.stdout

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("a") as said:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *arguments], cwd=self.folder, env=self._surroundings(),
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, text=True,
                start_new_session=True,  # Ctrl-C reaches the demo, and the demo ends them
            )  # fmt: skip
        self._running[name] = process

    def _surroundings(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("PLAYHEAD_")}
        return {
            **own,
            "ENRICHMENT_URL": f"http://127.0.0.1:{self.port}",
            "DOCUMENTS_PACE": PACE,
            "NO_PROXY": "127.0.0.1",
            "PYTHONUTF8": "1",
        }

    # The inbox, the service, the log.

    def drop(self, name: str, text: str) -> None:
        """Put a document into the inbox, whole at once."""
        aside = self.folder / name
        aside.write_text(text, "utf-8")
        aside.rename(self.inbox / name)

    def tell(self, **modes: str) -> None:
        """Tell the service how to answer: `tell(entities="fail")`."""
        orders = {f"/{path}": mode for path, mode in modes.items()}
        self._http("PUT", "/mode", json=orders)

    def calls(self, path: str) -> list[dict[str, str]]:
        """Give the calls that the service itself has counted for a path."""
        found = self._http("GET", "/calls").json()
        return [call for call in found if call["path"] == path]

    def _http(self, method: str, path: str, **content: Any) -> httpx.Response:
        with httpx.Client(trust_env=False) as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return client.request(method, url, **content).raise_for_status()

    def _answers(self) -> bool:
        try:
            self._http("GET", "/calls")
        except httpx.TransportError:
            return False
        return True

    def run_of(self, name: str) -> Any:
        """Give the run that a document started, None if there is none yet."""
        path = str(self.inbox / name)
        return next((r for r in self.engine.runs(limit=None) if r.inputs["path"] == path), None)

    def steps(self, name: str) -> dict[str, str]:
        """Give the state of each step of a document's run."""
        row = self.run_of(name)
        if row is None:
            return {}
        return {n: s.state for n, s in self.engine.playhead(row.id).state.steps.items()}

    def are_done(self, *names: str) -> bool:
        """Tell whether the runs of these documents have succeeded; stop at one that failed."""
        rows = [self.run_of(name) for name in names]
        for row in rows:
            if row is not None and row.status in ("failed", "parked"):
                raise NotAsPromised(f"the run of {row.inputs['path']} is {row.status}")
        return all(row is not None and row.status == "succeeded" for row in rows)

    def result(self, name: str) -> dict[str, Any]:
        """Give the summary of a document as plain JSON."""
        found: dict[str, Any] = self.engine.get(self.run_of(name).id).result(timeout=PATIENCE)
        return found

    def wait_until(
        self, what: str, happened: Callable[[], Any], seconds: float = PATIENCE
    ) -> float:
        """Wait for something; give the seconds it took."""
        began = now()
        while not happened():
            if now() - began > seconds:
                raise NotAsPromised(f"in {seconds:g} s it did not come about that {what}")
            self._pause.wait(0.02)
        return now() - began

    def last_words(self) -> str:
        """Give the end of what service and worker said."""
        logs = [self.folder / "service.log", self.folder / "worker.log"]
        said = [log.read_text("utf-8", "replace") for log in logs if log.exists()]
        return "\n".join("\n".join(text.splitlines()[-15:]) for text in said)


def now() -> float:
    """Give real seconds: here a person is waiting, so it is the real clock that counts."""
    return time.monotonic()  # noqa: TID251 - see above


def free_port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))
