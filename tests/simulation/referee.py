"""The referee: reads the whole log when the calm has come, and says what must never have been."""

import traceback
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from engine.audit.walk import Audit
from engine.core import breaker as breaker_core
from engine.core.breaker import PREFIX, BreakerState
from engine.core.events import DECODERS
from engine.core.evolve import evolve
from engine.core.plan import Plan
from engine.core.run import Run
from engine.repository import Hold, row_of
from eventstore import Event, Head
from tests.simulation.shop import PRICES, SERVICE, STOCK, WORKFLOWS

if TYPE_CHECKING:
    from tests.simulation.world import World

ENDED = ("succeeded", "failed", "cancelled")
PLANS: dict[str, Plan] = {workflow.hash: workflow.plan for workflow in WORKFLOWS}
OURS = frozenset({"StorageError", "Killed", "LogError", "AssertionError", "KeyError"})
SPECS = {b.name: b.spec() for b in (PRICES, STOCK)}


def find_faults(world: "World") -> list[str]:
    """Live a world's life and give a sentence for each fault found in it."""
    try:
        world.live()
        faults = check(world)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is a fault
        frames = "".join(traceback.format_exception(error)[-4:])
        return [f"{type(error).__name__}: {error}\n{frames}"]
    finally:
        world.disk.log.close()
    return faults


def check(world: "World") -> list[str]:
    """Give a sentence for each fault in the log of a world that has come to rest."""
    log = world.disk.log
    events: list[Event] = log.read_all(limit=1_000_000)
    heads = {head.id: head for kind in ("run", "breaker") for head in log.heads(kind=kind)}
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    faults = [str(fault) for fault in Audit(log, PLANS.__getitem__, deep=True).faults()]
    faults += [f"trespass: {what}" for what in world.disk.trespasses]
    for (stream, epoch), owners in world.disk.owners.items():
        if len(owners) > 1:
            faults.append(f"epoch {epoch} of {stream} has two owners: {sorted(owners)}")
    for stream, told in streams.items():
        faults += _order(stream, told, heads.get(stream))
        if stream.startswith(PREFIX):
            faults += _breaker(stream, told, heads.get(stream))
        else:
            faults += _run(world, told, heads.get(stream))
    faults += _admissions(events)
    faults += _keys(world, heads)
    faults += _promises(world, streams)
    return faults


def _order(stream: str, events: list[Event], head: Head | None) -> list[str]:
    """Versions count up from 1 without a gap; epochs never go down; the row stands at the end."""
    faults = []
    versions = [event.version for event in events]
    if versions != list(range(1, len(events) + 1)):
        faults.append(f"{stream}: versions {versions}")
    epochs = [event.epoch for event in events]
    if epochs != sorted(epochs):
        faults.append(f"{stream}: epochs go back: {epochs}")
    if head is None:
        return [*faults, f"{stream} has events and no row"]
    if head.tip.version != len(events):
        faults.append(f"{stream}: its row stands at {head.tip.version} of {len(events)}")
    return faults


def _run(world: "World", events: list[Event], head: Head | None) -> list[str]:
    """A run's events are legal, each result has its start, and the row says what the fold says."""
    watch = RunWatch(events[0].stream)
    for event in events:
        try:
            watch.see(event)
        except ValueError as error:
            return [*watch.faults, f"{watch.where(event)}: the fold refuses it: {error}"]
    watch.faults += [
        f"{watch.run.id}: step {what} succeeded {count} times"
        for what, count in watch.succeeded.items()
        if count > 1
    ]
    return watch.faults + _rest(world, watch.run, watch.plan, head)


