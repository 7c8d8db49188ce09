"""A log that fails for a while: who works on goes on when it answers again."""

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import StorageBusy
from playhead import Engine, Workflow, step
from tests.playhead.served import wait_until


def test_a_caller_keeps_its_lease_although_the_log_fails_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is renewed again a third of it later: else others would begin its steps beside it."""
    asked: list[str] = []

    @step
    def lasting() -> None:
        wait_until(lambda: len(asked) > 2, "the lease to be renewed", 20)

    long = Workflow("long", steps=[lasting])
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with closing(Engine(url, workflows=[long], lease=0.3)) as caller:
        renew = caller.log.renew

        def fail_once(worker: str, *, until: int, offers: Sequence[str] | None = None) -> None:
            if threading.current_thread().name == "playhead-lease":
                asked.append(worker)
                if len(asked) == 1:
                    raise StorageBusy("another program holds the database")
            renew(worker, until=until, offers=offers)

        caller.log.renew = fail_once  # type: ignore[method-assign]
        caller.run(long)
    told = [getattr(record, "action", "") for record in caplog.records]
    assert {"lease_failed", "worker_goes_on"} <= set(told)
