"""A folder to drop files into, and what a trigger has made of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triggers.testing import PaperEngine


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder to drop files into."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def declined(engine: PaperEngine) -> Callable[[Any], list[tuple[str, dict[str, Any]]]]:
    """Give reason and facts of what a trigger declined."""

    def of(trigger: Any) -> list[tuple[str, dict[str, Any]]]:
        return [
            (told["reason"], told.get("facts", {}))
            for type_, told in engine.told(trigger)
            if type_ == "trigger.declined"
        ]

    return of
