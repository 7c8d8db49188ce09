"""A world from a seed: workers, senders and a clock around one log, and faults between commits.

Everything happens in one thread, so that a seed repeats. A worker is a generator: it yields
between a look (sweep, refresh, claim), an attempt and its landing; its log lets the others act
before and after each call, so that they also come between a decision and its commit.

`python -m tests.simulation.world SEED` tells one world's life.
"""

import contextlib
import functools
import hashlib
import logging
import random  # noqa: TID251 - tenacity draws its jitter there: it is seeded, and put back
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - only named as a type; the seed comes from the clock
from typing import Any

import freezegun
import msgspec

from engine import driver as engine_driver
from engine import perform as engine_perform
from engine import repository as engine_repository
from engine.app import Engine
from engine.background import Background
from engine.core.run import next_due
from engine.errors import (
    CommandRefused,
    KeyReused,
    RunEnded,
    SignalRefused,
    StorageError,
)
from engine.flights import Crew, Flight
from engine.turns import Lost
from eventstore import Append, Claim, Log, Tip, clock, open_log
from eventstore.errors import AppendRefused, LogError
from eventstore.errors import StorageError as LogStorageError
from tests.simulation.shop import SERVICE, SIGNALS, WORKFLOWS

T0 = datetime(2030, 1, 1, tzinfo=UTC)
LEASE = 10.0  # seconds
DEPTH = 2  # how deep others may act within each other's calls
QUIET_ROUNDS = 300  # looks within which healthy workers must have done all that is ready
QUIET_MOVES = 1500  # moves of the clock within which every run must be done
WRITES = frozenset(
    {"append", "claim", "release", "wake", "enter", "renew", "leave", "bury", "put_blob"}
) | {"put_snapshot"}
READS = frozenset(
    {"head", "read", "load", "find", "heads", "waiting", "next_due", "owned", "workers"}
) | {"snapshot", "read_version", "blob"}
OWNERS_EVENTS = frozenset({"step.started", "step.succeeded", "step.failed", "step.lost"})


class Killed(BaseException):
    """The process ends here; nothing of it happens any more."""


class Stuck(AssertionError):
    """Healthy workers came to no end."""


class Disk:
    """The log that all share, with what only a bystander can know: who held what when."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.owners: dict[tuple[str, int], set[str]] = {}  # (stream, epoch) -> who held it
        self.trespasses: list[str] = []  # owners' events written by somebody else
        self.writes = 0

    def append(self, append: Append) -> list[Tip]:
        """Append, and take down who held the streams."""
        held = {}
        for write in append.writes:
            head = self.log.head(write.stream)
            held[write.stream] = head.owner if head is not None else None
        tips = self.log.append(append)
        self.writes += 1
        writer = append.id.rpartition(".")[0]
        for write in append.writes:
            own = [e.type for e in write.events if e.type in OWNERS_EVENTS]
            if own and held[write.stream] not in (None, writer):
                self.trespasses.append(
                    f"{writer} wrote {own} to {write.stream}, held by {held[write.stream]}"
                )
            self._note(write.stream)
        return tips

    def claim(self, *args: Any, **options: Any) -> list[Claim]:
        """Claim, and take down who holds the streams now."""
        claims = self.log.claim(*args, **options)
        for claim in claims:
            self.writes += 1
            self._note(claim.head.id)
        return claims

    def _note(self, stream: str) -> None:
        head = self.log.head(stream)
        if head is not None and head.owner is not None:
            self.owners.setdefault((stream, head.tip.epoch), set()).add(head.owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


class Ear:
    """A worker's ear; hints may be lost on the way to it."""

    def __init__(self) -> None:
        self.heard: dict[str, None] = {}

    def take(self) -> list[str]:
        """Give what was heard, and forget it."""
        heard, self.heard = list(self.heard), {}
        return heard

    def wait(self, timeout: float) -> frozenset[str]:
        """Never called: nobody waits in a simulation."""
        raise AssertionError(f"somebody waits {timeout} s")

    def poke(self) -> None:
        """Do nothing: the scheduler looks anyway."""

    def close(self) -> None:
        """Do nothing."""


