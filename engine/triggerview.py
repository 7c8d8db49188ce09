"""A trigger as the log has it: for lists, for explaining, and to pause and resume from outside."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from engine.core import trigger as core
from engine.triggerstream import TriggerStream, label_of
from eventstore import Log, clock
from eventstore.coded import clear_data


class TriggerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a trigger, as `explain` shows it."""

    version: int
    type: str
    at: datetime  # aware, UTC
    key: str | None = None
    reason: str | None = None
    count: int = 1  # firings that it stands for
    run: str | None = None  # that it started, or sent a signal
    facts: dict[str, Any] = {}
    by: str | None = None
    cause: str | None = None  # "stream@version"


class TriggerView:
    """A trigger by name; every attribute is read from the log when it is asked for.

    Attributes:
        name: the trigger's.
        kind: file, cron, interval, at, webhook, run; "" if the log does not know it.
        workflow: the name of what it starts.
    """

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self.name = name
        head = log.head(core.PREFIX + name)
        self.is_known = head is not None  # it was armed at least once
        label = label_of(head)
        self.kind, self.workflow = label.get("kind", ""), label.get("workflow", "")
        self._stream = TriggerStream(log, name, kind=self.kind, workflow=self.workflow)

    @property
    def state(self) -> core.TriggerState:
        """The folded trigger: state, watermark, how often it fired and declined."""
        self._stream.read()
        return self._stream.state

    def pause(self, *, by: str = "") -> bool:
        """Let it fire nothing until resumed; False if it was not armed. *Appends.*"""
        return self._stream.pause(by=by)

    def resume(self, *, by: str = "") -> bool:
        """Let it go on, from now; False if it was not paused. *Appends.*"""
        return self._stream.resume(by=by)

    def events(self, *, since: datetime | None = None) -> Iterator[TriggerEvent]:
        """Give its events, oldest first. *Reads the log.*"""
        first = None if since is None else clock.to_us(since)
        for event in self._log.read(self._stream.id):
            if first is not None and event.at < first:
                continue
            data = core.data_of(event.type, clear_data(event))
            told = {
                name: value
                for name in ("key", "reason", "count", "run", "facts", "by")
                if (value := getattr(data, name, None))
            }
            yield TriggerEvent(
                version=event.version, type=event.type, at=clock.from_us(event.at),
                cause=event.cause, **told,
            )  # fmt: skip
