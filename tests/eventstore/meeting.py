# ruff: noqa: TID251 - it sleeps for a living
"""A program of its own in which several processes meet at one log: forks, locks, hints.

Run as `python meeting.py SCENE DATABASE`; prints one JSON value.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from children import forked, judged, log_at, play, said

from eventstore import NEW, Append, Write, clock
from eventstore.errors import LogError, StorageUnsuitable
from eventstore.store import WorkerRow
from eventstore.testing import birth, fact, row, step


def fork_with_an_open_log(path):
    """Use a log in a forked child, and go on in the parent."""
    log = log_at(path)
    tip = birth(log, "s")
    reader = log.listen("w")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:  # ends by the front door, with all clean-ups
        said_by_child = []
        calls = (
            lambda: log.head("s"),
            lambda: step(log, "s", tip),
            log.changed,
            lambda: log.claim("w", kind="run", now=1, limit=1),
            lambda: list(log.verify()),
        )
        for call in calls:
            try:
                call()
                said_by_child.append("done")
            except StorageUnsuitable as error:
                said_by_child.append(str(error))
        log.close()
        own = log_at(path)
        tip = step(own, "s", tip)
        said_by_child.append(tip.version)
        own.close()
        os.write(writing, json.dumps(said_by_child).encode())
        sys.exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    said_by_child = json.loads("".join(said(reading)))
    tip = log.head("s").tip
    for _ in range(3):
        tip = step(log, "s", tip)
    log.hint(["s"])
    heard = sorted(reader.wait(20))
    wal = Path(f"{path}-wal").exists()
    log.close()
    return [said_by_child, heard, wal, judged(path, "s", 0), len(log_at(path).read("s"))]


def free_lock(path):
    """A worker is killed while a child that it forked lives on; another worker looks."""

    def die(pipe, path):
        log = log_at(path)
        log.enter(WorkerRow("dead", "dead", "h", os.getpid(), 0, 10**18, ()))
        birth(log, "s", owner="dead")
        heir = os.fork()
        if not heir:
            time.sleep(60)
        os.write(pipe, b"%d" % heir)
        time.sleep(60)

    pid, pipe = forked(die, path)
    heir = int(os.read(pipe, 20))
    log = log_at(path)
    before = log.bury(now=5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    after = log.bury(now=5)
    again = log.bury(now=5)
    rows = [[w.id, w.dead] for w in log.workers()]
    (claim,) = log.claim("b", kind="run", now=5, limit=1)
    os.kill(heir, signal.SIGKILL)
    log.bury(now=5)
    locks = sorted(p.name for p in Path(f"{path}-workers").glob("*.lock"))
    os.close(pipe)
    return [before, after, again, rows, claim.lost_by, claim.died, log.workers(), locks]


def held_lock(path):
    """A worker is stopped for longer than its lease; another worker looks."""

    def live(pipe, path):
        log = log_at(path)
        log.enter(WorkerRow("slow", "slow", "h", os.getpid(), 0, 10, ()))
        birth(log, "s", owner="slow")
        os.write(pipe, b"in\n")
        time.sleep(60)

    pid, pipe = forked(live, path)
    os.read(pipe, 3)
    os.kill(pid, signal.SIGSTOP)
    log = log_at(path)
    buried = log.bury(now=100)
    (claim,) = log.claim("b", kind="run", now=100, limit=1)
    taken = None
    try:
        log.enter(WorkerRow("slow", "slow", "h", 0, 0, 10, ()))
    except LogError as error:
        taken = str(error)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
    return [buried, claim.lost_by, claim.died, taken]


def many_processes(path):
    """Four processes append to one file, to streams of their own and to a shared one."""

    def work(pipe, path, name):
        log = log_at(path)
        tip = NEW
        for number in range(60):
            (tip,) = log.append(
                Append(f"{name}-{number}", (Write(name, "run", tip, (fact(),), row()),))
            )
            while True:
                head = log.head("shared")
                try:
                    step(log, "shared", head.tip) if head else birth(log, "shared")
                    break
                except LogError:
                    continue
        log.database.checkpoint()
        log.close()
        os.write(pipe, b"done\n")

    children = [forked(work, path, f"p{number}") for number in range(4)]
    lines = [said(pipe) for _, pipe in children]
    for pid, _ in children:
        os.waitpid(pid, 0)
    log = log_at(path)
    sizes = {head.id: head.tip.version for head in log.heads(kind="run")}
    return [lines, sizes, list(log.verify())]


def hint_across(path):
    """Hints in one process wake a waiter in another; give the seconds each took, and the last."""

    def listen(pipe, path):
        log = log_at(path)
        ear = log.listen("ear")
        os.write(pipe, b"ok\n")
        for _ in range(5):
            heard = ear.wait(20)
            os.write(pipe, json.dumps([clock.real_seconds(), sorted(heard)]).encode() + b"\n")
        ear.close()

    pid, pipe = forked(listen, path)
    log, seconds = log_at(path), []
    with os.fdopen(pipe) as lines:
        lines.readline()
        for _ in range(5):
            time.sleep(0.05)
            began = clock.real_seconds()
            log.hint(["s1", "s2"])
            ended, heard = json.loads(lines.readline())
            seconds.append(ended - began)
    os.waitpid(pid, 0)
    return [seconds, heard]


def own_files_are_not_opened(path):
    """Use every call of a log, and give what of the database's files Python opened."""
    opened = []

    def hook(name, args):
        if name == "open" and isinstance(args[0], (str, bytes)):
            file = os.fsdecode(args[0])
            if file.removesuffix("-wal").removesuffix("-shm") == path:
                opened.append(file)

    sys.addaudithook(hook)
    log = log_at(path)
    log.enter(WorkerRow("w", "w", "h", 1, 0, 10, ()))
    tip = birth(log, "s", due=1)
    for _ in range(3):
        tip = step(log, "s", tip)
    log.renew("w", until=9)
    log.changed()
    log.bury(now=100)
    log.database.checkpoint()
    log.put_blob(b"x")
    found = list(log.verify())
    ear = log.listen("w")
    log.hint(["s"])
    ear.close()
    log.leave("w", now=1)
    log.close()
    birth(log, "t")
    log.close()
    return [opened, found]


if __name__ == "__main__":
    play(globals())
