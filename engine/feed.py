"""`Feed`: the whole log as an engine hands it out, live, for whoever follows it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from engine import values
from engine.asked import several_texts
from engine.errors import ValueRefused
from engine.history import FeedEvent, feed_event
from eventstore import Event, Log
from eventstore import feed as base

Storage = Callable[[], AbstractContextManager[None]]


class Feed:
    """An iterator over events, past and still to come; for one consumer at a time.

    With a cursor an event counts as taken when the next one is asked for. The place is kept after
    each page and when the feed is stopped or closed: what was handed out since is handed out
    again by the next feed of that name.
    """

    def __init__(self, log: Log, followed: base.Feed, storage: Storage) -> None:
        self._log, self._followed, self._storage = log, followed, storage
        self._events: Iterator[Event] = iter(followed)

    @property
    def position(self) -> int:
        """Give the position up to which events were taken, or passed over by the filters."""
        return self._followed.position

    def stop(self) -> None:
        """Let the iteration end, at once if it waits; from any thread."""
        self._followed.stop()

    def close(self) -> None:
        """End it, and keep the place; from the thread that iterates."""
        self.stop()
        close = getattr(self._events, "close", None)
        if close is not None:
            with self._storage():
                close()

    def __iter__(self) -> Self:
        """Give itself."""
        return self

    def __next__(self) -> FeedEvent:
        """Give the next event; waits for it if the feed follows.

        Raises:
            StorageError: the log cannot be read, or another follower has moved the cursor.
        """
        with self._storage():
            event = next(self._events, None)
            if event is not None:
                return feed_event(event, *self._followed.kind_and_name(event.stream), self._log)
        raise StopIteration

    def __enter__(self) -> Self:
        """Begin to follow."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, and keep the place."""
        self.close()


def feed_of(log: Log, storage: Storage, **options: Any) -> Feed:
    """Give a feed; see `Engine.feed`.

    Raises:
        ValueRefused: both `after` and `cursor`, or types that are none.
    """
    return Feed(log, raw_feed(log, **options), storage)


def raw_feed(
    log: Log, *, after: int | None, cursor: str | None, follow: bool, workflow: Any,
    types: Iterable[str],
) -> base.Feed:  # fmt: skip
    """Give a feed of events as the log has them; see `Engine.feed`.

    Raises:
        ValueRefused: both `after` and `cursor`, or one of them, or types, that are none.
    """
    if cursor is not None and not values.key(cursor, "cursor", values.LONGEST_NAME):
        raise ValueRefused("cursor '' has no name; give it one, or leave it out")
    if after is not None and (type(after) is not int or after < 0):
        raise ValueRefused(
            f"after={after!r} is no position; positions are whole numbers from 0 on"
        )
    if after is not None and cursor is not None:
        raise ValueRefused(
            f"cursor {cursor!r} knows where to go on; leave out after={after}, or the cursor"
        )
    name = workflow if isinstance(workflow, str) or workflow is None else workflow.name
    return base.Feed(
        log, after=after or 0, cursor=cursor, follow=follow,
        kinds=() if name is None else ("run",), names=() if name is None else (name,),
        types=several_texts(types, "types"),
    )  # fmt: skip
