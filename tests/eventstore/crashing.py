# ruff: noqa: PLC0415, S311, TID251 - it sleeps and kills for a living
"""A program of its own that kills the writers of logs and lets their disks fail.

Run as `python crashing.py SCENE DATABASE`; prints one JSON value, null where strace may not attach.
"""

import os
import random
import signal
import subprocess
import time

from children import acked, forked, judged, log_at, play, said

from eventstore import NEW, Append, Write
from eventstore.errors import LogError
from eventstore.testing import birth, fact, row


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


def kill_at_any_instant(path):
    """Kill a writer again and again at random moments, each time when it has done more."""
    chance = random.Random(7)
    results = []
    for round_ in range(15):
        pid, pipe = forked(append_for_ever, path, f"r{round_}")
        done = b""
        while done.count(b"\n") < round_:
            done += os.read(pipe, 1)
        time.sleep(chance.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lines = done.decode().splitlines() + said(pipe)
        results.append(judged(path, f"r{round_}", acked(lines)))
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


if __name__ == "__main__":
    play(globals())
