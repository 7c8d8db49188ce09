"""A run as its owner holds it: `engine.start(...)` gives one, `engine.get(id)` finds it again."""

import asyncio
import contextlib
from collections.abc import Generator
from datetime import datetime
from typing import Any

from engine import values
from engine.core.events import ErrorDoc, RunEnded
from engine.core.run import ENDED, display_status
from engine.errors import ResultTimeout, RunCancelled, RunFailed, RunPruned, ValueRefused
from engine.host import Host
from engine.records import told
from engine.repository import Hold
from eventstore import clock

POLL = (0.002, 0.25)  # real seconds between looks at a run that another process drives


class Run:
    """One life of a workflow. Every attribute is read from the log when it is asked for."""

    __slots__ = ("_engine", "id")

    def __init__(self, engine: Host, run_id: str) -> None:
        self._engine = engine
        self.id = run_id

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _hold(self) -> Hold:
        return self._engine.peek(self.id)

    @property
    def key(self) -> str | None:
        """The key it was started with."""
        return self._hold().run.key

    @property
    def workflow(self) -> str:
        """The name of its workflow."""
        return self._hold().run.workflow

    @property
    def status(self) -> str:
        """Where its life stands: running, waiting, succeeded, ...; also of a pruned one."""
        try:
            return display_status(self._hold().run)
        except RunPruned as pruned:
            return pruned.status

    @property
    def state(self) -> str | None:
        """The present state of a machine; None for a pipeline."""
        return self._hold().run.place

    @property
    def tags(self) -> dict[str, str]:
        """The tags it was started with."""
        return dict(self._hold().run.tags)

    @property
    def inputs(self) -> dict[str, Any]:
        """Its inputs, as plain JSON values."""
        raws = self._engine.repository.inputs(self._hold())
        return {name: values.decode(bytes(raw)) for name, raw in raws.items()}

    @property
    def error(self) -> Exception | None:
        """What it failed of, as `RunFailed`; None if it has not failed."""
        hold = self._hold()
        return failure_of(self._engine, hold) if hold.run.status == "failed" else None

    @property
    def started_at(self) -> datetime:
        """When it was started."""
        return clock.from_us(self._hold().run.started_at)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None while it lives."""
        ended = self._hold().run.ended_at
        return None if ended is None else clock.from_us(ended)

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the run has ended and give its result.

        Args:
            timeout: real seconds to wait at most; None: as long as it takes.

        Raises:
            RunFailed: it failed; names the step, the attempts and the error.
            RunCancelled: it was cancelled.
            ResultTimeout: it had not ended in time.
        """
        return result_of(self._engine, self.wait(timeout))

    def wait(self, timeout: float | None = None) -> Hold:
        """Wait for the end; give the folded run.

        Raises:
            ResultTimeout: it had not ended in time.
        """
        engine = self._engine
        until = None if timeout is None else clock.real_seconds() + timeout
        with engine.listening.waiter(self.id) as ended:
            hold = engine.held(self.id) or self._hold()
            pause = POLL[0]
            while not hold.has_ended:
                left = 3600.0 if until is None else until - clock.real_seconds()
                if left <= 0:
                    status = self.status
                    raise ResultTimeout(self.id, status, timeout or 0, engine.why_idle())
                # An open engine hears of every end; else another process has to be asked.
                if ended.wait(min(left, 1.0 if engine.is_open else pause)):
                    return ended.hold or self._hold()
                pause = min(pause * 1.5, POLL[1])
                head = engine.log.head(self.id)
                if head is None or head.status in ENDED:
                    hold = self._hold()
            return hold

    def __await__(self) -> Generator[Any, None, Any]:
        """Await the result without blocking the loop."""
        return self._await().__await__()

    async def _await(self) -> Any:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(done.set)

        with self._engine.listening.waiter(self.id, tell) as ended:
            hold = self._engine.held(self.id)
            while hold is None or not hold.has_ended:
                if hold is not None and self._engine.is_open:
                    await done.wait()
                    hold = ended.hold
                elif hold is not None:  # in slices: a thread that waits cannot be cancelled
                    with contextlib.suppress(ResultTimeout):
                        hold = await loop.run_in_executor(None, self.wait, POLL[1])
                if hold is None:
                    hold = await loop.run_in_executor(None, self._hold)
        return result_of(self._engine, hold)


def result_of(engine: Host, hold: Hold) -> Any:
    """Give the result of an ended run, converted to the declared type of its last step.

    Raises:
        RunFailed: it failed.
        RunCancelled: it was cancelled.
    """
    run = hold.run
    if run.status == "failed":
        raise failure_of(engine, hold)
    if run.status == "cancelled":
        raise RunCancelled(run.id)
    if isinstance(run.result, dict):
        return {name: _value(engine, hold, name, at) for name, at in run.result.items()}
    if run.result is None:
        return None
    name = next((n for n, at in run.outputs.items() if at == run.result), "")
    return _value(engine, hold, name, run.result)


def _value(engine: Host, hold: Hold, name: str, version: int | None) -> Any:
    if version is None:
        return None
    raw = engine.repository.value(hold, version)
    workflow = engine.workflows.get(hold.run.workflow)
    work = workflow.code.works.get(name) if workflow is not None else None
    declared = work.returns if work is not None else Any
    try:
        return values.decode(raw, declared, f"result of run {hold.run.id}")
    except (
        ValueRefused
    ):  # the step gave another type than it declared; it is recorded, and given
        return values.decode(raw)


def failure_of(engine: Host, hold: Hold) -> RunFailed:
    """Give the error that an ended run failed of."""
    run = hold.run
    step, attempts, doc = _recorded(engine, hold)
    url = None if engine.is_private else engine.place
    return RunFailed(run.id, step, attempts, doc.type, doc.message, doc.traceback, url=url)


def _recorded(engine: Host, hold: Hold) -> tuple[str | None, int, ErrorDoc]:
    """Give step, attempts and error from the event that failed the run."""
    run = hold.run
    event = engine.log.read_version(run.id, [run.failure]).get(run.failure)
    if event is not None and event.type == "step.failed":
        step = run.step(event.subject)
        doc: ErrorDoc = told(event).error
        return event.subject, step.attempt - step.base, doc
    if event is not None and event.type == "signal.timed_out":
        return event.subject, 0, ErrorDoc("SignalTimeout", f"no {event.subject!r} came in time")
    if event is not None:
        data: RunEnded = told(event)
        if data.error is not None:
            return data.step, data.attempts, data.error
    if run.place is not None:
        return None, 0, ErrorDoc("FailedState", f"the machine ended in state {run.place!r}")
    return run.failing, 0, ErrorDoc("Failed", "the run failed")
