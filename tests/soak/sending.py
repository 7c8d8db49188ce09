"""The sender of a round: starts runs of many kinds, and signals, cancels, pauses, resumes some."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from eventstore import clock
from playhead import RunEnded, SignalRefused
from tests.soak import application
from tests.soak.options import Options

PACE = 0.05  # seconds between two runs
TRIES = 5  # at the end, for what must not be left waiting


class Sender:
    """A thread that asks what users ask, until it is told to end."""

    def __init__(self, options: Options) -> None:
        self.keys: dict[str, str] = {}  # key -> id of the run that was answered
        self.dropped: list[str] = []  # names of files laid into the inbox
        self.faults: list[str] = []
        self.down = options.folder / "down"
        self._folder = options.folder
        self._is_pruning = options.is_pruning
        self._chance = clock.new_chance(f"{options.seed} sender")
        self._engine = application.reader(options.url)
        self._awaiting: list[str] = []  # runs that wait for a signal
        self._paused: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        names = list(application.SENT)
        weights = [often for often, _ in application.SENT.values()]
        number = 0
        while not self._over.wait(PACE):
            number += 1
            (name,) = self._chance.choices(names, weights)
            self._ask(partial(self._one, name, number))
        for run in self._awaiting:
            self._insist(partial(self._engine.signal, run, "go", 1, key="once"))
        for run in self._paused:
            self._insist(partial(self._resume, run))

    def _one(self, name: str, number: int) -> None:
        chance, key = self._chance, f"{name}-{number}"
        inputs = self._inputs(name, number)
        run = self._engine.start(name, **inputs, key=key, priority=chance.choice([0, 0, 0, 5]))
        self.keys[key] = run.id
        if name == "signalled":
            self._awaiting.append(run.id)
        if chance.random() < 0.1 and self._engine.start(name, **inputs, key=key).id != run.id:
            self.faults.append(f"the sender: key {key} was answered with two runs")
        if self._awaiting and chance.random() < 0.3:
            self._engine.signal(self._awaiting.pop(0), "go", number, key="once")
        if number % 4 == 0:
            self._drop(f"{number}.txt")
        self._steer(run)

    def _steer(self, run: Any) -> None:
        what = self._chance.random()
        if what < 0.03:
            self._engine.cancel(run)
        elif what < 0.05:
            self._engine.pause(run)
            self._paused.append(run.id)
        if self._paused and self._chance.random() < 0.05:
            self._resume(self._paused.pop(0))

    def _resume(self, run: str) -> None:
        if self._engine.get(run).status == "paused":
            self._engine.resume(run)

    def _inputs(self, name: str, number: int) -> dict[str, Any]:
        if name == "signalled":
            return {}
        return {"n": number, **({"down": self.down} if name == "guarded" else {})}

    def _drop(self, name: str) -> None:
        made = self._folder / name
        made.write_text("x")
        made.rename(self._folder / "inbox" / name)
        self.dropped.append(name)

    def _ask(self, what: Callable[[], None]) -> bool:
        """Tell whether it was answered; a run that has ended is an answer."""
        try:
            what()
        except (RunEnded, SignalRefused):
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the round tells it
            self.faults.append(f"the sender: {type(error).__name__}: {error}")
            return False
        return True

    def _insist(self, what: Callable[[], None]) -> None:
        for _ in range(TRIES):
            if self._ask(what):
                return

    def close(self) -> None:
        """Let it signal and resume what still waits for that, and end."""
        self._over.set()
        self._thread.join()
        self._engine.close()
