"""How the engine knows triggers: a small protocol, so that floor 3 stays above floor 2.

A trigger decides from what it sees (a folder, the clock, a request) what fires; the door it is
given makes each firing count once: key, `trigger.fired` and what the firing causes (the start of
a run, a signal to one) are one append.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from engine.core.trigger import TriggerState
from engine.errors import PlayheadError
from eventstore import Append, Headline, InboxKey, Log, Tip, Write

__all__ = [
    "Append",
    "Door",
    "Ending",
    "Fired",
    "Firing",
    "Headline",
    "InboxKey",
    "Message",
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
    facts: dict[str, Any]  # file: path, size, mtime; clocks: slot; ...
    cause: str | None = None  # "stream@version" of the event that it follows from
    slot: int | None = None  # its place where firings come in order; clocks: `at`


class Fired(msgspec.Struct, frozen=True):
    """What became of a firing: the run it started or told, now or when its key first counted."""

    run: str
    duplicate: bool


class Message(msgspec.Struct, frozen=True):
    """A signal that a firing sends."""

    name: str
    payload: Any
    run: str  # id of the run


class Ending(msgspec.Struct, frozen=True):
    """An end of a run, as the log has it."""

    run: str
    version: int  # of the event that ended it
    position: int
    workflow: str
    status: str
    at: int
    outcome: dict[str, Any]  # {"result": ...} or {"error": ...}


class Prepared(msgspec.Struct, frozen=True):
    """A start that is ready to be appended together with its firing."""

    run: str
    write: Write
    inbox: tuple[InboxKey, ...] = ()


class Beside(Protocol):
    """What is appended together with a signal, once it is known whether the run takes it."""

    def cause(self) -> str:
        """Name the event that the signal follows from.

        Asked first in each try: all that was read is read anew if the append before was lost.
        """

    def part(self, refusal: str | None) -> tuple[tuple[Write, ...], tuple[InboxKey, ...]]:
        """Give the writes and keys."""

    def landed(self, tips: Sequence[Tip]) -> None:
        """Be told the tips that the writes left."""


class Starter(Protocol):
    """What a door needs of the engine."""

    log: Log

    def prepare_start(
        self, workflow: str, inputs: Mapping[str, Any], *, key: str | None, cause: str | None
    ) -> Prepared:
        """Make the write that starts a run; nothing is appended yet. Refuses bad inputs."""

    def begun(self, started: Sequence[tuple[Prepared, Tip]]) -> None:
        """Take over runs whose start was appended."""

    def tell(self, message: Message, beside: Beside, *, key: str, by: str) -> str | None:
        """Hand a run a signal, with what is beside it in the same append.

        Returns:
            Why the run refused it, None if it took it. If nothing could be recorded of a refusal,
            nothing was appended at all and `beside` was not told of tips.
        """

    def endings(
        self, workflow: str, types: Collection[str], *, after: int, upto: int, limit: int
    ) -> list[Ending]:
        """Give ends of a workflow's runs in order of position."""

    def cancel(self, run: str, *, by: str, reason: str) -> None:
        """Cancel a run; an ended one is left alone."""

    def poke(self, trigger: str) -> None:
        """Let the engine poll a trigger soon; from any thread."""


class Door(Protocol):
    """What a trigger may ask of the engine."""

    def state(self) -> TriggerState:
        """Give the folded trigger (armed or paused, revision, watermark); arms it first."""

    def fire(
        self,
        firing: Firing,
        inputs: Mapping[str, Any],
        *,
        due: int | None = None,
        aside: bool = False,
    ) -> Fired:
        """Start one run for this firing, once for ever. Appends.

        `due`: when the trigger next needs to be looked at, for `next_due()`. `aside`: only the
        key decides; the watermark neither refuses the firing nor moves.
        """

    def fire_many(
        self, firings: Sequence[tuple[Firing, Mapping[str, Any]]], *,
        due: int | None = None, limit: int | None = None,
    ) -> list[Fired | PlayheadError]:  # fmt: skip
        """Start a run for each firing in one append; or say why one was refused. Appends.

        `limit`: how many runs of the trigger may live at once; those beyond are DoorFull.
        """

    def tell(self, firing: Firing, message: Message, *, aside: bool = False) -> Fired:
        """Send a signal for this firing, once for ever. Appends."""

    def decline(
        self, firing: Firing, reason: str, *, repeats: bool = False, aside: bool = False
    ) -> None:
        """Record that a firing starts nothing. Appends.

        `repeats`: it may come in floods; it is said at once, then gathered and said ever rarer.
        `aside`: the firing is out of order: the watermark neither hides it nor moves.
        """

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for: e.g. `start:WORKFLOW`."""

    def found(self, keys: Collection[str]) -> dict[str, str]:
        """Give the keys of this trigger that count already, each with its run."""

    def live(self) -> frozenset[str]:
        """Give the runs that this trigger started and that have not ended."""

    def statuses(self, runs: Collection[str]) -> dict[str, str]:
        """Give the status of each run that there is."""

    def endings(self, workflow: str, types: Collection[str], *, limit: int) -> list[Ending]:
        """Give ends of a workflow's runs that have not fired here yet, oldest first."""

    def cancel(self, run: str, *, reason: str) -> None:
        """Cancel a run, durably; an ended one is left alone."""

    def wake(self) -> None:
        """Ask for a poll soon; from any thread."""


class Trigger(Protocol):
    """What the engine asks of a trigger.

    One that has `known(before)` is asked by its door when a revision is armed after another (""
    at first): it gives keys that count from then, so that they never start anything.
    """

    name: str
    kind: str  # "file", "cron", "interval", "at", "webhook", "run"
    workflow: str  # the name of what it starts
    hears: str | None  # the workflow whose runs' ends matter to it

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse what cannot be right (DefinitionError), given the workflows by name."""

    def revision(self) -> str:
        """Give a stable text of the options; another text is a new revision."""

    def poll(self, door: Door, now: int) -> int | None:
        """Fire all that is due at `now`, in order, in the caller's thread.

        Returns:
            When to be polled next by the engine's clock (microseconds), None: on `wake` only.
        """

    def ended(self, door: Door, now: int) -> int | None:
        """Do what waited for the end of a run of `hears`; as `poll`, and cheap."""

    def open(self, door: Door) -> None:
        """Begin to watch in the background (threads allowed); `door.wake()` asks for a poll."""

    def close(self) -> None:
        """Stop watching; leaves no thread, handle or watch behind."""