class RunWatch:
    """Folds a run's events and holds each against those before it."""

    def __init__(self, name: str) -> None:
        self.run = Run(name)
        self.plan: Plan | None = None
        self.faults: list[str] = []
        self.started: dict[tuple[str, int, int], Event] = {}  # step, visit, attempt
        self.succeeded: Counter[tuple[str, int]] = Counter()  # step, visit

    def where(self, event: Event) -> str:
        """Name an event for people."""
        return f"{event.stream}@{event.version} {event.type} {event.subject}"

    def see(self, event: Event) -> None:
        """Fold an event, and note what is wrong with it.

        Raises:
            ValueError: it cannot follow from those before it.
        """
        data = DECODERS[event.type](event.data)
        if event.type == "run.started":
            self.plan = PLANS[data.definition]
        if self.plan is None:
            raise ValueError("there is no run.started before it")
        visit = self.run.step(event.subject).visit
        due = self.run.retrying.get(event.subject)
        evolve(
            self.run, self.plan, event.version, event.type, event.subject, event.source,
            event.dest, event.data, event.at,
        )  # fmt: skip
        if event.type == "step.started":
            self._started(event, data)
        elif event.type in ("step.succeeded", "step.failed"):
            self._ended(event, data, visit)
        elif event.type == "timer.fired":
            due = data.due
        if event.type in ("step.started", "timer.fired") and due is not None and event.at < due:
            self.faults.append(f"{self.where(event)}: {due - event.at} us early")
        error = getattr(data, "error", None)
        if error is not None and error.type in OURS:
            self.faults.append(f"{self.where(event)}: the log's fault, not the user's: {error}")

    def _started(self, event: Event, data: Any) -> None:
        attempt = (event.subject, data.visit, data.attempt)
        if attempt in self.started:
            self.faults.append(f"{self.where(event)}: {attempt} started twice")
        self.started[attempt] = event
        if data.worker != _writer(event):
            self.faults.append(f"{self.where(event)}: written in the name of {data.worker}")

    def _ended(self, event: Event, data: Any, visit: int) -> None:
        begun = self.started.get((event.subject, visit, data.attempt))
        is_loss = event.type == "step.failed" and data.lost
        if begun is None:
            self.faults.append(f"{self.where(event)}: attempt {data.attempt} never started")
        elif not is_loss and _writer(begun) != _writer(event):
            self.faults.append(f"{self.where(event)}: tells of another worker's attempt")
        if event.type == "step.failed":
            return
        self.succeeded[event.subject, visit] += 1
        key = f"{event.stream}/{event.subject}:{visit}"
        asks = event.subject != "report" and not (event.subject == "quote" and data.fallback)
        if asks and msgspec.json.decode(data.output) not in SERVICE.answers.get(key, ()):
            self.faults.append(f"{self.where(event)}: nobody was asked with {key}")


def _writer(event: Event) -> str:
    """Give the id of the worker, or sender, that appended an event."""
    return event.append_id.rpartition(".")[0]


def _rest(world: "World", run: Run, plan: Plan | None, head: Head | None) -> list[str]:
    """After the calm each run has ended, or waits for what nobody has brought."""
    if head is None or plan is None:
        return []
    faults = []
    hold = Hold(run, plan, head.tip)
    row = row_of(hold, owner=None)
    shown = (head.status, head.due, head.waits_on, head.owner, head.needs, head.label)
    folded = (row.status, row.due, row.waits_on, row.owner, row.needs, row.label)
    if shown != folded:
        faults.append(f"{run.id}: the row says {shown}, the fold {folded}")
    settled = world.settled[run.id]
    if not settled.is_ended and settled.status not in ("paused", "parked"):
        owed = {
            "ready": settled.ready, "running": settled.running, "retrying": settled.retrying,
            "parked": settled.parked, "lost": settled.lost, "timers": settled.timers,
            "begins": settled.begins, "pending": settled.pending, "inbox": settled.inbox,
        }  # fmt: skip
        left = {what: value for what, value in owed.items() if value}
        if left or not settled.awaiting:
            faults.append(f"{run.id} is {settled.status} and still owes {left}")
    if not run.is_ended:
        faults.append(f"{run.id} ({run.workflow}) was helped and is {run.status}: {run}")
    return faults


