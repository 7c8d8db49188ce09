"""`Engine`: the one object that somebody who embeds Playhead holds.

The constructor opens nothing. Start, signal and the rest work from any process that reaches the
database, also when no worker runs; work is done by whoever drives: a `with` block, `run`, `serve`
or `run_until_idle`.
"""

import asyncio
import contextlib
import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self

import msgspec

from engine import asked, history, values
from engine.aside import aside
from engine.audit.walk import Audit, Verdict
from engine.background import Background
from engine.behind import Behind
from engine.breakers import BreakerStore, CircuitBreaker, SharedBreaker
from engine.causes import Cause, causes
from engine.core import commands as c
from engine.core.breaker import PREFIX
from engine.core.events import IllegalEvent
from engine.core.run import STATUSES, next_due
from engine.core.trigger import PREFIX as TRIGGER
from engine.doorways import Doorways, check_place, known_triggers
from engine.driver import Driver
from engine.errors import (
    DefinitionError,
    LogDamaged,
    PlayheadError,
    RunPruned,
    RunUnknown,
    StorageError,
    ValueRefused,
)
from engine.feed import Feed, feed_of
from engine.flights import Crew
from engine.health import Health, health_of
from engine.listening import Listening
from engine.perform import Performer
from engine.playhead import Playhead
from engine.repository import Hold, KnownWorkflow, Repository
from engine.runs import Run
from engine.secrets import Secrets
from engine.starting import Starting
from engine.steering import Steering
from engine.triggerview import TriggerView
from engine.turns import Turns
from engine.veiled import guarded
from engine.worker import ASYNC_SLOTS, Worker
from eventstore import Head, NewEvent, clock, masked, open_log, shares_nothing
from eventstore.coded import Codec
from eventstore.errors import LogError

MAX_VALUE = 16 * 2**20  # bytes


