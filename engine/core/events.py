"""What happened: the data that each type of event carries. Names on disk never change.

A `Fact` is an event on its way: decided, not yet in the log. Values that users made are kept as
raw JSON and never decoded here; a large one lies in a blob and its hash stands in `..._blob`.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

NOT_YET = "\u2013"  # an en dash: the state before the first event


class Data(msgspec.Struct, omit_defaults=True, gc=False):
    """Base of all event data."""


class ErrorDoc(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A user's exception as recorded."""

    type: str
    message: str
    traceback: str = ""


class RunStarted(Data):
    """What a run began with."""

    workflow: str
    definition: str
    inputs: Raw | UnsetType = UNSET
    inputs_blob: str | None = None
    key: str | None = None
    tags: dict[str, str] = {}
    priority: int = 0
    due: int | None = None


class RunEnded(Data):
    """run.succeeded: `result` names the version that holds the output, or one a last step."""

    result: int | dict[str, int | None] | None = None
    step: str | None = None
    attempts: int = 0
    error: ErrorDoc | None = None
    reason: str = ""


class RunSteered(Data):
    """run.due, paused, resumed, parked, cancelling, retried."""

    by: str = ""
    reason: str = ""
    late: int = 0


class RunRedefined(Data):
    """run.redefined: the definition it goes on under."""

    definition: str = ""
    by: str = ""


class StepStarted(Data):
    """An attempt began; `deadline` in microseconds."""

    visit: int
    attempt: int
    worker: str = ""
    fallback: bool = False
    deadline: int | None = None
    breaker: str | None = None
    generation: int = 0
    probe: bool = False
    refused: bool = False  # on_open="fail": the attempt fails at once with CircuitOpenError


class StepSucceeded(Data):
    """An attempt's result."""

    attempt: int
    output: Raw | UnsetType = UNSET
    output_blob: str | None = None
    fallback: bool = False


class StepFailed(Data):
    """A failed attempt, and when the next is due."""

    attempt: int
    error: ErrorDoc
    due: int | None = None
    fallback: bool = False  # the attempt was the fallback's
    next: str = ""  # "fallback": what the retry will be
    lost: bool = False  # on_lost="fail": the worker was lost


class StepSkipped(Data):
    """Why a step was passed over."""

    reason: str = ""


class StepParked(Data):
    """The breaker a step waits for."""

    breaker: str = ""


class StepLost(Data):
    """The worker that went away with an attempt, and how often that was a death."""

    worker: str = ""
    deaths: int = 0
    suspect: int = 0  # deaths as a suspect
    reason: str = ""


class StepCancelled(Data):
    """Why an attempt was ended."""

    attempt: int = 0
    reason: str = ""


class MachineMoved(Data):
    """An edge taken; `visit` 0: the state was not left."""

    visit: int
    by: str = ""
    guards: dict[str, bool] = {}
    payload: Raw | UnsetType = UNSET
    payload_blob: str | None = None
    payload_at: int | None = None  # version of the signal.received that carries the payload
    key: str | None = None


class SignalTold(Data):
    """signal.received, refused, timed_out."""

    payload: Raw | UnsetType = UNSET
    payload_blob: str | None = None
    key: str | None = None
    by: str = ""
    reason: str = ""
    received: int | None = (
        None  # machines, refused: the version of the signal.received answered
    )


class TimerTold(Data):
    """When a timer is due."""

    due: int = 0
    late: int = 0  # microseconds between due and fired
    reason: str = ""


class BreakerTold(Data):
    """A breaker's note or transition; `until` in microseconds."""

    generation: int = 0
    count: int = 0
    rule: str = ""
    until: int | None = None
    by: str = ""
    freed: str = ""  # half_opened again: the probe that ended without an outcome


DATA: dict[str, type[Data]] = {
    "run.started": RunStarted,
    "run.due": RunSteered,
    "run.succeeded": RunEnded,
    "run.failed": RunEnded,
    "run.cancelled": RunEnded,
    "run.paused": RunSteered,
    "run.resumed": RunSteered,
    "run.parked": RunSteered,
    "run.cancelling": RunSteered,
    "run.retried": RunSteered,
    "run.redefined": RunRedefined,
    "step.started": StepStarted,
    "step.succeeded": StepSucceeded,
    "step.skipped": StepSkipped,
    "step.failed": StepFailed,
    "step.parked": StepParked,
    "step.lost": StepLost,
    "step.quarantined": StepLost,
    "step.cancelled": StepCancelled,
    "machine.moved": MachineMoved,
    "signal.received": SignalTold,
    "signal.refused": SignalTold,
    "signal.timed_out": SignalTold,
    "timer.set": TimerTold,
    "timer.fired": TimerTold,
    "timer.cancelled": TimerTold,
    "breaker.failed": BreakerTold,
    "breaker.recovered": BreakerTold,
    "breaker.opened": BreakerTold,
    "breaker.half_opened": BreakerTold,
    "breaker.probed": BreakerTold,
    "breaker.closed": BreakerTold,
    "breaker.forced_open": BreakerTold,
    "breaker.disabled": BreakerTold,
    "breaker.reset": BreakerTold,
}
DECODERS: dict[str, Any] = {
    name: msgspec.json.Decoder(cls).decode for name, cls in DATA.items()
}


class IllegalEvent(ValueError):
    """An event that cannot follow from the state before it: the log or the program is wrong."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event that was decided and is to be appended."""

    type: str
    subject: str
    source: str
    dest: str
    data: Any
    stream: str | None = None  # None: the run's own; else e.g. "breaker:enrichment-api"
    cause: str | None = None
