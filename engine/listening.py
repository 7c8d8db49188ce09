"""Who listens: watchers of appends and progress, and those who wait for a run to end."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from engine.core.run import ENDED
from engine.repository import Hold
from eventstore import Log, NewEvent

log = logging.getLogger("playhead.engine")
OnEvents = Callable[[str, list[NewEvent]], None]  # run id, what was appended
OnProgress = Callable[[str, str, float, str], None]  # run id, step, fraction, text


class Ended(threading.Event):
    """Set when a run ends; carries the folded run if it ended in this process."""

    hold: Hold | None = None


class Listening:
    """The listeners of one engine; safe from any thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._progress: list[OnProgress] = []
        self._watchers: list[OnEvents] = []
        self._ended: dict[str, list[tuple[Ended, Callable[[], None] | None]]] = {}
        self._lock = threading.Lock()

    def observe(self, watcher: OnEvents) -> Callable[[], None]:
        """Call a watcher after each append of this process; gives what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def observe_progress(self, watcher: OnProgress) -> Callable[[], None]:
        """Call a watcher when a step tells its progress; gives what ends it."""
        self._progress.append(watcher)
        return lambda: self._progress.remove(watcher)

    @contextlib.contextmanager
    def waiter(self, run_id: str, tell: Callable[[], None] | None = None) -> Iterator[Ended]:
        """Be told when a run ends, in this process at once."""
        item = (Ended(), tell)
        with self._lock:
            self._ended.setdefault(run_id, []).append(item)
        try:
            yield item[0]
        finally:
            with self._lock:
                items = self._ended[run_id]
                items.remove(item)
                if not items:
                    del self._ended[run_id]

    def appended(self, hold: Hold, events: list[NewEvent]) -> None:
        """Tell of an append, and of a run's end."""
        if hold.run.is_ended:
            self._tell_ended(hold.run.id, hold)
        self.heard(hold.run.id, events)

    def heard(self, run_id: str, events: list[NewEvent]) -> None:
        """Tell watchers what was appended to a run."""
        for watcher in list(self._watchers):
            _tell(watcher, run_id, events)

    def told(self, run_id: str, step: str, fraction: float, text: str) -> None:
        """Tell of a step's progress."""
        for watcher in list(self._progress):
            _tell(watcher, run_id, step, fraction, text)

    def look_for_ends(self) -> None:
        """Find ends that other processes wrote, for who waits here."""
        with self._lock:
            waited = list(self._ended)
        if not waited:
            return
        for run_id, status in self._log.statuses(waited).items():
            if status in ENDED:
                self._tell_ended(run_id, None)

    def let_go(self) -> None:
        """Let those who await look for themselves: this engine no longer hears of ends."""
        with self._lock:
            waiting = [item for items in self._ended.values() for item in items]
        for _, tell in waiting:
            if tell is not None:
                _tell(tell)

    def _tell_ended(self, run_id: str, hold: Hold | None) -> None:
        if run_id not in self._ended:
            return
        with self._lock:
            items = list(self._ended.get(run_id, ()))
        for ended, tell in items:
            ended.hold = hold
            ended.set()
            if tell is not None:
                _tell(tell)


def _tell(listener: Callable[..., object], *words: object) -> None:
    """Call a listener; its fault is none of the run's, nor that its loop was closed meanwhile."""
    try:
        listener(*words)
    except Exception:
        log.exception("a watcher raised", extra={"action": "watcher_failed"})
