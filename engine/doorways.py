"""The triggers of one engine at work: opened, polled when due or woken, closed."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.doors import TriggerDoor
from engine.errors import DefinitionError
from engine.starting import Starting
from engine.triggering import Trigger
from eventstore import clock


def known_triggers(
    triggers: Iterable[Trigger], workflows: Mapping[str, Any]
) -> dict[str, Trigger]:
    """Give triggers by name, held against the workflows they start.

    Raises:
        DefinitionError: two bear one name, or one cannot be right.
    """
    known: dict[str, Trigger] = {}
    for trigger in triggers:
        trigger.check(workflows)
        if trigger.name in known:
            raise DefinitionError(f"two triggers are called {trigger.name!r}; give one a name=")
        known[trigger.name] = trigger
    return known


class Doorways:
    """Every trigger with its door; polled from one thread at a time."""

    def __init__(self, triggers: Mapping[str, Trigger], starting: Starting) -> None:
        self._triggers = triggers
        self._starting = starting
        # Made with the engine: a first arming counts its slots from then.
        self.doors = {name: TriggerDoor(starting, t) for name, t in triggers.items()}
        self._due: dict[str, int | None] = {}

    def open(self) -> None:
        """Let the triggers watch in the background."""
        for name, trigger in self._triggers.items():
            trigger.open(self.doors[name])

    def close(self) -> None:
        """Let them stop watching."""
        for trigger in self._triggers.values():
            trigger.close()

    def poll(self, *, always: bool = False) -> int | None:
        """Let each trigger that is due, or was woken, fire; give when the next is due.

        Args:
            always: poll all of them: the folder is the truth, not the watch.
        """
        now = clock.now_us()
        always = self._starting.take_woken() or always
        for name, trigger in self._triggers.items():
            due = self._due.get(name, 0)
            if always or (due is not None and due <= now):
                self._due[name] = trigger.poll(self.doors[name], now)
        known = [due for due in self._due.values() if due is not None]
        return min(known) if known else None

    def next_due(self) -> int | None:
        """Give when the next trigger is due by the engine's clock."""
        if not self._due:
            return self.poll()
        known = [due for due in self._due.values() if due is not None]
        return min(known) if known else None
