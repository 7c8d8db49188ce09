"""Call the user's code: steps, fallbacks, `when`, guards, delays, retry policies.

Nothing is decided here and nothing recorded: what the code says comes back as a command. No
exception of the user's passes this room, but for an interrupt in the caller's own thread.
"""

import asyncio
import contextlib
import logging
from typing import Any

from engine import values
from engine.arguments import Arguments, InputMissing, OnProgress
from engine.calls import Call, Work
from engine.core import commands as c
from engine.core.events import ErrorDoc
from engine.core.run import Run, StepState
from engine.errors import CircuitOpenError, PlayheadError, ValueRefused
from engine.failures import StepTimeout, error_doc, is_interrupt, is_storage
from engine.flights import Flight
from engine.loops import run_here, watch
from engine.questions import Questions
from engine.repository import Hold, Repository
from eventstore import clock
from eventstore.errors import StorageError

log = logging.getLogger("playhead.engine")
RESULT_LOST = "the step has run: what it did stands, its result is lost"
PAUSES = (0.05, 0.2, 1.0, 2.0, 2.0, 2.0)  # real seconds between tries while the storage fails


class Performer:
    """Calls user code with values from the log; one for an engine."""

    def __init__(
        self,
        repository: Repository,
        *,
        max_value: int,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._repository = repository
        self._max_value = max_value
        self._arguments = Arguments(repository, on_progress)
        self.answer = Questions(repository, self._arguments).answer

    def work(self, hold: Hold, name: str) -> Work:
        """Give the code of a node."""
        return self._repository.workflows[hold.run.workflow].code.works[name]

    # One attempt.

    def attempt(self, flight: Flight) -> c.Command:
        """Call a sync step, or an async one on a loop of this thread.

        Raises:
            LogError: the step's values could not be read; nothing of the user's has run.
        """
        with contextlib.ExitStack() as stack:
            try:
                call, arguments = self._prepare(flight, stack)
            except BaseException as error:
                if is_interrupt(error) or is_storage(error):
                    raise
                return self._failed(flight, error)
            try:
                if call.is_async:
                    result = run_here(call.fn(**arguments), flight)
                else:
                    result = call.fn(**arguments)
                return self._succeeded(flight, result)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                return self._failed(flight, error)

    async def attempt_async(self, flight: Flight) -> c.Command:
        """Call an async step on the running loop."""
        with contextlib.ExitStack() as stack:
            try:
                call, arguments = self._prepare(flight, stack)
            except BaseException as error:
                if is_storage(error):
                    raise
                return self._failed(flight, error)
            try:
                result = await watch(call.fn(**arguments), flight)
                return self._succeeded(flight, result)
            except BaseException as error:  # noqa: BLE001 - a step's exception is data
                return self._failed(flight, error)

    def _prepare(
        self, flight: Flight, stack: contextlib.ExitStack
    ) -> tuple[Call, dict[str, Any]]:
        hold = flight.hold
        work = self.work(hold, flight.step)
        if flight.refused:
            raise CircuitOpenError(hold.plan.nodes[flight.step].breaker or "")
        call = work.fallback if flight.fallback else work.main
        if call is None:
            raise PlayheadError(f"step {flight.step!r} has no code for this attempt")
        if work.policy is not None and not flight.fallback:
            work.policy.before(flight.attempt - hold.run.step(flight.step).base)
        return call, self._arguments.make(call, hold, flight, stack)

    def _succeeded(self, flight: Flight, result: Any) -> c.Command:
        hold = flight.hold
        if flight.deadline is not None and clock.now_us() > flight.deadline:
            return self._failed(flight, self._late(flight))
        work = self.work(hold, flight.step)
        if work.policy is not None and not flight.fallback:
            step = hold.run.step(flight.step)
            verdict = work.policy.judge(
                attempt=flight.attempt - step.base,
                elapsed=_elapsed(hold.run, step),
                error=None,
                result=result,
            )
            if verdict.retry or verdict.give_up is not None:
                error = verdict.give_up or PlayheadError("the result was judged unfit")
                if verdict.retry:
                    error = _unfit(result)
                return c.Fail(
                    flight.step, flight.visit, flight.attempt, error_doc(error),
                    wait=verdict.wait if verdict.retry else None, counts=None,
                )  # fmt: skip
        try:
            raw = values.encode(result, f"output of step {flight.step!r}", self._max_value)
        except ValueRefused as refused:
            raise ValueRefused(f"{refused}; {RESULT_LOST}") from refused
        value = self._kept(raw, flight)
        return c.Succeed(flight.step, flight.visit, flight.attempt, value)

    def _kept(self, raw: bytes, flight: Flight) -> c.Value:
        """Store a result; while the storage fails it is kept here: the step is not run again."""
        for pause in (*PAUSES, None):
            try:
                return self._repository.store_value(raw)
            except StorageError as error:
                log.error(
                    "the result of %s in run %s could not be stored: %s",
                    flight.step, flight.hold.run.id, error, extra={"action": "storage_failed"},
                )  # fmt: skip
                if pause is None:
                    raise
                clock.real_sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _late(self, flight: Flight) -> StepTimeout:
        node = flight.hold.plan.nodes[flight.step]
        limit = (node.timeout or 0) / clock.SECOND
        return StepTimeout(
            f"attempt {flight.attempt} of step {flight.step!r} took longer than {limit:g} s"
        )

    def timed_out(self, flight: Flight) -> c.Command:
        """Give the failure of an attempt whose deadline has passed."""
        return self._failed(flight, self._late(flight))

    def _failed(self, flight: Flight, error: BaseException) -> c.Command:
        hold = flight.hold
        where = (flight.step, flight.visit, flight.attempt)
        if flight.is_cancelled and not isinstance(error, StepTimeout):
            return c.Cease(*where, reason=f"asked to stop; ended with {type(error).__name__}")
        if flight.deadline is not None and isinstance(error, asyncio.CancelledError):
            error = self._late(flight)
        doc = error_doc(error)
        work = self.work(hold, flight.step)
        refused = isinstance(error, ValueRefused | InputMissing)
        wait = None
        step = hold.run.step(flight.step)
        if work.policy is not None and not flight.fallback and not refused:
            try:
                verdict = work.policy.judge(
                    attempt=flight.attempt - step.base,
                    elapsed=_elapsed(hold.run, step),
                    error=error,
                )
                wait = verdict.wait if verdict.retry else None
            except Exception as broken:  # noqa: BLE001 - a user's __str__ may do anything
                doc = ErrorDoc(
                    doc.type,
                    f"{doc.message} (and its retry policy raised {error_doc(broken).message})",
                    doc.traceback,
                )
        counts = None if refused else self._counts(flight, error)
        return c.Fail(*where, doc, wait=wait, counts=counts)

    def _counts(self, flight: Flight, error: BaseException) -> bool | None:
        """Tell whether an error is a failure for the breaker, by the breaker's own rule."""
        node = flight.hold.plan.nodes[flight.step]
        if node.breaker is None or flight.fallback or flight.refused:
            return None
        workflow = self._repository.workflows[flight.hold.run.workflow]
        step = flight.hold.run.step(flight.step)
        counts: bool | None = workflow.breakers[node.breaker].counts(error, probe=step.probe)
        return counts


def _elapsed(run: Run, step: StepState) -> int:
    """Give the time since a step's first start in this budget, parked and paused time left out."""
    if not step.began:
        return 0
    return clock.now_us() - step.began - step.idle - (run.paused_total - step.paused_before)


def _unfit(result: Any) -> PlayheadError:
    return PlayheadError(f"the retry policy judged the result unfit: {repr(result)[:200]}")
