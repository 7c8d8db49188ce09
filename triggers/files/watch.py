"""The watch: asks for a look at a folder when something happens there, and now and then anyway.

Hints may be lost, doubled or late without harm, because a look is the truth. The watch waits in
real time: it is patience about the world outside, and decides nothing that is recorded.
"""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from eventstore import clock

log = logging.getLogger("playhead.triggers")

GATHER = 0.02  # seconds in which many hints become one
PATIENCE = 5.0  # seconds for threads to end
RETRY = 10.0  # seconds until a watch that the system refused is tried again


class Watch:
    """Threads that look after one folder between `start` and `close`."""

    def __init__(
        self,
        root: str,
        *,
        is_deep: bool,
        wake: Callable[[], None],
        every: Callable[[], float],
        pause: Callable[[], float] = float,
        closed: Callable[[str, str], None] | None = None,
        glance: Callable[[], None] | None = None,
        events: bool = True,
    ) -> None:
        """Take what to watch and whom to tell.

        Args:
            root: absolute path of the folder; it may be missing and may come back.
            is_deep: whether folders below count.
            wake: asks for a look; called from the watch's thread.
            every: gives the seconds until the next look without a hint.
            pause: gives the seconds that a look takes; twice as long is left between two.
            closed: told the absolute path of each file closed or moved in, and which of these.
            glance: called instead of `wake` when there is nothing but files that `closed` was told.
            events: whether to ask the system for events at all.
        """
        self._root, self._is_deep = root, is_deep
        self._tell, self._every, self._closed = wake, every, closed
        self._pause, self._glance = pause, glance or wake
        self._more = threading.Event()  # than files that were told to `closed`
        self._events = events
        self._refusal = ""  # what the program's log was told last
        self._hinted = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {root}", daemon=True)
        self._observer: Any = None
        self._identity: tuple[int, int] | None = None  # device and inode of the folder watched
        self._refused_until = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; waits until the threads have ended."""
        self._stop.set()
        self._hinted.set()
        self._thread.join(PATIENCE * 2)

    def _run(self) -> None:
        looked = float("-inf")
        try:
            while not self._stop.is_set():
                self._mend()
                self._hinted.clear()
                now = clock.real_seconds()
                is_look = self._more.is_set() or now - looked >= self._every()
                if is_look:
                    self._more.clear()
                    looked = now
                # The first hint wakes at once, those that follow it together.
                self._wake(self._tell if is_look else self._glance)
                self._stop.wait(max(GATHER, 2 * self._pause() if is_look else 0))
                if not self._stop.is_set():  # its hint may be among those just taken
                    self._hinted.wait(max(0.0, looked + self._every() - clock.real_seconds()))
        finally:
            self._end_observer()

    def _wake(self, wake: Callable[[], None]) -> None:
        try:
            wake()
        except Exception:  # the watch must outlive whoever it wakes; the next look asks again
            log.exception(
                "Waking for %s failed", self._root, extra={"action": "watch.wake_failed"}
            )

    def _mend(self) -> None:
        """See to it that the system's events are of the folder that is there now."""
        if not self._events or clock.real_seconds() < self._refused_until:
            return
        identity = _identity(self._root)
        if self._observer is not None and (identity != self._identity or not self._is_alive()):
            self._end_observer()
        if self._observer is None and identity is not None:
            self._more.set()  # what came before it is only seen by a look
            try:
                self._begin_observer()
            except Exception as error:  # noqa: BLE001 - whatever it is, looking goes on without
                self._refused_until = clock.real_seconds() + RETRY
                self._end_observer()
                if str(error) != self._refusal:
                    self._refusal = str(error)
                    log.warning(
                        "No events for %s (%s); looking every %.0f s instead",
                        self._root, error, self._every(), extra={"action": "watch.refused"},
                    )  # fmt: skip
            else:
                self._identity, self._refusal = identity, ""

    def _is_alive(self) -> bool:
        emitters = self._observer.emitters
        return bool(
            self._observer.is_alive()
            and emitters
            and all(emitter.is_alive() for emitter in emitters)
        )

    def _begin_observer(self) -> None:
        from watchdog import events  # noqa: PLC0415 - only an open watch loads it

        # Few, so that the system's queue (16,384 by default) holds long drops. When it overflows
        # all the same, what was lost came before what is read next, and that asks for a look.
        wanted: list[type[events.FileSystemEvent]] = [
            events.FileClosedEvent,
            events.FileMovedEvent,
        ]
        if self._is_deep:
            # Files may lie in a new folder that no event tells of, so a look must follow.
            wanted += [events.DirCreatedEvent, events.DirMovedEvent]
            # watchdog 7.1 may add a new folder twice and warns of it in its own reading thread,
            # which ends there if the host has made warnings errors (`-W error`).
            warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)

        class Hints(events.FileSystemEventHandler):
            """Hands each event on; one that raises would end watchdog's thread for good."""

            on_any_event = staticmethod(self._hint)

        self._observer = _new_observer()
        self._observer.schedule(
            Hints(), self._root, recursive=self._is_deep, event_filter=wanted
        )
        self._observer.start()

    def _end_observer(self) -> None:
        observer, self._observer, self._identity = self._observer, None, None
        if observer is None:
            return
        try:
            observer.stop()
            if observer.ident is not None:
                observer.join(PATIENCE)
        except Exception:
            log.exception("Ending a watch failed", extra={"action": "watch.end_failed"})

    def _hint(self, event: Any) -> None:
        try:
            if self._closed is None or event.is_directory:
                self._more.set()
            else:
                is_move = event.event_type == "moved"
                path = os.fsdecode(event.dest_path if is_move else event.src_path)
                if path:  # a file moved out goes nowhere that is watched
                    self._closed(path, "renamed in" if is_move else "seen closed")
        except Exception:
            self._more.set()
            log.exception("A hint was lost", extra={"action": "watch.hint_failed"})
        finally:
            self._hinted.set()


def _new_observer() -> Any:
    """Give watchdog's observer; on Linux one that tells a file moved in from one half written."""
    from watchdog.utils import delayed_queue  # noqa: PLC0415

    # It holds back half a move for 0.5 s. On a frozen clock a file moved out of the folder would
    # hold back every event after it, for ever, and `close` too.
    delayed_queue.time = clock.Unfrozen  # type: ignore[assignment, attr-defined]
    if sys.platform != "linux":
        from watchdog.observers import Observer  # noqa: PLC0415

        return Observer()
    from watchdog.observers.inotify import InotifyObserver  # noqa: PLC0415

    return InotifyObserver(generate_full_events=True)


def _identity(root: str) -> tuple[int, int] | None:
    try:
        status = os.stat(root)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
