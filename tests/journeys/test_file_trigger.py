"""Files dropped in a watched folder: each starts exactly one run, complete ones only."""

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from playhead import Engine, FileTrigger, Signal, Workflow, signal, step


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@step
def read(path: Path) -> str:
    return path.read_text("utf-8")


reading = Workflow("reading", steps=[read])


def engine_of(url, inbox, pattern="*.txt", **options):
    trigger = FileTrigger(f"{inbox}/{pattern}", reading, **options)
    return Engine(url, workflows=[reading], triggers=[trigger])


def settled(engine, frozen, seconds=5):
    """Look several times, a second apart on the frozen clock."""
    for _ in range(seconds):
        engine.run_until_idle()
        frozen.tick(1)
    engine.run_until_idle()


def texts(engine):
    """Give the results of all runs, sorted."""
    return sorted(engine.get(row.id).result(timeout=20) for row in engine.runs(limit=None))


def test_a_dropped_file_starts_one_run(url, inbox, until):
    """A file dropped while the engine runs starts exactly one run, with its path."""
    engine = engine_of(url, inbox, settle=0.1)
    with engine:
        engine.next_due()
        (inbox / "a.txt").write_text("hello")
        until(lambda: engine.runs(status="succeeded"))
        (inbox / "b.txt").write_text("world")
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert texts(engine) == ["hello", "world"]


def test_it_works_by_hand_on_the_frozen_clock(url, inbox, frozen):
    """`run_until_idle()` looks, waits for the settling on the engine's clock, and starts."""
    engine = engine_of(url, inbox)
    (inbox / "a.txt").write_text("one")
    engine.run_until_idle()
    assert engine.runs() == [], "settle is time between two looks, not the file's age"
    settled(engine, frozen)
    assert texts(engine) == ["one"]
    settled(engine, frozen)
    assert len(engine.runs()) == 1


def test_files_that_came_while_nothing_ran(file_url, inbox, frozen):
    """Files that came while no engine ran start their runs at the next start, once."""
    first = engine_of(file_url, inbox)
    (inbox / "a.txt").write_text("a")
    settled(first, frozen)
    assert texts(first) == ["a"]
    for name in "bcd":
        (inbox / f"{name}.txt").write_text(name)
    frozen.tick(timedelta(days=1))
    second = engine_of(file_url, inbox)
    settled(second, frozen)
    assert texts(second) == ["a", "b", "c", "d"]
    third = engine_of(file_url, inbox)
    settled(third, frozen)
    assert len(third.runs()) == 4


def test_a_half_written_file_waits(url, inbox, frozen):
    """A file that still grows starts nothing; it starts once when it has settled."""
    engine = engine_of(url, inbox)
    path = inbox / "slow.txt"
    with path.open("w") as file:
        for part in range(6):
            file.write(f"part {part}\n")
            file.flush()
            os.utime(path, ns=(part * 10**9, part * 10**9))
            engine.run_until_idle()
            frozen.tick(0.5)
            engine.run_until_idle()
            assert engine.runs() == []
    settled(engine, frozen)
    assert len(engine.runs()) == 1
    assert texts(engine)[0].count("part") == 6


@pytest.mark.slow
def test_a_slow_writer_in_the_background(url, inbox, until):
    """In real time too: a file written in parts is read whole, once."""
    pause = threading.Event()
    with engine_of(url, inbox, settle=4) as engine, (inbox / "slow.txt").open("w") as file:
        for part in range(8):
            file.write(f"part {part}\n")
            file.flush()
            pause.wait(0.1)
        until(lambda: engine.runs(status="succeeded"))
        assert len(engine.runs()) == 1
        assert texts(engine)[0].count("part") == 8


def test_two_engines_start_one_run(file_url, inbox, until):
    """Two engines that watch one folder start one run for each file."""
    one, two = engine_of(file_url, inbox, settle=0.1), engine_of(file_url, inbox, settle=0.1)
    with one, two:
        for number in range(10):
            (inbox / f"{number}.txt").write_text(str(number))
        until(lambda: len(one.runs(status="succeeded")) >= 10)
        threading.Event().wait(0.5)
    assert texts(one) == [str(number) for number in range(10)]


def test_the_pattern_decides(url, inbox, frozen):
    """`*` stays within a name, a leading dot must be written, other names start nothing."""
    (inbox / "deep").mkdir()
    for name in ("a.txt", "b.csv", ".hidden.txt", "deep/c.txt", "a.txt.tmp"):
        (inbox / name).write_text(name)
    engine = engine_of(url, inbox)
    settled(engine, frozen)
    assert texts(engine) == ["a.txt"]


def test_any_number_of_folders(url, inbox, frozen):
    """`**` is any number of folders, also none."""
    (inbox / "deep" / "er").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt", "deep/er/c.txt", "deep/.d.txt"):
        (inbox / name).write_text(name)
    engine = engine_of(url, inbox, "**/*.txt")
    settled(engine, frozen)
    assert texts(engine) == ["a.txt", "deep/b.txt", "deep/er/c.txt"]


def test_a_changed_file_is_a_new_firing(url, inbox, frozen):
    """The key is path, size and mtime: a file written anew starts again."""
    engine = engine_of(url, inbox)
    (inbox / "a.txt").write_text("one")
    settled(engine, frozen)
    (inbox / "a.txt").write_text("another")
    os.utime(inbox / "a.txt", ns=(10**18, 10**18))
    settled(engine, frozen)
    assert len(engine.runs()) == 2


