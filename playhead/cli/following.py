"""`export --follow`: the log's events as JSON lines, one by one, as they come."""

import contextlib
import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from engine.feed import raw_feed
from eventstore import Event, clock
from playhead.cli import out

if TYPE_CHECKING:
    from engine.app import Engine

LOOK = 500  # milliseconds between two looks whether following has ended


class Line(msgspec.Struct, frozen=True):
    """An event as others read it: its data as JSON, its time as ISO text."""

    position: int
    at: str
    kind: str
    name: str
    stream: str
    version: int
    type: str
    subject: str
    source: str
    dest: str
    data: msgspec.Raw
    cause: str | None


def line_of(event: Event, kind: str, name: str) -> bytes:
    """Give an event's line; large values stand as `<name>_blob`, the hash of a blob. *Pure.*"""
    data = event.data.replace("\n", " ").replace("\r", " ")  # in JSON they stand between values
    return msgspec.json.encode(
        Line(
            event.position, out.when(clock.from_us(event.at), fine=True), kind, name, event.stream,
            event.version, event.type, event.subject, event.source, event.dest,
            msgspec.Raw(data.encode()), event.cause,
        )
    )  # fmt: skip


def follow(
    engine: "Engine", *, after: int | None, cursor: str | None, workflow: str | None,
    types: list[str],
) -> None:  # fmt: skip
    """Print events until interrupted or until the reader of stdout has gone.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    last = engine.log.last_position()
    if after is not None and after > last:
        out.note(
            f"--after {after} lies behind the last event, {last}: what comes up to {after} is left"
            " out. Was this log restored, or is it another one?"
        )
    feed = raw_feed(
        engine.log, after=after, cursor=cursor, follow=True, workflow=workflow, types=types
    )
    has_gone = _watched(feed.stop)
    with contextlib.closing(iter(feed)) as events:  # the place is kept at once, not by chance
        for event in events:
            out.raw_line(line_of(event, *feed.kind_and_name(event.stream)))
    if has_gone.is_set():
        raise BrokenPipeError


def _watched(stop: Callable[[], None]) -> threading.Event:
    """Stop when whoever reads stdout goes away, also while there is nothing to print."""
    has_gone = threading.Event()
    try:
        number = sys.stdout.fileno()
        kind = os.fstat(number).st_mode
    except (OSError, ValueError):
        return has_gone
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return has_gone

    def watch() -> None:
        poll = select.poll()
        poll.register(number, 0)  # errors are always told
        while not poll.poll(LOOK):
            pass
        has_gone.set()
        stop()

    threading.Thread(target=watch, name="playhead-pipe", daemon=True).start()
    return has_gone
