"""Lifts: how an event of an old shape is read in today's shape.

The log is never rewritten. A lift is a pure function from the data of one version of a type to
the data of the next; the reader chains them. A changed shape gets a lift, a changed meaning a
new type name.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Lift = Callable[[dict[str, Any]], dict[str, Any]]


class Lifts:
    """The lifts that one program knows, by type and version they start from."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Lift] = {}

    def register(self, event_type: str, version: int) -> Callable[[Lift], Lift]:
        """Take the decorated function as the lift of a type from `version` to the next one.

        Raises:
            ValueError: there is a lift from this version already.
        """

        def keep(lift: Lift) -> Lift:
            if (event_type, version) in self._steps:
                raise ValueError(f"{event_type!r} has a lift from version {version} already")
            self._steps[event_type, version] = lift
            return lift

        return keep

    def newest(self, event_type: str, version: int) -> int:
        """Give the version that data of this type and version is lifted to. *Pure.*"""
        while (event_type, version) in self._steps:
            version += 1
        return version

    def lift(self, event_type: str, type_version: int, data: str) -> tuple[int, str]:
        """Give version and JSON text in the newest shape known. *Pure.*

        Text that needs no lift is handed back letter for letter, unread.
        """
        step = self._steps.get((event_type, type_version))
        if step is None:
            return type_version, data
        fields = msgspec.json.decode(data)
        while step is not None:
            fields = step(fields)
            type_version += 1
            step = self._steps.get((event_type, type_version))
        return type_version, msgspec.json.encode(fields).decode()
