"""The trigger's part of an append that sends a signal: fired if the run takes it, else declined."""

from collections.abc import Sequence

from engine.core import trigger as core
from engine.recorded import REASON, recorded
from engine.triggering import Firing, Message
from engine.triggerstream import Part, TriggerStream
from eventstore import InboxKey, Tip, Write


class FiringBeside:
    """A firing beside the signal that it sends; see `triggering.Beside`.

    Args:
        slot: the firing's place, if its firings come in order.
    """

    def __init__(
        self, stream: TriggerStream, revision: str, firing: Firing, message: Message,
        slot: int | None,
    ) -> None:  # fmt: skip
        self._stream, self._revision = stream, revision
        self._firing, self._message, self._slot = firing, message, slot
        self._was_tried = False
        self._part: Part | None = None
        self._moves: list[core.Move] = []

    def cause(self) -> str:
        """Name the event of the firing, as it will be; reads anew if an append was lost."""
        if self._was_tried:  # to whom it was lost, the log says
            self._stream.read()
            self._stream.check_open(self._revision)
        self._was_tried = True
        return f"{self._stream.id}@{self._stream.state.version + 1}"

    def part(self, refusal: str | None) -> tuple[tuple[Write, ...], tuple[InboxKey, ...]]:
        """Give the trigger's write and key."""
        firing, message, facts = self._firing, self._message, recorded(self._firing)
        state = self._stream.state
        if refusal is None:
            move = core.fire(state, firing.key, facts, message.run, self._slot, message.name)
        else:
            reason = f"signal {message.name!r} was refused: {refusal}"[:REASON]
            move = core.decline(state, firing.key, reason, facts, self._slot)
        key = InboxKey(self._stream.id, firing.key, message.run)
        self._moves = [] if move is None else [move]
        if move is None:  # it was said before, of this very key
            self._part = None
            return (), (key,)
        self._part = self._stream.part(self._moves, due=self._stream.due, causes=[firing.cause])
        return (self._part.write,), (key,)

    def landed(self, tips: Sequence[Tip]) -> None:
        """Take over what was appended."""
        if self._part is not None:
            self._stream.landed(self._part, tips[0], self._moves)
