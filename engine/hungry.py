"""The runs that owe a start and found no slot, in the order in which they are to have one.

Suspects come first: while one waits for the crew nothing else starts. Then the larger priority,
and of equal ones the first.
"""

import heapq
import itertools
import threading

from engine.repository import Hold


class Hungry:
    """The line; safe from any thread. True while anybody stands in it."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}
        self._line: list[tuple[bool, int, int, str]] = []
        self._suspects: set[str] = set()  # runs with a step that must run alone; taken ones too
        self._arrivals = itertools.count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._holds)

    def __getitem__(self, run_id: str) -> Hold:
        """Give the run of this id that stands in line."""
        return self._holds[run_id]

    @property
    def has_suspect(self) -> bool:
        """Tell whether a suspect waits."""
        return bool(self._suspects)

    def put(self, hold: Hold, *, suspect: bool) -> None:
        """Let a run stand in line, in place of one of its id that was lost and claimed anew."""
        run_id = hold.run.id
        with self._lock:
            is_new = run_id not in self._holds or (suspect and run_id not in self._suspects)
            self._holds[run_id] = hold
            if suspect:
                self._suspects.add(run_id)
            else:
                self._suspects.discard(run_id)
            if is_new:
                place = (not suspect, -hold.run.priority, next(self._arrivals), run_id)
                heapq.heappush(self._line, place)

    def again(self, hold: Hold) -> None:
        """Let a run that was taken stand in line as it did: it could not be asked."""
        self.put(hold, suspect=hold.run.id in self._suspects)

    def drop(self, hold: Hold) -> None:
        """Let a run go out of the line; not one claimed anew after this one was lost."""
        with self._lock:
            if self._holds.get(hold.run.id, hold) is hold:
                self._holds.pop(hold.run.id, None)
                self._suspects.discard(hold.run.id)

    def take(self, asked: set[str]) -> Hold | None:
        """Take the first that is not among those asked already, and note it there."""
        aside = []
        found: Hold | None = None
        with self._lock:
            while self._line and found is None:
                place = heapq.heappop(self._line)
                if place[-1] not in asked:
                    found = self._holds.pop(place[-1], None)
                elif place[-1] in self._holds:
                    aside.append(place)
            for place in aside:
                heapq.heappush(self._line, place)
        if found is not None:
            asked.add(found.run.id)
        return found
