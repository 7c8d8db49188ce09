"""The command line. `main` is what `playhead` calls; it imports only what the command needs."""

import io
import sys

import playhead
from playhead import importing


def main() -> None:
    """Obey the command line, and end the process with its exit code."""
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
    from playhead.cli.commands import app  # noqa: PLC0415 - not before the packages are ours

    app(prog_name="playhead")
