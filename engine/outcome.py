"""What became of a step: the `Outcome[T]` a consumer may ask for, and the `Failure` inside."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

import msgspec

from engine.errors import PlayheadError

T = TypeVar("T")


class NoValue(PlayheadError):
    """The value of a step that gave none was asked for."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What a step failed of, after its last attempt."""

    step: str
    attempts: int
    type: str  # the error's class name, such as "ConnectTimeout"
    message: str
    traceback: str = ""
    at: datetime | None = None  # aware, UTC


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """How a step ended, for consumers that go on whether it succeeded or not."""

    state: Literal["succeeded", "failed", "skipped"]
    value: T | None = None
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the step succeeded and `value` is its output."""
        return self.state == "succeeded"

    def unwrap(self) -> T:
        """Give the output of a step that succeeded.

        Raises:
            NoValue: The step failed, or was skipped or not delivered.
        """
        if self.state == "succeeded":
            return self.value  # type: ignore[return-value]  # T may itself be Optional
        if self.failure is None:
            raise NoValue(f"the step was {self.state}: it has no value; ask `.ok` first")
        was = self.failure
        raise NoValue(
            f"step {was.step!r} failed after {was.attempts} attempt{'s' * (was.attempts != 1)}:"
            f" {was.type}: {was.message}"
        )
