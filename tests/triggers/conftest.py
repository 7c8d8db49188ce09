"""An engine on paper over a private log."""

from collections.abc import Iterator

import pytest

from eventstore import open_log
from triggers.testing import PaperEngine


@pytest.fixture
def engine() -> Iterator[PaperEngine]:
    """An engine that starts runs and never runs them."""
    log = open_log("sqlite:///:memory:")
    yield PaperEngine(log)
    log.close()
