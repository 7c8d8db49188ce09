"""Chaos by a seed: daemons are killed, stopped, terminated, begun again; the service goes down."""

from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 - only named as a type; the seed comes from the clock

from eventstore import clock
from tests.soak.daemons import Daemon, Daemons
from tests.soak.following import Follower
from tests.soak.options import Options

# What is done and how often; the seed says how fast.
ACTS = {"kill": 50, "stop": 15, "terminate": 15, "break": 8, "kill follower": 5, "nothing": 7}


class Chaos:
    """The acts of one round."""

    def __init__(
        self, options: Options, daemons: Daemons, follower: Follower, down: Path
    ) -> None:
        self.done: Counter[str] = Counter()
        self._chance: Random = clock.new_chance(f"{options.seed} chaos")
        self._daemons, self._follower, self._down = daemons, follower, down
        self._seconds = options.seconds
        self._pause = 0.06 * 6 ** self._chance.random()  # seconds between acts, at the mean
        self._longest = self._chance.choice([1.0, 4.0, 8.0])  # seconds that one stands still
        self._is_killing_last = self._chance.random() < 0.5  # all at once, at the end
        self._stopped: list[tuple[float, Daemon]] = []  # until when, in real seconds

    def play(self) -> None:
        """Act until the time is over; then mend everything."""
        until = clock.real_seconds() + self._seconds
        while clock.real_seconds() < until:
            clock.real_sleep(self._chance.expovariate(1 / self._pause))
            self._wake(clock.real_seconds())
            for place, one in enumerate(self._daemons.living):
                if not one.is_alive and self._chance.random() < 0.7:
                    self._daemons.renew(place)
            (act,) = self._chance.choices(list(ACTS), list(ACTS.values()))
            self._act(act, self._chance.choice(self._daemons.living))
        self._mend()

    def _wake(self, now: float) -> None:
        for until, one in self._stopped:
            if until <= now:
                one.go_on()
        self._stopped = [entry for entry in self._stopped if entry[0] > now]

    def _act(self, act: str, one: Daemon) -> None:
        if act in ("kill", "stop", "terminate") and not one.is_alive:
            act = "nothing"
        self.done[act] += 1
        if act == "kill":
            one.kill()
        elif act == "stop":
            one.stop()
            for_ = self._chance.uniform(0.3, self._longest)
            self._stopped.append((clock.real_seconds() + for_, one))
        elif act == "terminate":
            one.terminate()
        elif act == "kill follower":
            self._follower.renew()
        elif act == "break" and self._chance.random() < 0.5:
            self._down.touch()
        elif act == "break":
            self._down.unlink(missing_ok=True)

    def _mend(self) -> None:
        self._down.unlink(missing_ok=True)
        self._wake(float("inf"))
        if self._is_killing_last:
            for one in self._daemons.living:
                self.done["kill"] += one.is_alive
                one.kill()
        self._daemons.renew_all()