def test_the_run_of_a_file_carries_its_key(url, inbox, frozen):
    """The run's key is the trigger's name and the firing's key; its input is the path."""
    engine = engine_of(url, inbox, name="drops")
    (inbox / "a.txt").write_text("one")
    settled(engine, frozen)
    (row,) = engine.runs()
    assert row.key.startswith("drops/")
    assert row.inputs["path"].endswith("inbox/a.txt")


def test_a_folder_that_comes_later(url, tmp_path, frozen):
    """A folder that is not there yet is waited for; the engine goes on."""
    folder = tmp_path / "later"
    engine = engine_of(url, folder)
    settled(engine, frozen, 2)
    folder.mkdir()
    (folder / "a.txt").write_text("late")
    settled(engine, frozen)
    assert texts(engine) == ["late"]


@pytest.mark.parametrize(
    "name", ["with space.txt", "ünï çødé 🐍.txt", "[brackets].txt", "a;b&c.txt"]
)
def test_odd_names(url, inbox, frozen, name):
    """Names with blanks, brackets and any letters are files like others."""
    engine = engine_of(url, inbox)
    (inbox / name).write_text("odd")
    settled(engine, frozen)
    assert texts(engine) == ["odd"]


def test_a_name_that_is_no_text_starts_nothing(url, inbox, frozen):
    """A file whose name is not UTF-8 starts nothing and harms nobody."""
    engine = engine_of(url, inbox)
    with open(os.fsencode(inbox) + b"/bad\xff.txt", "w") as file:  # noqa: PTH123
        file.write("bad")
    (inbox / "good.txt").write_text("good")
    settled(engine, frozen)
    assert texts(engine) == ["good"]


@step
def parse(path: Path) -> int:
    return int(path.read_text("utf-8"))


parsing = Workflow("parsing", steps=[parse])


def parser_of(url, inbox, **options):
    trigger = FileTrigger(f"{inbox}/*.txt", parsing, name="in", **options)
    return Engine(url, workflows=[parsing], triggers=[trigger])


def below(folder):
    """Give the files below a folder, sorted."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files)


def test_a_file_goes_when_its_run_has_ended(url, inbox):
    """In one go by hand: succeeded to the one folder, failed to the other."""
    engine = parser_of(url, inbox, settle=0, after=inbox.parent / "done")
    (inbox / "good.txt").write_text("1")
    (inbox / "bad.txt").write_text("one")
    engine.run_until_idle()
    assert below(inbox) == []
    assert below(inbox.parent / "done") == ["failed/bad.txt", "good.txt"]


def test_files_go_in_the_background_within_their_limit(file_url, inbox, until):
    """Threads at work: 60 files, three at a time, each moved away; never a fourth that lives."""
    seen = set()

    @step
    def note(path: Path) -> None:
        seen.add(len(engine.runs(status=["running", "waiting", "scheduled"])))
        if path.name.startswith("bad"):
            raise ValueError(path.name)

    noting = Workflow("noting", steps=[note])
    trigger = FileTrigger(
        f"{inbox}/**/*.txt", noting, complete="close", after=inbox / "done", limit=3
    )
    engine = Engine(file_url, workflows=[noting], triggers=[trigger])
    with engine:
        for number in range(60):
            kind = "bad" if number % 10 == 0 else "good"
            (inbox / f"{kind}{number}.txt").write_text(str(number))
        until(lambda: not list(inbox.glob("*.txt")))
    assert max(seen) <= 3
    assert len(below(inbox / "done" / "failed")) == 6
    assert len(below(inbox / "done")) == 60
    assert len(engine.runs(limit=None)) == 60


def test_a_crash_between_the_commit_and_the_move(file_url, inbox, frozen):
    """The run has ended and the file is there: another engine moves it and starts nothing."""
    first = parser_of(file_url, inbox, settle=0)
    (inbox / "a.txt").write_text("1")
    first.run_until_idle()
    assert below(inbox) == ["a.txt"]
    second = parser_of(file_url, inbox, settle=0, after=inbox.parent / "done")
    second.run_until_idle()
    assert below(inbox.parent / "done") == ["a.txt"]
    assert len(second.runs()) == 1


def test_a_file_that_is_a_signal_goes_with_the_run_it_told(url, inbox):
    """`start=signal(...)`: the run that waits gets the path; when it ends, the file goes."""

    @step
    def sign(approval: str) -> str:
        return approval

    paper = Workflow("paper", steps=[Signal("approval", str), sign])
    told = signal("approval", to=lambda firing: Path(firing.facts["path"]).stem, workflow=paper)
    trigger = FileTrigger(f"{inbox}/*.ok", told, settle=0, after="delete", name="in")
    engine = Engine(url, workflows=[paper], triggers=[trigger])
    run = engine.start(paper, key="order-7")
    engine.run_until_idle()
    for name in ("order-7.ok", "order-8.ok"):
        (inbox / name).touch()
    engine.run_until_idle()
    engine.run_until_idle()
    assert run.result() == str(inbox / "order-7.ok")
    assert below(inbox) == ["order-8.ok"]
