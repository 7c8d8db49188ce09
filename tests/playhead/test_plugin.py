"""The plugin as pytest loads it: it costs nothing until a fixture is used, and leaves nothing."""

import importlib.metadata
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


def run_tests(
    folder: Path, text: str, *words: str, code: int = 0, is_installed: bool = False
) -> str:
    """Run a file of tests in a process of its own; give what pytest printed.

    With the plugin alone, or with all that are installed, among which it is an entry point.
    """
    (folder / "test_it.py").write_text(text, "utf-8")
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTEST_ADDOPTS", None)
    if not is_installed:
        # Alone: as an entry point it would be loaded under a second name.
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command += ["-p", "playhead.pytest_plugin"]
    command += words
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=200
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


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-p", "no:anyio"],
        ["-p", "no:hypothesispytest"],
        ["-p", "no:timeout"],
        ["-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:timeout"],
        ["-p", "no:playhead"],
    ],
    ids=" ".join,
)
def test_as_it_is_installed_it_loads_no_more(tmp_path: Path, words: list[str]) -> None:
    """As an entry point, beside whatever plugins are there, it loads its own file and no more."""
    if not importlib.metadata.entry_points(group="pytest11", name="playhead"):
        pytest.skip("the project is not installed here, only lies here")
    run_tests(tmp_path, COUNT, *words, is_installed=True)
    loaded = json.loads((tmp_path / "loaded.json").read_text("utf-8"))
    ours = {name for name in loaded if name.partition(".")[0] in OURS}
    wanted = set() if "no:playhead" in words else {"playhead", "playhead.pytest_plugin"}
    assert ours == wanted
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


def test_durations_under_plain_freeze_time(tmp_path: Path) -> None:
    """With the line that the page gives for `conftest.py`, they are real there too."""
    page = (ROOT / "docs" / "how-to" / "time-travel-tests.md").read_text("utf-8")
    (tmp_path / "conftest.py").write_text(
        page.split("# conftest.py\n")[1].split("```")[0], "utf-8"
    )
    text = APP + (
        "from freezegun import freeze_time\n"
        "@pytest.fixture\ndef frozen():\n    with freeze_time('2099-01-01') as clock: yield clock\n"
        "def test_it(frozen):\n"
        "    assert datetime.now().year == 2099\n"
        "    assert time.time() > 4_000_000_000\n"
    )
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
        "    assert run.result(timeout=20)\n"
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


# What test authors do to it.


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("begin='2026-01-01'", "takes one moment, start, and no begin"),
        ("'2026-01-01', '2026-01-02'", "takes one moment, start, and no argument 2"),
        ("'2026-01-01', start='2026-01-02'", "takes one moment, start, and no start"),
        ("engines=3", "takes one moment, start, and no engines"),
        ("'soon'", "'soon' is no moment; write e.g. '2026-03-28 12:00', which is in UTC"),
        ("datetime(2026, 1, 1)", "has no time zone"),
        ("3", "3 is no moment"),
    ],
)
def test_a_mark_that_says_no_moment(tmp_path: Path, mark: str, said: str) -> None:
    """An argument that the mark does not have, or that is no moment, is told in one sentence."""
    text = APP + (
        f"@pytest.mark.timeline({mark})\ndef test_it(timeline): pass\n"
        "def test_after():\n    assert type(datetime.now()) is datetime\n"
    )
    shown = run_tests(tmp_path, text, code=1)
    assert said in shown
    assert "1 passed, 1 error" in shown
    assert "pytest_plugin.py" not in shown, "the sentence is enough"


def test_a_mark_without_a_moment_is_as_none(tmp_path: Path) -> None:
    """`@pytest.mark.timeline` with nothing, or None, begins where it would without."""
    text = APP + (
        "@pytest.mark.timeline\ndef test_bare(timeline):\n"
        "    assert timeline.now == datetime(2030, 1, 1, tzinfo=timezone.utc)\n"
        "@pytest.mark.timeline(None)\ndef test_none(timeline):\n    test_bare(timeline)\n"
        "@pytest.mark.timeline('2026-05-05')\nclass TestIt:\n"
        "    def test_of_the_class(self, timeline):\n        assert timeline.now.day == 5\n"
        "    @pytest.mark.timeline('2026-05-06')\n"
        "    def test_of_the_function(self, timeline):\n        assert timeline.now.day == 6\n"
    )
    assert "4 passed" in run_tests(tmp_path, text, "--strict-markers")


