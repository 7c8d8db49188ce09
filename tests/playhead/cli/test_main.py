"""The command as it is installed: exit codes, pipes, signals, shadows, what `init` writes."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from eventstore import clock
from playhead import __version__
from playhead.cli.commands import app

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "playhead"]
PATIENCE = 60  # seconds


def wait_until(condition: Any) -> None:
    """Wait on a condition with a deadline."""
    until = clock.real_seconds() + PATIENCE
    while not condition():
        assert clock.real_seconds() < until, "it took too long"
        clock.real_sleep(0.02)


def test_version_imports_next_to_nothing(folder: Path) -> None:
    """`playhead --version` loads no database, HTTP or terminal library."""
    look = "import sys\nsys.argv = ['playhead', '--version']\n"
    look += "from playhead.cli import main\nmain()\n"
    look += (
        "print(sorted({'sqlalchemy', 'httpx', 'typer', 'rich', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout == f"playhead {__version__}\n[]\n"


def test_help_loads_no_database(folder: Path) -> None:
    """`playhead --help` names every command and loads no SQLAlchemy and no httpx."""
    look = "import sys\nsys.argv = ['playhead', '--help']\nfrom playhead.cli import main\n"
    look += "try:\n main()\nexcept SystemExit: pass\n"
    look += "print({'sqlalchemy', 'httpx'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.endswith("set()\n")
    assert all(f"  {name} " in done.stdout for name in get_command(app).commands)  # type: ignore[attr-defined]


def test_a_run_in_a_process_of_its_own(shell: Any) -> None:
    """On stdout is one JSON value, the exit code 0, or 1 when it failed."""
    done = shell("run", "app.py:hello", "name=Ann")
    assert (done.returncode, done.stdout) == (0, '"HELLO, ANN!"\n')
    assert shell("run", "app.py:bad", "name=Ann").returncode == 1


def test_an_engine_py_beside_the_app_is_refused_by_name(shell: Any, folder: Path) -> None:
    """Also when Python has put it before ours already, as `python -m` does."""
    (folder / "engine.py").write_text("raise RuntimeError('confusing')\n", "utf-8")
    done = shell("run", "app.py:hello", "name=Ann")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("playhead: engine.py has the name of Playhead's own package")
    assert "Rename it" in done.stderr


def test_a_closed_pipe_is_no_error(shell: Any, folder: Path) -> None:
    """`playhead runs | head -1` ends quietly."""
    shell("run", "app.py:hello", "name=Ann", "-q")
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "runs", "--app", "app.py"]
    done = subprocess.run(
        command, cwd=folder, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_few_letters(folder: Path) -> None:
    """Where stdout is ASCII, JSON is escaped and words are shown as well as they can be."""
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for words in (["run", "app.py:hello", "name=Zoë"], ["show", "last", "--app", "app.py"]):
        done = subprocess.run(
            [*COMMAND, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "HELLO, ZO\\u00cb!" in done.stdout or "\\xcb" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_let_go_of(folder: Path, number: int) -> None:
    """Exit code 130; the run stays, nobody's, and another goes on with it."""
    text = (folder / "app.py").read_text("utf-8")
    slow = "import time\nfrom pathlib import Path\n\n@step\ndef slow() -> str:\n"
    slow += "    if Path('there').exists():\n        return 'done'\n    Path('there').touch()\n"
    slow += "    time.sleep(60)\n\nslowly = Workflow('slow', steps=[slow])\n"
    (folder / "slow.py").write_text(
        text + slow + "engine = Engine('sqlite:///app.db', workflows=[slowly])\n", "utf-8"
    )
    with subprocess.Popen(
        [*COMMAND, "run", "slow.py:slow"], cwd=folder, stdout=-1, stderr=-1, text=True
    ) as process:
        wait_until((folder / "there").exists)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (130, "")
    assert "is let go of, and playhead serve slow.py goes on with it" in stderr
    with subprocess.Popen(
        [*COMMAND, "serve", "slow.py"], cwd=folder, stdout=-1, stderr=-1, text=True
    ) as server:
        lines = iter(server.stderr.readline, "")  # type: ignore[union-attr]
        assert any("slow: succeeded" in line for line in lines)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
    command = [*COMMAND, "show", "last", "--app", "slow.py", "--json"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["result"] == "done"


INTERRUPTED = """
import atexit, os, signal, sys

MOMENT = sys.argv.pop(1)

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == MOMENT:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from playhead.cli import main
if MOMENT == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
main()
"""


@pytest.mark.parametrize(
    "moment",
    ["playhead.importing", "engine", "typer", "engine.core.run", "sqlalchemy.pool", "the end"],
)
def test_ctrl_c_while_python_imports_or_ends(shell: Any, folder: Path, moment: str) -> None:
    """Whatever is just being imported, it is exit code 130 and one word, and no traceback."""
    if moment == "the end":
        shell("run", "app.py:hello", "name=Ann", "-q")
    words = [moment, "stats", "--url", "sqlite:///app.db"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_init_writes_a_project_that_runs(cli: Any, folder: Path) -> None:
    """Its app runs, its own test passes, its README's commands exist; twice is refused."""
    assert cli("init", "proj").exit_code == 0
    project = folder / "proj"
    for command, said in [
        ([*COMMAND, "run", "app.py:hello", "name=world", "-q"], "HELLO, WORLD!"),
        ([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], "3 passed"),
    ]:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr
    assert (project / "inbox").is_dir()
    again = cli("init", "proj")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_replay_walks_on_a_terminal(shell: Any, folder: Path) -> None:
    """Keys move the playhead: next, end, back, a version; the terminal is put back at the end."""
    pty = pytest.importorskip("pty", reason="there is no terminal to be had")
    shell("run", "app.py:hello", "name=Ann", "-q")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [*COMMAND, "replay", "last", "--app", "app.py"]
    seen = ""

    def read_until(text: str) -> None:
        nonlocal seen
        wait_until(lambda: read_some(text))

    def read_some(text: str) -> bool:
        nonlocal seen
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 65536).decode("utf-8", "replace")
        if text not in seen:
            return False
        seen = seen.partition(text)[2]
        return True

    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        ends = threading.Timer(PATIENCE * 2, process.kill)
        ends.start()
        read_until("1 of 6")
        for keys, text in [
            (b"\x1b[C", "2 of 6"), (b"\x1b[F", "6 of 6"), (b"n", "this is the last event"),
            (b"p", "5 of 6"), (b"f", "no step has failed"), (b"g3\n", "3 of 6"), (b"0", "0 of 6"),
        ]:  # fmt: skip
            os.write(ours, keys)
            read_until(text)
            read_until("q quit")
        os.write(ours, b"q")
        read_until("\x1b[?1049l")
        assert process.wait(PATIENCE) == 0
        ends.cancel()
    os.close(ours)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["runs", "--app", "bad.py"], "RuntimeError: boo"),
        (["runs"], "playhead.cli.options.Wrong: which log?"),
        (["runs", "--url", "postgresql://ann:hunter2@127.0.0.1:1/x"], "errors.StorageError"),
    ],
)
def test_debug_shows_the_traceback(
    cli: Any, folder: Path, words: list[str], error: str
) -> None:
    """With PLAYHEAD_DEBUG=1 a refusal has its traceback before it, and the same exit code."""
    (folder / "bad.py").write_text("raise RuntimeError('boo')\n", "utf-8")
    plain, debug = cli(*words), cli(*words, env={"PLAYHEAD_DEBUG": "1"})
    assert (plain.exit_code, debug.exit_code) == (2, 2)
    assert plain.stdout == debug.stdout == ""
    assert plain.stderr.startswith("playhead: ")
    assert debug.stderr.startswith("Traceback (most recent call last):\n")
    assert debug.stderr.endswith(plain.stderr)
    assert error in debug.stderr
    assert "hunter2" not in debug.stderr


def test_the_reference_names_every_command() -> None:
    """docs/cli.md has a section with an example for each command, and for no other."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    sections = re.findall(r"^## `(\w+)`", page, re.MULTILINE)
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    assert sections == names
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    lacking = [
        part.split("`")[1] for part in parts if part[0] == "`" and "$ playhead " not in part
    ]
    assert lacking == []
