"""The face of the package: light to import, and honest about what is not there yet."""

import subprocess
import sys
from pathlib import Path

import pytest

import playhead
import triggers
from engine.errors import DefinitionError

HEAVY = {"watchdog", "cronsim", "sqlalchemy", "starlette", "anyio"}
LOOK = f"import sys, triggers; print({HEAVY} & set(sys.modules))"


def test_the_import_is_light() -> None:
    """No watchdog, cronsim, Starlette or database is loaded before a trigger needs it."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["QueueTrigger", "ObjectTrigger"])
def test_triggers_of_a_later_version_say_so(name: str) -> None:
    """They can be imported, from the face too, and refuse to be made."""
    assert getattr(playhead, name) is getattr(triggers, name)
    with pytest.raises(DefinitionError, match=f"does not have {name} yet"):
        getattr(triggers, name)("/hook", "documents", on="succeeded")
