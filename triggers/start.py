"""What a trigger starts: the workflow, how a firing fills its inputs, and the firing itself."""

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.doors import DoorShut
from engine.errors import PlayheadError, StorageError
from engine.triggering import Door
from engine.triggering import Firing as Letter
from eventstore import clock
from triggers.errors import not_yet, wrong
from triggers.firing import Firing, Mapper, Signalling


class Start:
    """What a trigger starts, and how the firing fills its inputs."""

    def __init__(self, start: Any, mapper: Mapper | None, *, fact: str) -> None:
        """Take the `start` and `input=` of a trigger.

        Args:
            start: a workflow or its name.
            mapper: makes the inputs of a firing.
            fact: the obvious one: what a workflow with one input gets.
        """
        if isinstance(start, Signalling):
            raise not_yet(f"triggers that send a signal ({start.name!r})")
        name = start if isinstance(start, str) else getattr(start, "name", None)
        if not isinstance(name, str) or not name:
            raise wrong(f"a trigger starts a workflow or the name of one, not {start!r}")
        if mapper is not None and not callable(mapper):
            raise wrong(f"input= is a function of the firing that gives inputs, not {mapper!r}")
        self.workflow = name
        self._mapper = mapper
        self._fact = fact
        self._into: str | None = None  # the input that the obvious fact fills
        if mapper is None and hasattr(start, "definition"):
            self._bind(start)

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that the engine does not have, or whose inputs nothing would fill.

        Raises:
            DefinitionError: it names what to write instead.
        """
        if self.workflow not in workflows:
            near = difflib.get_close_matches(self.workflow, workflows, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else "; hand it to Engine(workflows=[…])"
            )
            raise wrong(
                f"the trigger starts {self.workflow!r}, no workflow of the engine{hint}"
            )
        if self._mapper is None:
            self._bind(workflows[self.workflow])

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

    def inputs(self, letter: Letter) -> Mapping[str, Any]:
        """Give the workflow's inputs for a firing; calls the user's `input=`."""
        if self._mapper is None:
            if self._into is None:
                return {}
            return {self._into: msgspec.to_builtins(letter.facts[self._fact], enc_hook=str)}
        shown = Firing(letter.trigger, letter.key, clock.from_us(letter.at), letter.facts)
        inputs = self._mapper(shown)
        if not isinstance(inputs, Mapping):
            raise TypeError(
                f"input= gave {inputs!r}; it is to give a dict of the inputs by name"
            )
        return inputs

    def fire(self, door: Door, letter: Letter, *, due: int | None = None) -> bool:
        """Start the run of a firing, or decline it with the reason why it cannot start.

        Returns:
            Whether a run was started now.

        Raises:
            DoorShut: the trigger is paused or replaced; nothing was written.
        """
        try:
            inputs = self.inputs(letter)
        except Exception as error:  # noqa: BLE001 - the user's input= may raise anything
            door.decline(letter, f"input= failed: {type(error).__name__}: {error}")
            return False
        try:
            return not door.fire(letter, inputs, due=due).duplicate
        except (DoorShut, StorageError):
            raise
        except PlayheadError as error:
            door.decline(letter, f"{type(error).__name__}: {error}")
            return False


def name_of(name: str | None, kind: str, what: str, workflow: str) -> str:
    """Give a trigger's name: the user's, else kind, what it looks at and what it starts."""
    if name is None:
        return f"{kind}:{what}:{workflow}"
    if not isinstance(name, str) or not name:
        raise wrong(f"a trigger's name is a text that is not empty, not {name!r}")
    return name


def revision_of(**options: Any) -> str:
    """Give a stable text of options. *Pure.*"""
    return msgspec.json.encode(options, order="sorted").decode()
