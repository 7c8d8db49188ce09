r"""What leaves a command: results on stdout, words on stderr; nobody's control characters.

User data may hold anything; what a terminal would obey is shown escaped, `\x1b` for example.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eventstore import masked_words

WIDE = 100_000  # columns: a listing that no terminal shows is never wrapped or shortened
GAP = 2  # columns between two columns of a table
LEAST = 20  # columns that the last one keeps on a narrow terminal
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, bidi and joiners, lone surrogates
_STYLES = {
    "succeeded": "green", "failed": "red", "cancelled": "red", "cancelling": "red",
    "parked": "bold yellow", "waiting": "yellow", "paused": "yellow", "retrying": "yellow",
    "scheduled": "cyan", "running": "blue", "skipped": "dim", "blocked": "dim", "open": "red",
    "forced_open": "red", "half_open": "yellow", "closed": "green", "armed": "green",
}  # fmt: skip


def plain(text: object) -> str:
    """Give text on one line with all that a terminal would obey escaped. *Pure.*"""
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(_escaped(c) if unicodedata.category(c) in _OBEYED else c for c in shown)


def _escaped(c: str) -> str:
    return c.encode("ascii", "backslashreplace").decode() if ord(c) > 127 else repr(c)[1:-1]


def lines(text: str) -> str:
    """Give text of many lines, each of them made plain. *Pure.*"""
    return "\n".join(plain(line.expandtabs(4)) for line in text.split("\n"))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Give a value of plain JSON as text, whole, with what a terminal would obey escaped."""
    return harmless(json.dumps(value, ensure_ascii=False, indent=indent))


def harmless(text: str) -> str:
    """Give JSON text that means the same, with what a terminal would obey escaped. *Pure.*"""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(_json_escaped(c) if c != "\n" and _is_obeyed(c) else c for c in text)


def _json_escaped(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else json.dumps(c)[1:-1]


def _is_obeyed(c: str) -> bool:
    return unicodedata.category(c) in _OBEYED


def short(value: Any, width: int = 60) -> str:
    """Give a JSON value on one line of at most so many characters. *Pure.*"""
    return clip(plain(json.dumps(value, ensure_ascii=False)), width)


def clip(text: str, width: int = 200) -> str:
    """Give text of at most so many characters, for people; `--json` gives it whole. *Pure.*"""
    return text if len(text) <= width else text[: width - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Give a number of things for people. *Pure.*"""
    return f"{number} {noun}{'s' * (number != 1)}"


def when(moment: datetime | None, *, fine: bool = False) -> str:
    """Give a moment in UTC to the second, or to the microsecond. *Pure.*"""
    if moment is None:
        return "-"
    text = moment.isoformat(timespec="microseconds" if fine else "seconds")
    return text.replace("+00:00", "Z")


class Terminal(Console):
    """Stdout as rich writes to it, but a reader who went away is left to whoever prints."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would end the process for."""
        raise BrokenPipeError


def console(width: int | None = None) -> Console:
    """Give stdout as rich writes to it, so many columns wide; None: as the terminal is."""
    if width is None and not sys.stdout.isatty():
        width = WIDE
    return Terminal(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def result(value: Any, *, indent: int | None = 2) -> None:
    """Print a JSON value to stdout."""
    text = json_text(value, indent=indent)
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("-", "")
    if encoding != "utf8":
        text = json.dumps(value, indent=indent)
    sys.stdout.write(text + "\n")


def raw_line(line: bytes) -> None:
    """Print a line of JSON to stdout at once: letter for letter, but on a terminal."""
    raw_lines(line + b"\n")
    sys.stdout.flush()


def raw_lines(lines: bytes) -> None:
    """Print lines of JSON to stdout: letter for letter, but on a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(harmless(lines.decode()))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(lines)


def say(text: str = "") -> None:
    """Print lines of text to stdout."""
    sys.stdout.write(lines(text) + "\n")


def note(text: str) -> None:
    """Print a remark to stderr."""
    sys.stderr.write(lines(text) + "\n")
    sys.stderr.flush()


def refuse(text: str) -> None:
    """Print to stderr why a command was not obeyed."""
    note(f"playhead: {masked_words(text)}")


def styled(text: str) -> Text:
    """Give a status or state in its colour."""
    return Text(plain(text), style=_STYLES.get(text, ""))


def table(head: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table to stdout; only the last column gives way when the terminal is narrow."""
    cells = [[c if isinstance(c, Text) else Text(plain(c)) for c in row] for row in rows]
    columns = zip(head, *cells, strict=True)
    wide = [max(cell_len(str(cell)) for cell in column) for column in columns]
    last = max(console().width - sum(wide[:-1]) - GAP * len(wide[:-1]), LEAST)
    grid = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for name in head:
        grid.add_column(name, no_wrap=True)
    for row in cells:
        row[-1].truncate(last, overflow="ellipsis")
        grid.add_row(*row)
    console(sum(wide) + GAP * len(wide)).print(grid, crop=False)
