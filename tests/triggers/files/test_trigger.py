"""FileTrigger: each complete file starts one run, whatever stood still or was restarted."""

import datetime
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from engine.errors import DefinitionError
from eventstore import clock, open_log
from triggers import FileTrigger, Firing
from triggers.files.scan import Look, scan
from triggers.testing import PaperEngine, workflow

DOCUMENTS = workflow("documents", "path")
SOON = 60.0  # seconds; a deadline, not a wait


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder to drop files into."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def drop(path: Path, text: str = "x", mtime: int | None = None) -> Path:
    """Write a file, with an mtime in seconds."""
    path.write_text(text)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def paths(engine: PaperEngine) -> list[str]:
    """Give the paths that started runs, in order."""
    return [inputs["path"] for inputs in engine.inputs()]


def declined(engine: PaperEngine, trigger: Any) -> list[dict[str, Any]]:
    """Give the data of what was declined."""
    return [told for type_, told in engine.told(trigger) if type_ == "trigger.declined"]


@contextmanager
def serving(engine: PaperEngine, trigger: FileTrigger) -> Iterator[Callable[..., bool]]:
    """Poll as an engine with threads does: when woken and when due; gives a wait for n runs."""
    door = engine.door(trigger)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            due = engine.poll(trigger, door)
            left = 600.0 if due is None else max(0.0, (due - clock.now_us()) / clock.SECOND)
            engine.pokes.wait(left)
            engine.pokes.clear()

    def wait_for(count: int, patience: float = SOON) -> bool:
        deadline = clock.real_seconds() + patience
        while len(engine.begun_runs) < count and clock.real_seconds() < deadline:
            clock.real_sleep(0.01)
        return len(engine.begun_runs) >= count

    thread = threading.Thread(target=serve)
    trigger.open(door)
    thread.start()
    try:
        yield wait_for
    finally:
        trigger.close()
        stop.set()
        engine.poke()
        thread.join(SOON)


def test_a_file_starts_a_run_once_it_is_complete(engine: PaperEngine, inbox: Path) -> None:
    """Seen at nought, due one second later, fired then, and never again."""
    trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, name="in")
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        assert engine.poll(trigger, door) is None
        path = drop(inbox / "a.txt", "abc", 1_700_000_000)
        drop(inbox / "a.csv")
        due = engine.poll(trigger, door)
        assert due == clock.now_us() + clock.SECOND
        assert engine.poll(trigger, door) == due
        assert engine.started() == []
        frozen.tick(1)
        assert engine.poll(trigger, door) is None
        assert engine.poll(trigger, door) is None
    (started,) = engine.started()
    assert started["inputs"] == {"path": str(path)}
    assert started["key"] == "in/a.txt:3:1700000000000000000"
    assert started["cause"] == "trigger:in@2"
    assert engine.told(trigger)[1][1]["facts"] == {
        "path": str(path),
        "size": 3,
        "mtime": "2023-11-14T22:13:20Z",
        "evidence": "same size and mtime at two looks 1.0 s apart",
    }


def test_a_file_that_grows_waits(engine: PaperEngine, inbox: Path) -> None:
    """Written slowly, it starts one run, when it has stood still for `settle`."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=2)
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        for size in range(1, 6):
            drop(inbox / "slow", "x" * size)
            engine.poll(trigger, door)
            frozen.tick(1.5)
            engine.poll(trigger, door)
        assert engine.started() == []
        frozen.tick(0.5)
        engine.poll(trigger, door)
    assert paths(engine) == [str(inbox / "slow")]


def test_what_came_while_nothing_ran_counts(engine: PaperEngine, inbox: Path) -> None:
    """Files from before and from a downtime start one run each; a restart starts none again."""
    drop(inbox / "before.txt", mtime=100)
    for wave in ("before", "meanwhile"):
        drop(inbox / f"{wave}.txt", mtime=100 if wave == "before" else 200)
        for _ in range(2):
            trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0)
            engine.poll(trigger, engine.door(trigger))
    assert paths(engine) == [str(inbox / "before.txt"), str(inbox / "meanwhile.txt")]


def test_a_corrected_file_counts_again_and_the_same_again_does_not(
    engine: PaperEngine, inbox: Path
) -> None:
    """Another size or mtime is another file; deleted and restored as it was, it is the same."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    for text, mtime in (("one", 1), ("one!", 1), ("one!", 2)):
        drop(inbox / "a", text, mtime)
        engine.poll(trigger, door)
    assert len(engine.started()) == 3
    (inbox / "a").unlink()
    engine.poll(trigger, door)
    drop(inbox / "a", "one", 1)
    engine.poll(trigger, door)
    assert len(engine.started()) == 3


