"""`serve` as a person reads it while its database goes away and comes back."""

from pathlib import Path
from typing import Any

import pytest

from eventstore import clock
from tests.playhead.served import Served, wait_until


@pytest.mark.slow
def test_a_server_that_goes_away_and_comes_back_is_told_once(
    own_postgres: Any, postgres_url: str, folder: Path
) -> None:
    """One line for each thing that cannot be done, however long; one when all goes on again."""
    daemon = Served(folder, "app.py", "--url", postgres_url).ready()
    try:
        own_postgres.stop()
        wait_until(lambda: "lease could not be renewed" in daemon.said, "the lease")
        wait_until(lambda: "a round failed" in daemon.said, "the round")
        clock.real_sleep(5)
        own_postgres.start()
        wait_until(lambda: "the log answers again, after" in daemon.said, "its return")
    finally:
        daemon.end()
    for words in ("lease could not be renewed", "a round failed", "the log answers again"):
        assert daemon.said.count(words) == 1, daemon.said
