"""Several processes of one application on one database, and the checker each journey ends with."""

import importlib.util
import json
import os
import textwrap
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.audit.walk import Audit
from eventstore import clock
from tests.servers.waiting import wait_for

APP = '''
"""An application of the tests: workflows, triggers, and an engine on the database given."""
import json, os, sys, threading, time
from datetime import timedelta
from pathlib import Path
from playhead import (
    CircuitBreaker, Context, CronTrigger, Engine, FileTrigger, IntervalTrigger, RunTrigger,
    Signal, Timer, Workflow, step,
)

HERE = Path(__file__).parent


def note(name, ctx):
    """Write down that a step runs: one line, appended whole."""
    line = json.dumps([name, ctx.run_id, ctx.attempt, os.getpid(), time.time()]) + "\\n"
    with open(HERE / "notes.txt", "a") as file:
        file.write(line)


def hang(name):
    """Wait while a file of that name lies about."""
    while (HERE / name).exists():
        threading.Event().wait(0.02)


@step
def first(x: int, ctx: Context) -> int:
    note("first", ctx)
    return x + 1


@step
def second(first: int, ctx: Context) -> int:
    note("second", ctx)
    hang("hang")
    return first * 10


@step
def third(second: int, ctx: Context) -> int:
    note("third", ctx)
    return second + 5


@step
def quick(x: int, ctx: Context) -> int:
    note("quick", ctx)
    return x


@step
def nap(x: int, ctx: Context) -> int:
    note("nap", ctx)
    time.sleep(0.1)
    note("woken", ctx)
    return x


@step
def take(go: int, ctx: Context) -> int:
    note("take", ctx)
    return go


@step(after=["hold"])
def late(x: int, ctx: Context) -> int:
    note("late", ctx)
    return x


@step(breaker=CircuitBreaker("api", failure_threshold=3, reset_timeout=5))
def ask(x: int, ctx: Context) -> int:
    note("ask", ctx)
    hang("gate")
    if (HERE / "down").exists():
        raise ConnectionError("down")
    return x


@step
def beat(slot: str) -> str:
    return slot


@step
def read(path: Path) -> str:
    return path.name


story = Workflow("story", steps=[first, second, third])
light = Workflow("light", steps=[quick])
naps = Workflow("naps", steps=[nap])
patient = Workflow("patient", steps=[Signal("go", int), take])
asleep = Workflow("asleep", steps=[Timer("hold", timedelta(seconds=8)), late])
guarded = Workflow("guarded", steps=[ask])
beats, ticks = Workflow("beats", steps=[beat]), Workflow("ticks", steps=[beat])
files = Workflow("files", steps=[read])
ended = Workflow("ended", steps=[step(lambda run: run, name="tell")])
WORKFLOWS = [story, light, naps, patient, asleep, guarded, beats, ticks, files, ended]


@step
def gather(x: int, ctx: Context) -> int:
    note("gather", ctx)
    return x + 1


@step
def weigh(gather: int, go: int, ctx: Context) -> int:
    note("weigh", ctx)
    return gather * go


@step
def label(weigh: int) -> str:
    return f"{weigh} kg"


@step
def collect(x: int, go: int) -> int:
    return x - go


ORDERS = {  # the same workflow as three versions of the code have it
    1: [gather, Signal("go", int), weigh],
    2: [gather, Signal("go", int), weigh, label],
    3: [Signal("go", int), collect],  # does not go on with what the others began
}


def triggers():
    return [
        CronTrigger("* * * * * *", ticks, name="cron", catchup="all"),
        IntervalTrigger(0.25, beats, name="clock", catchup="all"),
        FileTrigger(str(HERE / "inbox" / "*.txt"), files, name="drops", settle=0.1),
    ]


def quiet():
    """Triggers that have nothing to do for a long time."""
    return [
        CronTrigger("0 0 29 2 *", ticks, name="leap"),
        RunTrigger(story, ended, name="follows"),
    ]


def make(url=None, version=1, **options):
    orders = Workflow("orders", steps=ORDERS[version])
    return Engine(url or os.environ["LOG"], workflows=[*WORKFLOWS, orders], **options)
'''
SERVE = "import app; app.make({options}).serve()"
SOON = 25.0  # seconds: moments on a slow machine, and far from the leases that are kept


