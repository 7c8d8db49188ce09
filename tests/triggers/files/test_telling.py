"""Everything that starts nothing is told, with its reason: once while it stays."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from eventstore import clock
from triggers import FileTrigger
from triggers.testing import PaperEngine, workflow

DOCUMENTS = workflow("documents", "path")
Declined = Callable[[Any], list[tuple[str, dict[str, Any]]]]


def test_a_duplicate_is_told_when_it_appears_before_our_eyes(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """Dropped again as it was: one event; at the first look after a restart: silence."""
    path = inbox / "a"

    def drop() -> None:
        path.write_text("one")
        os.utime(path, (1, 1))

    with freeze_time("2026-01-01") as frozen:
        trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, name="in")
        door = engine.door(trigger)
        drop()
        for _ in range(3):
            engine.poll(trigger, door)
        assert declined(trigger) == []
        frozen.tick(1)
        door = engine.door(trigger)
        engine.poll(trigger, door)
        assert declined(trigger) == []
        path.unlink()
        engine.poll(trigger, door)
        drop()
        engine.poll(trigger, door)
        engine.poll(trigger, door)
    ((reason, facts),) = declined(trigger)
    assert reason == "duplicate"
    assert facts["path"] == str(path)
    assert len(engine.started()) == 1


def test_what_another_process_claimed_is_no_duplicate(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """Two daemons share a folder: who comes second says nothing."""
    with freeze_time("2026-01-01") as frozen:
        triggers = [FileTrigger(inbox / "*", DOCUMENTS, settle=0, name="in") for _ in range(2)]
        doors = [engine.door(trigger) for trigger in triggers]
        for number in range(5):
            (inbox / f"{number}").write_text("x")
            for trigger, door in zip(triggers, doors, strict=True):
                engine.poll(trigger, door)
                frozen.tick(0.1)
    assert len(engine.started()) == 5
    assert declined(triggers[0]) == []


def test_temporary_names_are_told(engine: PaperEngine, inbox: Path, declined: Declined) -> None:
    """Those that the pattern means otherwise; what it does not mean is nobody's business."""
    trigger = FileTrigger(inbox / "*.csv*", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    for name in ("a.csv.tmp", "b.csv.part", "other.tmp", ".hidden.csv"):
        (inbox / name).touch()
    for _ in range(3):
        engine.poll(trigger, door)
    ((reason, facts),) = declined(trigger)
    assert reason == "ignored name"
    assert facts["names"] == ["a.csv.tmp", "b.csv.part"]
    assert engine.started() == []


def test_rsync_is_waited_for_where_dots_are_asked_for(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """`.name.XXXXXX` is not the file yet; after the rename it is."""
    trigger = FileTrigger(inbox / ".*", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    half = inbox / "..profile.aB3xY9"
    half.touch()
    engine.poll(trigger, door)
    assert [reason for reason, _ in declined(trigger)] == ["ignored name"]
    half.rename(inbox / ".profile")
    engine.poll(trigger, door)
    assert engine.inputs() == [{"path": str(inbox / ".profile")}]


def test_what_is_no_regular_file_is_told_with_what_it_is(
    engine: PaperEngine, inbox: Path, declined: Declined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link, a FIFO, a socket: never followed, never opened; once while they stay."""
    monkeypatch.chdir(inbox)  # a socket's path is short
    (inbox / "file").write_text("x")
    (inbox / "link").symlink_to(inbox / "file")
    (inbox / "broken").symlink_to(inbox / "nowhere")
    os.mkfifo(inbox / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("sock")
        trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0)
        door = engine.door(trigger)
        for _ in range(3):
            engine.poll(trigger, door)
    told = {reason: facts["names"] for reason, facts in declined(trigger)}
    assert told == {
        "not a regular file: symbolic link": ["broken", "link"],
        "not a regular file: FIFO": ["pipe"],
        "not a regular file: socket": ["sock"],
    }
    assert engine.inputs() == [{"path": str(inbox / "file")}]


def test_a_file_that_keeps_growing_is_told_and_starts_in_the_end(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """Too young after 10 s of changes: one event; a file that just settles has none."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS)
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        (inbox / "quick").write_text("x")
        for size in range(14):
            (inbox / "slow").write_text("x" * size)
            engine.poll(trigger, door)
            frozen.tick(1)
        frozen.tick(1)
        engine.poll(trigger, door)
    ((reason, facts),) = declined(trigger)
    assert (reason, facts["path"]) == ("too young", str(inbox / "slow"))
    assert len(engine.started()) == 2


def test_a_file_that_waits_for_its_marker_is_told(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """After 60 s; when the marker comes it starts, and the marker itself never does."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, marker="*.done")
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        (inbox / "a.csv").write_text("x")
        for _ in range(70):
            engine.poll(trigger, door)
            frozen.tick(1)
        assert [reason for reason, _ in declined(trigger)] == ["too young"]
        (inbox / "a.done").touch()
        engine.poll(trigger, door)
        engine.poll(trigger, door)
    assert engine.inputs() == [{"path": str(inbox / "a.csv")}]
    fired = [told for type_, told in engine.told(trigger) if type_ == "trigger.fired"]
    assert fired[0]["facts"]["evidence"] == "marker a.done"


def test_what_comes_while_paused_is_told_and_starts_later(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """The folder is the queue: each file once, and after the resume its run."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0)
    door = engine.door(trigger)
    engine.poll(trigger, door)
    engine.door(trigger).pause(by="ann")
    for name in "ab":
        (inbox / name).touch()
    for _ in range(3):
        assert engine.poll(trigger, door) is None
    ((reason, facts),) = declined(trigger)
    assert (reason, facts["names"]) == ("paused", ["a", "b"])
    engine.door(trigger).resume(by="ann")
    engine.poll(trigger, door)
    assert len(engine.started()) == 2


def test_a_folder_that_comes_and_goes_is_told_each_time(
    engine: PaperEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, declined: Declined
) -> None:
    """Away and back, twice: four events, four lines; what was known stays known, in silence."""
    caplog.set_level("INFO", "playhead.triggers")
    root = tmp_path / "in"
    root.mkdir()
    (root / "a").touch()
    trigger = FileTrigger(root / "*", DOCUMENTS, settle=0)
    with freeze_time("2026-01-01") as frozen:
        door = engine.door(trigger)
        engine.poll(trigger, door)
        for _ in range(2):
            frozen.tick(10)
            root.rename(tmp_path / "away")
            engine.poll(trigger, door)
            engine.poll(trigger, door)
            frozen.tick(10)
            (tmp_path / "away").rename(root)
            engine.poll(trigger, door)
            engine.poll(trigger, door)
    away = "the folder cannot be read: No such file or directory"
    assert [reason for reason, _ in declined(trigger)] == [away, "the folder is back"] * 2
    lines = [record.action for record in caplog.records]  # type: ignore[attr-defined]
    assert lines == ["trigger.folder_missing", "trigger.folder_back"] * 2
    assert len(engine.started()) == 1


def test_a_limit_leaves_files_on_disk_oldest_first(
    engine: PaperEngine, inbox: Path, declined: Declined
) -> None:
    """Two at a time: the third is full; each end lets the next one in, without a look."""
    for number in range(5):
        (inbox / f"{number}").touch()
        os.utime(inbox / f"{number}", (10 - number, 10 - number))
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, limit=2)
    door = engine.door(trigger)
    for _ in range(3):
        engine.poll(trigger, door)
    assert [Path(one["path"]).name for one in engine.inputs()] == ["4", "3"]
    ((reason, facts),) = declined(trigger)
    assert (reason, facts["count"], facts["names"]) == ("full", 3, ["2", "1", "0"])
    for count in (3, 4, 5):
        engine.end(engine.begun_runs[count - 3], "failed")
        trigger.ended(door, clock.now_us())
        assert len(engine.begun_runs) == count
    assert [Path(one["path"]).name for one in engine.inputs()] == list("43210")


def test_a_limit_holds_after_a_restart(engine: PaperEngine, inbox: Path) -> None:
    """The runs that live are counted in the log, not in memory."""
    for number in range(4):
        (inbox / f"{number}").touch()
    for _ in range(3):
        trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, limit=2, name="in")
        engine.poll(trigger, engine.door(trigger))
    assert len(engine.begun_runs) == 2


@pytest.mark.parametrize("key", ["path+size+mtime", "path", "sha256"])
def test_what_was_there_at_first_does_not_count_if_so_said(
    engine: PaperEngine, inbox: Path, key: str, declined: Declined
) -> None:
    """`initial=False`: neither now nor after a restart; what comes later does."""
    (inbox / "old").write_text("old")
    for wave in ("new", "newer"):
        trigger = FileTrigger(
            inbox / "*", DOCUMENTS, settle=0, initial=False, key=key, name="in"
        )
        door = engine.door(trigger)
        engine.poll(trigger, door)
        (inbox / wave).write_text(wave)
        engine.poll(trigger, door)
    assert [Path(one["path"]).name for one in engine.inputs()] == ["new", "newer"]
    assert declined(trigger) == []


def test_a_changed_option_leaves_nothing_behind_that_came_meanwhile(
    engine: PaperEngine, inbox: Path
) -> None:
    """`initial=False`: another `settle=` is no first arming; another `key=` is."""
    options: dict[str, Any] = {"initial": False, "name": "in"}
    (inbox / "old").write_text("old")
    first = FileTrigger(inbox / "*", DOCUMENTS, settle=0, **options)
    engine.poll(first, engine.door(first))
    (inbox / "while-down").write_text("new")
    with freeze_time("2040-01-01") as frozen:
        changed = FileTrigger(inbox / "*", DOCUMENTS, settle=2, **options)
        door = engine.door(changed)
        engine.poll(changed, door)
        frozen.tick(2)
        engine.poll(changed, door)
        rekeyed = FileTrigger(inbox / "*", DOCUMENTS, settle=0, key="sha256", **options)
        engine.poll(rekeyed, engine.door(rekeyed))
    assert [Path(one["path"]).name for one in engine.inputs()] == ["while-down"]


def test_what_was_there_at_first_is_left_alone_whoever_arms_the_trigger(
    engine: PaperEngine, inbox: Path
) -> None:
    """`initial=False` holds too when somebody asks for the trigger before it has ever looked."""
    (inbox / "old").write_text("old")
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, initial=False, name="in")
    door = engine.door(trigger)
    assert door.state().state == "armed"
    engine.poll(trigger, door)
    assert engine.inputs() == []


def test_what_came_while_looking_failed_counts(engine: PaperEngine, inbox: Path) -> None:
    """`initial=False`: armed again after a failure, the trigger fires for what it had not seen."""
    trigger = FileTrigger(inbox / "*", DOCUMENTS, settle=0, initial=False, name="in")
    door = engine.door(trigger)
    engine.poll(trigger, door)
    door.fail("no such thing")
    (inbox / "new").write_text("new")
    engine.poll(trigger, door)
    assert [Path(one["path"]).name for one in engine.inputs()] == ["new"]
