"""The daemons of a round: begun by a fork, hurt by signals, begun again."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.playhead.served import wait_until
from tests.soak.options import ROOT, Options

KILLED = -signal.SIGKILL  # the code of who left none


class Daemon:
    """One process that serves."""

    def __init__(self, number: int, pid: int, folder: Path) -> None:
        self.number, self.pid = number, pid
        self.is_stopped = False
        self._is_asked = False
        self._code = folder / f"daemon-{number}.code"

    @property
    def is_alive(self) -> bool:
        """Whether the process is there, stopped or not."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def code(self) -> int:
        """The exit code of one that has ended."""
        try:
            return int(self._code.read_text())
        except (FileNotFoundError, ValueError):
            return KILLED

    def tell(self, number: int) -> None:
        """Send a signal; one that is gone hears nothing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end, once: a second time would hurry it, and it would end with 130."""
        if not self._is_asked:
            self.tell(signal.SIGTERM)
        self._is_asked = True

    def stop(self) -> None:
        """Let it stand still."""
        self.tell(signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        """Let it go on."""
        self.tell(signal.SIGCONT)
        self.is_stopped = False

    def kill(self) -> None:
        """End it as `kill -9` does, and wait until it is gone."""
        self.tell(signal.SIGKILL)
        self.is_stopped = False
        self.wait()

    def wait(self) -> None:
        """Wait for its end."""
        wait_until(lambda: not self.is_alive, f"the end of daemon {self.number}")


class Daemons:
    """All daemons of a round, and the nursery that they come from."""

    def __init__(self, options: Options) -> None:
        self._folder = options.folder
        self._born = 0
        self.ended: dict[int, int] = {}  # number of a daemon -> exit code
        words = (options.url, options.folder, options.lease, options.threads)
        self._nursery = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.soak.nursery", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # it ends its whole group, and that is not ours
        )
        self.living = [self._begin() for _ in range(options.daemons)]

    def _begin(self) -> Daemon:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._born += 1
        self._nursery.stdin.write(f"{self._born}\n")
        self._nursery.stdin.flush()
        answer = self._nursery.stdout.readline()
        assert answer, "the nursery has ended; its error stands above"
        return Daemon(self._born, int(answer), self._folder)

    def renew(self, place: int) -> None:
        """Begin another daemon in the place of one that has ended."""
        old = self.living[place]
        if not old.is_alive:
            self.ended[old.number] = old.code
            self.living[place] = self._begin()

    def renew_all(self) -> None:
        """Begin another daemon for each that has ended."""
        for place in range(len(self.living)):
            self.renew(place)

    def terminate(self) -> None:
        """Ask all to end, and wait for it; their codes are kept."""
        for one in self.living:
            one.go_on()
            one.terminate()
        for one in self.living:
            one.wait()
            self.ended[one.number] = one.code

    def close(self) -> None:
        """End everything at once."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait()
        self._nursery.stdout.close()
