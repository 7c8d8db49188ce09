"""An engine whose runs grow old on a frozen clock."""

import freezegun
import pytest

from engine.app import Engine
from tests.engine.pruning.aged import ALL


@pytest.fixture
def frozen():
    with freezegun.freeze_time("2030-01-01T00:00:00+00:00") as stopped:
        yield stopped


@pytest.fixture(params=["memory", "file"])
def engine(request, tmp_path, frozen):
    url = "sqlite:///:memory:"
    if request.param == "file":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    made = Engine(url, workflows=ALL)
    yield made
    made.close()
