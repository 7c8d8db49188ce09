"""The command line. `main` is what `playhead` calls; it imports only what the command needs."""

import io
import os
import sys

import playhead
from playhead import importing


def main() -> None:
    """Obey the command line, and end the process with its exit code."""
    _open_what_is_closed()
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"playhead {playhead.__version__}\n")
        return
    try:
        importing.check_packages()
    except importing.AppRefused as refused:
        sys.stderr.write(f"playhead: {refused}\n")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may not know all letters
    try:
        from playhead.cli.commands import app  # noqa: PLC0415 - not before the packages are ours
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    app(prog_name="playhead")


def _open_what_is_closed() -> None:
    """Let what was started without stdout or stderr (`>&-`) write them to nowhere.

    Their numbers are taken, so that no file that is opened later is given one of them.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8"))
