"""`kill -9` again and again under load: what the log says of files, slots, deliveries and ends."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Self

import httpx
import pytest

from eventstore import clock
from playhead import Engine
from tests.playhead.served import Served, wait_until
from tests.triggers.webhook.signing import SECRETS, signed

APP = f"""
from pathlib import Path

from playhead import Engine, FileTrigger, IntervalTrigger, RunTrigger, WebhookTrigger
from playhead import Workflow, step

HERE = Path(__file__).parent


@step
def read(path: Path) -> str:
    return path.name


@step
def beat(slot: str) -> str:
    return slot


@step
def ship(body: dict) -> int:
    if body["number"] % 5 == 0:
        raise ValueError("out of stock")
    return body["number"]


@step
def note(run: str) -> str:
    return run


files, beats = Workflow("files", steps=[read]), Workflow("beats", steps=[beat])
orders = Workflow("orders", steps=[ship])
thanks, regrets = Workflow("thanks", steps=[note]), Workflow("regrets", steps=[note])
engine = Engine(
    "sqlite:///log.db",
    workflows=[files, beats, orders, thanks, regrets],
    triggers=[
        FileTrigger(HERE / "inbox/*.txt", files, settle=0, after="done", name="drops"),
        IntervalTrigger(0.25, beats, catchup="all", name="clock"),
        WebhookTrigger("/orders", orders, secrets=[{SECRETS["standard"]!r}], name="shop"),
        RunTrigger(files, thanks, name="good"),
        RunTrigger(orders, regrets, on="failed", name="bad"),
    ],
)
"""
WORDS = ("app.py", "--quiet", "--http", "127.0.0.1:0")
KILLS = 30
SECONDS = 28.0  # real; a slow machine does with fewer kills
FEWEST = 8
GOLDEN = 0.618  # its multiples meet no rhythm
BEGUN = 4  # beats, a second of them, that may be under way at the end
PACE = 0.03  # seconds between two files, and between two deliveries


class Load:
    """A writer of files and a sender of deliveries, each in a thread, whoever is at work.

    Attributes:
        files: names that were moved in.
        answers: by number of the delivery, the run that it was acknowledged with.
    """

    def __init__(self, folder: Path, daemon: Served) -> None:
        self.daemon = daemon
        self.files: list[str] = []
        self.answers: dict[int, str] = {}
        self._folder = folder
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._drop, self._deliver)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let no more come; what is under way is finished."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _drop(self) -> None:
        while not self._stopped.wait(PACE):
            name = f"{len(self.files)}.txt"
            (self._folder / name).write_text(name)
            (self._folder / name).rename(self._folder / "inbox" / name)
            self.files.append(name)

    def _deliver(self) -> None:
        """Send each delivery until it is acknowledged, as senders do; then the next one."""
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self._stopped.wait(PACE):
                wait_until(lambda: self._is_acknowledged(client), "a delivery's answer")

    def _is_acknowledged(self, client: httpx.Client) -> bool:
        number = len(self.answers)
        body = json.dumps({"number": number}).encode()
        now = clock.now_us() // clock.SECOND
        letter = signed("standard", body, now, msg=f"msg_{number}")
        place = re.search(r"answers: (http://\S+)/livez", self.daemon.said)
        if place is None:  # not ready yet
            return False
        with contextlib.suppress(httpx.TransportError):  # killed meanwhile
            answer = client.post(f"{place[1]}/orders", content=body, headers=letter)
            assert answer.status_code in {200, 202}, answer.text
            self.answers[number] = answer.json()["run"]
        return number in self.answers


def fired(engine: Engine, name: str) -> dict[str, str]:
    """Give the run of each key that fired, in order; no key and no run may be there twice."""
    events = [e for e in engine.trigger(name).events() if e.type == "trigger.fired"]
    runs = {str(event.key): str(event.run) for event in events}
    assert len(events) == len(runs) == len(set(runs.values())), f"{name}: one fired twice"
    return runs


def inputs(engine: Engine, workflow: str, **filters: str) -> dict[str, object]:
    """Give the one input of each run of a workflow by the run's id."""
    rows = engine.runs(workflow, limit=None, **filters)
    return {row.id: next(iter(row.inputs.values())) for row in rows}


def check_files(engine: Engine, files: list[str], folder: Path) -> None:
    """Each file is one firing and one run, and lies in one place: where it was to go."""
    runs = inputs(engine, "files", status="succeeded")
    assert sorted(Path(str(path)).name for path in runs.values()) == sorted(files)
    assert set(fired(engine, "drops").values()) == set(runs)
    assert sorted(path.name for path in (folder / "done").iterdir()) == sorted(files)


