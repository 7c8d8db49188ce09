"""What happens while a command works, told on stderr line by line.

Laws of this file: a listener is called where the engine appends, so it never raises and never
waits for who reads; see `voice.py`.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from eventstore import NewEvent, clock
from playhead.cli import out
from playhead.cli.voice import Voice
from playhead.render import iso

if TYPE_CHECKING:
    from engine.app import Engine

HURRIED = 1.0  # real seconds that a reader gets after Ctrl-C
TENTH = 0.1  # share of a step's progress between two lines, where lines cannot be overwritten
ENDS = ("run.succeeded", "run.failed", "run.cancelled", "run.parked")


class Listener:
    """Listens to an engine while it is entered."""

    def __init__(
        self, engine: "Engine", *, silent: bool = False, voice: Voice | None = None
    ) -> None:
        """Take who is listened to.

        Args:
            engine: not yet at work.
            silent: say nothing.
            voice: what to say it with, closed by its owner; None: one of its own.
        """
        self._engine, self._silent = engine, silent
        self._voice, self._is_own = voice or Voice(), voice is None
        self._ends: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._half = False  # a line on the terminal that the next one overwrites

    def __enter__(self) -> Self:
        self._ends = [
            self._engine.observe(self._safely(self.on_events)),
            self._engine.observe_progress(self._safely(self.on_progress)),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for end in self._ends:
            end()
        with self._lock:
            self._finish_line()
        if self._is_own:
            is_interrupted = kind is not None and not issubclass(kind, Exception)
            self._voice.close(HURRIED if is_interrupted else None)

    def _safely(self, listen: Callable[..., None]) -> Callable[..., None]:
        def listener(*told: Any) -> None:
            with contextlib.suppress(Exception), self._lock:
                listen(*told)

        return listener

    def say(self, text: str) -> None:
        """Print a line, unless silent."""
        if not self._silent:
            self._finish_line()
            self._voice.say(out.lines(text) + "\n")

    def say_over(self, text: str) -> None:
        """Print a line that the next one overwrites; on a terminal only."""
        if not self._silent:
            self._voice.say(f"\r\x1b[K{out.plain(text)}", is_passing=True)
            self._half = True

    def _finish_line(self) -> None:
        if self._half:
            self._voice.say("\r\x1b[K")
            self._half = False

    def on_events(self, run_id: str, events: list[NewEvent]) -> None:
        """Hear of an append."""

    def on_progress(self, run_id: str, step: str, fraction: float, text: str) -> None:
        """Hear of a step's progress."""


class Progress(Listener):
    """Tells of one run, step by step."""

    run_id: str | None = None  # the run that was started, once it was

    def __init__(self, engine: "Engine", *, silent: bool = False) -> None:
        super().__init__(engine, silent=silent)
        self._began: dict[tuple[str, str], int] = {}
        self._told: dict[tuple[str, str], float] = {}

    def on_events(self, run_id: str, events: list[NewEvent]) -> None:
        """Tell of the steps that moved."""
        if self.run_id is None and events and events[0].type == "run.started":
            self.run_id = run_id
            self.say(f"run {run_id}")
        for event in events:
            if event.type == "step.started":
                self._began[run_id, event.subject] = event.at
                self._told.pop((run_id, event.subject), None)
            text = self._words(run_id, event)
            if text:
                self.say(f"  {text}")

    def _words(self, run_id: str, event: NewEvent) -> str | None:  # noqa: PLR0911 - a table
        name, data = event.subject, msgspec.json.decode(event.data)
        began = self._began.get((run_id, name))
        took = "" if began is None else f" in {(event.at - began) / clock.SECOND:.2f} s"
        match event.type:
            case "step.started" if data["attempt"] > 1:
                return f"{name}: attempt {data['attempt']}"
            case "step.started":
                return f"{name}: started"
            case "step.succeeded":
                return f"{name}: succeeded{took}"
            case "step.failed":
                return f"{name}: failed{took}: {_error(data)}"
            case "step.skipped" | "step.lost" | "step.cancelled":
                return f"{name}: {event.dest} {data.get('reason', '')}".rstrip()
            case "step.parked":
                return f"{name}: waits behind breaker {data.get('breaker')!r}"
            case "machine.moved":
                return f"{event.source} -> {event.dest} ({name})"
            case "timer.set":
                return f"{name}: waits until {iso(clock.from_us(data['due']))}"
            case "signal.received" | "signal.timed_out" | "timer.fired":
                return f"{name}: {event.dest}"
        return None

    def on_progress(self, run_id: str, step: str, fraction: float, text: str) -> None:
        """Show how far a step is."""
        shown = f"  {step}: {fraction:.0%} {text}".rstrip()
        if sys.stderr.isatty():
            self.say_over(shown)
        elif fraction - self._told.get((run_id, step), -1.0) >= TENTH:
            self._told[run_id, step] = fraction
            self.say(shown)


def _error(data: dict[str, Any]) -> str:
    """Say what an attempt failed of, and what comes next."""
    due = data.get("due")
    then = "" if due is None else f"; again at {iso(clock.from_us(due))}"
    if data.get("next") == "fallback":
        then = "; its fallback is next"
    return out.clip(f"{data['error']['type']}: {data['error']['message']}") + then


class Checking(Listener):
    """Tells how far a look at a log has come, once it takes longer than a second."""

    def __init__(self, engine: "Engine", total: int) -> None:
        super().__init__(engine)
        self._total = max(total, 1)
        self._next = clock.real_seconds() + 1.0
        self._told = 0.0

    def looked(self, events: int) -> None:
        """Hear how many events were looked at."""
        if clock.real_seconds() < self._next:
            return
        fraction = min(events / self._total, 1.0)
        total = max(self._total, events)  # engines may append meanwhile
        shown = f"looked at {events:,} of {total:,} events, {fraction:.0%}"
        if sys.stderr.isatty():
            self._next += TENTH
            self.say_over(shown)
        elif fraction - self._told >= TENTH:
            self._told = fraction
            self.say(shown)

    def found(self, fault: str) -> None:
        """Print a fault to stdout."""
        self._finish_line()
        out.say(fault)


class Journal(Listener):
    """Tells of many runs: how each ended, and each attempt that failed."""

    def on_events(self, run_id: str, events: list[NewEvent]) -> None:
        """Tell of runs that end, and of attempts that fail."""
        for event in events:
            if event.type in ENDS:
                self.say(f"{run_id} {self._ended(run_id, event)}")
            elif event.type == "step.failed":
                data = msgspec.json.decode(event.data)
                what = f"attempt {data['attempt']} failed: {_error(data)}"
                self.say(f"{run_id} {event.subject}: {what}")

    def _ended(self, run_id: str, event: NewEvent) -> str:
        head = self._engine.log.head(run_id)
        if head is None:
            return event.dest
        took = (event.at - head.created) / clock.SECOND
        return f"{head.name}: {event.dest} after {took:.2f} s"
