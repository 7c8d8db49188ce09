"""How the engine knows triggers: a small protocol, so that floor 3 stays above floor 2.

A trigger decides from what it sees (a folder, the clock) what fires; the door it is given makes
each firing count once: key, `trigger.fired` and `run.started` are one append.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from eventstore import Append, Headline, InboxKey, Tip, Write

__all__ = [
    "Append",
    "Door",
    "Fired",
    "Firing",
    "Headline",
    "InboxKey",
    "Prepared",
    "Starter",
    "Tip",
    "Trigger",
]


class Firing(msgspec.Struct, frozen=True):
    """One coming due of a trigger: which, its key, its moment, its facts."""

    trigger: str
    key: str  # makes it count once
    at: int  # the slot or moment itself, microseconds, not when it was noticed
    facts: dict[str, Any]  # file: path, size, mtime; clocks: slot


class Fired(msgspec.Struct, frozen=True):
    """What became of a firing: the run it started, now or when its key first counted."""

    run: str
    duplicate: bool


class Prepared(msgspec.Struct, frozen=True):
    """A start that is ready to be appended together with its firing."""

    run: str
    write: Write
    inbox: tuple[InboxKey, ...] = ()


class Starter(Protocol):
    """What a door needs of the engine."""

    log: Any  # eventstore.Log

    def prepare_start(
        self, workflow: str, inputs: Mapping[str, Any], *, key: str | None, cause: str | None
    ) -> Prepared:
        """Make the write that starts a run; nothing is appended yet. Refuses bad inputs."""

    def begun(self, prepared: Prepared, tip: Tip) -> None:
        """Take over a run whose start was appended."""

    def poke(self) -> None:
        """Let the engine poll its triggers soon; from any thread."""


class Door(Protocol):
    """What a trigger may ask of the engine."""

    def state(self) -> Any:
        """Give the folded trigger (armed or paused, revision, watermark). Reads the log."""

    def fire(
        self, firing: Firing, inputs: Mapping[str, Any], *, due: int | None = None
    ) -> Fired:
        """Start one run for this firing, once for ever. Appends.

        `due`: when the trigger next needs to be looked at, for `next_due()`.
        """

    def decline(self, firing: Firing, reason: str) -> None:
        """Record that a firing starts nothing, coalesced when it repeats. Appends."""

    def wake(self) -> None:
        """Ask for a poll soon; from any thread."""


class Trigger(Protocol):
    """What the engine asks of a trigger."""

    name: str
    kind: str  # "file", "cron", "interval", "at"
    workflow: str  # the name of what it starts

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse what cannot be right (DefinitionError), given the workflows by name."""

    def revision(self) -> str:
        """Give a stable text of the options; another text is a new revision."""

    def poll(self, door: Door, now: int) -> int | None:
        """Fire all that is due at `now`, in order, in the caller's thread.

        Returns:
            When to be polled next by the engine's clock (microseconds), None: on `wake` only.
        """

    def open(self, door: Door) -> None:
        """Begin to watch in the background (threads allowed); `door.wake()` asks for a poll."""

    def close(self) -> None:
        """Stop watching; leaves no thread, handle or watch behind."""
