"""A process that has imported everything, and forks a daemon for each number on its standard input.

`python -m tests.soak.nursery URL FOLDER LEASE THREADS`. It answers each number with a pid. When its
input ends, because its owner closed it or was killed, it ends with all that it has forked.
"""

import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import engine.background
import engine.driving
import engine.serving  # noqa: F401 - loaded once, here
from tests.soak import application

TERMINATE = {signal.SIGTERM}


def main(url: str, folder: Path, lease: float, threads: int) -> None:
    """Fork until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps them
    for line in sys.stdin:
        signal.pthread_sigmask(signal.SIG_BLOCK, TERMINATE)  # until somebody is there to answer
        pid = os.fork()
        if pid == 0:
            serve(int(line), url, folder, lease, threads)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATE)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)


def serve(number: int, url: str, folder: Path, lease: float, threads: int) -> None:
    """Be a daemon; write down the exit code at the end, which is no end by `kill -9`."""
    written = folder / f"daemon-{number}.code"

    def end_early(*_: object) -> None:
        written.write_text("0")
        os._exit(0)

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, end_early)  # `serve` answers in its place while it serves
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATE)
    said = os.open(folder / f"daemon-{number}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for mine, theirs in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(mine, theirs)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(message)s")
    code = 99
    try:
        code = application.worker(url, folder, lease, threads).serve()
    except BaseException:  # noqa: BLE001 - a fault of any kind is what is looked for
        traceback.print_exc()
        sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    written.write_text(str(code))
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
