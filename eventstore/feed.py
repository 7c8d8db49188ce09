"""Following the whole log, live, from any position; at least once when a cursor is kept.

Laws of this file: no event is skipped (`read_all` promises it), and at rest the log is asked at
most once a second. In between, `changed()` tells for nothing whether somebody has written; a
server must be asked for that too, so there the pauses grow from `SOON` to a second.
"""

import threading
from collections.abc import Collection, Generator

from eventstore import clock
from eventstore.event import Event
from eventstore.store import Cursor, Log

PAGE = 500  # events read at once
LOOK = 0.02  # seconds between two looks at `changed()`
SOON = 0.05  # seconds until a server is asked again after something came
POLL = 1.0  # seconds after which the log is asked whatever `changed()` says
_KNOWN = 10_000  # streams whose kind and name are kept in mind


class Feed:
    """The events of a log in order of position, past and future; one consumer.

    With a cursor an event counts as taken when the consumer comes back for the next one, and the
    cursor is moved after each page and when the consumer leaves. What was handed out and not yet
    counted is handed out again next time.

    Args:
        log: any log.
        after: hand out events behind this position; not with `cursor`.
        cursor: name of a durable cursor to go on from, and to move.
        follow: wait for what is still to come; else end with the last event that there is.
        kinds: only events of streams of these kinds ("run", "breaker", "trigger"); none: all.
        names: only of streams of these names.
        types: only events of these types.
    """

    def __init__(
        self, log: Log, *, after: int = 0, cursor: str | None = None, follow: bool = True,
        kinds: Collection[str] = (), names: Collection[str] = (), types: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._log, self._follow = log, follow
        self._kinds, self._names, self._types = set(kinds), set(names), set(types)
        self._cursor: Cursor | None = log.cursor(cursor) if cursor is not None else None
        self._saved = clock.real_seconds()
        self._known: dict[str, tuple[str, str]] = {}
        self._stopped = threading.Event()
        self.position = after if self._cursor is None else self._cursor.position

    def stop(self) -> None:
        """Let the feed end, at once if it waits; from any thread."""
        self._stopped.set()

    def __iter__(self) -> Generator[Event, None, None]:
        """Give events, and wait for more.

        Raises:
            CursorMoved: another follower uses the same cursor.
            StorageError: the log cannot be read.
        """
        pause = SOON
        try:
            while not self._stopped.is_set():
                seen = 0 if self._log.is_remote else self._log.changed()
                if (yield from self._page()):
                    pause = SOON
                    continue
                if not self._follow:
                    return
                self._save_if_late()
                if self._log.is_remote:
                    self._stopped.wait(pause)
                    pause = min(pause * 1.5, POLL)
                else:
                    self._wait(seen)
        finally:
            self._save()

    def kind_and_name(self, stream: str) -> tuple[str, str]:
        """Give kind and name of the stream of an event that was handed out."""
        self._learn([stream])
        return self._known.get(stream, ("", ""))

    def _page(self) -> Generator[Event, None, bool]:
        """Hand out a page; give whether there was one."""
        page = self._log.read_all(after=self.position, limit=PAGE)
        wanted = self._wanted(page)
        for event in wanted:
            if self._stopped.is_set():
                return True
            yield event
            self.position = event.position
        if page:
            self.position = page[-1].position
        if wanted:
            self._save()
        return bool(page)

    def _wanted(self, page: list[Event]) -> list[Event]:
        if self._types:
            page = [event for event in page if event.type in self._types]
        if not (self._kinds or self._names):
            return page
        self._learn([event.stream for event in page])
        return [e for e in page if self._fits(*self._known.get(e.stream, ("", "")))]

    def _fits(self, kind: str, name: str) -> bool:
        return (not self._kinds or kind in self._kinds) and (
            not self._names or name in self._names
        )

    def _learn(self, streams: Collection[str]) -> None:
        new = {stream for stream in streams if stream not in self._known}
        if not new:
            return
        if len(self._known) > _KNOWN:
            self._known = {s: self._known[s] for s in streams if s in self._known}
        self._known |= self._log.named(new)

    def _wait(self, seen: int) -> None:
        """Wait until somebody has written, or it is time to ask; or the feed is stopped."""
        until = clock.real_seconds() + POLL
        while not self._stopped.wait(LOOK):
            if self._log.changed() != seen or clock.real_seconds() >= until:
                return

    def _save_if_late(self) -> None:
        """Save also what was passed over by the filters, now and then."""
        if clock.real_seconds() - self._saved >= POLL:
            self._save()

    def _save(self) -> None:
        self._saved = clock.real_seconds()
        cursor, self._cursor = self._cursor, None  # one that was taken over is not tried twice
        if cursor is not None and cursor.position < self.position:
            cursor = self._log.move_cursor(cursor, self.position, now=clock.now_us())
        self._cursor = cursor
