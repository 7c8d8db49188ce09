"""Where a run comes from: the chain of events from its start back to the file, slot or delivery.

It follows the `cause` of each event; it runs no user code and asks nothing but the log.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from engine.core import trigger as core
from engine.triggerstream import label_of
from eventstore import Event, Log, clock
from eventstore.coded import clear_data

FARTHEST = 1_000  # links; a chain of runs that start each other may be long


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain: a firing of a trigger, or an event of another run."""

    stream: str
    version: int
    type: str  # trigger.fired, run.succeeded, ...
    at: datetime  # aware, UTC: when it was recorded
    trigger: str | None = None  # of a firing: its name
    kind: str | None = None  # of the trigger: file, cron, webhook, run, ...
    key: str | None = None  # of the firing
    facts: dict[str, Any] = {}  # of the firing
    workflow: str | None = None  # of another run
    status: str | None = None  # where that event led it


def causes(log: Log, run_id: str) -> Iterator[Cause]:
    """Give what a run follows from, nearest first. *Reads the log.*

    Empty: it was started by a call.
    """
    first = log.read_version(run_id, [1]).get(1)
    cause = None if first is None else first.cause
    for _ in range(FARTHEST):
        event = _event(log, cause)
        if event is None:
            return
        yield _link(log, event)
        if event.stream.startswith(core.PREFIX):
            cause = event.cause
        else:
            start = log.read_version(event.stream, [1]).get(1)
            cause = None if start is None else start.cause


def _event(log: Log, cause: str | None) -> Event | None:
    """Give the event that `stream@version` names; None if there is none, or no longer."""
    stream, _, version = (cause or "").rpartition("@")
    if not version.isdigit():
        return None
    return log.read_version(stream, [int(version)]).get(int(version))


def _link(log: Log, event: Event) -> Cause:
    where: dict[str, Any] = {
        "stream": event.stream, "version": event.version, "type": event.type,
        "at": clock.from_us(event.at),
    }  # fmt: skip
    head = log.head(event.stream)
    if event.stream.startswith(core.PREFIX):
        where |= {
            "trigger": event.stream.removeprefix(core.PREFIX),
            "kind": label_of(head).get("kind"),
        }
        data = core.data_of(event.type, clear_data(event))
        if not isinstance(data, core.Fired):
            return Cause(**where)
        return Cause(**where, key=data.key, facts=data.facts)
    return Cause(**where, workflow=None if head is None else head.name, status=event.dest)
