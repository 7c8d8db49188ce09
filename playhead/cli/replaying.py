"""`replay`: walk through a run's events; on a terminal with keys, else as a listing."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import playhead
from playhead import render
from playhead.cli import out, reading, target, unread
from playhead.cli.options import App, At, Json, RunId, Url

try:
    import termios
    import tty
except ImportError:  # no Unix: there is the listing
    termios = tty = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.playhead import Playhead

KEYS = "→ next   ← back   Home first   End last   f failure   g version   q quit"
_NAMES = {
    b"\x1b[C": "next", b"\x1bOC": "next", b"\x1b[B": "next", b"\x1bOB": "next", b" ": "next",
    b"\r": "next", b"\n": "next", b"n": "next", b"l": "next", b"j": "next",
    b"\x1b[D": "back", b"\x1bOD": "back", b"\x1b[A": "back", b"\x1bOA": "back", b"p": "back",
    b"b": "back", b"h": "back", b"k": "back", b"\x7f": "back",
    b"\x1b[H": "first", b"\x1bOH": "first", b"\x1b[1~": "first", b"0": "first", b"^": "first",
    b"\x1b[F": "last", b"\x1bOF": "last", b"\x1b[4~": "last", b"$": "last", b"G": "last",
    b"f": "failure", b"g": "version", b"q": "quit", b"\x1b": "quit", b"\x04": "quit",
    b"": "quit",
}  # fmt: skip
STEPS = 20  # steps shown
_ESCAPE = re.compile(rb"\x1b[\[O][0-9;]*[~A-Za-z]")
ROWS = 12  # events shown around the one that the playhead stands on


def replay(
    run: RunId, *, at: At = None, app: App = None, url: Url = None, json: Json = False
) -> None:
    """Step through a run event by event, forward and back; it only reads.

    On a terminal the arrow keys move; otherwise all events are listed.
    """
    with target.reading(app, url) as engine:
        run_id = target.run_id(engine, run)
        if unread.is_unread(engine):
            unread.run(engine, run_id, at, json=json, whole=False)
            return
        head = target.head_at(engine, run_id, at)
        if json:
            events = engine.history(head.run_id)[: head.version]
            out.result([render.event_doc(event) for event in events])
        elif termios is not None and sys.stdin.isatty() and sys.stdout.isatty():
            if at is None:
                head.seek(min(1, len(head)))
            with _keys() as keys:
                _walk(engine, head, keys)
        else:
            _list(engine, head)


def _list(engine: "Engine", head: "Playhead") -> None:
    events = engine.history(head.run_id)[: head.version]
    out.table(
        ("#", "at", "event", "subject", "move", ""), [reading.event_row(e) for e in events]
    )
    out.note(f"{head.state.status} after {head.version} of {out.counted(len(head), 'event')}")


class Keys:
    """The keys that are pressed, one by one, however many arrive at once."""

    def __init__(self, fd: int) -> None:
        self._fd, self._ahead = fd, b""

    def next(self) -> bytes:
        """Wait for a key; give its bytes, b"" when there will be none any more."""
        self._ahead = self._ahead or os.read(self._fd, 64)
        escape = _ESCAPE.match(self._ahead)
        key = escape[0] if escape else self._ahead[:1]
        self._ahead = self._ahead[len(key) :]
        return key


@contextlib.contextmanager
def _keys() -> Iterator[Keys]:
    """Let each key be read at once, on a screen of its own; both are put back."""
    where = sys.stdin.fileno()
    before = termios.tcgetattr(where)
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        tty.setcbreak(where)
        yield Keys(where)
    finally:
        termios.tcsetattr(where, termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def _walk(engine: "Engine", head: "Playhead", keys: Keys) -> None:
    said = ""
    while True:
        _draw(engine, head, said)
        said = ""
        match _NAMES.get(keys.next()):
            case "next":
                said = "" if head.forward() else "this is the last event"
            case "back":
                said = "" if head.back() else "this is before the first event"
            case "first":
                head.seek(0)
            case "last":
                head.seek(len(head))
            case "failure":
                said = "" if head.seek_where(type="step.failed") else "no step has failed"
            case "version":
                said = _go(head, keys)
            case "quit":
                return


def _go(head: "Playhead", keys: Keys) -> str:
    """Ask for a version and go there; give what is to be said about it."""
    sys.stdout.write(f"version (0 to {len(head)}): ")
    sys.stdout.flush()
    digits = b""
    while (key := keys.next()) not in (b"\r", b"\n", b"\x1b", b""):
        digits = digits[:-1] if key == b"\x7f" else digits + key * key.isdigit()
        sys.stdout.write(f"\r\x1b[Kversion (0 to {len(head)}): {digits.decode()}")
        sys.stdout.flush()
    if not digits:
        return ""
    try:
        head.seek(int(digits))
    except ValueError:
        return f"there is no version {digits.decode()}"
    return ""


def _draw(engine: "Engine", head: "Playhead", said: str) -> None:
    """Show the events around the playhead, and the run as it was just then."""
    sys.stdout.write("\x1b[H\x1b[2J")
    view = head.state
    state = f", state {view.state}" if view.state else ""
    out.say(f"run {head.run_id}  {view.workflow}  {head.version} of {len(head)}")
    out.say(f"{view.status}{state}  {out.when(head.at, fine=True)}")
    out.say()
    first = max(0, min(head.version - ROWS // 2, len(head) - ROWS))
    events = engine.history(head.run_id)[first : first + ROWS]
    out.table(
        ("", "#", "event", "subject", "move", ""),
        [_marked(event.version == head.version, reading.event_row(event)) for event in events],
    )
    out.say()
    try:
        steps = [(name, render.step_doc(step)) for name, step in view.steps.items()]
        out.table(
            ("step", "state", "attempts", "inputs", "output or error"),
            [_step(name, step) for name, step in steps[:STEPS]],
        )
        if len(steps) > STEPS:
            out.say(f"and {len(steps) - STEPS} more: playhead show {head.run_id}")
    except playhead.PlayheadError as error:
        out.say(str(error))
    for wait in view.waits:
        out.say(f"waits for {wait.kind} {wait.name} {out.when(wait.due)}")
    out.say()
    out.say(said)
    out.say(KEYS)
    sys.stdout.flush()


def _marked(is_here: bool, row: list[reading.Cell]) -> list[reading.Cell]:
    return ["▶" if is_here else " ", row[0], *row[2:]]


def _step(name: str, step: render.Doc) -> list[reading.Cell]:
    last = "" if step["output"] is None else out.short(step["output"], 40)
    if step["error"]:
        last = out.clip(f"{step['error']['type']}: {step['error']['message']}")
    inputs = out.short(step["inputs"], 40)
    return [name, out.styled(step["state"]), str(step["attempts"]), inputs, last]