def test_with_key_path_a_name_counts_once_for_ever(engine: PaperEngine, inbox: Path) -> None:
    """A change under the same name starts nothing."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, key="path", name="in")
    door = engine.door(trigger)
    for mtime in (1, 2):
        drop(inbox / "a", mtime=mtime)
        engine.poll(trigger, door)
    assert [told["key"] for told in engine.started()] == ["in/a"]


def test_two_daemons_share_a_folder(inbox: Path, tmp_path: Path) -> None:
    """Two triggers over one log, polling at the same time: 60 files, 60 runs."""
    for number in range(60):
        drop(inbox / f"{number}.txt")
    logs = [open_log(f"sqlite:///{tmp_path / 'log.db'}") for _ in range(2)]
    for log in logs:
        log.head("nothing")
    engines = [PaperEngine(log) for log in logs]

    def serve(one: PaperEngine) -> None:
        trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0)
        door = one.door(trigger)
        for _ in range(3):
            one.poll(trigger, door)

    threads = [threading.Thread(target=serve, args=(one,)) for one in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    started = paths(engines[0])
    assert len(started) == len(set(started)) == 60
    assert sum(len(one.begun_runs) for one in engines) == 60
    for log in logs:
        log.close()


def test_a_look_asks_the_log_nothing_about_known_files(
    engine: PaperEngine, inbox: Path
) -> None:
    """500 files at most start by one poll; when all are settled, looks cost no query at all."""
    for number in range(1200):
        (inbox / f"{number:04}.txt").touch()
    trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0)
    with freeze_time("2026-01-01"):
        door = engine.door(trigger)
        assert engine.poll(trigger, door) == clock.now_us()
        assert engine.pokes.is_set()
        assert len(engine.begun_runs) == 500
        assert engine.poll(trigger, door) == clock.now_us()
        assert engine.poll(trigger, door) is None
    assert len(engine.begun_runs) == 1200
    asked = _queries_of(engine, lambda: engine.poll(trigger, door))
    assert asked == []


def _queries_of(engine: PaperEngine, act: Callable[[], Any]) -> list[str]:
    """Give the names of the log's methods that something calls."""
    asked: list[str] = []
    log = engine.log

    class Spy:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(log, name)

    engine.log = Spy()
    act()
    engine.log = log
    return asked


def test_memory_is_flat(engine: PaperEngine, inbox: Path) -> None:
    """A kilobyte for each file that is there at most, none for those that were; looks add none."""
    trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0, key="sha256")
    door = engine.door(trigger)
    engine.poll(trigger, door)
    held = []
    tracemalloc.start()
    for wave in range(3):
        for number in range(400):
            (inbox / f"{number}.txt").write_text(f"{wave} {number}")
        for _ in range(5):
            engine.poll(trigger, door)
        held.append(_held())
    for number in range(400):
        (inbox / f"{number}.txt").unlink()
    engine.poll(trigger, door)
    left = _held()
    tracemalloc.stop()
    assert len(engine.begun_runs) == 1200
    assert max(held) < 400 * 1024
    assert left < 64 * 1024


def _held() -> int:
    """Give the bytes that the room of file triggers has taken and not given back."""
    mine = tracemalloc.Filter(inclusive=True, filename_pattern="*/triggers/files/*")
    taken = tracemalloc.take_snapshot().filter_traces([mine])
    return sum(one.size for one in taken.statistics("filename"))


