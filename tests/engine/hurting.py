"""What breaks an engine's work at a chosen moment, as a fault of our own would."""

from engine.repository import Hold
from eventstore import NewEvent
from playhead import Engine


def break_down_once(engine: Engine) -> None:
    """Let the next turn that records a step's result raise, after its append."""
    tell = engine.turns.tell

    def break_down(hold: Hold, events: list[NewEvent]) -> None:
        if any(event.type == "step.succeeded" for event in events):
            engine.turns.tell = tell  # type: ignore[method-assign]
            raise RuntimeError("a fault of our own")
        tell(hold, events)

    engine.turns.tell = break_down  # type: ignore[method-assign]
