"""A breaker's events and row, held against its fold. Pure."""

from collections.abc import Iterator

import msgspec

from engine.audit.streams import StreamAudit, rows_differ
from engine.core import breaker as core
from engine.core.breaker import PREFIX, BreakerState
from engine.core.events import BreakerTold
from engine.records import told
from eventstore import Event, Head

_NOTES = frozenset({"breaker.failed", "breaker.recovered", "breaker.probed"})


class BreakerAudit(StreamAudit):
    """Judges one breaker."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.state = BreakerState(stream.removeprefix(PREFIX))

    def fold(self, event: Event) -> str | None:
        """Fold an event; say what it does not follow from."""
        data: BreakerTold = told(event)
        said = _follows(self.state, event, data)
        core.evolve(self.state, event.version, event.type, event.source, event.dest, data)
        return said

    def row_faults(self, head: Head) -> Iterator[str]:
        """Hold the row against the fold; nobody owns a breaker."""
        state = self.state
        try:
            label = msgspec.json.decode(head.label)
        except msgspec.MsgspecError as error:
            yield f"its row's label cannot be read: {error}"
        else:
            shown = {"failures": state.failures, "until": state.until}
            yield from rows_differ(("label", label, shown))
        yield from rows_differ(
            ("name", head.name, state.name),
            ("status", head.status, state.state),
            ("due", head.due, core.due_of(state)),
            ("owner", head.owner, None),
        )


def _follows(state: BreakerState, event: Event, data: BreakerTold) -> str | None:
    """Say what an event cannot follow from although it is a legal move. *Pure.*"""
    frees = event.type == "breaker.half_opened" and event.source == "half_open"
    generation = state.generation + (event.type not in _NOTES and not frees)
    if data.generation != generation:
        return f"it is told in generation {data.generation}, and it is {generation}"
    if event.type == "breaker.failed" and data.count != state.failures + 1:
        return f"it is told as failure {data.count} in a row, and it is {state.failures + 1}"
    ended = data.freed if frees else data.by
    judges = event.source == "half_open" and event.type in ("breaker.closed", "breaker.opened")
    if (frees or judges) and ended not in state.probes:
        return f"it tells the end of the probe {ended!r}, which was never begun"
    return None
