"""Triggers that belong to the contract and are not of this version: each says so when made."""

from typing import Any, NoReturn

from triggers.errors import not_yet


class _Later:
    """A trigger that cannot be made yet."""

    def __new__(cls, *_: Any, **__: Any) -> NoReturn:
        raise not_yet(cls.__name__)


class QueueTrigger(_Later):
    """Starts a run for each message of a queue; not yet."""


class ObjectTrigger(_Later):
    """Starts a run for each object in a bucket; not yet."""
