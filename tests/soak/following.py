"""Who reads the feed of a round: a process that is killed again and again, and a live watcher.

`python -m tests.soak.following URL FILE` follows with a cursor, and writes down `# place` when it
begins and then the position of each event, in a line each.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.soak import application
from tests.soak.options import ROOT, Options

CURSOR = "soak"


class Follower:
    """A process that follows with a cursor; after it was killed, another goes on."""

    def __init__(self, options: Options) -> None:
        self.file = options.folder / "followed.txt"
        self._said = options.folder / "follower.said"
        self._url = options.url
        self._process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-W", "error", "-m", "tests.soak.following"]
        with self._said.open("ab") as said:
            return subprocess.Popen(
                [*program, self._url, self.file], cwd=ROOT, stdin=subprocess.PIPE, stderr=said
            )

    def renew(self) -> None:
        """Kill it, and begin another."""
        self.close()
        self._process = self._begin()

    def lives(self) -> list[tuple[int, list[int]]]:
        """Give, for each process, where it began and the positions that it was handed."""
        found: list[tuple[int, list[int]]] = []
        for line in self.file.read_text().splitlines() if self.file.exists() else ():
            if line.startswith("#"):
                found.append((int(line[1:]), []))
            else:
                found[-1][1].append(int(line))
        return found

    @property
    def last(self) -> int:
        """The position handed out last."""
        lives = self.lives()
        return (lives[-1][1] or [lives[-1][0]])[-1] if lives else 0

    def close(self) -> None:
        """Kill it."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


class Watcher:
    """A feed without a cursor, in a thread, from the first event on."""

    def __init__(self, url: str) -> None:
        self.seen: list[int] = []
        self.faults: list[str] = []
        self._engine = application.reader(url)
        self._feed = self._engine.feed()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        try:
            for event in self._feed:
                self.seen.append(event.position)
        except Exception as error:  # noqa: BLE001 - whatever it is, the round tells it
            self.faults.append(f"the watcher: {type(error).__name__}: {error}")

    def close(self) -> None:
        """End it."""
        self._feed.stop()
        self._thread.join()
        self._engine.close()


def main(url: str, file: Path) -> None:
    """Follow until killed; each line is written whole before the next event is asked for."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    feed = application.reader(url).feed(cursor=CURSOR)
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, f"# {feed.position}\n".encode())
    for event in feed:
        os.write(out, f"{event.position}\n".encode())


def _end_with_owner() -> None:
    """End when the pipe ends that nothing is written to: its owner was killed."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
