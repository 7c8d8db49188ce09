"""What a run has become: the value its events fold into.

It keeps where a result is, not the result.
"""

import msgspec

from engine.core.events import ErrorDoc

ENDED = frozenset({"succeeded", "failed", "cancelled"})
STATUSES = (
    "scheduled", "running", "waiting", "paused", "parked", "cancelling",
    "succeeded", "failed", "cancelled",
)  # fmt: skip
SETTLED = frozenset({"succeeded", "skipped", "failed"})


class StepState(msgspec.Struct):
    """One step of a run, on its present visit."""

    state: str = "blocked"
    visit: int = 1
    attempt: int = 0  # counts on over visits' retries; the number of the last attempt
    base: int = 0  # attempts before the present budget (retry gives a fresh one)
    fallback: bool = False  # the running or next attempt is the fallback's
    started: int = 0  # version of the last step.started
    failed: int = 0  # version of the last step.failed
    began: int = 0  # time of the first start in this budget
    idle: int = 0  # microseconds parked since then
    parked_at: int = 0
    paused_before: int = 0  # the run's paused time when the budget began
    due: int | None = None  # retrying: when the next attempt is due
    worker: str = ""
    deadline: int | None = None
    breaker: str | None = None
    generation: int = 0
    probe: bool = False
    refused: bool = False
    deaths: int = 0
    suspect: int = 0  # deaths as a suspect
    reason: str = ""  # of a skip


class Run(msgspec.Struct):
    """A run as folded. `evolve` owns and changes it; everyone else only reads."""

    id: str
    version: int = 0
    status: str = "\u2013"
    workflow: str = ""
    definition: str = ""
    key: str | None = None
    tags: dict[str, str] = {}
    priority: int = 0
    started_at: int = 0
    ended_at: int | None = None
    updated_at: int = 0
    due: int | None = None  # scheduled: when it begins
    paused_at: int | None = None
    paused_total: int = 0
    begun: bool = False
    branch: int = 0

    steps: dict[str, StepState] = {}
    outputs: dict[str, int] = {}  # name -> version of the event with its latest value
    waiting: dict[str, int] = {}  # joins: upstreams still open, for the nodes touched so far
    open: int = 0  # steps not settled yet
    failing: str | None = None  # what failed for good and fails the run
    failure: int = 0  # version of the event that says so
    error: ErrorDoc | None = None  # the same, shortened, for lists
    result: int | dict[str, int | None] | None = None

    # What the run owes the world; ordered sets as dicts, so that each change costs O(1).
    ready: dict[str, None] = {}  # joins complete: a start, or the beginning of a wait, is owed
    running: dict[str, None] = {}  # attempts in flight
    retrying: dict[str, int] = {}  # step -> due
    parked: dict[str, str] = {}  # step -> breaker
    lost: dict[str, None] = {}
    timers: dict[str, int] = {}  # timer, signal or state -> due
    begins: dict[str, None] = {}  # timers, signals, states whose wait must still be dated
    awaiting: dict[str, None] = {}  # signals waited for without a deadline
    signals: dict[str, str] = {}  # "received" or "timed_out"
    keys: dict[str, None] = {}  # "name\0key" of signals that counted
    inbox: dict[int, str] = {}  # machines: version -> signal received, not answered yet
    deferred: dict[int, str] = {}  # machines: the same, kept for a later state
    pending: tuple[str, int] | None = None  # machines: (trigger, version) owed: done, error, …
    spins: int = 0  # machines: moves in a row, at one moment, without work or signal
    later: dict[int, str] = {}  # machines: version -> trigger owed once `pending` is answered

    place: str | None = None  # machines: the present state
    visits: dict[str, int] = {}
    moved: int = 0  # version of the last machine.moved
    moved_at: int = 0
    triggers: dict[str, int] = {}  # trigger -> version that carries its payload, last taken

    @property
    def is_ended(self) -> bool:
        """Tell whether the run has ended."""
        return self.status in ENDED

    def step(self, name: str) -> StepState:
        """Give a step's state, a fresh blocked one if nothing happened to it yet."""
        return self.steps.get(name) or StepState()


def attempt_id(run: Run, name: str, step: StepState) -> str:
    """Name an attempt for a breaker's probes: unique in the whole log. *Pure.*"""
    return f"{run.id}/{name}:{step.visit}#{step.attempt}"


def idempotency_key(run: Run, subject: str, visit: int) -> str:
    """Name a step's visit to the outside world; retries and restarts keep it. *Pure.*"""
    branch = f"~{run.branch + 1}" if run.branch else ""
    return f"{run.id}{branch}/{subject}:{visit}"


def display_status(run: Run) -> str:
    """Give the status that users see: `waiting` is derived, never an event. *Pure.*"""
    owed = (run.running, run.ready, run.lost, run.inbox, run.pending)
    awaited = (run.timers, run.retrying, run.parked, run.awaiting, run.place)
    if run.status == "running" and not any(owed) and any(awaited):
        return "waiting"
    return run.status


def next_due(run: Run) -> int | None:
    """Give when the run next needs a worker by the clock, None: not by the clock. *Pure.*"""
    if run.status == "scheduled":
        return run.due
    if run.status not in ("running", "cancelling"):
        return None
    dues = [*run.timers.values(), *run.retrying.values()] if run.status == "running" else []
    return min(dues) if dues else None


def owes_work(run: Run) -> bool:
    """Tell whether the run owes something that needs a worker now. *Pure.*"""
    if run.status == "cancelling":
        return True
    if run.status != "running":
        return False
    return bool(
        run.ready or run.lost or run.running or run.begins or run.pending or run.inbox
        or (run.failing is not None)
    )  # fmt: skip
