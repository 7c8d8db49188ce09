"""What a trigger starts or tells: how a firing fills inputs or a payload, and the firing itself."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from engine.errors import PlayheadError, SignalRefused, StorageError
from engine.failures import in_short, is_interrupt
from engine.triggering import Door, Fired, Message
from engine.triggering import Firing as Letter
from engine.triggerstream import DoorFull, DoorShut
from engine.values import LONGEST_NAME, is_long
from eventstore import clock
from eventstore.errors import LogError
from triggers.errors import wrong
from triggers.firing import Firing, Mapper, Signalling


class Declined(msgspec.Struct, frozen=True):
    """A firing that started nothing; the reason is recorded, save that it is full (DoorFull)."""

    reason: str
    error: PlayheadError | None = None


Became: TypeAlias = Fired | Declined


class Start:
    """What a trigger starts, and how the firing fills its inputs.

    Attributes:
        workflow: the name of what it starts; of a signal, `signal NAME`.
    """

    def __init__(self, start: Any, mapper: Mapper | None, *, fact: str) -> None:
        """Take the `start` and `input=` of a trigger.

        Args:
            start: a workflow or its name, or `signal(name, to=…)`.
            mapper: makes the inputs of a firing; for a signal, its payload.
            fact: the obvious one: what a workflow with one input gets, and a signal by default.
        """
        if mapper is not None and not callable(mapper):
            raise wrong(f"input= is a function of the firing that gives inputs, not {mapper!r}")
        self._mapper = mapper
        self._fact = fact
        self._into: str | None = None  # the input that the obvious fact fills
        self._signal = start if isinstance(start, Signalling) else None
        if self._signal is not None:
            self.workflow = f"signal {self._signal.name}"
            return
        name = start if isinstance(start, str) else getattr(start, "name", None)
        if not isinstance(name, str) or not name:
            raise wrong(f"a trigger starts a workflow or the name of one, not {start!r}")
        self.workflow = name
        self._hash = getattr(start, "hash", None)
        if mapper is None and hasattr(start, "definition"):
            self._bind(start)

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that the engine does not have, or whose inputs nothing would fill.

        Raises:
            DefinitionError: it names what to write instead.
        """
        if self._signal is not None:
            return  # the run may be of another program
        if self.workflow not in workflows:
            near = difflib.get_close_matches(self.workflow, workflows, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else "; hand it to Engine(workflows=[…])"
            )
            raise wrong(
                f"the trigger starts {self.workflow!r}, no workflow of the engine{hint}"
            )
        known = workflows[self.workflow]
        if self._hash not in (None, getattr(known, "hash", None)):
            raise wrong(
                f"the trigger starts another workflow {self.workflow!r} than the engine has; hand"
                " the same one to both, or its name to the trigger"
            )
        if self._mapper is None:
            self._bind(known)

    def _bind(self, workflow: Any) -> None:
        inputs = workflow.definition.inputs
        required = [one.name for one in inputs if one.required]
        if len(required) > 1:
            names = ", ".join(required)
            raise wrong(
                f"workflow {self.workflow!r} wants {names}: say how the firing fills them, e.g."
                f" input=lambda firing: {{{required[0]!r}: firing.facts[{self._fact!r}], …}}"
            )
        every = [one.name for one in inputs]
        if required:
            self._into = required[0]
        elif self._fact in every or len(every) == 1:
            self._into = self._fact if self._fact in every else every[0]
        else:
            self._into = None

    # What it is given.

    @property
    def into(self) -> str | None:
        """Give the name of the input that the obvious fact fills; None if it fills none."""
        return self._into

    def inputs(self, letter: Letter) -> Mapping[str, Any]:
        """Give the workflow's inputs for a firing; calls the user's `input=`."""
        if self._mapper is None:
            return {} if self._into is None else {self._into: self._obvious(letter)}
        inputs = self._mapper(shown(letter))
        if not isinstance(inputs, Mapping):
            raise TypeError(
                f"input= gave {inputs!r}; it is to give a dict of the inputs by name"
            )
        return inputs

    def _obvious(self, letter: Letter) -> Any:
        return msgspec.to_builtins(letter.facts[self._fact], enc_hook=str)

    def _message(self, door: Door, signal: Signalling, letter: Letter) -> Message:
        """Give the signal of a firing; calls the user's `to=` and `input=`."""
        firing = shown(letter)
        to = signal.to(firing)
        to = getattr(to, "id", to)  # a Run will do
        if not isinstance(to, str) or not to:
            raise TypeError(f"to= gave {to!r}; it is to give the id of a run, or its start key")
        run = to
        if signal.workflow is not None:
            workflow = getattr(signal.workflow, "name", signal.workflow)
            found = door.find(f"start:{workflow}", to)
            if found is None:
                raise LookupError(f"no run of {workflow!r} was started with key {to!r}")
            run = found
        payload = self._obvious(letter) if self._mapper is None else self._mapper(firing)
        return Message(signal.name, payload, run)

    # Firing.

    def fire(
        self, door: Door, letter: Letter, *, due: int | None = None, aside: bool = False
    ) -> Became:
        """Start or tell the run of a firing, or decline it with the reason why it cannot be.

        Args:
            door: of the trigger.
            letter: the firing.
            due: when the trigger next needs to be looked at, microseconds.
            aside: the firing is out of order: only its key decides.

        Raises:
            DoorShut: the trigger is paused or replaced; nothing was written.
        """
        if self._signal is not None:
            return self._tell(door, self._signal, letter, aside=aside)
        try:
            inputs = self.inputs(letter)
        except BaseException as error:  # SystemExit too: it must not end the engine's thread
            if is_interrupt(error):
                raise
            return _decline(door, letter, "input=", error, aside=aside)
        try:
            return door.fire(letter, inputs, due=due, aside=aside)
        except (DoorShut, StorageError):
            raise
        except PlayheadError as error:
            return _refuse(door, letter, error, aside=aside)

    def fire_many(
        self, door: Door, letters: Sequence[Letter], *,
        due: int | None = None, limit: int | None = None,
    ) -> list[Became]:  # fmt: skip
        """Start the runs of many firings in one append; give what became of each.

        Args:
            door: of the trigger.
            letters: the firings.
            due: when the trigger next needs to be looked at, microseconds.
            limit: how many runs of it may live at once.

        Raises:
            DoorShut: the trigger is paused or replaced; nothing was written.
        """
        if self._signal is not None:
            return [self.fire(door, letter) for letter in letters]
        became: dict[int, Became] = {}
        ready: list[tuple[int, Letter, Mapping[str, Any]]] = []
        for n, letter in enumerate(letters):
            try:
                ready.append((n, letter, self.inputs(letter)))
            except (
                BaseException
            ) as error:  # SystemExit too: it must not end the engine's thread
                if is_interrupt(error):
                    raise
                became[n] = _decline(door, letter, "input=", error, repeats=True)
        firings = [(letter, inputs) for _, letter, inputs in ready]
        results = door.fire_many(firings, due=due, limit=limit)
        for (n, letter, _), result in zip(ready, results, strict=True):
            if isinstance(result, DoorFull):
                became[n] = Declined("full", result)
            elif isinstance(result, PlayheadError):
                became[n] = _refuse(door, letter, result, repeats=True)
            else:
                became[n] = result
        return [became[n] for n in range(len(letters))]

    def _tell(self, door: Door, signal: Signalling, letter: Letter, *, aside: bool) -> Became:
        found = door.found([letter.key])
        if found:
            return Fired(found[letter.key], duplicate=True)
        try:
            message = self._message(door, signal, letter)
        except (StorageError, LogError):  # the door's own look-up: nothing is known, try again
            raise
        except BaseException as error:  # SystemExit too: it must not end the engine's thread
            if is_interrupt(error):
                raise
            return _decline(door, letter, "to= or input=", error, aside=aside)
        try:
            return door.tell(letter, message, aside=aside)
        except (DoorShut, StorageError):
            raise
        except SignalRefused as error:
            return Declined(error.reason, error)  # the door has recorded it
        except PlayheadError as error:
            return _refuse(door, letter, error, aside=aside)


