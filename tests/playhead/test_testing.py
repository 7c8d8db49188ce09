"""The kit in one place: each name is what it says, and costs nothing until it is asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import engine.testing
import playhead.testing
from playhead import timeline
from triggers.dropping import drop

ROOT = Path(__file__).parents[2]
HEAVY = {"sqlalchemy", "httpx", "watchdog", "tenacity", "transitions", "freezegun", "msgspec"}
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import playhead.testing
json.dumps(dir(playhead.testing))
print(json.dumps(sorted(sys.modules)))
"""


def test_every_name_is_there() -> None:
    """`__all__`, `dir()` and what can be imported are the same, each name from its own room."""
    kit = playhead.testing
    assert dir(kit) == sorted(kit.__all__)
    assert {name: getattr(kit, name) is not None for name in kit.__all__} == dict.fromkeys(
        kit.__all__, True
    )
    assert kit.drop is drop
    assert kit.given is engine.testing.given
    assert kit.Timeline is timeline.Timeline
    with pytest.raises(AttributeError, match="no attribute 'took'"):
        _ = kit.took


def test_the_import_alone_loads_nothing(tmp_path: Path) -> None:
    """`import playhead.testing` loads two modules of the project and no library."""
    command = [sys.executable, "-W", "error", "-c", LOOK, str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    ours = {
        name for name in loaded
        if name.partition(".")[0] in {"playhead", "engine", "eventstore", "triggers"}
    }  # fmt: skip
    assert ours == {"playhead", "playhead.testing"}
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_without_freezegun_the_rest_is_there(tmp_path: Path) -> None:
    """`drop` and `given` need no freezegun; `Timeline` says what to install."""
    (tmp_path / "freezegun.py").write_text(
        "raise ModuleNotFoundError('no', name='freezegun')\n", "utf-8"
    )
    code = (
        "from playhead.testing import drop, given, crash_after, assert_replays\n"
        "from playhead.testing import Timeline\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: `Timeline` needs freezegun: pip install 'playhead[test]'"
    )