class Wire:
    """The shared log as one process sees it: calls may fail, be cut short, or be the last."""

    def __init__(self, world: "World", name: str, *, mortal: bool) -> None:
        self.url = "memory://"
        self.name = name
        self.mortal = mortal
        self.dead = False
        self.ear = Ear()
        self._world = world

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._world.disk, name)
        if name in WRITES:
            return functools.partial(self._write, name, real)
        if name in READS:
            return functools.partial(self._read, name, real)
        return real

    def _alive(self) -> None:
        if self.dead:
            raise Killed(self.name)

    def die(self, how: str) -> None:
        """End this process here."""
        self._world.see(how, self.name)
        self.dead = True
        raise Killed(self.name)

    def _read(self, name: str, real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._world.meddle()
        self._alive()
        if self._world.chance("read_error"):
            self._world.see("read_error", f"{self.name} {name}")
            raise LogStorageError(f"{name}: the disk did not answer")
        return real(*args, **options)

    def _write(self, name: str, real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        world = self._world
        world.meddle()
        self._alive()
        if world.chance("error_before"):
            world.see("error_before", f"{self.name} {name}")
            raise LogStorageError(f"{name}: the disk refused")
        if self.mortal and world.chance("crash_before"):
            self.die("crash_before")
        result = self._call(name, real, args, options)
        if self.mortal and world.chance("crash_after"):
            self.die("crash_after")
        if world.chance("error_after"):
            world.see("unknown_outcome", f"{self.name} {name}")
            raise LogStorageError(f"{name}: the answer was lost")
        world.meddle()
        self._alive()
        return result

    def _call(self, name: str, real: Callable[..., Any], args: Any, options: Any) -> Any:
        world = self._world
        try:
            result = real(*args, **options)
        except AppendRefused as refused:
            world.say(f"{self.name} {name} refused: {refused}")
            for write in args[0].writes:
                head = world.disk.log.head(write.stream)
                owner = head.owner if head is not None else None
                is_result = any(event.type in OWNERS_EVENTS for event in write.events)
                if self.mortal and is_result and owner not in (None, self.name):
                    world.see("zombie_fenced", f"{self.name} on {write.stream}")
            raise
        if name == "append":
            for write in args[0].writes:
                told = ", ".join(f"{e.type} {e.subject}" for e in write.events) or "no event"
                owner = write.row.owner if write.row else "-"
                world.say(f"{self.name} -> {write.stream}: {told} (owner {owner})")
        elif name == "claim":
            for claim in result:
                world.say(f"{self.name} claims {claim.head.id} from {claim.lost_by}")
                if claim.lost_by in world.living():
                    world.see("lease_lost", f"{claim.lost_by} to {self.name}")
                elif claim.lost_by is not None:
                    world.see("dead_replaced", f"{claim.lost_by} by {self.name}")
        return result

    def listen(self, worker: str) -> Ear:  # noqa: ARG002 - as a log is asked
        """Give the ear."""
        return self.ear

    def hint(self, streams: Any, *, skip: str | None = None) -> None:  # noqa: ARG002
        """Tell the others; some do not hear it."""
        self._alive()
        for worker in self._world.workers:
            if worker.wire is not self:
                if self._world.chance("hint_lost"):
                    self._world.see("hint_lost")
                else:
                    worker.wire.ear.heard.update(dict.fromkeys(streams))

    def close(self) -> None:
        """Leave the shared log as it is."""


def build(wire: Wire) -> Engine:
    """Give an engine that joins its parts around a wire."""
    engine = Engine("memory://", workflows=WORKFLOWS, worker=wire.name, lease=LEASE)
    engine.log = wire  # type: ignore[assignment]
    engine._build()
    wire.name = engine.worker.id
    return engine


class Worker:
    """A process that works: the engine's own parts, moved step by step."""

    def __init__(self, world: "World", *, slots: int) -> None:
        self.world = world
        self.wire = Wire(world, f"worker{len(world.born)}", mortal=True)
        self.engine = build(self.wire)
        self.id = self.engine.worker.id
        self.driver = engine_driver.Driver(self.engine.turns, Crew(slots, self.id))
        self.engine.worker.drivers.add(self.driver)
        self.driver.inline = self.flights = deque[Flight]()
        self.background = Background(
            self.engine.worker, self.driver, self.engine.doorways.poll, 0.0
        )
        self.background._listener = self.wire.ear  # type: ignore[assignment]
        self.driver.crew.on_free = self.background._freed
        self.aloft: list[tuple[Flight, Any]] = []  # performed, not landed yet
        self.is_busy = False  # somewhere up the stack
        self.is_paused = False
        self.life = self._live()

    @property
    def is_renewing(self) -> bool:
        """Tell whether its lease is being written, further up the stack."""
        return self.engine.worker._lock.locked()

    @property
    def is_awake(self) -> bool:
        """Tell whether it can go on now."""
        return not (self.is_busy or self.is_paused or self.is_renewing or self.wire.dead)

    def step(self) -> None:
        """Go on to the next yield."""
        self.is_busy = True
        try:
            next(self.life)
        except Killed:
            self.wire.dead = True
        finally:
            self.is_busy = False

    def renew(self) -> None:
        """Do what the lease's own thread does, whatever the others are in."""
        if self.is_renewing:
            return  # it would wait for what is further up the stack
        try:
            self.engine.worker.renew()
        except LogError:
            pass
        except Killed:
            self.wire.dead = True

    def _live(self) -> Iterator[str]:
        while True:
            try:
                self.engine.worker.enter()
                break
            except LogError:
                yield "the log could not be entered"
        self.engine._background = self.background
        while True:
            rng = self.world.rng
            deeds: list[Callable[[], None]] = [self.look]
            deeds += [self.perform] * 2 * bool(self.flights)
            deeds += [self.land] * 2 * bool(self.aloft)
            rng.choice(deeds)()
            yield "between two deeds"

    def look(self) -> None:
        """Look once, as the claiming thread does."""
        is_round = self.world.rng.random() < 0.5
        with contextlib.suppress(LogError, Lost):  # the thread tries again
            self.background._look(self.wire.ear.take(), is_round=is_round)  # type: ignore[arg-type]

    def perform(self) -> None:
        """Let a thread of the crew call a step."""
        index = self.world.rng.randrange(len(self.flights))
        flight = self.flights[index]
        del self.flights[index]
        command = self.driver.attempt(flight)
        if command is None:
            self.driver.give_back(flight)
        else:
            self.aloft.append((flight, command))

    def land(self) -> None:
        """Let a thread of the crew record an outcome."""
        flight, command = self.aloft.pop(self.world.rng.randrange(len(self.aloft)))
        self.driver.land(flight, command)

    def stop(self) -> None:
        """Stop softly; what was in a thread comes back later, to nobody."""
        self.is_busy = True
        self.engine._background = None
        try:
            self.background.close(0.0)
        except LogError:
            pass  # its lease runs out
        except Killed:
            self.wire.dead = True
        try:
            for flight, command in self.aloft:
                self.driver.land(flight, command)
        except (LogError, StorageError, Killed):
            pass
        self.wire.dead = True


class Rates(msgspec.Struct):
    """How likely each fault is at each call that it can strike."""

    crash_before: float = 0.0
    crash_after: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    read_error: float = 0.0
    hint_lost: float = 0.0
    meddle: float = 0.0
    back: float = 0.0
    jump: float = 0.0


class World:
    """One life of the simulation."""

    def __init__(
        self, seed: int, frozen: Any, *, actions: int = 160, loud: bool = False
    ) -> None:
        self.seed = seed
        self.rng: Random = clock.new_chance(f"world {seed}")
        self.frozen = frozen
        self.loud = loud
        self.actions = actions
        self.url = "sqlite:///:memory:" if seed % 10 == 7 else "memory://"
        self.seen: Counter[str] = Counter()
        self.born: list[str] = []
        self.workers: list[Worker] = []
        self.depth = 0
        self.is_calm = False
        self.types: Counter[str] = Counter()  # of the events in its log
        self.digest = ""  # of its whole log
        self.runs: list[tuple[str, str]] = []  # (run id, workflow) as senders know them
        self.acks: list[tuple[str, str, str, str | None]] = []  # deed, run, detail, key
        self.keys: dict[tuple[str, str], str] = {}  # (workflow, key) -> input
        self._letters = 0
        self._leaps_back = 0
        draw = self.rng.choice
        self.rates = Rates(
            crash_before=draw((0, 0, 0.005, 0.02)), crash_after=draw((0, 0, 0.005, 0.02)),
            error_before=draw((0, 0.01, 0.05)), error_after=draw((0, 0.01, 0.05)),
            read_error=draw((0, 0, 0.01)), hint_lost=draw((0, 0.3, 1.0)),
            meddle=draw((0, 0.1, 0.3)), back=draw((0, 0.3)), jump=draw((0.05, 0.3)),
        )  # fmt: skip
        self.slots = draw((1, 1, 3))
        self.snapshot_every = draw((4, 1000))
        self.failing = draw((0.0, 0.2, 0.6))

    # Telling.

    def say(self, text: str) -> None:
        """Tell what happens, if somebody wants to read it."""
        if self.loud:
            now = clock.from_us(clock.now_us())
            print(f"{now:%d %H:%M:%S.%f} {'  ' * self.depth}{text}")  # noqa: T201 - for people

    def see(self, fault: str, text: str = "") -> None:
        """Count a fault that has happened."""
        self.seen[fault] += 1
        self.say(f"!! {fault} {text}")

    def chance(self, fault: str) -> bool:
        """Draw whether a fault strikes now."""
        if self.is_calm:
            return False
        rate = getattr(self.rates, fault)
        return bool(rate) and self.rng.random() < rate

    def living(self) -> set[str]:
        """Give the ids of workers that are still there, paused ones too."""
        return {worker.id for worker in self.workers if not worker.wire.dead}

    # The life.

    def live(self) -> None:
        """Do it all: the storm, then the calm."""
        self.frozen.move_to(T0)
        with clock.seeded(self.seed), self._patched():
            self.disk = Disk(open_log(self.url))
            SERVICE.reset(clock.new_chance(f"service {self.seed}"), self.failing, self.meddle)
            self.outside = build(Wire(self, "sender", mortal=False))
            try:
                for _ in range(self.actions):
                    self.act()
                self.calm()
            finally:
                events = self.disk.log.read_all(limit=1_000_000)
                self.types = Counter(event.type for event in events)
                self.digest = hashlib.sha256(b"".join(e.hash for e in events)).hexdigest()

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Wait for nothing, keep snapshots of short runs, log nothing."""
        logger = logging.getLogger("playhead.engine")
        before = engine_driver.RETRY_AFTER, engine_repository.SNAPSHOT_EVERY, logger.level
        pauses, chance = engine_perform.PAUSES, random.getstate()
        random.seed(self.seed)
        engine_driver.RETRY_AFTER = (0.0,)  # type: ignore[assignment]
        engine_perform.PAUSES = (0.0,) * len(pauses)  # type: ignore[assignment]
        engine_repository.SNAPSHOT_EVERY = self.snapshot_every
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            engine_driver.RETRY_AFTER, engine_repository.SNAPSHOT_EVERY = before[:2]
            engine_perform.PAUSES = pauses
            random.setstate(chance)
            logger.setLevel(before[2])

    def meddle(self) -> None:
        """Let others act while somebody is in the middle of something."""
        if self.depth < DEPTH and self.chance("meddle"):
            self.depth += 1
            try:
                self.act()
            finally:
                self.depth -= 1

    def act(self) -> None:
        """Let one thing happen."""
        self.workers = [worker for worker in self.workers if not worker.wire.dead]
        if len(self.workers) < 2:
            self.spawn()
        awake = [w for w in self.workers if w.is_awake]
        draw = self.rng.random()
        if draw < 0.55 and awake:
            self.rng.choice(awake).step()
        elif draw < 0.70:
            worker = self.rng.choice(self.workers)
            if not worker.is_paused:
                worker.renew()
        elif draw < 0.80:
            self.move_clock()
        elif draw < 0.94:
            self.send(awake)
        else:
            self.hurt(awake)

    def spawn(self) -> Worker:
        """Bring a worker to life."""
        worker = Worker(self, slots=self.slots)
        self.born.append(worker.id)
        self.workers.append(worker)
        self.say(f"{worker.id} is born")
        return worker

    def move_clock(self) -> None:
        """Let time pass: a little, a lot, or once backwards."""
        if self._leaps_back == 0 and self.chance("back"):
            self._leaps_back += 1
            self.see("clock_back")
            self.frozen.tick(timedelta(seconds=-1.5))
        elif self.chance("jump"):
            seconds = self.rng.choice((4, 11, 30, 70, 400, 4000))
            self.see("clock_jump", f"{seconds} s")
            self.frozen.tick(timedelta(seconds=seconds))
        else:
            self.frozen.tick(timedelta(milliseconds=self.rng.choice((1, 50, 700, 2000))))

    def hurt(self, awake: list[Worker]) -> None:
        """Kill, stop, pause or revive a worker."""
        worker = self.rng.choice(self.workers)
        draw = self.rng.random()
        if worker.is_paused:
            self.see("revived", worker.id)
            worker.is_paused = False
        elif draw < 0.3:
            self.see("killed", worker.id)
            worker.wire.dead = True
        elif draw < 0.7:
            self.see("paused", worker.id)
            worker.is_paused = True
        elif draw < 0.85:
            self.spawn()
        elif worker in awake:
            self.see("stopped", worker.id)
            worker.stop()

    # Senders.

    def send(self, awake: list[Worker]) -> None:
        """Let somebody from outside, or a worker's own program, ask for something."""
        worker = self.rng.choice(awake) if awake and self.rng.random() < 0.3 else None
        engine = self.outside
        if worker is not None and worker.engine.is_open:
            engine = worker.engine
            worker.is_busy = True
        try:
            self.ask(engine)
        except (RunEnded, SignalRefused, CommandRefused) as refused:
            self.seen["refused"] += 1
            self.say(f"   refused: {refused}")
        except (StorageError, LogError) as error:
            self.say(f"   unknown: {error}")
        except Killed:
            if worker is not None:
                worker.wire.dead = True
        finally:
            if worker is not None:
                worker.is_busy = False

    def ask(self, engine: Engine) -> None:
        """Start, signal or steer a run. *Appends.*"""
        draw = self.rng.random()
        if draw < 0.4 or not self.runs:
            self.start(engine)
            return
        run, workflow = self.rng.choice(self.runs)
        if draw < 0.75:
            self.signal(engine, run, workflow)
            return
        deed = self.rng.choice(("pause", "resume", "resume", "retry", "retry", "cancel"))
        self.say(f"{deed} {run}")
        getattr(engine, deed)(run)
        self.acks.append((deed, run, "", None))

    def start(self, engine: Engine) -> None:
        """Start a run; its key may have been used."""
        workflow = self.rng.choice(WORKFLOWS)
        key = self.rng.choice((None, *(f"k{n}" for n in range(4))))
        order = f"order {key}" if key else f"order {self.rng.randrange(9)}"
        later = clock.from_us(clock.now_us() + 30 * clock.SECOND)
        at = later if self.rng.random() < 0.2 else None
        other = key is not None and self.rng.random() < 0.1
        if key is not None and (workflow.name, key) in self.keys:
            self.see("duplicate_start", key)
            other = other and order == self.keys[workflow.name, key]
            if other:
                try:
                    engine.start(workflow, key=key, at=at, order="another order")
                except KeyReused:
                    self.see("key_reused", key)
                else:
                    raise Stuck(f"key {key} of {workflow.name} started two different orders")
                return
        self.say(f"start {workflow.name} {key}")
        try:
            run = engine.start(
                workflow, key=key, at=at, order=order, priority=self.rng.randrange(2)
            )
        except (StorageError, LogError):
            if key is not None:
                self.seen["start_unknown"] += 1
            raise
        if key is not None:
            self.keys[workflow.name, key] = order
        if (run.id, workflow.name) not in self.runs:
            self.runs.append((run.id, workflow.name))
        self.acks.append(("start", run.id, order, key))

    def signal(self, engine: Engine, run: str, workflow: str) -> None:
        """Signal a run; some letters come twice, some with a key that was used."""
        name = self.rng.choice(SIGNALS[workflow])
        self._letters += 1
        letter = f"letter {self._letters}"
        key = self.rng.choice((None, f"s{self._letters}"))
        before = [a for a in self.acks if a[0] == name and a[1] == run and a[3] is not None]
        if before and self.rng.random() < 0.4:
            _, _, letter, key = self.rng.choice(before)
            self.see("duplicate_signal", f"{name} {key}")
        self.say(f"signal {name} {letter} {key} to {run}")
        engine.signal(run, name, letter, key=key)
        self.acks.append((name, run, letter, key))

    # The calm.

    def calm(self) -> None:
        """Stop the faults; healthy workers must bring every run to its end or its wait."""
        self.say("=== calm")
        self.is_calm = True
        SERVICE.rate = 0.0
        if self.rng.random() < 0.4:
            for worker in self.workers:
                worker.wire.dead = True
        self.workers = [worker for worker in self.workers if not worker.wire.dead]
        for worker in self.workers:
            worker.is_paused = False
        self.spawn()
        self.settle()
        self.settled = {run: self.outside.peek(run).run for run in self.all_runs()}
        for _ in range(2):  # a run that is resumed may be parked: it was quarantined meanwhile
            for run in self.settled:
                self.help(run, self.outside.peek(run).run.status)
            self.settle()

    def all_runs(self) -> list[str]:
        """Give the ids of all runs in the log, oldest first."""
        return [head.id for head in self.disk.log.heads(kind="run")][::-1]

    def help(self, run: str, status: str) -> None:
        """Do what a person does for a run that waits for one."""
        self.say(f"help {run}, {status}")
        if status == "paused":
            self.outside.resume(run)
        elif status == "parked":
            self.outside.retry(run)
        folded = self.outside.peek(run).run
        if not folded.is_ended and folded.awaiting:
            for name in list(folded.awaiting):
                self.outside.signal(run, name, "at last")

    def settle(self) -> None:
        """Let the workers do all they can, moving the clock from one due time to the next."""
        leases = clock.now_us() + int(2.5 * LEASE * clock.SECOND)
        for _ in range(QUIET_MOVES):
            self.drain()
            now = clock.now_us()
            dues = [self.disk.log.next_due(kinds=("run", "breaker"))]
            dues += [next_due(h.run) for w in self.workers for h in w.driver.holds.values()]
            known = [due for due in dues if due is not None]
            due = min(known) if known else None
            beat = now + int(LEASE * clock.SECOND) // 3
            if any(worker.driver.holds for worker in self.workers) or now < leases:
                due = beat if due is None or due <= now else min(due, beat)
            if due is None:
                return
            if due <= now:
                stuck = [h for h in self.disk.log.heads(kind="run") if h.due and h.due <= now]
                if not stuck:  # a breaker that nobody waits for, and no worker looks at
                    due = beat
                else:
                    raise Stuck(f"nobody does what is due: {stuck}")
            self.frozen.tick(timedelta(microseconds=due - now))
            for worker in self.workers:
                worker.renew()
        raise Stuck("the runs come to no end")

    def drain(self) -> None:
        """Let the workers act until nothing changes any more."""
        quiet = 0
        for _ in range(QUIET_ROUNDS):
            before = self.disk.writes
            for worker in self.workers:
                worker.step()
                while worker.flights or worker.aloft:
                    if worker.flights:
                        worker.perform()
                    if worker.aloft:
                        worker.land()
                worker.background._look(worker.wire.ear.take(), is_round=True)  # type: ignore[arg-type]
            flying = any(worker.flights or worker.aloft for worker in self.workers)
            quiet = 0 if flying or self.disk.writes != before else quiet + 1
            if quiet >= 2:
                return
        raise Stuck("healthy workers find something to do for ever")


def main() -> None:
    """Tell the life of the world of a seed, and what is wrong with it."""
    from tests.simulation.referee import find_faults  # noqa: PLC0415 - it needs this module

    with freezegun.freeze_time(T0) as frozen:
        for seed in map(int, sys.argv[1:]):
            world = World(seed, frozen, loud=True)
            for fault in find_faults(world):
                print("FAULT:", fault)  # noqa: T201 - for people


if __name__ == "__main__":
    main()
