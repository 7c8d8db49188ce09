"""What a user's function is given: values from the log, by name, as its annotations ask."""

import contextlib
from collections.abc import Callable
from typing import Any

from engine import http, values
from engine.calls import Bound, Call
from engine.context import Context
from engine.core.events import StepFailed
from engine.core.run import Run, idempotency_key
from engine.errors import CircuitOpenError, PlayheadError, ValueRefused
from engine.flights import Flight
from engine.outcome import Failure, Outcome
from engine.records import told
from engine.repository import Hold, Repository
from eventstore import clock
from eventstore.errors import LogError

LOOK_EVERY = 0.2  # real seconds between two looks at whether a run is being cancelled
_OMIT = object()  # hand nothing over: Python's own default applies
OnProgress = Callable[[str, str, float, str], None]  # run id, step, fraction, text


class InputMissing(PlayheadError):
    """A parameter's value does not exist yet, and the parameter has no default."""


class Arguments:
    """Makes keyword arguments for user code; one for an engine."""

    def __init__(self, repository: Repository, on_progress: OnProgress | None = None) -> None:
        self._repository = repository
        self._on_progress = on_progress

    def make(
        self, call: Call, hold: Hold, flight: Flight | None, stack: contextlib.ExitStack,
        payloads: dict[str, int] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Give keyword arguments from the log, converted to the receiver's annotations."""
        arguments: dict[str, Any] = {}
        for bound in call.params:
            value = self._value(bound, hold, flight, stack, payloads or {})
            if value is _OMIT:
                if bound.required:
                    raise InputMissing(
                        f"parameter {bound.name!r} has no value yet and no default"
                    )
                continue
            arguments[bound.name] = value
        return arguments

    def _value(
        self, bound: Bound, hold: Hold, flight: Flight | None, stack: contextlib.ExitStack,
        payloads: dict[str, int],
    ) -> Any:  # fmt: skip
        run, name = hold.run, bound.name
        if bound.kind == "input":
            raw = self._repository.inputs(hold).get(name)
            return _OMIT if raw is None else self._decode(bytes(raw), bound)
        if bound.kind == "node":
            return self._node_value(bound, hold)
        if bound.kind == "payload":
            version = payloads.get(name) or run.triggers.get(name)
            return (
                _OMIT
                if version is None
                else self._decode(self._repository.value(hold, version), bound)
            )
        if bound.kind == "failure":
            return None if flight is None else self._failure(hold, flight.step)
        if bound.kind == "context":
            return self._context(hold, flight)
        return self._client(bound, run, flight, stack)

    def _client(
        self, bound: Bound, run: Run, flight: Flight | None, stack: contextlib.ExitStack
    ) -> Any:
        """Give an HTTP client that sends the attempt's key; it is closed when the attempt ends."""
        if flight is None:
            raise ValueRefused(f"{bound.name!r}: only steps are handed clients")
        key = idempotency_key(run, flight.step, flight.visit)
        if bound.kind == "client":
            return stack.enter_context(http.sync_client(key, flight.calls))
        client = http.async_client(key, flight.calls)
        flight.closing.append(client.aclose)
        return client

    def _node_value(self, bound: Bound, hold: Hold) -> Any:
        run, name = hold.run, bound.name
        if hold.plan.definition.is_machine:
            version = run.outputs.get(name)
            return (
                _OMIT
                if version is None
                else self._decode(self._repository.value(hold, version), bound)
            )
        step = run.steps.get(name)
        skipped = step is not None and step.state == "skipped"
        failed = (step is not None and step.state == "failed") or run.signals.get(
            name
        ) == "timed_out"
        if skipped or failed:
            if not bound.outcome:
                return _OMIT
            if skipped:
                return Outcome("skipped")
            return Outcome("failed", failure=self._failure(hold, name))
        version = run.outputs.get(name)
        if version is None:
            return Outcome("skipped") if bound.outcome else _OMIT
        value = self._decode(self._repository.value(hold, version), bound)
        return Outcome("succeeded", value) if bound.outcome else value

    def _decode(self, raw: bytes, bound: Bound) -> Any:
        return values.decode(raw, bound.annotation, f"parameter {bound.name!r}")

    def _failure(self, hold: Hold, name: str) -> Failure:
        step = hold.run.steps.get(name)
        if step is None or not step.failed:
            return _unfailed(name, hold)
        event = self._repository.log.read_version(hold.run.id, [step.failed])[step.failed]
        data: StepFailed = told(event)
        error = data.error
        return Failure(
            step=name, attempts=data.attempt - step.base, type=error.type, message=error.message,
            traceback=error.traceback, at=clock.from_us(event.at),
        )  # fmt: skip

    def _stop_asker(self, flight: Flight) -> Callable[[], bool]:
        """Give what tells whether the attempt is asked to stop.

        A caller's thread that is in the step cannot see what others append: the step's own
        question looks at the log, at most five times a second.
        """
        looked = 0.0

        def is_asked() -> bool:
            nonlocal looked
            now = clock.real_seconds()
            if not flight.is_cancelled and now - looked >= LOOK_EVERY:
                looked = now
                with contextlib.suppress(LogError):
                    head = self._repository.log.head(flight.hold.run.id)
                    if head is not None and head.status in ("cancelling", "cancelled"):
                        flight.cancel()
            return flight.is_cancelled

        return is_asked

    def _context(self, hold: Hold, flight: Flight | None) -> Context:
        run = hold.run
        name = flight.step if flight else ""
        visit = flight.visit if flight else 0
        attempt = flight.attempt if flight else 0

        def progress(fraction: float, text: str = "") -> None:
            if self._repository.veil is not None:
                text = self._repository.veil.words(text)
            if self._on_progress is not None:
                self._on_progress(run.id, name, fraction, text)

        return Context(
            run_id=run.id,
            workflow=run.workflow,
            step=name,
            item=None,
            visit=visit,
            attempt=attempt,
            idempotency_key=idempotency_key(run, name, visit),
            cancelled=self._stop_asker(flight) if flight else (lambda: False),
            progress=progress,
            visits=lambda state: _visits(run, state),
        )


def _visits(run: Run, state: str) -> int:
    if state in run.visits:
        return run.visits[state]
    step = run.steps.get(state)
    return 0 if run.place is not None or step is None or not step.started else step.visit


def _unfailed(name: str, hold: Hold) -> Failure:
    """Give the failure of what never ran: a signal that did not come, a step behind a breaker."""
    node = hold.plan.nodes[name]
    if node.kind == "signal":
        said = f"signal {name!r} did not come in time"
        return Failure(step=name, attempts=0, type="SignalTimeout", message=said)
    refused = CircuitOpenError(node.breaker or "")
    return Failure(step=name, attempts=0, type="CircuitOpenError", message=str(refused))