def test_a_missing_folder_is_told_and_waited_for(
    engine: PaperEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One event and one line in the log, not one for each look; when it comes, files count."""
    trigger = FileTrigger(tmp_path / "later" / "*.txt", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    for _ in range(3):
        assert engine.poll(trigger, door) is None
    (told,) = declined(engine, trigger)
    assert told["reason"] == "the folder cannot be read: No such file or directory"
    assert told["facts"] == {"path": str(tmp_path / "later")}
    assert [record.action for record in caplog.records] == ["trigger.folder_missing"]  # type: ignore[attr-defined]
    (tmp_path / "later").mkdir()
    drop(tmp_path / "later" / "a.txt")
    engine.poll(trigger, door)
    assert paths(engine) == [str(tmp_path / "later" / "a.txt")]


def test_names_that_are_not_utf8_are_declined_once(engine: PaperEngine, inbox: Path) -> None:
    """One event for the look that found them, with the bytes in hex; the others start runs."""
    trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    for name in (b"a\xff.txt", b"b\xff.txt", b"c.txt"):
        drop(inbox / os.fsdecode(name))
    engine.poll(trigger, door)
    engine.poll(trigger, door)
    engine.poll(trigger, engine.door(trigger))
    assert paths(engine) == [str(inbox / "c.txt")]
    (told,) = declined(engine, trigger)
    assert (told["reason"], told["count"]) == ("the name is not UTF-8", 2)
    assert told["facts"]["names"] == [b"a\xff.txt".hex(), b"b\xff.txt".hex()]


def test_a_file_that_cannot_start_is_declined_and_the_others_go_on(
    engine: PaperEngine, inbox: Path
) -> None:
    """`input=` that raises, inputs refused: an event each, no second try until a restart."""

    def mapped(firing: Firing) -> dict[str, Any]:
        return {"path": firing.facts["path"], "share": 6 / firing.facts["size"]}

    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, input=mapped)
    door = engine.door(trigger)
    engine.refuse = {"share": 3.0}
    for name, size in (("empty", 0), ("two", 2), ("three", 3)):
        drop(inbox / name, "x" * size)
    for _ in range(3):
        engine.poll(trigger, door)
    assert engine.inputs() == [{"path": str(inbox / "three"), "share": 2.0}]
    assert sorted(told["reason"] for told in declined(engine, trigger)) == [
        "ValueRefused: share=3.0 is refused",
        "input= failed: ZeroDivisionError: division by zero",
    ]


def test_the_firing_shows_the_file(engine: PaperEngine, inbox: Path) -> None:
    """`at` is the file's own moment, as an aware datetime, not when it was noticed."""
    seen: list[Firing] = []

    def mapped(firing: Firing) -> dict[str, Any]:
        seen.append(firing)
        return {}

    drop(inbox / "a", "abc", 1_700_000_000)
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, input=mapped, name="in")
    engine.poll(trigger, engine.door(trigger))
    moment = datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    facts = {
        "path": str(inbox / "a"),
        "size": 3,
        "mtime": moment,
        "evidence": "seen at one look",
    }
    assert seen == [Firing("in", "a:3:1700000000000000000", moment, facts)]


def test_a_paused_trigger_leaves_files_where_they_are(engine: PaperEngine, inbox: Path) -> None:
    """The folder is the queue: what came while paused starts after the resume."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    engine.door(trigger).pause(by="ann")
    drop(inbox / "a")
    assert engine.poll(trigger, door) is None
    assert engine.started() == []
    engine.door(trigger).resume(by="ann")
    engine.poll(trigger, door)
    assert paths(engine) == [str(inbox / "a")]


def test_odd_mtimes_do_no_harm(engine: PaperEngine, inbox: Path) -> None:
    """Before 1970 and beyond what a datetime can hold: the file starts its run."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0)
    for name, mtime in (("old", -5_000_000_000), ("far", 300_000_000_000)):
        drop(inbox / name, mtime=mtime)
    engine.poll(trigger, engine.door(trigger))
    assert len(engine.started()) == 2