class Fleet:
    """One application's processes; `engine` starts and steers here, in a process of its own."""

    def __init__(self, folder: Path, url: str, program: Any) -> None:
        self.folder, self.url = folder, url
        self._program = program
        (folder / "app.py").write_text(textwrap.dedent(APP))
        self.app = load(folder / "app.py")
        self.engine = self.app.make(url)

    def serve(self, *options: str, url: str | None = None) -> list[Any]:
        """Start processes that serve, one for each text; give them when their workers entered."""
        codes = [SERVE.format(options=one) for one in options or ("",)]
        made = [self.run(code, url=url) for code in codes]
        for one in made:
            self._has_entered(one)
        return made

    def run(self, code: str, *words: str, url: str | None = None) -> Any:
        """Start a program beside the application."""
        os.environ["LOG"] = url or self.url
        try:
            return self._program(code, *words)
        finally:
            del os.environ["LOG"]

    def _has_entered(self, made: Any) -> None:
        pid = made.process.pid
        wait_for(lambda: pid in self.pids() or made.process.poll() is not None, "a worker")
        assert made.process.poll() is None, made.finish()

    def pids(self) -> dict[int, Any]:
        """Give the workers that the log knows, by the pid of their process."""
        return {worker.pid: worker for worker in self.engine.log.workers()}

    def start(self, workflow: str, *inputs: int) -> list[Any]:
        """Start runs from here, where nobody works."""
        if not inputs:
            return [self.engine.start(workflow)]
        return [self.engine.start(workflow, x=x) for x in inputs]

    def touch(self, name: str) -> None:
        """Lay a file beside the application."""
        (self.folder / name).touch()

    def remove(self, name: str) -> None:
        """Take it away."""
        (self.folder / name).unlink()

    def notes(self, name: str | None = None) -> list[Any]:
        """Give what steps wrote down: step, run, attempt, pid, time; of one step, or of all."""
        path = self.folder / "notes.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        said = [json.loads(line) for line in lines]
        return [one for one in said if name in (None, one[0])]

    def done(self, runs: list[Any], seconds: float = 60.0) -> list[Any]:
        """Wait until runs have succeeded; give their results."""
        left = {run.id for run in runs}

        def ended() -> bool:
            statuses = self.engine.log.statuses(left)
            left.difference_update(run for run, s in statuses.items() if s == "succeeded")
            assert "failed" not in statuses.values()
            return not left

        wait_for(ended, f"the end of {len(left)} runs", seconds)
        return [run.result(timeout=50) for run in runs]

    def told(self, run: Any, type_: str | None = None) -> list[Any]:
        """Give the events of a run, of one type or all."""
        return [e for e in self.engine.history(run) if type_ in (None, e.type)]

    def deaths(self, run: Any) -> list[int]:
        """Give, for each time that a step of a run was lost, how many deaths it is charged with."""
        return [event.data.get("deaths", 0) for event in self.told(run, "step.lost")]

    def works(self, server: Any) -> None:
        """Wait until a process takes its part of new runs."""

        def has_worked() -> bool:
            self.done(self.start("naps", *range(8)))
            return server.process.pid in {note[3] for note in self.notes("nap")}

        wait_for(has_worked, "a process that works")

    def check(self) -> None:
        """Hold the whole log against what may never be otherwise, whatever befell its processes."""
        log = self.engine.log
        audit = Audit(log, self.engine.repository.plan, deep=True)
        assert [str(fault) for fault in audit.faults(None)] == []
        for head in log.heads(kind="run"):
            events = log.read(head.id)
            assert [e.version for e in events] == list(range(1, head.tip.version + 1))
            results = Counter(e.subject for e in events if e.type == "step.succeeded")
            assert set(results.values()) <= {1}, f"{head.id}: {results}"
            is_found = head.owner is not None or head.due is not None
            assert head.status != "running" or is_found, f"{head.id} is nobody's"
            playhead = self.engine.playhead(head.id)
            for version in range(len(events) + 1):
                playhead.seek(version)  # every move is a legal one
        for head in log.heads(kind="trigger"):
            fired = [e for e in log.read(head.id) if e.type == "trigger.fired"]
            keys = Counter(json.loads(e.data)["key"] for e in fired)
            assert set(keys.values()) <= {1}, f"{head.id}: {keys}"


def load(path: Path) -> ModuleType:
    """Give an application's module, under no name that others could import."""
    spec = importlib.util.spec_from_file_location(f"app_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def now() -> float:
    """Give the time as steps write it down."""
    return clock.now_us() / clock.SECOND
