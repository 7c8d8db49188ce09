"""A promise that was broken: which, by whom, and the last events of that run."""

from dataclasses import dataclass

from tests.soak.record import Life, Told

LAST = 8  # events that are told


@dataclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """One finding of the judge."""

    promise: str
    subject: str  # a run, a file, a position, a daemon
    what: str
    events: tuple[Told, ...] = ()

    def __str__(self) -> str:
        lines = [f"BROKEN: {self.promise}: {self.subject}: {self.what}"]
        return "\n    ".join([*lines, *map(str, self.events)])


def of_life(promise: str, life: Life, what: str) -> Breach:
    """Give a breach by a run, with its last events."""
    subject = f"run {life.id} of {life.workflow}"
    return Breach(promise=promise, subject=subject, what=what, events=life.events[-LAST:])
