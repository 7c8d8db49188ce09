"""Many firings of one trigger in one append: each starts its run, or says why it does not.

What another process appended first is read, and the whole is decided upon again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from engine.core import trigger as core
from engine.errors import PlayheadError, StorageError
from engine.recorded import recorded
from engine.triggering import Fired, Firing, Prepared, Starter, Trigger
from engine.triggerstream import TRIES, DoorFull, TriggerStream
from eventstore import InboxKey, Tip
from eventstore.errors import KeyTaken, WrongExpectedVersion

CLOCKS = ("cron", "interval")  # their slots come in order and pass once

Start: TypeAlias = tuple[Firing, Mapping[str, Any]]
Result: TypeAlias = Fired | PlayheadError


def fire_all(
    stream: TriggerStream, starter: Starter, trigger: Trigger, firings: Sequence[Start], *,
    revision: str, due: int | None, aside: bool, limit: int | None,
    live: Callable[[], frozenset[str]],
) -> tuple[list[Result], list[tuple[Prepared, Tip]]]:  # fmt: skip
    """Start a run for each firing. *Appends.*

    Args:
        stream: of the trigger, as it was read last.
        firings: each with the inputs of its run.
        revision: the one that must be armed.
        due: when the trigger next needs to be looked at, microseconds.
        aside: only the keys decide; the watermark neither refuses nor moves.
        limit: how many runs of the trigger may live at once; None: any number.
        live: gives those that live, as the stream was read last.

    Returns:
        What became of each firing; and the runs that were started, to be taken over.

    Raises:
        DoorShut: the trigger is paused, or another revision of it is the armed one.
    """
    adopted: dict[str, str] = {}  # keys under which somebody else started a run
    for tries_left in range(TRIES, -1, -1):
        found = stream.found([firing.key for firing, _ in firings])
        volley = _Volley(stream, starter, trigger, revision)
        room = None if limit is None else limit - len(live())  # anew: others may have fired
        for firing, inputs in firings:
            run = found.get(firing.key)
            if run is not None:
                result: Result = Fired(run, duplicate=True)
            elif room is not None and volley.started >= room:
                result = DoorFull(trigger.name, limit or 0)
            else:
                slot = None if aside else slot_of(trigger, firing)
                result = volley.add(firing, inputs, slot, adopted)
            if isinstance(result, Fired) and result.run:
                found[firing.key] = result.run
            volley.results.append(result)
        try:
            return volley.results, volley.append(due)
        except WrongExpectedVersion:
            if not tries_left:
                raise
        except KeyTaken as taken:
            if not tries_left:
                raise
            if taken.source != stream.id:
                adopted[taken.key] = taken.stream
        stream.read()
    raise AssertionError("the last try returns or raises")


class _Volley:
    """One try: what was decided, and not yet appended."""

    def __init__(
        self, stream: TriggerStream, starter: Starter, trigger: Trigger, revision: str
    ) -> None:
        self.results: list[Result] = []
        self._stream, self._starter, self._trigger = stream, starter, trigger
        self._revision = revision
        self._moves: list[core.Move] = []
        self._causes: list[str | None] = []
        self._started: list[Prepared] = []
        self._inbox: list[InboxKey] = []

    @property
    def started(self) -> int:
        """Give how many runs it starts."""
        return len(self._started)

    def add(
        self, firing: Firing, inputs: Mapping[str, Any], slot: int | None,
        adopted: Mapping[str, str],
    ) -> Result:  # fmt: skip
        """Decide upon a firing whose key does not count yet."""
        stream, name = self._stream, self._trigger.name
        stream.check_open(self._revision)
        if slot is not None and slot <= stream.state.watermark:
            return Fired("", duplicate=True)
        key = f"{name}/{firing.key}"
        run = adopted.get(key)
        if run is None:
            try:
                prepared = self._starter.prepare_start(
                    self._trigger.workflow, inputs, key=key,
                    cause=f"{stream.id}@{stream.state.version + len(self._moves) + 1}",
                )  # fmt: skip
            except StorageError:
                raise
            except PlayheadError as error:
                return error
            self._started.append(prepared)
            self._inbox += prepared.inbox
        target = prepared.run if run is None else run
        move = core.fire(stream.state, firing.key, recorded(firing), target, slot)
        if move is None:
            raise AssertionError("the watermark was looked at before")
        self._moves.append(move)
        self._causes.append(firing.cause)
        self._inbox.append(InboxKey(stream.id, firing.key, target))
        return Fired(target, duplicate=run is not None)

    def append(self, due: int | None) -> list[tuple[Prepared, Tip]]:
        """Append what was decided; give the runs that were started."""
        if not self._moves:
            return []
        tips = self._stream.append(
            self._moves, due=due, causes=self._causes,
            writes=[prepared.write for prepared in self._started], inbox=self._inbox,
        )  # fmt: skip
        return list(zip(self._started, tips, strict=True))


def slot_of(trigger: Trigger, firing: Firing) -> int | None:
    """Give the place of a firing, if the trigger's firings come in order. *Pure.*"""
    if firing.slot is not None:
        return firing.slot
    return firing.at if trigger.kind in CLOCKS else None
