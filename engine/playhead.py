"""The playhead: a cursor that can stand anywhere on a run's tape.

Laws of this file: it only reads; it runs no user code and needs none (definitions come from the
log); moving costs nothing, the state is folded when asked for, from the nearest checkpoint.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain

import msgspec

from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import Run
from engine.history import Blobs, HistoryEvent, history_event
from engine.records import text_of
from engine.runview import RunView, Tape
from eventstore import clock
from eventstore.event import Event

EVERY = 1_000  # events between two checkpoints, at least
FINE = 32  # parts between two checkpoints that walking back leaves marks at
LARGE = 64 * 1024  # bytes of a run's state; a larger one is kept at checkpoints only

_DECODER = msgspec.msgpack.Decoder(Run)


class Playhead:
    """A read-only cursor over one run; a new one stands on the last event.

    Args:
        run_id: The run.
        events: All its events, oldest first.
        plan_of: Gives the definition of a hash, from the log.
        blobs: The log, for values too large for an event; read only when asked for.
    """

    def __init__(
        self,
        run_id: str,
        events: Sequence[Event],
        plan_of: Callable[[str], Plan],
        blobs: Blobs | None = None,
    ) -> None:
        self.run_id = run_id
        self._events, self._plan_of, self._blobs = events, plan_of, blobs
        self._tape = Tape(events, _no_blob if blobs is None else blobs.blob)
        self._version = len(events)
        self._run = Run(run_id)  # folded up to its own version, wherever the cursor stands
        self._is_lent = False  # a view reads the run: it is copied before it is folded on
        self._marks: dict[int, bytes] = {}  # version -> the run there; for ever
        self._spacing = EVERY
        self._fine: dict[int, bytes] = {}  # the same, closer, around where the cursor was last
        self._walks_back = False

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<playhead of run {self.run_id!r} at {self._version} of {len(self)}>"

    # Moving.

    def seek(self, where: int | datetime) -> "Playhead":
        """Go to a version, or to the last event that was recorded up to a moment.

        Args:
            where: A version from 1 to `len(head)`; 0: before the first event. Or an aware
                datetime; one before the first event is version 0.

        Returns:
            The playhead itself.

        Raises:
            ValueError: There is no such version, or the datetime has no time zone.
        """
        if isinstance(where, datetime):
            moment = clock.to_us(where)
            later = (event.version - 1 for event in self._events if event.at > moment)
            self._version = next(later, len(self))
            return self
        if isinstance(where, bool) or not isinstance(where, int):
            raise TypeError(f"seek takes a version or a datetime, not {where!r}")
        if not 0 <= where <= len(self):
            raise ValueError(
                f"run {self.run_id} has no version {where}: its versions are 1 to {len(self)},"
                " and 0 is before the first event"
            )
        self._version = where
        return self

    def forward(self) -> bool:
        """Go to the next event; False: it stands on the last one already."""
        if self._version == len(self):
            return False
        self._version += 1
        return True

    def back(self) -> bool:
        """Go to the event before; False: it stands before the first one already."""
        if not self._version:
            return False
        self._version -= 1
        return True

    def seek_where(self, *, type: str | None = None, subject: str | None = None) -> bool:  # noqa: A002
        """Go to the next event of a type or subject; after the last one begin at the first.

        Args:
            type: Such as "step.failed".
            subject: Such as a step's name.

        Returns:
            False: no event of the run is like that; the playhead stays where it is.
        """
        if type is None and subject is None:
            raise TypeError("seek_where needs a type or a subject to look for")
        here = self._version
        ahead, behind = range(here, len(self)), range(here)
        for event in map(self._events.__getitem__, chain(ahead, behind)):
            if type in (None, event.type) and subject in (None, event.subject):
                self._version = event.version
                return True
        return False

    # Looking.

    @property
    def version(self) -> int:
        """Give the version it stands on; 0: before the first event."""
        return self._version

    @property
    def event(self) -> HistoryEvent | None:
        """Give the event it stands on; None before the first one."""
        if not self._version:
            return None
        return history_event(self._events[self._version - 1], self._blobs)

    @property
    def at(self) -> datetime | None:
        """Give when that event was recorded; None before the first one."""
        return clock.from_us(self._events[self._version - 1].at) if self._version else None

    @property
    def state(self) -> RunView:
        """Give the run as it was just after that event. Stays as it is when the cursor moves.

        Raises:
            IllegalEvent: The log holds an event that cannot follow from those before it.
        """
        run = self.fold()
        plan = self._plan_of(run.definition) if run.version else None
        self._is_lent = True
        return RunView(self._tape, run, plan)

    def fold(self) -> Run:
        """Give the folded run where the cursor stands; the playhead's own, only to be read."""
        target = self._version
        if self._run.version > target:
            self._rewind(target)
        run, folded = self._run, self._run.version
        if folded == target:
            return run
        if self._is_lent:
            run = self._run = _DECODER.decode(msgspec.msgpack.encode(run))
            self._is_lent = False
        plan = self._plan_of(run.definition) if folded else None
        fine = max(self._spacing // FINE, 1) if self._walks_back else 0
        for event in self._events[folded:target]:
            if event.type in ("run.started", "run.redefined"):
                plan = self._plan_of(self._tape.told(event.version).definition)
            if plan is None:
                raise ValueError(f"run {self.run_id} does not begin with run.started")
            evolve(
                run, plan, event.version, event.type, event.subject, event.source, event.dest,
                text_of(event), event.at,
            )  # fmt: skip
            self._mark(run, fine)
        return run

    def _mark(self, run: Run, fine: int) -> None:
        """Keep a checkpoint now and then: at most about 100 bytes an event, however large."""
        last = next(reversed(self._marks), 0)
        if run.version - last >= self._spacing:
            kept = self._marks[run.version] = msgspec.msgpack.encode(run)
            self._spacing = max(EVERY, len(kept) // 100)
        elif fine and run.version % fine == 0 and run.version not in self._fine:
            kept = msgspec.msgpack.encode(run)
            if len(kept) <= LARGE:
                self._fine[run.version] = kept

    def _rewind(self, target: int) -> None:
        """Take the run up at the nearest mark at or before `target`."""
        versions = sorted(self._marks)
        place = bisect_right(versions, target)
        start = versions[place - 1] if place else 0
        end = versions[place] if place < len(versions) else len(self) + 1
        self._fine = {v: kept for v, kept in self._fine.items() if start < v < end}
        nearest = max((v for v in self._fine if v <= target), default=start)
        kept = self._fine.get(nearest) or self._marks.get(nearest)
        self._run = _DECODER.decode(kept) if kept is not None else Run(self.run_id)
        self._is_lent = False
        self._walks_back = True


def _no_blob(sha256: str) -> bytes:
    raise LookupError(
        f"the value lies in blob {sha256}; this playhead was made without its log"
    )