def _breaker(stream: str, events: list[Event], head: Head | None) -> list[str]:
    """A breaker's events are legal, no more probe than may, and the row says what the fold says."""
    name = stream.removeprefix(PREFIX)
    state = BreakerState(name)
    for event in events:
        told = DECODERS[event.type](event.data)
        try:
            breaker_core.evolve(
                state, event.version, event.type, event.source, event.dest, told
            )
        except ValueError as error:
            return [f"{stream}@{event.version}: {error}"]
        if sum(until > event.at for until in state.probes.values()) > SPECS[name].probes:
            return [f"{stream}@{event.version}: {len(state.probes)} probe at once"]
        if event.type == "breaker.opened" and event.source == "closed":
            count = DECODERS[events[event.version - 2].type](events[event.version - 2].data)
            if count.count != SPECS[name].failure_threshold:
                return [f"{stream}@{event.version}: opened after {count.count} failures"]
    if head is not None and (head.status, head.due) != (
        state.state,
        breaker_core.due_of(state),
    ):
        return [f"{stream}: the row says {head.status}, {head.due}; the fold {state}"]
    return []


def _admissions(events: list[Event]) -> list[str]:
    """Where a step starts behind a breaker, the breaker let it, in the same append."""
    faults = []
    breakers = {name: BreakerState(name) for name in SPECS}
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        groups[event.append_id].append(event)
    for group in groups.values():
        for event in group:
            if event.stream.startswith(PREFIX):
                state = breakers[event.stream.removeprefix(PREFIX)]
                told = DECODERS[event.type](event.data)
                try:
                    breaker_core.evolve(
                        state, event.version, event.type, event.source, event.dest, told
                    )
                except ValueError as error:
                    faults.append(f"{event.stream}@{event.version} out of order: {error}")
        for event in group:
            if event.type != "step.started":
                continue
            data = DECODERS[event.type](event.data)
            if data.breaker is None or data.refused or data.fallback:
                continue
            state = breakers[data.breaker]
            visit = f"{event.stream}/{event.subject}:{data.visit}#{data.attempt}"
            where = f"{visit} started behind {data.breaker}, {state.state}"
            if data.generation != state.generation:
                faults.append(f"{where}: generation {data.generation}, not {state.generation}")
            if state.state not in ("closed", "disabled") and visit not in state.probes:
                faults.append(f"{where}: it is no probe of {state.probes}")
    return faults


def _keys(world: "World", heads: dict[str, Head]) -> list[str]:
    """Every key that was used has exactly one run, and the inbox leads to it."""
    faults = []
    keyed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for head in heads.values():
        if head.key is not None and head.kind == "run":
            keyed[head.name, head.key].append(head.id)
    for (workflow, key), runs in keyed.items():
        if len(runs) > 1:
            faults.append(f"key {key} of {workflow} started {runs}")
        found = world.disk.log.find(f"start:{workflow}", key)
        if found != runs[0]:
            faults.append(f"key {key} of {workflow} leads to {found}, not to {runs}")
    faults += [f"key {k} was told as started and is not" for k in world.keys if k not in keyed]
    return faults


def _promises(world: "World", streams: dict[str, list[Event]]) -> list[str]:
    """What senders were told is in the log, once."""
    faults = []
    for deed, run, detail, key in world.acks:
        events = streams.get(run, [])
        if deed == "start":
            raw = DECODERS["run.started"](events[0].data).inputs if events else b"{}"
            if msgspec.json.decode(raw) != {"order": detail}:
                faults.append(f"{run} was started with {detail}, the log has {raw!r}")
            continue
        wanted = {"pause": "run.paused", "resume": "", "retry": "run.retried"}
        wanted["cancel"] = "run.cancelling"
        if deed in wanted:
            if wanted[deed] and not any(e.type == wanted[deed] for e in events):
                faults.append(f"{run}: {deed} was acknowledged and is not in the log")
            continue
        letters = [e for e in events if e.subject == deed and _is_letter(e, detail, key)]
        if len(letters) != 1:
            faults.append(f"{run}: {deed} {detail} {key} is in the log {len(letters)} times")
    return faults


def _is_letter(event: Event, detail: str, key: str | None) -> bool:
    """Tell whether an event takes in just this letter, or refuses it on the record."""
    if event.type not in ("signal.received", "signal.refused", "machine.moved"):
        return False
    data = DECODERS[event.type](event.data)
    if key is not None:
        return bool(data.key == key)
    return isinstance(data.payload, msgspec.Raw) and msgspec.json.decode(data.payload) == detail