def shown(letter: Letter) -> Firing:
    """Give a firing as users see it. *Pure.*"""
    return Firing(letter.trigger, letter.key, clock.from_us(letter.at), letter.facts)


def _decline(
    door: Door, letter: Letter, what: str, error: BaseException, **how: bool
) -> Declined:
    reason = f"{what} failed: {in_short(error)}"
    door.decline(letter, reason, **how)
    return Declined(reason)


def _refuse(door: Door, letter: Letter, error: PlayheadError, **how: bool) -> Declined:
    reason = in_short(error)
    door.decline(letter, reason, **how)
    return Declined(reason, error)


def name_of(name: str | None, kind: str, what: str, workflow: str) -> str:
    """Give a trigger's name: the user's, else kind, what it looks at and what it starts."""
    given = f"{kind}:{what}:{workflow}" if name is None else name
    if not isinstance(given, str) or not given or "\0" in given:
        raise wrong(f"a trigger's name is a text that is not empty, not {name!r}")
    if is_long(given, LONGEST_NAME):
        raise wrong(
            f"the trigger's name {given[:60]!r}... is longer than {LONGEST_NAME} bytes; give name="
        )
    return given


def revision_of(**options: Any) -> str:
    """Give a stable text of options. *Pure.*"""
    return msgspec.json.encode(options, order="sorted").decode()
