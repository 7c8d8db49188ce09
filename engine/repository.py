"""Load a run and keep what was decided: the ring's two crossings between core and log."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from engine.calls import Code
from engine.core import define
from engine.core.commands import Value
from engine.core.define import Definition
from engine.core.events import (
    DECODERS,
    MachineMoved,
    SignalTold,
    StepSucceeded,
    TimerTold,
)
from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import Run, display_status, next_due
from engine.errors import RunPruned, RunUnknown, StorageError
from engine.records import text_of, told
from engine.scrub import watch_loggers
from engine.veiled import veil_of
from eventstore import Event, Head, Log, NewEvent, Row, Tip, clock
from eventstore.coded import clear_copy
from eventstore.errors import StreamUnknown
from eventstore.wrapped import bare

SNAPSHOT_EVERY = 1000  # events; a copy of the folded run is kept when it is let go of
SNAPSHOT_KIND = "run/1"  # grows when the shape of `Run` changes; old copies are then ignored
INLINE_LIMIT = 64 * 1024  # bytes; a larger value is stored as a blob
PUBLISH_EVERY = 3600 * clock.SECOND  # a definition is put again: it is about to be named
CACHE_LIMIT = 8 * 1024 * 1024  # bytes of values kept beside a held run

_encode_run = msgspec.json.Encoder().encode
_decode_run = msgspec.json.Decoder(Run).decode


class Label(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run's row tells lists beside the headline."""

    state: str | None = None
    error: dict[str, str | None] | None = None
    ended: int | None = None


class KnownWorkflow(Protocol):
    """What the engine needs of a workflow."""

    name: str
    hash: str
    plan: Plan
    definition: Definition
    code: Code
    breakers: Mapping[str, Any]


class Hold:
    """A run in hand: folded, with its tip, its latest values and its attempts in flight.

    Whoever changes it holds `lock`; the fold itself belongs to `evolve`.
    """

    __slots__ = (
        "answered", "flights", "inputs", "is_lost", "is_owned", "lock", "owner", "plan", "run",
        "snapped", "stale", "tip", "unwritten", "values", "values_size", "woken",
    )  # fmt: skip

    def __init__(self, run: Run, plan: Plan, tip: Tip) -> None:
        self.run = run
        self.plan = plan
        self.tip = tip
        self.lock = threading.RLock()
        self.values: dict[int, bytes] = {}
        self.values_size = 0
        self.unwritten: dict[int, NewEvent] = {}  # folded by a turn that is being taken
        self.inputs: dict[str, msgspec.Raw] | None = None
        self.answered: set[str] = set()  # steps whose `when` said yes
        self.flights: dict[str, Any] = {}  # attempts in flight here, by step
        self.owner: str | None = None  # as the row said when it was read
        self.is_owned = False  # by this worker
        self.is_lost = False  # another worker has it now
        self.stale = False  # the fold may be ahead of the log: reload before use
        self.woken = False
        self.snapped = 0

    @property
    def has_ended(self) -> bool:
        """Tell whether the run has ended in the log, too: a turn folds before it appends."""
        return self.run.is_ended and self.run.version <= self.tip.version

    def keep(self, version: int, value: bytes) -> None:
        """Keep a value in memory; the oldest ones make room."""
        self.values[version] = value
        self.values_size += len(value)
        while self.values_size > CACHE_LIMIT and len(self.values) > 1:
            oldest = next(iter(self.values))
            self.values_size -= len(self.values.pop(oldest))


