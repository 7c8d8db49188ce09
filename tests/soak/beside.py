"""What goes on beside the daemons: backups, exports with their imports, deep checks, pruning."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

from eventstore import clock
from tests.soak.options import ROOT, Options

PAUSES = (2.0, 5.0)  # seconds between two commands


class Beside:
    """A thread that runs one command of the command line after the other."""

    def __init__(self, options: Options) -> None:
        self.faults: list[str] = []
        self.commands = 0
        self._options = options
        self._chance = clock.new_chance(f"{options.seed} beside")
        self._kinds: list[Callable[[], None]] = [self._check, self._move]
        if options.kind == "sqlite":
            self._kinds.append(self._back_up)
        if options.is_pruning:
            self._kinds.append(self._prune)
        self._is_quiet = self._chance.random() < 0.3  # more of the machine for the daemons
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_quiet and not self._over.wait(self._chance.uniform(*PAUSES)):
            self.commands += 1
            self._chance.choice(self._kinds)()

    def _check(self) -> None:
        self._run("verify", "--deep")

    def _prune(self) -> None:
        self._run("prune", "--older-than", "3s")

    def _back_up(self) -> None:
        copy = f"{self._options.folder}/copy-{self.commands}.db"
        if self._run("backup", copy):
            self._run("verify", "--deep", url=f"sqlite:///{copy}")

    def _move(self) -> None:
        lines = f"{self._options.folder}/export-{self.commands}.jsonl"
        other = f"sqlite:///{self._options.folder}/import-{self.commands}.db"
        if self._run("export", "--out", lines) and self._run("import", lines, url=other):
            self._run("verify", "--deep", url=other)

    def _run(self, *words: str, url: str = "") -> bool:
        done = command(*words, url=url or self._options.url)
        if done.returncode:
            said = " ".join((done.stdout + done.stderr).split())[-1000:]
            self.faults.append(
                f"playhead {' '.join(words)} ended with {done.returncode}: {said}"
            )
        return done.returncode == 0

    def close(self) -> None:
        """Wait for the last command."""
        self._over.set()
        self._thread.join()


def command(*words: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the tree at hand on a log."""
    return subprocess.run(
        [sys.executable, "-m", "playhead", *words, "--url", url],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if name[:9] != "PLAYHEAD_"},
        capture_output=True,
        text=True,
        check=False,
    )
