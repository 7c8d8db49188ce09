"""What somebody asks of a run, in the imperative. Values are raw JSON; user code has answered."""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from engine.core.events import ErrorDoc, Fact


class Value(msgspec.Struct, frozen=True, gc=False):
    """A user's value on its way into an event: raw JSON, or the hash of a blob that holds it."""

    raw: Raw | UnsetType = UNSET
    blob: str | None = None


NULL = Value(raw=Raw(b"null"))


class Command(msgspec.Struct, frozen=True):
    """Base of all commands."""


class StartRun(Command, frozen=True):
    """Bring a run to life."""

    workflow: str
    definition: str
    inputs: Value
    key: str | None = None
    tags: dict[str, str] = {}
    priority: int = 0
    due: int | None = None


class Succeed(Command, frozen=True):
    """Record an attempt's result."""

    step: str
    visit: int
    attempt: int
    value: Value


class Fail(Command, frozen=True):
    """Record that an attempt failed."""

    step: str
    visit: int
    attempt: int
    error: ErrorDoc
    wait: int | None = None  # microseconds until the next attempt; None: no further one
    counts: bool | None = True  # for the breaker: failure, success, or (None) no outcome
    for_good: bool = False  # nothing answers in its place, not even a fallback


class Cease(Command, frozen=True):
    """Record that an attempt ended because it was asked to."""

    step: str
    visit: int
    attempt: int
    reason: str = ""


class Lose(Command, frozen=True):
    """Record that an attempt's worker is gone."""

    step: str
    visit: int
    attempt: int
    died: bool  # only a death is charged to the step
    reason: str = ""


class AnswerWhen(Command, frozen=True):
    """Say what a step's `when` said; True needs no event, the step is started."""

    step: str
    error: ErrorDoc | None = None


class SetTimer(Command, frozen=True):
    """Record when a timer, signal or state is due, or that asking failed."""

    name: str
    due: int = 0
    error: ErrorDoc | None = None


class PullTrigger(Command, frozen=True):
    """Take, or refuse, what a machine's guards have answered."""

    trigger: str
    version: int  # of the event that is answered: a result, a signal, a timer
    answers: dict[str, bool] = {}
    error: ErrorDoc | None = None
    guard: str = ""  # the one that raised


class TellSignal(Command, frozen=True):
    """Hand a signal to the run."""

    name: str
    value: Value = NULL
    key: str | None = None
    by: str = ""


class CancelRun(Command, frozen=True):
    """End the run: what is in flight is asked to stop."""

    by: str = ""
    reason: str = ""


class PauseRun(Command, frozen=True):
    """Start nothing new."""

    by: str = ""


class ResumeRun(Command, frozen=True):
    """Go on after a pause."""

    by: str = ""


class RetryRun(Command, frozen=True):
    """Let a failed, cancelled or parked run go on."""

    by: str = ""


class ParkRun(Command, frozen=True):
    """Set the run aside for a person."""

    reason: str = ""


class RedefineRun(Command, frozen=True):
    """Go on under another definition that fits."""

    definition: str
    by: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Why a command cannot be obeyed; the caller turns it into its error."""

    kind: str  # "ended", "state", "signal"
    reason: str
    record: tuple[Fact, ...] = ()  # what is written all the same