class Repository:
    """Runs as folded from the log, and the definitions that the log knows."""

    def __init__(self, log: Log, workflows: Mapping[str, KnownWorkflow]) -> None:
        self.log = log
        self.workflows = workflows
        self.veil = veil_of(log)
        self._plans: dict[str, Plan] = {w.hash: w.plan for w in workflows.values()}
        self._published: dict[str, int] = {}  # when each was put

    def publish(self, workflow: KnownWorkflow) -> None:
        """Put a definition into the log, once an hour; its hash is the hash of the blob.

        It is stored as it is, past any codec: it holds no values, and its name is its hash.
        An event that names it may come much later than the process began, when retention has
        found that nothing refers to it any more.
        """
        now = clock.now_us()
        if 0 <= now - self._published.get(workflow.hash, -PUBLISH_EVERY) < PUBLISH_EVERY:
            return
        stored = bare(self.log).put_blob(define.encode(workflow.definition))
        if stored != workflow.hash:
            raise StorageError(
                f"definition of {workflow.name!r} was stored as {stored}, not {workflow.hash}"
            )
        self._published[workflow.hash] = now

    def add(self, workflow: KnownWorkflow) -> None:
        """Know another workflow's plan."""
        self._plans[workflow.hash] = workflow.plan
        if self.veil is not None:
            watch_loggers(self.veil, [workflow.name])

    def plan(self, hash_: str) -> Plan:
        """Give the plan of a definition, from the log if no code has it."""
        plan = self._plans.get(hash_)
        if plan is None:
            plan = self._plans[hash_] = Plan(define.decode(self.log.blob(hash_)), hash_)
        return plan

    def load(self, run_id: str) -> tuple[Hold, Head]:
        """Fold a run from its newest snapshot and the events since.

        Raises:
            RunUnknown: no run of this id.
            RunPruned: its history is gone.
        """
        copy = clear_copy(run_id, self.log.snapshot(run_id, SNAPSHOT_KIND))
        after = 0
        run = Run(run_id)
        if copy is not None:
            after, content = copy
            run = _decode_run(content)
        try:
            head, events = self.log.load(run_id, after=after)
        except StreamUnknown:
            raise RunUnknown(run_id) from None
        if head.kind != "run":
            raise RunUnknown(run_id)
        if head.purged is not None:
            raise RunPruned(run_id, head.status, clock.from_us(head.purged))
        plan = self.fold(run, events)
        hold = Hold(run, plan, head.tip)
        hold.snapped = after
        hold.owner = head.owner
        return hold, head

    def fold(self, run: Run, events: Iterable[Event]) -> Plan:
        """Fold events into a run with the definitions they name; give the last one's plan."""
        plan = self.plan(run.definition) if run.definition else None
        for event in events:
            if event.type in ("run.started", "run.redefined"):
                plan = self.plan(told(event).definition)
            if plan is None:
                raise StorageError(f"run {run.id} does not begin with run.started")
            evolve(
                run, plan, event.version, event.type, event.subject, event.source, event.dest,
                text_of(event), event.at,
            )  # fmt: skip
        if plan is None:
            raise RunUnknown(run.id)
        return plan

    def reload(self, hold: Hold) -> Head:
        """Fold the run anew from the log after a refused or failed append."""
        fresh, head = self.load(hold.run.id)
        hold.run, hold.plan, hold.tip = fresh.run, fresh.plan, fresh.tip
        hold.snapped = fresh.snapped
        hold.owner = head.owner
        hold.values.clear()
        hold.values_size = 0
        hold.stale = False
        return head

    def snap(self, hold: Hold) -> None:
        """Keep a copy of a long run, so that the next load is short."""
        if hold.run.version - hold.snapped >= SNAPSHOT_EVERY:
            self.log.put_snapshot(
                hold.run.id, hold.run.version, SNAPSHOT_KIND, _encode_run(hold.run)
            )
            hold.snapped = hold.run.version

    def store_value(self, raw: bytes) -> Value:
        """Make an encoded value ready for an event; a large one goes to a blob now."""
        if self.veil is not None:
            raw = self.veil.raw(raw)
        if len(raw) <= INLINE_LIMIT:
            return Value(raw=msgspec.Raw(raw))
        return Value(blob=self.log.put_blob(raw))

    def value(self, hold: Hold, version: int) -> bytes:
        """Give the raw JSON of the value that an event carries."""
        kept = hold.values.get(version)
        if kept is not None:
            return kept
        event: Event | NewEvent | None = hold.unwritten.get(version)
        if event is None:
            event = self.log.read_version(hold.run.id, [version])[version]
        raw = self.value_in(event)
        hold.keep(version, raw)
        return raw

    def value_in(self, event: Event | NewEvent) -> bytes:
        """Give the raw JSON of the value in an event: output, payload or due time."""
        data = told(event) if isinstance(event, Event) else DECODERS[event.type](event.data)
        if isinstance(data, StepSucceeded):
            raw, blob = data.output, data.output_blob
        elif isinstance(data, SignalTold | MachineMoved):
            raw, blob = data.payload, data.payload_blob
        elif isinstance(data, TimerTold):
            return msgspec.json.encode(clock.from_us(data.due))
        else:
            raise StorageError(
                f"{event.type} of {event.subject!r} ({event.source} -> {event.dest}) holds no value"
            )
        if blob is not None:
            return self.log.blob(blob)
        return bytes(raw) if isinstance(raw, msgspec.Raw) else b"null"

    def inputs(self, hold: Hold) -> dict[str, msgspec.Raw]:
        """Give the run's inputs as raw JSON by name."""
        if hold.inputs is None:
            event = self.log.read_version(hold.run.id, [1])[1]
            data = told(event)
            raw = self.log.blob(data.inputs_blob) if data.inputs_blob else bytes(data.inputs)
            hold.inputs = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return hold.inputs


def row_of(hold: Hold, *, owner: str | None) -> Row:
    """Give the row that lists, claims and alarms read, as the fold stands. *Pure.*"""
    run = hold.run
    due = next_due(run)
    error = None
    if run.status == "failed" and run.error is not None:
        error = {
            "step": run.failing or None,
            "type": run.error.type,
            "message": run.error.message,
        }
    label = Label(state=run.place, error=error, ended=run.ended_at)
    return Row(
        status=display_status(run),
        due=None if run.is_ended else due,
        waits_on=tuple(dict.fromkeys(run.parked.values())) if run.status == "running" else (),
        owner=None if run.is_ended else owner,
        needs=run.definition,
        label=msgspec.json.encode(label).decode(),
    )
