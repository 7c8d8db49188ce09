"""PostgreSQL's driver on a clock that stands still."""

import contextlib
import socket
import threading

import freezegun
import pytest

from eventstore import open_log
from eventstore.errors import StorageUnreachable
from eventstore.testing.facts import birth

pytestmark = pytest.mark.postgres


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up_on_a_frozen_clock():
    """The time to connect is measured by a clock that runs, in one freezing and in the next."""
    errors = []

    def connect(url):
        log = open_log(url)  # the driver is at home before time stands still
        for day in ("2026-01-01", "2026-01-02"):
            with freezegun.freeze_time(day), pytest.raises(StorageUnreachable) as caught:
                log.head("nobody")
            errors.append(caught.value)

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://u@127.0.0.1:{mute.getsockname()[1]}/d?connect_timeout=2"
        thread = threading.Thread(target=connect, args=(url,), daemon=True)
        thread.start()
        thread.join(60)
    assert len(errors) == 2


def test_a_log_works_on_a_frozen_clock(postgres_log_url):
    """Opened, written and read while time stands still."""
    with (
        contextlib.closing(open_log(postgres_log_url)) as log,
        freezegun.freeze_time("2026-01-01"),
    ):
        birth(log, "s")
        assert [event.stream for event in log.read_all()] == ["s"]
