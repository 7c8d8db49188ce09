"""Watch over a server of the tests: when its owner closes or dies, end it and its folder.

Started as `python guard.py FOLDER PIDFILE`, with a pipe as standard input that nothing is written
to: the pipe ends when the owner closes it, and also when the owner is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

PATIENCE = 5.0  # seconds that a server has for an orderly end


class Guard:
    """A process that outlives this one by a moment, to leave nothing behind."""

    def __init__(self, folder: Path, pid_file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, folder, pid_file],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests, not for the guard
        )

    def close(self) -> None:
        """End the server and its folder now."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def main(folder: str, pid_file: str) -> None:
    """Wait for the owner's end, then end what it has started."""
    while os.read(0, 1024):
        pass
    with contextlib.suppress(OSError, ValueError, IndexError):
        _end(int(Path(pid_file).read_text("ascii").split()[0]), folder)
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int, folder: str) -> None:
    if folder not in _command_of(pid):  # the number may be another program's by now
        return
    children = children_of(pid)
    for child in children:
        _send(child, signal.SIGCONT)  # one that a test had frozen would not hear
    _send(pid, signal.SIGQUIT)
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if folder not in _command_of(pid):  # gone, or a zombie that its owner will reap
            return
        pause.wait(0.02)
    for one in (pid, *children):
        _send(one, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Give the processes whose parent is this one; none where the system does not tell."""
    try:
        return [
            int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    asked = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main(*sys.argv[1:])
