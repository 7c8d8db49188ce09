"""What tests of workflows import, in one place; each name is imported when it is first asked for.

    from playhead.testing import Timeline, assert_replays, crash_after, drop, given

The fixtures `playhead_engine` and `timeline` need no import: they come with the pytest plugin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.testing import Crashed, assert_replays, crash_after, given, value
    from playhead.engines import Engines
    from playhead.moments import TimelineRefused
    from playhead.timeline import Timeline
    from triggers.dropping import drop

_ROOMS = {
    "engine.testing": ("Crashed", "assert_replays", "crash_after", "given", "value"),
    "playhead.engines": ("Engines",),
    "playhead.moments": ("TimelineRefused",),
    "playhead.timeline": ("Timeline",),
    "triggers.dropping": ("drop",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Crashed", "Engines", "Timeline", "TimelineRefused", "assert_replays", "crash_after", "drop",
    "given", "value",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a name of the kit from its room."""
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'playhead.testing' has no attribute {name!r}")
    try:
        value = getattr(import_module(room), name)
    except ModuleNotFoundError as error:
        if error.name != "freezegun":
            raise
        raise ModuleNotFoundError(
            f"`{name}` needs freezegun: pip install 'playhead[test]'", name="freezegun"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Give the names of the kit."""
    return sorted(__all__)
