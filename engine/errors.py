"""Everything the engine can refuse, as one tree.

PlayheadError                  catch this to catch them all
  DefinitionError              a workflow or trigger that cannot be right; names the source line
  ValueRefused                 a value that is not strict JSON, too large or of the wrong type
  SignalRefused                the run's state does not take this signal
  KeyReused                    the same start key with other inputs
  RunUnknown                   no run of this id or key
    RunPruned                  there was one; its history is gone, key and status are kept
  RunEnded                     the run has ended; it takes no more of this
  RunFailed                    the run failed; carries step, attempts, error, run id
  RunCancelled                 the run was cancelled; it has no result
  ResultTimeout                (a TimeoutError too) no result within the time given
  ClockStandsStill             only a timer is left and the clock is frozen
  CommandRefused               pause, resume, retry of a run that is in no state for it
  StorageError                 the log's storage failed (see eventstore/errors.py)
  CircuitOpenError             the breaker is open: the call was not made
"""

from datetime import datetime
from typing import Any, Self


class PlayheadError(Exception):
    """Base of all that the engine refuses."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error cross to another process with all its fields."""
        return _revive, (type(self), self.args, self.__dict__)


def _revive(
    kind: type[PlayheadError], args: tuple[Any, ...], fields: dict[str, Any]
) -> PlayheadError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class RecordedError(str):  # noqa: SLOT000 - text with two fields beside it
    """A user's error as recorded: its message, with `.type` and `.traceback` beside it."""

    type: str
    traceback: str

    def __new__(cls, message: str, type: str = "", traceback: str = "") -> Self:  # noqa: A002
        """Make one from the parts of the record."""
        text = super().__new__(cls, message)
        text.type, text.traceback = type, traceback
        return text

    @property
    def message(self) -> str:
        """Give the message as plain text."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the parts when it crosses to another process."""
        return RecordedError, (str(self), self.type, self.traceback)


class DefinitionError(PlayheadError):
    """A workflow or trigger that cannot be right."""

    def __init__(self, message: str, *, where: str | None = None) -> None:
        self.where = where  # "file.py:12", the line of the definition at fault
        super().__init__(f"{message} ({where})" if where else message)


class ValueRefused(PlayheadError):
    """A value that is not strict JSON, too large, or does not fit the declared type."""


class SignalRefused(PlayheadError):
    """The run's present state does not take this signal."""

    def __init__(self, run_id: str, signal: str, reason: str) -> None:
        self.run_id, self.signal, self.reason = run_id, signal, reason
        super().__init__(f"run {run_id} refused signal {signal!r}: {reason}")


class KeyReused(PlayheadError):
    """The start key was used before with other inputs."""

    def __init__(self, workflow: str, key: str, run_id: str) -> None:
        self.workflow, self.key, self.run_id = workflow, key, run_id
        super().__init__(
            f"key {key!r} of workflow {workflow!r} already started run {run_id} with other inputs;"
            " use another key, or the same inputs to get that run"
        )


class RunUnknown(PlayheadError):
    """No run of this id."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"no run {run_id!r} in this log; `playhead runs` lists them")


class RunPruned(RunUnknown):
    """The run has ended and its history was pruned; its key and its status are kept."""

    def __init__(self, run_id: str, status: str, at: datetime) -> None:
        self.run_id, self.status, self.at = run_id, status, at
        PlayheadError.__init__(
            self,
            f"run {run_id} has {status}; its history was pruned on {at:%Y-%m-%d}: only its key, its"
            " status and its place in lists are kept",
        )


class RunEnded(PlayheadError):
    """The run has ended and takes no more of this."""

    def __init__(self, run_id: str, status: str, asked: str) -> None:
        self.run_id, self.status = run_id, status
        super().__init__(f"run {run_id} has already {status}: cannot {asked}")


class CommandRefused(PlayheadError):
    """The run is in no state for this command."""

    def __init__(self, run_id: str, status: str, asked: str, hint: str = "") -> None:
        self.run_id, self.status = run_id, status
        super().__init__(
            f"run {run_id} is {status}: cannot {asked}{'; ' + hint if hint else ''}"
        )


class RunFailed(PlayheadError):
    """The run failed for good."""

    def __init__(
        self, run_id: str, step: str | None, attempts: int, error_type: str, error: str,
        traceback: str = "", *, url: str | None = None,
    ) -> None:  # fmt: skip
        self.run_id, self.step, self.attempts = run_id, step, attempts
        self.error = RecordedError(error, error_type, traceback)
        self.error_type, self.traceback = error_type, traceback
        where = (
            f" at step {step!r} after {attempts} attempt{'s' * (attempts != 1)}" if step else ""
        )
        hint = f"\n  see what happened, event by event: playhead replay {run_id}"
        super().__init__(
            f"run {run_id} failed{where}: {error_type}: {error}{hint}"
            + (f" --url {url}" if url else "")
        )


class RunCancelled(PlayheadError):
    """The run was cancelled and has no result."""

    def __init__(self, run_id: str, reason: str = "") -> None:
        self.run_id, self.reason = run_id, reason
        super().__init__(f"run {run_id} was cancelled{': ' + reason if reason else ''}")


class ResultTimeout(PlayheadError, TimeoutError):
    """No result came within the time given."""

    def __init__(self, run_id: str, status: str, timeout: float, hint: str = "") -> None:
        self.run_id, self.status, self.timeout = run_id, status, timeout
        super().__init__(
            f"run {run_id} is still {status} after {timeout:g} s{'; ' + hint if hint else ''}"
        )


class ClockStandsStill(PlayheadError):
    """Only a timer is left, and the clock is frozen: waiting would never end."""

    def __init__(self, run_id: str, due: datetime) -> None:
        self.run_id, self.due = run_id, due
        super().__init__(
            f"run {run_id} waits until {due.isoformat()} but the clock is frozen;"
            " start() it instead, move the clock (tick) and call run_until_idle()"
        )


class StorageError(PlayheadError):
    """The log's storage failed; nothing acknowledged is lost."""


class LogDamaged(StorageError):
    """The log holds an event that cannot follow from those before it, or cannot be read."""


class CircuitOpenError(PlayheadError):
    """The circuit breaker is open: the call was not made."""

    def __init__(
        self, breaker: str, state: str = "open", until: datetime | None = None
    ) -> None:
        self.breaker, self.state, self.until = breaker, state, until
        super().__init__(
            f"circuit breaker {breaker!r} is {state}: the call was not made"
            + (f"; it probes at {until.isoformat()}" if until else "")
        )