def test_a_freeze_time_around_the_test(tmp_path: Path) -> None:
    """With `@freeze_time` on the test, moving says what to write; without `timeline` it works."""
    text = APP + (
        "from freezegun import freeze_time\n"
        "from playhead.testing import TimelineRefused\n"
        "@freeze_time('2026-05-05')\ndef test_it(playhead_engine, timeline):\n"
        "    playhead_engine(workflows=[reminder]).start(reminder)\n"
        "    with pytest.raises(TimelineRefused, match='pytest.mark.timeline'):\n"
        "        timeline.advance(days=31)\n"
        "@freeze_time('2026-05-05')\nclass TestIt:\n"
        "    def test_without(self, playhead_engine):\n"
        "        engine = playhead_engine(workflows=[reminder])\n"
        "        engine.start(reminder)\n"
        "        engine.run_until_idle()\n"
        "        assert engine.next_due() == datetime(2026, 6, 4, tzinfo=timezone.utc)\n"
        "def test_after():\n    assert type(datetime.now()) is datetime\n"
    )
    assert "3 passed" in run_tests(tmp_path, text)


def test_async_tests_and_test_cases(tmp_path: Path) -> None:
    """An async test needs no plugin but anyio's, which comes with httpx; TestCase works as well."""
    text = APP + (
        "import asyncio, unittest\n"
        "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
        "@pytest.mark.anyio\nasync def test_idle(playhead_engine, timeline):\n"
        "    run = playhead_engine(workflows=[reminder]).start(reminder)\n"
        "    timeline.advance(days=31)\n"
        "    await asyncio.sleep(0.001)\n"
        "    assert await run == '31 January'\n"
        "@pytest.mark.anyio\nasync def test_open(playhead_engine, timeline):\n"
        "    async with playhead_engine(workflows=[reminder]) as engine:\n"
        "        run = engine.start(reminder)\n"
        "        timeline.advance(days=31)\n"
        "        assert await run == '31 January'\n"
        "@pytest.mark.usefixtures('timeline')\nclass TestIt(unittest.TestCase):\n"
        "    def test_it(self):\n        assert datetime.now().year == 2030\n"
        "def test_after():\n    assert threading.active_count() == 1\n"
    )
    assert "4 passed" in run_tests(tmp_path, text, "-p", "anyio.pytest_plugin")


def test_one_clock_for_a_class(tmp_path: Path) -> None:
    """A fixture of the user's own, of any scope, holds a timeline as a `with` block."""
    text = APP + (
        "from playhead.testing import Engines, Timeline\n"
        "@pytest.fixture(scope='class')\ndef line():\n"
        "    with Engines() as engines, Timeline('2026-05-05', engines=engines) as timeline:\n"
        "        timeline.engine = engines(workflows=[reminder])\n"
        "        timeline.run = timeline.engine.start(reminder)\n"
        "        yield timeline\n"
        "class TestIt:\n"
        "    def test_one(self, line):\n        line.advance(days=29)\n"
        "    def test_two(self, line):\n        line.advance(days=2)\n"
        "        assert line.run.result(timeout=0) == '04 June'\n"
        "def test_after():\n    assert type(datetime.now()) is datetime\n"
    )
    assert "3 passed" in run_tests(tmp_path, text)


def test_what_a_test_leaves_open_spoils_nothing(tmp_path: Path) -> None:
    """A test fails with an engine open and a step in flight: it is told, the next has real time."""
    text = APP + (
        "begun, go_on = threading.Event(), threading.Event()\n"
        "@step\ndef dig() -> int:\n    begun.set(); go_on.wait(20); return 1\n"
        "digging = Workflow('digging', steps=[dig])\n"
        "def test_it(playhead_engine, timeline):\n"
        "    timeline.patience = 0.01\n"
        "    engine = playhead_engine(workflows=[digging], grace=0.05).__enter__()\n"
        "    engine.start(digging)\n"
        "    assert begun.wait(10)\n"
        "    timeline.advance(hours=1)\n"
        "def test_after():\n"
        "    go_on.set()\n"
        "    assert type(datetime.now()) is datetime\n"
        "    assert time.time() < 1_890_000_000\n"
    )
    shown = run_tests(tmp_path, text, code=1)
    assert "time does not move while a step is in flight: step 'dig' of run" in shown
    assert "1 failed, 1 passed" in shown
