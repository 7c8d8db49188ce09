"""What the engine's rooms may ask of the engine itself, so that they need not import its face."""

from collections.abc import Mapping
from typing import Any, Protocol

from engine.breakerstore import BreakerStore
from engine.driver import Driver
from engine.listening import Listening
from engine.repository import Hold, KnownWorkflow, Repository
from engine.turns import Turns
from engine.worker import Worker
from eventstore import Log


class Host(Protocol):
    """The engine as its rooms see it."""

    url: str
    threads: int
    grace: float
    max_value: int
    log: Log
    workflows: dict[str, KnownWorkflow]
    repository: Repository
    breakers: BreakerStore
    turns: Turns
    worker: Worker
    listening: Listening

    @property
    def place(self) -> str:
        """Give the url for people: without the password."""

    @property
    def is_open(self) -> bool:
        """Tell whether workers run in the background."""

    @property
    def is_private(self) -> bool:
        """Tell whether no other process can reach the log."""

    def add(self, workflow: Any) -> None:
        """Learn another workflow."""

    def peek(self, run_id: str) -> Hold:
        """Give a run as folded now; not to be changed."""

    def held(self, run_id: str) -> Hold | None:
        """Give a run that the background worker holds."""

    def live_driver(self) -> Driver | None:
        """Give the driver of the background worker, if the engine is open."""

    def poke(self) -> None:
        """Let the background worker look at once."""

    def why_idle(self) -> str:
        """Say why nothing may be happening; for messages."""

    def start_here(self, workflow: Any, given: Mapping[str, Any], **options: Any) -> Hold:
        """Start a run with the slots of a driver."""

    def poll_triggers(self) -> None:
        """Let all triggers look."""

    def hurry(self) -> None:
        """Let a `close` that waits for steps in flight wait no longer."""

    def close(self, grace: float | None = None) -> None:
        """Stop the workers and let go of the log."""

    def __enter__(self) -> object:
        """Start the workers."""

    def __exit__(self, *_: object) -> None:
        """Stop the workers."""