def check_slots(engine: Engine) -> None:
    """Each beat since the arming is one run, and its neighbours are one interval away.

    The last may have begun as the daemon was told to stop: they are left for the next one.
    """
    runs = inputs(engine, "beats")
    in_order = sorted(runs, key=lambda run: str(runs[run]))
    assert list(fired(engine, "clock").values()) == in_order
    assert set(in_order[:-BEGUN]) <= set(inputs(engine, "beats", status="succeeded"))
    slots = sorted(datetime.fromisoformat(str(slot)) for slot in runs.values())
    assert {after - before for before, after in pairwise(slots)} == {timedelta(seconds=0.25)}


def check_deliveries(engine: Engine, answers: dict[int, str]) -> None:
    """Each delivery is one run: the one with whose id it was acknowledged."""
    bodies = inputs(engine, "orders")
    assert {run: body["number"] for run, body in bodies.items()} == {
        run: number for number, run in answers.items()
    }
    assert fired(engine, "shop") == {f"msg_{n}": run for n, run in answers.items()}


def check_ends(engine: Engine) -> None:
    """Each end has one follower, which knows what it follows from, back to file or delivery."""
    for name, follower, ended, origin in (
        ("good", "thanks", inputs(engine, "files", status="succeeded"), "drops"),
        ("bad", "regrets", inputs(engine, "orders", status="failed"), "shop"),
    ):
        runs = inputs(engine, follower, status="succeeded")
        assert sorted(map(str, runs.values())) == sorted(ended)
        assert set(fired(engine, name).values()) == set(runs)
        for run, of in runs.items():
            causes = engine.causes(run)
            assert [cause.trigger for cause in causes] == [name, None, origin]
            assert causes[1].stream == of


def command(folder: Path, *words: str) -> str:
    """Give what the command line prints; its exit code is to be 0."""
    done = subprocess.run(
        [sys.executable, "-m", "playhead", *words, "--url", "sqlite:///log.db"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unsettled(engine: Engine, load: Load, folder: Path) -> list[str]:
    """Name what is not done yet of all that came and follows from it; the beats never end."""
    if left := [path.name for path in (folder / "inbox").iterdir()]:
        return left
    followers = sum(len(engine.runs(name, limit=None)) for name in ("thanks", "regrets"))
    due = len(load.files) + sum(number % 5 == 0 for number in load.answers)
    if followers != due:
        return [f"{followers} followers of {due}"]
    for name in ("files", "orders", "thanks", "regrets"):
        rows = engine.runs(name, status=["running", "waiting", "scheduled"], limit=None)
        left.extend(f"{row.workflow} {row.id} {row.status}" for row in rows)
    return left


@pytest.mark.slow
def test_a_daemon_killed_again_and_again_under_load(tmp_path: Path) -> None:
    """30 kills while files, beats, deliveries and ends come: each is one run, the log is whole."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "inbox").mkdir()
    daemons = [Served(tmp_path, *WORDS).ready()]
    try:
        with (
            contextlib.closing(Engine(f"sqlite:///{tmp_path / 'log.db'}")) as engine,
            Load(tmp_path, daemons[0]) as load,
        ):
            wait_until(lambda: load.files and load.answers, "the load")
            until = clock.real_seconds() + SECONDS
            for kill in range(KILLS):
                if kill >= FEWEST and clock.real_seconds() > until:
                    break
                if kill % 3:  # every third is killed as it starts
                    daemons[-1].ready()
                clock.real_sleep(kill * GOLDEN % 1 * 0.7)
                daemons[-1].end()
                daemons.append(Served(tmp_path, *WORDS))
                load.daemon = daemons[-1]
            load.stop()
            wait_until(
                lambda: not unsettled(engine, load, tmp_path),
                lambda: f"{unsettled(engine, load, tmp_path)} of {daemons[-1].said}",
            )
            daemons[-1].ready().tell(signal.SIGTERM)
            assert daemons[-1].finish() == 0, daemons[-1].said
            check_files(engine, load.files, tmp_path)
            check_slots(engine)
            check_deliveries(engine, load.answers)
            check_ends(engine)
        assert "say what the events say" in command(tmp_path, "verify", "--deep")
        assert not [line for daemon in daemons for line in daemon.lines if "Traceback" in line]
    finally:
        for daemon in daemons:
            daemon.end()
