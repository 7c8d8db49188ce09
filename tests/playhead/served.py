"""A real `playhead serve` in a process of its own, and systemd as it listens to one."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from eventstore import clock

PATIENCE = 60.0  # real seconds that a test waits for what must come
QUIET = 0.5  # real seconds without a word that count as silence


def wait_until(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "it",
    seconds: float = PATIENCE,
) -> None:
    """Wait on a condition with a deadline; `what` says what for, or finds out when it is late."""
    until = clock.real_seconds() + seconds
    while not condition():
        if clock.real_seconds() >= until:
            raise AssertionError(f"{what if isinstance(what, str) else what()} took too long")
        clock.real_sleep(0.02)


class Served:
    """`playhead serve` at work; what it says on stderr is gathered line by line."""

    def __init__(self, folder: Path, *words: str, **surroundings: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "playhead", "serve", *words],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **surroundings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        """Give all that it has said so far."""
        return "\n".join(self.lines)

    def ready(self) -> "Served":
        """Wait until it says that it is ready."""
        wait_until(
            lambda: "Ctrl-C stops it softly" in self.said or self.process.poll() is not None,
            "the daemon",
        )
        assert self.process.poll() is None, self.said
        return self

    @property
    def url(self) -> str:
        """Give where it says that it answers."""
        found = re.search(r"answers: (http://\S+)/livez", self.said)
        assert found is not None, self.said
        return found[1]

    def get(self, path: str) -> httpx.Response:
        """Ask it over HTTP."""
        return httpx.get(self.url + path, timeout=PATIENCE, trust_env=False)

    def tell(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def finish(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; give the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def end(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.finish()
        if self.process.stderr is not None:
            self.process.stderr.close()


class Systemd:
    """Listens as the service's manager does."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(PATIENCE)

    def hears(self) -> list[str]:
        """Give the words of the next datagram."""
        return self._socket.recv(4096).decode().split("\n")

    def hears_nothing(self) -> bool:
        """Tell whether nothing comes for a while."""
        self._socket.settimeout(QUIET)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)
        return False

    def close(self) -> None:
        self._socket.close()
