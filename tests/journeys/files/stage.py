"""What the hazards share: a workflow that reads, an engine over a folder, what a trigger said."""

import json
import os
import threading
from pathlib import Path

from eventstore.errors import StreamUnknown
from playhead import Engine, FileTrigger, Workflow, step

SOON = 60.0  # seconds; a deadline on a loaded machine, not a wait


@step
def read(path: Path) -> str:
    return path.read_text("utf-8")


reading = Workflow("reading", steps=[read])


def engine_of(url, inbox, pattern="*.txt", *, workflow=reading, **options):
    """Give an engine that reads what is dropped into a folder; its trigger is called `drops`."""
    given = {"name": "drops", "settle": 0, **options}
    trigger = FileTrigger(f"{inbox}/{pattern}", workflow, **given)
    return Engine(url, workflows=[workflow], triggers=[trigger])


def said(engine, type_, name="drops"):
    """Give the data of a trigger's events of one type, oldest first."""
    try:
        events = list(engine.log.read(f"trigger:{name}"))
    except StreamUnknown:
        return []
    return [json.loads(event.data) for event in events if event.type == type_]


def fired(engine):
    """Give the keys that fired, oldest first."""
    return [data["key"] for data in said(engine, "trigger.fired")]


def declined(engine):
    """Give the reasons for which something started nothing, oldest first."""
    return [data["reason"] for data in said(engine, "trigger.declined")]


def paths(engine, **filters):
    """Give the paths that runs were started with, sorted."""
    return sorted(row.inputs["path"] for row in engine.runs(limit=None, **filters))


def names(engine, **filters):
    """Give the names of the files that runs were started with, sorted."""
    return [os.path.basename(path) for path in paths(engine, **filters)]  # noqa: PTH119


def came(engine, inbox, until, name):
    """Drop a file under a new name and wait until its run has succeeded."""
    (inbox / name).write_text(name)
    until(lambda: name in names(engine, status="succeeded"))


def texts(engine):
    """Give the results of all runs, sorted."""
    return sorted(engine.get(row.id).result(timeout=20) for row in engine.runs(limit=None))


def looked(engine, frozen, seconds=4):
    """Look several times, a second apart on the frozen clock."""
    for _ in range(seconds):
        engine.run_until_idle()
        frozen.tick(1)
    engine.run_until_idle()


def pause(seconds):
    """Let real time pass; never what decides a test."""
    threading.Event().wait(seconds)


def watches(pid="self"):
    """Give how many inotify watches a process holds."""
    count = 0
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = entry.read_text().splitlines()
        except OSError:  # closed since the folder was read
            continue
        count += sum(line.startswith("inotify wd:") for line in lines)
    return count


def handles():
    """Give how many files, sockets and watches this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def memory(pid):
    """Give the resident memory of a process in MiB."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) / 1024
