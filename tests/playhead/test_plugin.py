"""The plugin as pytest loads it: it costs nothing until a fixture is used, and leaves nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("eventstore", "engine", "triggers", "playhead")
HEAVY = {"sqlalchemy", "httpx", "watchdog", "tenacity", "transitions", "freezegun", "msgspec"}
COUNT = """
import json, sys
from pathlib import Path

def test_nothing():
    Path("loaded.json").write_text(json.dumps(sorted(sys.modules)))
"""
APP = """
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from playhead import Timer, Workflow, step

@step
def remind(rest) -> str:
    return f"{rest:%d %B}"

reminder = Workflow("reminder", steps=[Timer("rest", timedelta(days=30)), remind])
"""


def run_tests(folder: Path, text: str, *words: str, code: int = 0) -> str:
    """Run a file of tests in a process of its own; give what pytest printed."""
    (folder / "test_it.py").write_text(text, "utf-8")
    command = [
        sys.executable, "-W", "error", "-m", "pytest", "-p", "playhead.pytest_plugin",
        "-p", "no:cacheprovider", "-q", *words,
    ]  # fmt: skip
    # Alone: as an entry point it would be loaded under a second name.
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_it_loads_nothing_until_a_fixture_is_used(tmp_path: Path) -> None:
    """With the plugin alone, two modules of the project are loaded and no library."""
    run_tests(tmp_path, COUNT)
    loaded = json.loads((tmp_path / "loaded.json").read_text("utf-8"))
    ours = {name for name in loaded if name.partition(".")[0] in OURS}
    assert ours == {"playhead", "playhead.pytest_plugin"}
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_the_fixtures_work_where_they_are_asked_for(tmp_path: Path) -> None:
    """A reminder of 30 days is a test of four lines; its clock begins where its mark says."""
    text = APP + (
        "def test_it(playhead_engine, timeline):\n"
        "    engine = playhead_engine(workflows=[reminder])\n"
        "    run = engine.start(reminder)\n"
        "    timeline.advance(days=31)\n"
        "    assert run.result(timeout=0) == '31 January'\n"
        "\n"
        "@pytest.mark.timeline('2026-03-28 12:00')\n"
        "def test_mark(timeline):\n"
        "    assert timeline.now == datetime(2026, 3, 28, 12, tzinfo=timezone.utc)\n"
        "\n"
        "@pytest.mark.timeline(start=datetime(2026, 3, 28, 12, tzinfo=timezone.utc))\n"
        "def test_moment(timeline):\n"
        "    test_mark(timeline)\n"
    )
    assert "3 passed" in run_tests(tmp_path, text, "--strict-markers")


def test_durations_are_real(tmp_path: Path) -> None:
    """Pytest measures its tests by the real clock, however far the frozen one has moved."""
    text = APP + "def test_it(timeline):\n    timeline.jump(days=9999)\n"
    shown = run_tests(tmp_path, text, "--durations=0", "-vv")
    measured = re.findall(r"([\d.]+)s (?:setup|call|teardown) ", shown)
    assert measured
    assert max(map(float, measured)) < 5


@pytest.mark.parametrize("order", ["playhead_engine, timeline", "timeline, playhead_engine"])
def test_engines_close_before_time_is_let_go(tmp_path: Path, order: str) -> None:
    """An engine left open is closed, its threads joined, before the clock runs again."""
    text = APP + (
        f"def test_it({order}):\n"
        "    engine = playhead_engine(workflows=[reminder])\n"
        "    engine.__enter__()\n"
        "    run = engine.start(reminder)\n"
        "    timeline.advance(days=30)\n"
        "    assert run.result(timeout=5)\n"
        "    close = engine.close\n"
        "    def watched(*args):\n"
        "        assert datetime.now(timezone.utc) == timeline.now\n"
        "        assert timeline.now.year == 2030\n"
        "        close(*args)\n"
        "        closed.append(engine)\n"
        "    engine.close = watched\n"
        "\n"
        "closed = []\n"
        "def test_after():\n"
        "    assert len(closed) == 1\n"
        "    assert threading.active_count() == 1\n"
        "    assert time.time() < 1_890_000_000\n"
        "    assert type(datetime.now()) is datetime\n"
    )
    assert "2 passed" in run_tests(tmp_path, text)


def test_a_test_that_fails_lets_the_clock_go(tmp_path: Path) -> None:
    """After a test has failed in the middle of its time, the next one has the real clock."""
    text = APP + (
        "import freezegun.api\n"
        "limit = freezegun.api.call_stack_inspection_limit\n"
        "def test_it(timeline):\n    timeline.jump(days=9)\n    assert False\n"
        "def test_after():\n"
        "    assert not freezegun.api.freeze_factories\n"
        "    assert freezegun.api.call_stack_inspection_limit == limit\n"
        "    assert 1_700_000_000 < time.time() < 1_890_000_000\n"
    )
    assert "1 failed, 1 passed" in run_tests(tmp_path, text, code=1)


def test_the_engine_works_on_the_real_clock_alone(tmp_path: Path) -> None:
    """Without `timeline` nothing is frozen, and freezegun is not even imported."""
    text = APP + (
        "def test_it(playhead_engine):\n"
        "    engine = playhead_engine(workflows=[reminder])\n"
        "    engine.start(reminder)\n"
        "    engine.run_until_idle()\n"
        "    assert engine.next_due() > datetime.now(timezone.utc)\n"
        "    assert 'freezegun' not in sys.modules\n"
    )
    run_tests(tmp_path, text)
