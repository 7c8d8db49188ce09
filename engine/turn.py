"""What a turn needs of who takes it, and what it leaves to be done."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from engine.breakers import BreakerStore
from engine.core.breaker import BreakerState
from engine.core.commands import Refusal
from engine.core.define import BreakerSpec
from engine.core.plan import Plan
from engine.flights import Flight
from engine.perform import Performer
from engine.repository import Hold, Repository
from engine.veil import Veil
from eventstore import Log, NewEvent, Tip


class Turn(msgspec.Struct):
    """What a turn left to do: attempts to perform, or why the command was refused."""

    flights: list[Flight]
    refusal: Refusal | None = None
    events: int = 0
    is_hungry: bool = False  # work is owed but no slot was free
    has_suspect: bool = False  # and some of it must run alone
    kept_slot: bool = False  # the slot of the flight that ended went to `flights[0]`


class Consulted(dict[str, BreakerState]):
    """The breakers a turn has looked at, each a private copy that the turn may fold on."""

    def __init__(self, store: BreakerStore) -> None:
        super().__init__()
        self._store = store
        self.tips: dict[str, Tip] = {}

    def __missing__(self, name: str) -> BreakerState:
        state, self.tips[name] = self._store.view(name)
        self[name] = state
        return state


class Table(Protocol):
    """What a try needs of who takes the turns."""

    log: Log
    repository: Repository
    breakers: BreakerStore
    performer: Performer
    veil: Veil | None
    worker: str

    def append_id(self) -> str:
        """Give a new id for an append."""

    def specs(self, plan: Plan) -> Mapping[str, BreakerSpec]:
        """Give the breakers of a definition by name."""

    def queued(self, plan: Plan) -> frozenset[str]:
        """Give the breakers behind which steps still wait."""

    def passed(self, name: str) -> None:
        """Let parked steps follow a success."""

    def tell(self, hold: Hold, events: list[NewEvent]) -> None:
        """Tell listeners what was appended."""
