"""The examples run, and show what they say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import freezegun.api
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = EXAMPLES / "02_documents" / "demo.py"


def play(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example in an empty folder."""
    return subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False,
        timeout=250,
    )  # fmt: skip


def test_hello_prints_its_result_and_its_tape(tmp_path: Path) -> None:
    """The smallest pipeline gives its result, and six events tell how it came about."""
    done = play(EXAMPLES / "01_hello" / "hello.py", tmp_path)
    assert done.returncode == 0, done.stderr
    result, *events = done.stdout.splitlines()
    assert result == "HELLO, ANN!"
    assert [line.split()[1] for line in events] == [
        "run.started", "step.started", "step.succeeded", "step.started", "step.succeeded",
        "run.succeeded",
    ]  # fmt: skip


def test_the_approval_lives_three_lives(tmp_path: Path) -> None:
    """A machine is revised and approved, refused after two revisions, and expires in time."""
    done = play(EXAMPLES / "03_approval" / "approval.py", tmp_path)
    assert done.returncode == 0, done.stderr
    ends = [line.split()[-1] for line in done.stdout.splitlines() if "-initial->" in line]
    assert ends == ["published", "rejected", "rejected"]
    assert "published: tapes: draft 2, shorter, please" in done.stdout
    assert "-expire-> rejected" in done.stdout


def test_the_encrypted_visit_changes_its_key(tmp_path: Path) -> None:
    """Nothing is to be read on the disk, both keys read on, and without one it says so."""
    done = play(EXAMPLES / "07_encryption" / "encryption.py", tmp_path)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told["on the disk"] == "nothing to read"
    assert told["with both keys"] == "Ann has the measles, says Bob"
    assert told["faults found without a key"] == "[]"
    assert told["without a key"].startswith("event 1 of 'RUN' is stored encoded")
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_engine_leaves_no_thread(tmp_path: Path) -> None:
    """Three ways to hold an engine give their results, and as many threads stay as there were."""
    done = play(EXAMPLES / "04_embedded" / "embedded.py", tmp_path)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert told["threads before"].strip() == told["threads after"].strip() == "1"
    assert told["behind threads"].strip() == "settled"
    assert told["the same key"].split()[0] == "succeeded"


@pytest.mark.slow
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    """The documents demo ends by itself, finds every promise kept, and leaves nothing behind."""
    done = subprocess.run(
        [sys.executable, str(DEMO)], cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promises kept" in done.stdout
    assert not list(tmp_path.glob("playhead-demo-*"))


@pytest.mark.slow
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the demo ends the service and the worker, and clears the folder."""
    demo = subprocess.Popen(
        [sys.executable, "-u", str(DEMO)], cwd=tmp_path, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert demo.stdout is not None
        end = freezegun.api.real_monotonic() + 60
        for line in demo.stdout:
            if line.startswith("2.") or freezegun.api.real_monotonic() > end:
                break
        children = children_of(demo.pid)
        assert len(children) == 2, "the service and the worker"
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
        assert demo.returncode == 130, said
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert not list(tmp_path.glob("playhead-demo-*"))
    finally:
        demo.kill()
        demo.wait()


def children_of(pid: int) -> list[int]:
    """Give the ids of a process's children."""
    if not Path("/proc/self/task").exists():
        pytest.skip("children are listed in /proc, which is not here")
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
