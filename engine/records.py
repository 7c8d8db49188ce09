"""The shapes of events on disk: how one of an earlier release is read in today's shape.

Names never change. A changed shape raises the type's version in `NEWEST` and gets a lift from
the version before; a changed meaning gets a new name.
"""

from typing import Any

from engine.core.events import DECODERS
from eventstore import Event
from eventstore.codec import Lifts
from eventstore.coded import clear_data
from eventstore.errors import EventUnreadable

LIFTS = Lifts()
NEWEST: dict[str, int] = {}  # types whose shape has changed since the first release


def text_of(event: Event) -> str:
    """Give an event's data as JSON text in today's shape. *Pure.*

    Raises:
        EventUnreadable: its shape is newer than this program.
        StillCoded: it is stored encoded, and was read without the codec.
    """
    version, text = LIFTS.lift(event.type, event.type_version, clear_data(event))
    newest = NEWEST.get(event.type, 1)
    if version != newest:
        what = f"{event.type} has shape {version}, and this program reads shape {newest}"
        raise EventUnreadable(event.stream, event.version, what)
    return text


def told(event: Event) -> Any:
    """Give an event's data, decoded. *Pure.*

    Raises:
        EventUnreadable: its shape or type is newer than this program.
    """
    decode = DECODERS.get(event.type)
    if decode is None:
        raise EventUnreadable(event.stream, event.version, f"type {event.type!r} is unknown")
    return decode(text_of(event))
