"""Namesakes: workers that live at once under one name, which is for people only.

What a worker owns hangs on its id and on the epoch of each run, so namesakes do each other no
harm; but nobody can tell their lines apart. A name that a worker has made of its own host and
process says nothing of the kind: in containers these may well be the same twice.
"""

import logging
from collections.abc import Iterable

from eventstore import WorkerRow

log = logging.getLogger("playhead.engine")


def made_up(host: str, pid: int) -> str:
    """Give the name of a worker that was given none. *Pure.*"""
    return f"{host}:{pid}"


def namesakes(worker: WorkerRow, others: Iterable[WorkerRow], now: int) -> list[WorkerRow]:
    """Give those of other workers that live under the name that this one was given. *Pure.*

    Args:
        worker: the one whose name it is.
        others: leases, its own among them or not.
        now: microseconds; who is dead or whose lease ran out by then does not count.

    Returns:
        In the order given; [] for a name that nobody gave.
    """
    if worker.name == made_up(worker.host, worker.pid):
        return []
    return [
        other
        for other in others
        if other.id != worker.id
        and other.name == worker.name != made_up(other.host, other.pid)
        and not other.dead
        and other.until > now
    ]


def tell_of(others: Iterable[WorkerRow], told: set[str]) -> None:
    """Warn of workers that live under one's own name, of each once: `told` keeps their ids."""
    for other in others:
        if other.id in told:
            continue
        told.add(other.id)
        log.warning(
            "another worker is named %r: process %d on %s; both work on, since the id and not the"
            " name tells them apart, but people cannot: give one another worker=",
            other.name, other.pid, other.host, extra={"action": "worker_name_taken"},
        )  # fmt: skip