def test_relative_patterns_give_absolute_paths(
    engine: PaperEngine, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path stays right when the working directory changes; the name is as written."""
    monkeypatch.chdir(inbox.parent)
    trigger = FileTrigger("inbox/**/*.txt", DOCUMENTS, settle=0)
    assert trigger.name == "file:inbox/**/*.txt:documents"
    monkeypatch.chdir("/")
    (inbox / "x").mkdir()
    drop(inbox / "x" / "a.txt")
    engine.poll(trigger, engine.door(trigger))
    assert paths(engine) == [str(inbox / "x" / "a.txt")]
    assert engine.started()[0]["key"].startswith("file:inbox/**/*.txt:documents/x/a.txt:1:")


def test_watched_files_start_by_themselves(engine: PaperEngine, inbox: Path) -> None:
    """With threads: written, moved in, in new folders; one run each, then quiet."""
    before = set(threading.enumerate())
    trigger = FileTrigger(inbox / "**" / "*.txt", DOCUMENTS, settle=0.1)
    drop(inbox / "before.txt")
    with serving(engine, trigger) as wait_for:
        assert wait_for(1)
        drop(inbox / "written.txt")
        drop(inbox.parent / "outside.txt").rename(inbox / "moved.txt")
        drop(inbox / "part.tmp").rename(inbox / "renamed.txt")
        for folder in range(5):
            deep = inbox / f"{folder}" / "deep"
            deep.mkdir(parents=True)
            for number in range(5):
                drop(deep / f"{number}.txt")
        assert wait_for(29)
        assert not [name for name in paths(engine) if name.endswith(".tmp")]
    assert len(paths(engine)) == len(set(paths(engine))) == 29
    assert set(threading.enumerate()) == before


def test_a_closed_file_needs_no_second_look(engine: PaperEngine, inbox: Path) -> None:
    """`complete="close"`: seen being closed, a file starts long before `settle` is over."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, complete="close", settle=3600)
    with serving(engine, trigger) as wait_for:
        drop(inbox / "a")
        if not wait_for(1, 3.0):  # written before the system told of anything
            drop(inbox / "b")
        assert wait_for(1)


def test_a_closed_file_is_found_without_a_look_at_all_others(
    engine: PaperEngine, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a look is long, a hint is followed alone, and looks go on beside it."""
    for number in range(50):
        (inbox / f"old{number}").touch()
    monkeypatch.setattr("triggers.files.folder.LOOK_SHARE", 1e9)
    looks = 0

    def counted(*args: Any, **options: Any) -> Look:
        nonlocal looks
        looks += 1
        return scan(*args, **options)

    trigger = FileTrigger(inbox / "*", DOCUMENTS, complete="close", settle=3600)
    monkeypatch.setattr("triggers.files.claim.scan", counted)
    monkeypatch.setattr("triggers.files.trigger.LOOK_EVERY", 600.0)
    monkeypatch.setattr("triggers.files.trigger.LOOK_RARELY", 600.0)
    with serving(engine, trigger) as wait_for:
        deadline = clock.real_seconds() + SOON
        while not engine.begun_runs and clock.real_seconds() < deadline:
            drop(inbox / "probe")
            clock.real_sleep(0.02)
        before, begun = looks, len(engine.begun_runs)
        for number in range(20):
            drop(inbox / f"new{number}")
            assert wait_for(begun + number + 1)
    assert looks - before <= 2
    assert len({path for path in paths(engine) if "new" in path}) == 20


def test_many_files_at_once_each_start_one_run(engine: PaperEngine, inbox: Path) -> None:
    """3000 files dropped while the engine serves: 3000 runs."""
    trigger = FileTrigger(inbox / "*.txt", DOCUMENTS, settle=0.1)
    with serving(engine, trigger) as wait_for:
        for number in range(3000):
            (inbox / f"{number}.txt").touch()
        assert wait_for(3000)
    assert len(set(paths(engine))) == len(engine.begun_runs) == 3000


def test_opened_twice_it_watches_until_closed_twice(engine: PaperEngine, inbox: Path) -> None:
    """Two engines of one process may hold the same trigger."""
    before = threading.active_count()
    trigger = FileTrigger(inbox / "*", DOCUMENTS)
    doors = [engine.door(trigger), engine.door(trigger)]
    for door in doors:
        trigger.open(door)
    trigger.close()
    assert threading.active_count() > before
    trigger.close()
    trigger.close()
    assert threading.active_count() == before


def test_a_workflow_of_two_inputs_wants_a_mapping() -> None:
    """The error shows how to write one."""
    with pytest.raises(
        DefinitionError, match=r"input=lambda firing: \{'a': firing.facts\['path'"
    ):
        FileTrigger("inbox/*.txt", workflow("w", "a", "b"))
    FileTrigger("inbox/*.txt", workflow("w", "a", "b"), input=lambda _: {})
