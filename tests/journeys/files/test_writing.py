"""Files that are still being written: a run starts once, and sees the whole of the file."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from tests.journeys.files.stage import engine_of, fired, looked, names, pause, texts

SLOW_WRITER = """
import sys, threading
pause = threading.Event()
with open(sys.argv[1], "w") as file:
    for number in range(int(sys.argv[2])):
        file.write(f"part {number}\\n")
        file.flush()
        pause.wait(float(sys.argv[3]))
"""
MUCH = 3_000_000  # bytes
QUIET = 4.0  # seconds: longer than a writer stands still on a machine that does now and then
WHOLE = sum(len(f"part {number}\n") for number in range(40))


def write_slowly(path, parts, every):
    """Write parts in a process of its own, `every` seconds one."""
    command = [sys.executable, "-c", SLOW_WRITER, str(path), str(parts), str(every)]
    return subprocess.Popen(command)


@pytest.fixture
def rsync(outside):
    """Copy with rsync, slowly; gives the finished process."""
    program = shutil.which("rsync")
    if program is None:
        pytest.skip("rsync is not installed")

    def copy(source, target, *options):
        command = [program, "-a", "--whole-file", *options, str(source), str(target)]
        subprocess.run(command, check=True)

    return copy


@pytest.mark.slow
@pytest.mark.parametrize("complete", ["settle", "close"])
def test_a_slow_writer_starts_one_run(file_url, inbox, until, complete):
    """40 small writes over two seconds by another process: one run, that reads all of them."""
    with engine_of(file_url, inbox, complete=complete, settle=QUIET) as engine:
        writer = write_slowly(inbox / "slow.txt", 40, 0.05)
        until((inbox / "slow.txt").exists)
        while writer.poll() is None:
            runs = engine.runs()
            if (inbox / "slow.txt").stat().st_size < WHOLE:
                assert runs == [], "it is still being written"
            pause(0.1)
        assert writer.returncode == 0
        until(lambda: engine.runs(status="succeeded"))
    engine.run_until_idle()
    assert len(fired(engine)) == 1
    assert texts(engine)[0].count("part") == 40


@pytest.mark.slow
def test_several_slow_writers_side_by_side(file_url, inbox, until):
    """Four processes write four files in turn; each file is read whole, once."""
    with engine_of(file_url, inbox, settle=QUIET) as engine:
        writers = [write_slowly(inbox / f"{n}.txt", 25, 0.05) for n in range(4)]
        for writer in writers:
            assert writer.wait(60) == 0
        until(lambda: len(engine.runs(status="succeeded")) == 4)
    assert [text.count("part") for text in texts(engine)] == [25] * 4
    assert len(fired(engine)) == 4


def test_a_write_begins_over_when_the_file_grows_again(url, inbox, frozen):
    """Nearly settled and then longer: the time counts from the last change."""
    engine = engine_of(url, inbox, settle=2)
    (inbox / "a.txt").write_text("one")
    engine.run_until_idle()
    frozen.tick(1.9)
    with (inbox / "a.txt").open("a") as file:
        file.write(" two")
    engine.run_until_idle()
    frozen.tick(1.9)
    engine.run_until_idle()
    assert engine.runs() == []
    frozen.tick(0.2)
    engine.run_until_idle()
    assert texts(engine) == ["one two"]


def test_an_old_mtime_does_not_make_a_file_complete(url, inbox, frozen):
    """A copy that keeps the mtime of years ago waits like any other."""
    engine = engine_of(url, inbox, settle=5)
    (inbox / "a.txt").write_text("old")
    os.utime(inbox / "a.txt", (1, 1))
    looked(engine, frozen, 4)
    assert engine.runs() == []
    looked(engine, frozen, 2)
    assert texts(engine) == ["old"]


def test_a_file_dropped_on_a_frozen_clock(url, inbox, frozen):
    """Frozen time alone decides: due when it says so, started by one tick and `run_until_idle`."""
    engine = engine_of(url, inbox, settle=10)
    (inbox / "a.txt").write_text("a")
    engine.run_until_idle()
    engine.run_until_idle()
    assert engine.runs() == []
    frozen.move_to(engine.next_due())
    engine.run_until_idle()
    assert texts(engine) == ["a"]
    (row,) = engine.runs()
    assert row.started_at.isoformat() == "2030-01-01T00:00:10+00:00"


def test_real_rsync_starts_one_run(file_url, inbox, outside, until, rsync):
    """Rsync writes `.name.XXXXXX` and renames: one run, whole; the same again starts none."""
    (outside / "big.txt").write_text("x" * MUCH)
    os.utime(outside / "big.txt", (1_600_000_000, 1_600_000_000))
    with engine_of(file_url, inbox, complete="close", settle=0.3) as engine:
        rsync(outside / "big.txt", inbox, "--bwlimit=4000")
        until(lambda: engine.runs(status="succeeded"))
        rsync(outside / "big.txt", inbox)
        (outside / "big.txt").write_text("y" * (MUCH + 1))
        rsync(outside / "big.txt", inbox)
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert [len(text) for text in texts(engine)] == [MUCH, MUCH + 1]
    assert set(names(engine)) == {"big.txt"}
    assert len(fired(engine)) == 2


@pytest.mark.slow
def test_real_rsync_in_place_starts_one_run(file_url, inbox, outside, until, rsync):
    """`--inplace` writes under the final name and sets the mtime back at the end: one run."""
    (outside / "big.txt").write_text("x" * MUCH)
    os.utime(outside / "big.txt", (1_600_000_000, 1_600_000_000))
    with engine_of(file_url, inbox, settle=QUIET) as engine:
        rsync(outside / "big.txt", inbox, "--inplace", "--bwlimit=2500")
        until(lambda: engine.runs(status="succeeded"))
    engine.run_until_idle()
    assert [len(text) for text in texts(engine)] == [MUCH]


def test_a_played_rsync_starts_one_run(url, inbox, frozen):
    """A hidden temporary name that stands still for an hour, then renamed: only the final name."""
    engine = engine_of(url, inbox, "*")
    temporary = inbox / ".big.txt.Ab3dEf"
    temporary.write_text("half")
    looked(engine, frozen)
    frozen.tick(3600)
    looked(engine, frozen)
    assert engine.runs() == []
    temporary.write_text("half and half")
    os.utime(temporary, (1_600_000_000, 1_600_000_000))
    temporary.rename(inbox / "big.txt")
    looked(engine, frozen)
    assert texts(engine) == ["half and half"]
    assert names(engine) == ["big.txt"]


@pytest.mark.parametrize(
    "temporary", ["a.txt.part", "a.txt.tmp", "a.txt.crdownload", "a.txt~", ".a.txt.swp", "4913"]
)
def test_temporary_names_start_nothing(url, inbox, temporary):
    """Names that tools give to what is unfinished start nothing, even where `*` means all."""
    engine = engine_of(url, inbox, "*")
    (inbox / temporary).write_text("half")
    engine.run_until_idle()
    assert engine.runs() == []
    (inbox / temporary).rename(inbox / "a.txt")
    engine.run_until_idle()
    assert names(engine) == ["a.txt"]


def test_a_written_file_is_read_whole_while_others_write(file_url, inbox, until):
    """Two writers rename their finished files in while the engine looks: none is read half."""
    with engine_of(file_url, inbox, complete="close", settle=0.2) as engine:

        def write(letter):
            for number in range(25):
                part = inbox / f"{letter}{number}.part"
                with part.open("w") as file:
                    for _ in range(10):
                        file.write(letter * 1000)
                        file.flush()
                part.rename(inbox / f"{letter}{number}.txt")

        writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        until(lambda: len(engine.runs(status="succeeded", limit=None)) == 50)
    assert {len(text) for text in texts(engine)} == {10_000}
    assert len(fired(engine)) == 50
