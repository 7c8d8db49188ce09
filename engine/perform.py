"""Call the user's code: steps, fallbacks, `when`, guards, delays, retry policies.

Nothing is decided here and nothing recorded: what the code says comes back as a command. No
exception of the user's passes this room, but for an interrupt in the caller's own thread.
"""

import asyncio
import contextlib
import threading
import traceback as tracebacks
from datetime import datetime, timedelta
from typing import Any

from engine import values
from engine.arguments import Arguments, InputMissing, OnProgress
from engine.calls import Call, Work
from engine.core import commands as c
from engine.core.advance import Question
from engine.core.events import ErrorDoc
from engine.core.run import Run, StepState
from engine.errors import CircuitOpenError, PlayheadError, ValueRefused
from engine.flights import Flight
from engine.loops import run_here, watch
from engine.repository import Hold, Repository
from eventstore import clock

TRACEBACK_LIMIT = 16_384  # characters of a traceback that are recorded


class StepTimeout(PlayheadError, TimeoutError):
    """An attempt took longer than its step's `timeout`."""


def error_doc(error: BaseException) -> ErrorDoc:
    """Give a user's exception as it is recorded: type, message, traceback without our frames."""
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may do anything
        message = f"<no message: its __str__ raised {type(broken).__name__}>"
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == __name__:
        frames = frames.tb_next
    try:
        text = "".join(tracebacks.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001 - see above
        text = ""
    return ErrorDoc(type(error).__qualname__, _clean(message), _clean(text[-TRACEBACK_LIMIT:]))


def _is_interrupt(error: BaseException) -> bool:
    """Tell Ctrl-C in the caller's own thread from what a step raised."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def _clean(text: str) -> str:
    """Make any text fit for JSON: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


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

    def work(self, hold: Hold, name: str) -> Work:
        """Give the code of a node."""
        return self._repository.workflows[hold.run.workflow].code.works[name]

    # One attempt.

    def attempt(self, flight: Flight) -> c.Command:
        """Call a sync step, or an async one on a loop of this thread."""
        with contextlib.ExitStack() as stack:
            try:
                call, arguments = self._prepare(flight, stack)
                if call.is_async:
                    result = run_here(call.fn(**arguments), flight)
                else:
                    result = call.fn(**arguments)
                return self._succeeded(flight, result)
            except BaseException as error:
                if _is_interrupt(error):
                    raise
                return self._failed(flight, error)

    async def attempt_async(self, flight: Flight) -> c.Command:
        """Call an async step on the running loop."""
        with contextlib.ExitStack() as stack:
            try:
                call, arguments = self._prepare(flight, stack)
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
        raw = values.encode(result, f"output of step {flight.step!r}", self._max_value)
        value = self._repository.store_value(raw)
        return c.Succeed(flight.step, flight.visit, flight.attempt, value)

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
            except Exception as broken:  # noqa: BLE001 - a user's predicate may do anything
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

    # Questions.

    def answer(self, hold: Hold, question: Question) -> c.Command | None:
        """Ask a `when`, a delay or guards; None: the `when` said yes."""
        if question.kind == "when":
            return self._ask_when(hold, question.name)
        if question.kind == "delay":
            return self._ask_delay(hold, question.name)
        return self._ask_guards(hold, question)

    def _ask_when(self, hold: Hold, name: str) -> c.Command | None:
        call = self.work(hold, name).when
        try:
            if call is None or self._ask(call, hold):
                return None
        except Exception as error:  # noqa: BLE001 - see `attempt`
            return c.AnswerWhen(name, error=error_doc(error))
        return c.AnswerWhen(name)

    def _ask_delay(self, hold: Hold, name: str) -> c.Command:
        code = self._repository.workflows[hold.run.workflow].code
        call = code.delays.get(name) or (code.works[name].delay if name in code.works else None)
        if call is None:
            doc = ErrorDoc("NoCode", f"{name!r} has no code for its delay")
            return c.SetTimer(name, error=doc)
        try:
            return c.SetTimer(name, due=_due(self._ask(call, hold), name))
        except Exception as error:  # noqa: BLE001 - see `attempt`
            return c.SetTimer(name, error=error_doc(error))

    def _ask_guards(self, hold: Hold, question: Question) -> c.Command:
        """Ask guards edge by edge until one edge holds; each guard once."""
        guards = self._repository.workflows[hold.run.workflow].code.guards
        answers: dict[str, bool] = {}
        asked = ""
        under = {question.name: question.version} if question.version in hold.run.inbox else {}
        try:
            for edge in hold.plan.edges.get((hold.run.place or "", question.name), ()):
                for asked in (*edge.conditions, *edge.unless):
                    if asked not in answers:
                        answers[asked] = bool(self._ask(guards[asked], hold, under))
                if all(answers[g] for g in edge.conditions) and not any(
                    answers[g] for g in edge.unless
                ):
                    break
        except Exception as error:  # noqa: BLE001 - see `attempt`
            doc = error_doc(error)
            return c.PullTrigger(
                question.name, question.version, answers, error=doc, guard=asked
            )
        return c.PullTrigger(question.name, question.version, answers)

    def _ask(self, call: Call, hold: Hold, payloads: dict[str, int] | None = None) -> Any:
        with contextlib.ExitStack() as stack:
            return call.fn(**self._arguments.make(call, hold, None, stack, payloads or {}))


def _elapsed(run: Run, step: StepState) -> int:
    """Give the time since a step's first start in this budget, parked and paused time left out."""
    if not step.began:
        return 0
    return clock.now_us() - step.began - step.idle - (run.paused_total - step.paused_before)


def _unfit(result: Any) -> PlayheadError:
    return PlayheadError(f"the retry policy judged the result unfit: {repr(result)[:200]}")


def _due(answer: Any, name: str) -> int:
    """Give the moment that a delay function meant, in microseconds."""
    if isinstance(answer, timedelta):
        return clock.now_us() + answer // timedelta(microseconds=1)
    if isinstance(answer, datetime):
        return clock.to_us(answer)
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return clock.now_us() + int(answer * clock.SECOND)
    raise ValueRefused(
        f"the delay of {name!r} gave {answer!r}; give a timedelta, seconds or an aware datetime"
    )
