# ruff: noqa: BLE001, PLC0415, PTH110, S311, T201, TID251 - it sleeps, kills and prints for a living
"""A program of its own that makes logs suffer: children are forked, hurt, and looked after.

Run as `python crashing.py SCENE DATABASE`; prints one JSON value. The children are forked before
any log is opened, which is cheap and safe; each opens its own.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from eventstore import NEW, Append, Write, clock, open_log
from eventstore.errors import LogError, StorageUnsuitable
from eventstore.store import WorkerRow
from eventstore.testing import birth, fact, row, step


def log_at(path):
    """Give a log on a file."""
    return open_log(f"sqlite:///{path}")


def forked(work, *args):
    """Fork a child that does some work and ends without a clean-up; give pid and its pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    code = 0
    try:
        work(writing, *args)
    except BaseException as error:
        os.write(writing, f"!{type(error).__name__}: {error}\n".encode())
        code = 1
    os._exit(code)


def said(reading):
    """Give the lines of a child until it ends."""
    with os.fdopen(reading) as pipe:
        return [line.strip() for line in pipe]


def acked(lines):
    """Count what a child said was done; an error of its own is one fault too many."""
    assert not [line for line in lines if line.startswith("!")], lines
    return len(lines)


def append_for_ever(pipe, path, tag, go=None):
    """Append one stream after another, and say so after each."""
    if go is not None:
        log_at(path).head("x")  # imports and compiles what the first call needs
        os.read(go, 1)
    log = log_at(path)
    number = 0
    while True:
        writes = (Write(f"{tag}-{number}", "run", NEW, (fact(), fact()), row()),)
        log.append(Append(f"{tag}-{number}", writes))
        os.write(pipe, b"%d\n" % number)
        number += 1


def judged(path, tag, done):
    """Give acknowledged, stored, and the faults found."""
    log = log_at(path)
    stored = sum(head.id.startswith(f"{tag}-") for head in log.heads(kind="run"))
    found = list(log.verify())
    log.close()
    return [done, stored, found]


def kill_at_any_instant(path):
    """Kill a writer again and again at random moments."""
    chance = random.Random(7)
    results = []
    for round_ in range(15):
        pid, pipe = forked(append_for_ever, path, f"r{round_}")
        time.sleep(0.02 + chance.random() * 0.08)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        results.append(judged(path, f"r{round_}", acked(said(pipe))))
    return results


def traced(path, tag, rules, stop=None):
    """Let a writer run under strace with injected faults until it dies or has done `stop`."""
    return traced_at(path, tag, rules, append_some if stop else append_for_ever)


def traced_at(path, tag, rules, work):
    """Let some work be done under strace with injected faults until it dies or is done."""
    reading, writing = os.pipe()
    pid, pipe = forked(work, path, tag, reading)
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", "/dev/null", "-p", str(pid)]
        + [word for rule in rules for word in ("-e", rule)],
        stderr=subprocess.PIPE,
        text=True,
    )
    line = tracer.stderr.readline()
    if "attached" not in line:
        os.kill(pid, signal.SIGKILL)
        return None
    os.write(writing, b"g")
    lines = said(pipe)
    os.waitpid(pid, 0)
    tracer.wait()
    tracer.stderr.close()
    os.close(reading)
    os.close(writing)
    return lines


def append_some(pipe, path, tag, go):
    """Append forty streams, and say of each how it went."""
    os.read(go, 1)
    log = log_at(path)
    for number in range(40):
        writes = (Write(f"{tag}-{number}", "run", NEW, (fact(), fact()), row()),)
        try:
            log.append(Append(f"{tag}-{number}", writes))
            os.write(pipe, b"%d\n" % number)
        except LogError as error:
            os.write(pipe, f"!{number} {type(error).__name__}: {error}\n".encode())


def kill_at_a_write(path):
    """Kill a writer at its nth write or sync."""
    results = []
    for number in (3, 12, 15, 18, 21, 24, 27, 30, 33, 36, 50, 77):
        rules = ["trace=pwrite64,fdatasync,fsync", f"inject=pwrite64:signal=KILL:when={number}"]
        lines = traced(path, f"w{number}", rules)
        if lines is None:
            return None
        results.append(judged(path, f"w{number}", acked(lines)))
    for number in (2, 5, 9):
        rules = [
            "trace=fdatasync,fsync",
            f"inject=fdatasync,fsync:signal=KILL:when={number}",
        ]
        results.append(judged(path, f"f{number}", acked(traced(path, f"f{number}", rules))))
    return results


def sync_fails(path, when):
    """Let syncs fail with EIO; give what the writer said, and what is stored."""
    judged(path, "none", 0)
    rules = ["trace=fdatasync,fsync", f"inject=fdatasync,fsync:error=EIO:when={when}"]
    lines = traced(path, "e", rules, stop=40)
    if lines is None:
        return None
    stored = judged(path, "e", 0)
    log = log_at(path)
    for number in range(40):  # the disk is well again: the same ids once more
        log.append(
            Append(f"e-{number}", (Write(f"e-{number}", "run", NEW, (fact(), fact()), row()),))
        )
    log.close()
    return [lines, stored, judged(path, "e", 0)]


def sync_fails_once(path):
    """One sync fails."""
    return sync_fails(path, "7")


def sync_fails_for_ever(path):
    """From one moment on all syncs fail."""
    return sync_fails(path, "7+")


def as_nobody(path):
    """Open a log without the right to write it."""

    def work(pipe, path):
        log = log_at(path)  # first: the program's own files may be out of reach afterwards
        os.setgid(65534)
        os.setuid(65534)
        try:
            birth(log, "s")
        except LogError as error:
            os.write(pipe, f"{type(error).__name__}: {error}\n".encode())

    pid, pipe = forked(work, path)
    os.waitpid(pid, 0)
    return said(pipe)


def small_files_only(path):
    """Append until the limit on the size of files is reached."""

    def work(pipe, path):
        import resource

        log = log_at(path)
        log.head("x")
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        done = 0
        try:
            for number in range(1000):
                birth(log, f"s{number}", events=(fact(data='"%s"' % ("x" * 4000)),))
                done += 1
        except LogError as error:
            os.write(pipe, f"{done}\n{type(error).__name__}: {error}\n".encode())

    pid, pipe = forked(work, path)
    os.waitpid(pid, 0)
    lines = said(pipe)
    log = log_at(path)
    stored = len(log.heads(kind="run"))
    return [lines, stored, list(log.verify())]


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
    heard = sorted(reader.wait(1))
    wal = os.path.exists(f"{path}-wal")
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
    """A hint in one process wakes a waiter in another; give the seconds it took."""

    def listen(pipe, path):
        log = log_at(path)
        ear = log.listen("ear")
        os.write(pipe, b"ok\n")
        heard = ear.wait(20)
        os.write(pipe, json.dumps([clock.real_seconds(), sorted(heard)]).encode() + b"\n")
        ear.close()

    pid, pipe = forked(listen, path)
    log = log_at(path)
    with os.fdopen(pipe) as lines:
        lines.readline()
        time.sleep(0.05)
        began = clock.real_seconds()
        log.hint(["s1", "s2"])
        ended, heard = json.loads(lines.readline())
    os.waitpid(pid, 0)
    return [ended - began, heard]


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
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(globals()[sys.argv[1]](sys.argv[2]), default=str))