class Engine:
    """Runs workflows on an event log."""

    def __init__(
        self,
        url: str,
        *,
        workflows: Iterable[Any] = (),
        triggers: Iterable[Any] = (),
        executors: Mapping[str, Any] | None = None,
        threads: int = 16,
        worker: str | None = None,
        lease: float = 10.0,
        grace: float = 30.0,
        max_value: int = MAX_VALUE,
        tape: str = "on_failure",
        codec: Codec | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        if executors:
            raise DefinitionError("executors= is not in this version yet; leave it out")
        asked.options(
            threads=threads, lease=lease, grace=grace, max_value=max_value, tape=tape,
            worker=worker,
        )  # fmt: skip
        self.url = url
        self.tape = tape
        self.threads, self.grace, self.max_value = threads, grace, max_value
        self.worker_name, self.lease = worker, lease
        self.workflows: dict[str, KnownWorkflow] = {}
        self._declared: dict[str, CircuitBreaker] = {}
        for workflow in asked.several(workflows, "workflows", ("definition", "breakers")):
            self.add(workflow)
        listed = asked.several(triggers, "triggers", ("check", "poll"))
        self.triggers = known_triggers(listed, self.workflows)
        self.codec, self.secrets = asked.codec(codec), asked.secrets(secrets)
        with self._storage():
            self.log = guarded(open_log(url), self.codec, self.secrets, self.workflows)
        check_place(self.triggers, self.log.path)
        self._build()

    def add(self, workflow: Any) -> None:
        """Learn a workflow.

        Raises:
            DefinitionError: another one, or another breaker, has its name.
        """
        known = self.workflows.get(workflow.name)
        if known is not None and known is not workflow:
            raise DefinitionError(
                f"two workflows are called {workflow.name!r}; give one another name"
            )
        self.workflows[workflow.name] = workflow
        for name, breaker in workflow.breakers.items():
            other = self._declared.setdefault(name, breaker)
            if other.spec() != breaker.spec():
                raise DefinitionError(
                    f"breaker {name!r} is declared twice with different options; use one object"
                )

    def _build(self) -> None:
        """Join the parts; nothing is opened."""
        self.repository = Repository(self.log, self.workflows)
        self.breakers = BreakerStore(self.log)
        self.listening = Listening(self.log)
        self.observe = self.listening.observe
        self.observe_progress = self.listening.observe_progress
        performer = Performer(
            self.repository, max_value=self.max_value, on_progress=self.listening.told
        )
        self.turns = Turns(self.repository, self.breakers, performer, clock.new_id())
        self.turns.on_appended.append(self._appended)
        self.worker = Worker(
            self.log, self.repository, self.turns, self.breakers, workflows=self.workflows,
            name=self.worker_name, lease=self.lease,
        )  # fmt: skip
        self.starting = Starting(self)
        self._steering = Steering(self)
        behind = Behind(self, self.starting, self._steering)
        behind.on_poke = self._wake_trigger
        self.doorways = Doorways(self.triggers, behind)
        self._background: Background | None = None
        self._closing: Background | None = None
        self._idle_lock = threading.Lock()

    # Starting and reading.

    def run(
        self, workflow: Any, mapping: Mapping[str, Any] | None = None, /, *,
        key: str | None = None, at: datetime | None = None, priority: int = 0,
        tags: Mapping[str, str] | None = None, **inputs: Any,
    ) -> Any:  # fmt: skip
        """Start a run, drive it to its end here and now, give its result.

        Raises:
            RunFailed: it failed for good.
            ClockStandsStill: only a timer is left and the clock is frozen.
        """
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise PlayheadError(
                "engine.run() would block the running event loop;"
                " use `await engine.start(...)` inside `async with engine:`"
            )
        from engine.driving import run_here  # noqa: PLC0415 - it needs the engine's type

        given = asked.inputs(mapping, inputs)
        self.starting.inputs(self.starting.workflow(workflow), given)
        with self._storage():
            return run_here(self, workflow, given, key=key, at=at, priority=priority, tags=tags)

    def start(
        self, workflow: Any, mapping: Mapping[str, Any] | None = None, /, *,
        key: str | None = None, at: datetime | None = None, priority: int = 0,
        tags: Mapping[str, str] | None = None, **inputs: Any,
    ) -> Run:  # fmt: skip
        """Start a run; it is durable when this returns, whoever drives it.

        Args:
            workflow: a Workflow of this engine, or its name.
            mapping: inputs with names that are options here.
            key: the same key gives the same run, for ever; one that was pruned since has a status
                still, and no result.
            at: an aware datetime before which it does not begin.
            priority: larger first among what is due.
            tags: text to text, for lists.
            inputs: the workflow's inputs by name.

        Raises:
            ValueRefused: an input is unknown, missing, or does not fit its type.
            KeyReused: the key started a run with other inputs.
        """
        with self._storage():
            try:
                hold = self.starting.start(
                    workflow, asked.inputs(mapping, inputs),
                    key=key, at=at, priority=priority, tags=tags, driver=self.live_driver(),
                )  # fmt: skip
            except RunPruned as pruned:
                return Run(self, pruned.run_id)
        return Run(self, hold.run.id)

    def get(self, run_id: str) -> Run:
        """Give a run by id.

        Raises:
            RunUnknown: there is none.
        """
        with self._storage():
            self.peek(asked.run_id(run_id))
        return Run(self, asked.run_id(run_id))

    def runs(
        self, workflow: Any = None, status: str | Iterable[str] | None = None,
        key: str | None = None, tags: Mapping[str, str] | None = None,
        since: datetime | None = None, limit: int | None = 100,
    ) -> list[history.RunRow]:  # fmt: skip
        """List runs as frozen rows, newest first; filters are all to hold."""
        statuses = (status,) if isinstance(status, str) else tuple(status or ())
        if unknown := sorted(set(statuses) - set(STATUSES)):
            raise ValueRefused(f"status {unknown[0]!r} is none of {', '.join(STATUSES)}")
        name = workflow if isinstance(workflow, str) or workflow is None else workflow.name
        for what, text in (("workflow", name), ("key", key)):
            if text is not None:
                values.text(text, what)
        with self._storage():
            heads = self.log.heads(
                kind="run", name=name, status=statuses, key=key,
                tags=asked.tags(tags) or None,
                since=None if since is None else asked.moment(since, "since"),
                limit=asked.limit(limit),
            )  # fmt: skip
            return [self._row(head) for head in heads]

    def _row(self, head: Head) -> history.RunRow:
        if head.purged is not None:
            return history.run_row(head, None)
        first = self.log.read_version(head.id, [1]).get(1)
        if first is None:  # pruned since its row was read, or lost
            head = self.log.head(head.id) or head
            if head.purged is None:
                raise LookupError(f"run {head.id} has no event 1")
        return history.run_row(head, first, self.log)

    def history(self, run: Run | str) -> list[history.HistoryEvent]:
        """Give the events of a run, oldest first.

        Raises:
            RunUnknown: there is no such run.
        """
        run_id = asked.run_id(run)
        with self._storage():
            self.peek(run_id)
            return [history.history_event(event, self.log) for event in self.log.read(run_id)]

    def feed(
        self, *, after: int | None = None, cursor: str | None = None, follow: bool = True,
        workflow: Any = None, types: Iterable[str] = (),
    ) -> Feed:  # fmt: skip
        """Follow the whole log, live: events of all runs, breakers and triggers by position.

        Nothing is skipped, whoever appends from wherever. Iterate over what is given;
        `.stop()` ends it from any thread. At rest it asks the database once a second.

        Args:
            after: hand out what stands behind this position; by default all.
            cursor: name of a durable cursor to go on from, kept in the log: each event is handed
                out at least once, also after a crash. For one follower at a time.
            follow: wait for what is still to come; else end with what there is.
            workflow: only events of its runs: a Workflow or a name.
            types: only events of these types, `step.failed` for example.

        Returns:
            A `Feed` of frozen rows as `history` gives, with `.position`, `.kind`, `.name`, `.run`.

        Raises:
            ValueRefused: both `after` and `cursor`, or types that are none.
        """
        with self._storage():
            return feed_of(
                self.log, self._storage, after=after, cursor=cursor, follow=follow,
                workflow=workflow, types=types,
            )  # fmt: skip

    def playhead(self, run: Run | str) -> Playhead:
        """Give a read-only cursor on a run's history, standing on the last event."""
        run_id = asked.run_id(run)
        with self._storage():
            self.peek(run_id)
            return Playhead(run_id, self.log.read(run_id), self.repository.plan, self.log)

    def causes(self, run: Run | str) -> list[Cause]:
        """Give what a run follows from, nearest first: firings, and ends of other runs.

        Returns:
            The chain back to the file, the slot or the delivery; [] if a call started the run.

        Raises:
            RunUnknown: there is no such run.
        """
        with self._storage():
            self.peek(asked.run_id(run))
            return list(causes(self.log, asked.run_id(run)))

    def trigger(self, name: str) -> TriggerView:
        """Give a trigger of this log by name: its state, its events; to pause and resume it.

        Raises:
            PlayheadError: neither the log nor this engine knows it.
        """
        with self._storage():
            if name in self.triggers and self.log.head(TRIGGER + name) is None:
                self.doorways.doors[name].state()  # arms it, so that it can be paused
            view = TriggerView(self.log, name)
            if view.is_known:
                return view
            known = [h.id.removeprefix(TRIGGER) for h in self.log.heads(kind="trigger")]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it knows {sorted(known)}"
        raise PlayheadError(f"this log has no trigger {name!r}; {hint}")

    def peek(self, run_id: str) -> Hold:
        """Give a run as folded now; not to be changed."""
        return self.repository.load(run_id)[0]

    def held(self, run_id: str) -> Hold | None:
        """Give a run that the background worker holds, as it stands; not to be changed."""
        driver = self.live_driver()
        return None if driver is None else driver.holds.get(run_id)

    def verify(self, run: Run | str | None = None, *, deep: bool = False) -> Verdict:
        """Hold the log against what was written; with `deep`, against what an engine can write.

        Shallow: chains of hashes, versions, large values, the database itself. Deep: also that
        epochs never go down and have one owner each, that every move is legal and every result has
        its start, that snapshots, rows and inbox keys say what the events say. It only reads, page
        by page; engines may work meanwhile.

        Args:
            run: only this one; None: every stream, and what lies beside them.

        Raises:
            RunUnknown: no run of this id.
        """
        with self._storage():
            audit = Audit(self.log, self.repository.plan, deep=deep)
            if run is None:
                return audit.verdict()
            head = self.log.head(asked.run_id(run))
            if head is None or head.kind != "run":
                raise RunUnknown(asked.run_id(run))
            return audit.verdict(head.id)

    # Steering.

    def signal(
        self, run: Run | str, name: str, payload: Any = None, *, key: str | None = None
    ) -> None:
        """Hand a signal to a run.

        Args:
            key: the signal counts once per run, name and key.

        Raises:
            SignalRefused: the run's state does not take it.
            RunEnded: the run has ended; nothing is written.
            ValueRefused: the payload does not fit the declared type; nothing is written.
        """
        with self._storage():
            hold = self.peek(asked.run_id(run))
            for what, text in (("signal", name), ("key", key or "")):
                values.text(text, what)
            value = self.starting.payload(hold, name, payload)
            if key is not None and self.repository.veil is not None:
                key = self.repository.veil.text(key)
            self._steering.obey(hold, c.TellSignal(name, value, key=key, by="signal"))

    def cancel(self, run: Run | str, *, reason: str = "") -> None:
        """Cancel a run: durable at once; what is in flight is asked to stop and waited for."""
        values.text(reason, "reason")
        with self._storage():
            self._steering.obey(
                self.peek(asked.run_id(run)), c.CancelRun(by="user", reason=reason)
            )

    def pause(self, run: Run | str) -> None:
        """Let what is in flight end, and start nothing new."""
        with self._storage():
            self._steering.obey(self.peek(asked.run_id(run)), c.PauseRun(by="user"))

    def resume(self, run: Run | str) -> None:
        """Go on after a pause; what fell due meanwhile happens now."""
        with self._storage():
            self._steering.obey(self.peek(asked.run_id(run)), c.ResumeRun(by="user"))

    def retry(self, run: Run | str) -> None:
        """Let a failed, cancelled or parked run go on: failed steps get a fresh budget."""
        with self._storage():
            self._steering.obey(self.peek(asked.run_id(run)), c.RetryRun(by="user"))

    def breaker(self, name: str) -> SharedBreaker:
        """Give a circuit breaker of this log, shared by all processes."""
        declared = self._declared.get(name)
        if declared is None:
            near = difflib.get_close_matches(name, self._declared, 1)
            with self._storage():
                if near and self.log.head(PREFIX + name) is None:
                    raise PlayheadError(f"no breaker {name!r} here; did you mean {near[0]!r}?")
            declared = CircuitBreaker(name)
        return SharedBreaker(self.breakers, self.log, declared)

    # Driving.

    @property
    def place(self) -> str:
        """Give the url for people: without the password."""
        return masked(self.url)

    @property
    def is_private(self) -> bool:
        """Tell whether no other process can reach the log."""
        return shares_nothing(self.url)

    @property
    def is_open(self) -> bool:
        """Tell whether workers run in the background."""
        return self._background is not None

    def __enter__(self) -> Self:
        """Start workers and triggers on background threads."""
        if self._background is not None:
            raise PlayheadError("this engine is already open")
        with self._storage():
            crew = Crew(self.threads, "playhead", async_slots=ASYNC_SLOTS)
            driver = Driver(self.turns, crew)
            self.worker.drivers.add(driver)
            background = Background(self.worker, driver, self.doorways.poll, self.grace)
            background.watched = self.listening.look_for_ends
            try:
                background.open()
                self._background = background
                self.doorways.open()
            except BaseException:  # nobody leaves what he could not enter
                self._background = None
                with contextlib.suppress(LogError):
                    background.close(0)
                self.log.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop softly and join everything."""
        self.close()

    async def __aenter__(self) -> Self:
        """Start workers without blocking the running loop."""
        try:
            await aside(self.__enter__)
        except asyncio.CancelledError:  # nobody leaves what he could not enter
            await aside(self.close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop without blocking the running loop; who is cancelled meanwhile waits less."""
        await aside(self.close, hurry=self.hurry)

    def close(self, grace: float | None = None) -> None:
        """Stop the workers, let go of the log; the engine can be used again."""
        # First of all, because `hurry` may come at any moment.
        self._closing = self._background or self._closing
        background, self._background = self._background, None
        with contextlib.ExitStack() as rest:  # whatever fails, all is let go of
            rest.callback(self.log.close)
            rest.callback(self.listening.let_go)
            if background is not None:
                rest.callback(background.close, grace)
                self.doorways.close()
            else:
                self.doorways.say_gathered()
                with contextlib.suppress(LogError):
                    self.worker.leave()

    def hurry(self) -> None:
        """Let a `close` that waits for steps in flight wait no longer; takes no lock."""
        for background in (self._background, self._closing):
            if background is not None:
                background.hurry = True

    def health(self) -> Health:
        """Say whether the workers live and are ready for more; makes no query."""
        background = self._background or self._closing
        return health_of(background.pulse if background is not None else None)

    def serve(self) -> int:
        """Work until SIGTERM or SIGINT, then drain softly; a second signal stops at once.

        Returns:
            The exit code: 0 drained, 130 stopped by a second signal.
        """
        from engine.serving import serve  # noqa: PLC0415 - signals are only for who serves

        return serve(self)

    def run_until_idle(self) -> None:
        """Do everything that is ready, triggers too, in the caller's thread, in a fixed order."""
        from engine.driving import drive_until_idle  # noqa: PLC0415

        with self._storage(), self._idle_lock:
            drive_until_idle(self)

    def next_due(self) -> datetime | None:
        """Give the earliest timer, retry, slot or cool-down as an aware UTC datetime, or None."""
        with self._storage():
            dues = [self.log.next_due(kinds=("run", "breaker"))]
            dues.append(self.doorways.next_due())
            driver = self.live_driver()
            if driver is not None:
                dues += [next_due(hold.run) for hold in list(driver.holds.values())]
        known = [due for due in dues if due is not None]
        return clock.from_us(min(known)) if known else None

    def why_idle(self) -> str:
        """Say why nothing may be happening; for messages."""
        if self.is_open:
            return ""
        living = [w for w in self.log.workers() if not w.dead and w.until > clock.now_us()]
        others = [w for w in living if w.id != self.worker.id]
        if others:
            return ""
        return (
            "no worker is about: use `with engine:`, engine.run_until_idle(),"
            " or `playhead serve` in another process"
        )

    # Parts.

    def _appended(self, hold: Hold, events: list[NewEvent]) -> None:
        if self._background is not None and not hold.is_owned and not hold.run.is_ended:
            due = next_due(hold.run)
            if due is not None:
                self._background.expect(due)
        self.listening.appended(hold, events)
        if hold.run.is_ended and self.doorways.heard_end(hold.run.workflow):
            self._nudge()

    def _wake_trigger(self, name: str) -> None:
        self.doorways.wake(name)
        self._nudge()

    def _nudge(self) -> None:
        if self._background is not None:
            self._background.nudge()

    def live_driver(self) -> Driver | None:
        """Give the driver of the background worker, if the engine is open."""
        return self._background.driver if self._background is not None else None

    def start_here(self, workflow: Any, given: Mapping[str, Any], **options: Any) -> Hold:
        """Start a run with the slots of a driver."""
        return self.starting.start(workflow, given, **options)

    def poll_triggers(self) -> None:
        """Let all triggers look."""
        self.doorways.poll(always=True)

    def poke(self) -> None:
        """Let the background worker look at once."""
        if self._background is not None:
            self._background.poke()

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Turn the log's storage errors into ours."""
        try:
            yield
        except LogError as error:
            raise StorageError(str(error)) from error
        except (IllegalEvent, msgspec.MsgspecError) as error:
            raise LogDamaged(
                f"the log is damaged, or of another program ({self.place}): {error};"
                " `playhead verify` says where"
            ) from error
