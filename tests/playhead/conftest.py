"""A folder with an app in it, and the command line to try on it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playhead.cli.commands import app as commands

APP = """
from datetime import timedelta
from enum import Enum
from pathlib import Path

from playhead import CircuitBreaker, Context, Engine, Signal, Workflow, step


class Size(Enum):
    small = "s"
    large = "l"


@step
def greet(name: str, times: int = 1) -> str:
    return f"Hello, {name}!" * times

@step
def shout(greet: str, ctx: Context) -> str:
    ctx.progress(0.5, "half way")
    return greet.upper()

@step
def boom(name: str) -> str:
    raise ValueError("no such \\x1b[31m" + name)

@step
def echo(anything, words: str | None = None, size: Size = Size.small, path: Path | None = None,
         many: list[int] = [], on: bool = False):
    return {"anything": anything, "words": words, "size": size.value, "path": str(path),
            "many": many, "on": on}

@step
def decide(approval: bool) -> str:
    return "yes" if approval else "no"

api = CircuitBreaker("api", failure_threshold=1)

@step(breaker=api)
def call() -> str:
    raise OSError("down")

@step
def draft(topic: str) -> str:
    return topic

hello = Workflow("hello", steps=[greet, shout])
bad = Workflow("bad", steps=[boom])
echoes = Workflow("echo", steps=[echo])
waits = Workflow("waits", steps=[Signal("approval", bool, timeout=timedelta(hours=1)), decide])
calls = Workflow("calls", steps=[call])
publish = Workflow(
    "publish",
    steps=[draft],
    states=["draft", "review", "published"],
    transitions=[["done", "draft", "review"], ["approve", "review", "published"],
                 ["again", "review", "draft"]],
    initial="draft",
)
engine = Engine("sqlite:///app.db", workflows=[hello, bad, echoes, waits, calls, publish])
"""

Cli = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with `app.py` in it; what is imported from there is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "app.py").write_text(APP, "utf-8")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def cli(folder: Path) -> Cli:
    """The command line in this process: words in, a result with exit code and output out."""
    runner = CliRunner()

    def call(*words: object, env: dict[str, str] | None = None) -> Any:
        done = runner.invoke(commands, [str(word) for word in words], env=env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


@pytest.fixture
def shell(folder: Path) -> Cli:
    """The installed command in a process of its own."""

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "playhead", *map(str, words)]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=200
        )

    return call
