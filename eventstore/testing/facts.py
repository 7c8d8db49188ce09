"""Events and appends for tests that do not care what they say."""

from typing import Any

from eventstore import clock
from eventstore.event import NEW, NewEvent, Tip
from eventstore.store import Append, Headline, InboxKey, Log, Row, Write


def fact(at: int = 1_000, **fields: Any) -> NewEvent:
    """Give an event; any field can be named."""
    values: dict[str, Any] = {
        "type": "thing.noted", "subject": "thing", "source": "a", "dest": "b", "data": '{"n":1}',
        "at": at,
    }  # fmt: skip
    return NewEvent(**(values | fields))


def row(**fields: Any) -> Row:
    """Give a row, running unless said otherwise."""
    return Row(**({"status": "running"} | fields))


def birth(
    log: Log, stream: str, *, kind: str = "run", headline: Headline | None = None,
    events: tuple[NewEvent, ...] | None = None, inbox: tuple[InboxKey, ...] = (), **fields: Any,
) -> Tip:  # fmt: skip
    """Create a stream; `fields` are those of its row. Give its tip."""
    write = Write(stream, kind, NEW, events or (fact(),), row(**fields), headline)
    return log.append(Append(f"birth-{clock.new_id()}", (write,), inbox))[0]


def step(log: Log, stream: str, tip: Tip, *events: NewEvent, **fields: Any) -> Tip:
    """Append to a stream; give its new tip."""
    write = Write(stream, "run", tip, events or (fact(),), row(**fields))
    return log.append(Append(f"step-{clock.new_id()}", (write,)))[0]
