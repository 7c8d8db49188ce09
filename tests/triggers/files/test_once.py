"""Exactly once: whatever happens to the folder, and however many processes look at it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import open_log
from triggers import FileTrigger
from triggers.testing import PaperEngine, workflow

ROOT = Path(__file__).parents[3]
DOCUMENTS = workflow("documents", "path")
LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
from eventstore import open_log
from triggers import FileTrigger
from triggers.testing import PaperEngine, workflow
engine = PaperEngine(open_log(sys.argv[2]))
trigger = FileTrigger(sys.argv[3], workflow("documents", "path"), settle=0)
door = engine.door(trigger)
sys.stdin.readline()
for _ in range(3):
    engine.poll(trigger, door)
print(len(engine.begun_runs))
engine.log.close()
"""

drops = st.tuples(st.just("drop"), st.sampled_from("abc"), st.integers(0, 2), st.integers(1, 2))
moves = st.tuples(st.just("move"), st.sampled_from("abc"), st.sampled_from("abc"))
gone = st.tuples(st.just("gone"), st.sampled_from("abc"))
plain = st.sampled_from([("look",), ("tick",), ("tick",), ("restart",)])


@settings(max_examples=60)
@given(deeds=st.lists(st.one_of(drops, moves, gone, plain), max_size=30))
def test_each_file_as_it_stood_starts_one_run(deeds: list[tuple[object, ...]]) -> None:
    """Drops, moves, deletions, looks, pauses and restarts in any order.

    No key starts twice, nothing starts that never was, and in the end every file that is there
    has its run.
    """
    with tempfile.TemporaryDirectory() as name, freeze_time("2026-01-01") as frozen:
        folder = Path(name)
        engine = PaperEngine(open_log("sqlite:///:memory:"))
        trigger = FileTrigger(folder / "*", DOCUMENTS, name="in")
        door = engine.door(trigger)
        stood = set[str]()
        for deed in [*deeds, ("look",), ("tick",), ("look",)]:
            match deed:
                case ("drop", str(file), int(size), int(mtime)):
                    (folder / file).write_text("x" * size)
                    os.utime(folder / file, (mtime, mtime))
                case ("move", str(file), str(to)) if (folder / file).exists():
                    (folder / file).rename(folder / to)
                case ("gone", str(file)):
                    (folder / file).unlink(missing_ok=True)
                case ("tick",):
                    frozen.tick(1)
                case ("restart",):
                    trigger = FileTrigger(folder / "*", DOCUMENTS, name="in")
                    door = engine.door(trigger)
            there = {_key(file) for file in folder.iterdir()}
            stood |= there
            if deed[0] == "look":
                engine.poll(trigger, door)
        started = [told["key"].removeprefix("in/") for told in engine.started()]
        engine.log.close()
    assert len(started) == len(set(started))
    assert set(started) <= stood
    assert there <= set(started)


def _key(file: Path) -> str:
    status = file.stat()
    return f"{file.name}:{status.st_size}:{status.st_mtime_ns}"


def test_three_processes_share_a_folder(tmp_path: Path) -> None:
    """200 files, three processes that begin at the same moment: 200 runs between them."""
    folder, url = tmp_path / "in", f"sqlite:///{tmp_path / 'log.db'}"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").touch()
    engine = PaperEngine(open_log(url))
    assert engine.log.head("nothing") is None  # the log is made
    command = [sys.executable, "-W", "error", "-c", LOOK, str(ROOT), url, f"{folder}/*.txt"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    started = [inputs["path"] for inputs in engine.inputs()]
    assert sum(counts) == len(started) == len(set(started)) == 200
    engine.log.close()
