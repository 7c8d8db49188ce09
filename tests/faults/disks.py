# ruff: noqa: BLE001, PLC0415, S311, TID251 - it kills for a living
"""A program of its own that lets disks fail under logs and engines; see `test_disks.py`.

Run as `python disks.py SCENE DATABASE`; prints one JSON value, null where strace may not attach.
Children are forked before any log is opened, see tests/eventstore/children.py.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "eventstore"))
from children import acked, forked, judged, log_at, play, said
from crashing import traced_at

from eventstore import NEW, Append, Write
from eventstore.errors import LogError
from eventstore.testing import birth, fact, row, step
from playhead import Context, Engine, Workflow
from playhead import step as a_step

WRITES = "pwrite64,fdatasync,fsync,ftruncate"


def killed_at(path, work, numbers, call="pwrite64"):
    """Do some work under strace, killed at its nth call; give acknowledged, stored, faults."""
    results = []
    for number in numbers:
        tag = f"{call}{number}"
        rules = [f"trace={WRITES}", f"inject={call}:signal=KILL:when={number}"]
        lines = traced_at(path, tag, rules, work)
        if lines is None:
            return None
        results.append([*judged(path, tag, acked(lines)), whole(path)])
    return results


def whole(path):
    """Give what SQLite itself thinks of a file."""
    with sqlite3.connect(path) as raw:
        answer = raw.execute("PRAGMA integrity_check").fetchone()[0]
    raw.close()
    return answer


def found_and_append(pipe, path, tag, go):
    """Append to a log that is not there yet."""
    os.read(go, 1)
    log = log_at(path)
    for number in range(3):
        writes = (Write(f"{tag}-{number}", "run", NEW, (fact(), fact()), row()),)
        log.append(Append(f"{tag}-{number}", writes))
        os.write(pipe, b"%d\n" % number)
    log.close()


def copy_again_and_again(pipe, path, tag, go):
    """Append, and copy the write-ahead log into the database after every second time."""
    log = log_at(path)
    log.head("x")
    os.read(go, 1)
    for number in range(100):
        writes = (
            Write(f"{tag}-{number}", "run", NEW, (fact(data='"%s"' % ("x" * 3000)),), row()),
        )
        log.append(Append(f"{tag}-{number}", writes))
        os.write(pipe, b"%d\n" % number)
        if number % 2:
            log.database.checkpoint()


def killed_while_founding(path):
    """Each time a new database, whose maker is killed at the nth write."""
    results = []
    for number in (1, 2, 3, 6, 12, 24, 40, 60, 80, 85, 90):
        fresh = f"{path}{number}"
        found = killed_at(fresh, found_and_append, [number])
        if found is None:
            return None
        results += found
    return results


def killed_while_copying(path):
    """A database in use, whose writer is killed at writes and syncs of checkpoints too."""
    log_at(path).head("x")
    by_write = killed_at(path, copy_again_and_again, (5, 9, 14, 21, 40, 77))
    if by_write is None:
        return None
    return by_write + killed_at(path, copy_again_and_again, (2, 3, 4, 7, 12), "fdatasync")


# --- failpoints --------------------------------------------------------------------------------


def three_steps(path, effects):
    """Give an engine whose steps leave a line in the world outside."""

    def leave(ctx):
        file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(file, f"{ctx.step} {ctx.idempotency_key}\n".encode())
        os.close(file)

    @a_step
    def one(x: int, ctx: Context) -> int:
        leave(ctx)
        return x + 1

    @a_step
    def two(one: int, ctx: Context) -> int:
        leave(ctx)
        return one * 10

    @a_step
    def three(two: int, ctx: Context) -> int:
        leave(ctx)
        return two + 5

    workflow = Workflow("w", steps=[one, two, three])
    return Engine(f"sqlite:///{path}", workflows=[workflow], threads=2)


def die_at(pipe, path, effects, site, number):
    """Work until a named point, and end there without a word."""
    engine = three_steps(path, effects)
    append, count = engine.log.append, iter(range(1, 99))

    def guarded(asked):
        is_here = next(count) == number
        if is_here and site == "before_commit":
            os._exit(137)
        tips = append(asked)
        if is_here:
            os._exit(137)
        return tips

    engine.log.append = guarded
    engine.run("w", x=1, key="k")
    os.write(pipe, b"alive\n")


def go_on(pipe, path, effects):
    """Finish what another has left."""
    engine = three_steps(path, effects)
    with engine:
        result = engine.start("w", x=1, key="k").result(timeout=50)
    (run,) = engine.runs()
    kinds = [(event.type, event.subject) for event in engine.history(run.id)]
    told = [result, kinds, list(engine.log.verify())]
    engine.close()
    os.write(pipe, json.dumps(told).encode() + b"\n")


def failpoints(path):
    """Die before and after each commit of a run; give how it ended and what the world saw."""
    results = []
    for site in ("before_commit", "after_commit"):
        for number in range(1, 7):
            place, effects = f"{path}-{site}-{number}", f"{path}-{site}-{number}.txt"
            pid, pipe = forked(die_at, place, effects, site, number)
            alive = said(pipe)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            pid, pipe = forked(go_on, place, effects)
            (told,) = said(pipe)
            os.waitpid(pid, 0)
            seen = Path(effects).read_text().splitlines()
            results.append([site, number, code, alive, json.loads(told), seen])
    return results


# --- room ------------------------------------------------------------------------------------


def room_for_an_engine(path):
    """An engine at work meets a limit on the size of files, and then has room again."""
    import resource

    @a_step
    def fill(x: int) -> str:
        return random.Random(x).randbytes(6000).hex()

    workflow = Workflow("w", steps=[fill])
    engine = Engine(f"sqlite:///{path}", workflows=[workflow], threads=2, lease=0.5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    pause = threading.Event()
    refused, ids = "", []
    with engine:
        ids.append(engine.start(workflow, x=0).id)
        engine.get(ids[0]).result(timeout=50)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
        for number in range(1, 200):
            try:
                ids.append(engine.start(workflow, x=number).id)
            except LogError as error:
                refused = type(error).__name__
                break
            except Exception as error:
                refused = f"{type(error).__name__}: {error}"
                break
        while "log.db" not in (ill := engine.health()).reason and not pause.wait(0.02):
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        results = [len(engine.get(run).result(timeout=50)) for run in ids]
        while not engine.health().ready and not pause.wait(0.02):
            pass
        well = engine.health()
    counts = [
        [event.type for event in engine.history(run)].count("step.succeeded") for run in ids
    ]
    return [refused, ill.alive, ill.reason, set(results) == {12000}, set(counts) == {1},
            len(ids), well.ready, list(engine.log.verify())]  # fmt: skip


def damaged_pages(path):
    """Spoil each page in turn; give what each way of looking at the log made of it."""
    log = log_at(path)
    tips = {}
    for stream in "abc":
        tips[stream] = birth(log, stream)
        for number in range(25):
            text = '"%s"' % (f"{stream}{number}" * 60)
            tips[stream] = step(log, stream, tips[stream], fact(data=text))
    truth = {stream: [str(event) for event in log.read(stream)] for stream in tips}
    log.database.checkpoint()
    log.close()
    whole_file = Path(path).read_bytes()
    outcomes = {}
    for page in range(len(whole_file) // 4096):
        spoilt = bytearray(whole_file)
        spoilt[page * 4096 : page * 4096 + 4096] = random.Random(page).randbytes(4096)
        outcomes[f"page {page}"] = _look_at(f"{path}-{page}.db", spoilt, truth, tips)
    cut = whole_file[: len(whole_file) * 3 // 4]
    outcomes["cut"] = _look_at(f"{path}-cut.db", cut, truth, tips)
    letter = whole_file.replace(b"b7b7b7", b"b7B7b7", 1)
    outcomes["letter"] = _look_at(f"{path}-letter.db", letter, truth, tips)
    outcomes["whole"] = _look_at(f"{path}-whole.db", whole_file, truth, tips)
    return outcomes


def _look_at(place, content, truth, tips):
    Path(place).write_bytes(content)
    log, told = log_at(place), {}
    for name, look in (
        ("read", lambda: {s: [str(event) for event in log.read(s)] for s in truth} == truth),
        ("verify", lambda: list(log.verify())),
        ("append", lambda: step(log, "a", tips["a"]).version),
    ):
        try:
            told[name] = look()
        except LogError as error:
            told[name] = type(error).__name__
    log.close()
    return told


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    play(globals())
