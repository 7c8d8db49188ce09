"""The command line. `main` is what `playhead` calls; it imports only what the command needs."""

import io
import os
import sys

import playhead
from playhead.cli import interrupts


def main() -> None:
    """Obey the command line, and end the process with its exit code."""
    _open_what_is_closed()
    interrupts.end_at_once()
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"playhead {playhead.__version__}\n")
        return
    from playhead import importing  # noqa: PLC0415 - Ctrl-C may come from here on

    try:
        importing.check_packages()
    except importing.AppRefused as refused:
        sys.stderr.write(f"playhead: {refused}\n")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may not know all letters
    from playhead.cli.commands import app  # noqa: PLC0415 - not before the packages are ours

    app(prog_name="playhead")


def _open_what_is_closed() -> None:
    """Let what was started without stdout or stderr (`>&-`) write them to nowhere.

    Their numbers are taken, and stdin's, so that no file that is opened later is given one.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8"))
