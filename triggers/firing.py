"""What fires, as `input=` and `to=` see it."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from triggers.errors import wrong


class Firing(msgspec.Struct, frozen=True):
    """One coming due of a trigger, as handed to `input=`."""

    trigger: str
    key: str  # makes it count once
    at: datetime.datetime  # the slot or moment itself, aware, not when it was noticed
    facts: Mapping[str, Any]  # file: path, size, mtime; clocks: slot; webhook: body, headers


Mapper: TypeAlias = Callable[[Firing], Mapping[str, Any]]


class Signalling(msgspec.Struct, frozen=True):
    """A start that is no start: a signal to a run that waits."""

    name: str
    to: Callable[[Firing], str]
    workflow: Any = None


def signal(name: str, to: Callable[[Firing], str], workflow: Any = None) -> Signalling:
    """Let a trigger send a signal instead of starting a run.

    Args:
        name: of the signal.
        to: gives the id of the run, or the start key of a run of `workflow`, for a firing.
        workflow: whose start keys `to` gives.

    Raises:
        DefinitionError: no name, or no function.
    """
    if not isinstance(name, str) or not name:
        raise wrong(f"a signal's name is a text that is not empty, not {name!r}")
    if not callable(to):
        raise wrong(
            f"to= is a function of the firing that gives the id of a run, not {to!r}; write"
            " e.g. to=lambda firing: firing.facts['id']"
        )
    if workflow is not None and not isinstance(getattr(workflow, "name", workflow), str):
        raise wrong(f"workflow= is a workflow or the name of one, not {workflow!r}")
    return Signalling(name, to, workflow)
