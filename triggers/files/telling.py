"""What starts nothing is told: once while it stays, many of one kind in one event."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.triggering import Door
from engine.triggering import Firing as Letter

SHOWN = 20  # names in one event; the count tells of the rest


class Telling:
    """Tells the door what is there and starts nothing."""

    def __init__(self, name: str) -> None:
        """Take the name of the trigger."""
        self._name = name
        self._told: dict[str, set[str]] = {}  # by reason, what is still there and was told

    def stays(
        self, door: Door, reason: str, names: Iterable[str], now: int, **facts: Any
    ) -> None:
        """Tell of what a look saw and had not been told; forget what it no longer saw."""
        names = set(names)
        before = self._told.get(reason, set())
        if new := sorted(names - before):
            self.say(door, reason, new[0], now, names=new, repeats=True, **facts)
        if names:
            self._told[reason] = names
        else:
            self._told.pop(reason, None)

    def reasons(self, beginning: str) -> list[str]:
        """Give the reasons of what stays that begin so."""
        return [reason for reason in self._told if reason.startswith(beginning)]

    def say(
        self,
        door: Door,
        reason: str,
        key: str,
        now: int,
        *,
        names: Iterable[str] = (),
        repeats: bool = False,
        **facts: Any,
    ) -> None:
        """Tell of something once. *Appends.*"""
        known = list(names)
        told: Mapping[str, Any] = facts
        if known:
            told = {**facts, "names": known[:SHOWN], "count": len(known)}
        door.decline(Letter(self._name, key, now, dict(told)), reason, repeats=repeats)
