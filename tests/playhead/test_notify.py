"""What systemd is told: each word a datagram, in order; silence where nobody listens."""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.health import Health
from eventstore import clock
from playhead.notify import Notify
from tests.playhead.served import Systemd

WELL = Health(ready=True, alive=True, reason="")
ILL = Health(ready=False, alive=True, reason="the disk\nis full")
DEAD = Health(ready=False, alive=False, reason="it hangs")


@pytest.fixture
def path() -> Iterator[str]:
    """Give a short path for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "notify")


@pytest.fixture
def systemd(path: str) -> Iterator[Systemd]:
    """Listen at that path."""
    made = Systemd(path)
    yield made
    made.close()


def test_the_words_of_a_life_in_order(systemd: Systemd, path: str) -> None:
    """Ready with its status, alive, stopping with the time it may take; no thread is left."""
    threads = set(threading.enumerate())
    notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"})
    notify.begin("ready: 2 workflows")
    assert systemd.hears() == ["READY=1", "STATUS=ready: 2 workflows"]
    assert systemd.hears() == ["WATCHDOG=1"]
    notify.stopping(30)
    assert systemd.hears() == [
        "STOPPING=1", "STATUS=draining, for 30 s at most", "EXTEND_TIMEOUT_USEC=55000000",
    ]  # fmt: skip
    notify.end()
    assert set(threading.enumerate()) == threads
    assert systemd.hears_nothing()


def test_a_name_in_the_abstract() -> None:
    """A leading @ is a socket without a file."""
    name = f"playhead-test-{os.getpid()}-{clock.new_id()}"
    systemd = Systemd(f"\0{name}")
    try:
        notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": f"@{name}"})
        notify.begin("ready")
        notify.end()
        assert systemd.hears() == ["READY=1", "STATUS=ready"]
    finally:
        systemd.close()


@pytest.mark.parametrize("named", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_silence_where_nobody_listens(named: dict[str, str]) -> None:
    """Without a socket that can be reached nothing is said and no thread is started."""
    threads = set(threading.enumerate())
    notify = Notify(lambda: WELL, {"WATCHDOG_USEC": "1000", **named})
    notify.begin("ready")
    assert set(threading.enumerate()) == threads
    notify.stopping(30)
    notify.end()


def test_signs_of_life_at_half_the_time(systemd: Systemd, path: str) -> None:
    """A watchdog of 0.4 s hears a sign of life about every 0.2 s."""
    notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
    notify.begin("ready")
    systemd.hears()
    systemd.hears()
    assert any(0.9 < seconds_of_five(systemd) < 1.5 for _ in range(5))
    notify.end()


def seconds_of_five(systemd: Systemd) -> float:
    """Give the seconds in which five signs of life come."""
    since = clock.real_seconds()
    assert [systemd.hears() for _ in range(5)] == [["WATCHDOG=1"]] * 5
    return clock.real_seconds() - since


def test_a_worker_that_hangs_gives_no_sign(systemd: Systemd, path: str) -> None:
    """While it hangs its status says so, once, and the watchdog hears nothing; then it goes on."""
    health = [WELL]
    notify = Notify(lambda: health[0], {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"})
    notify.begin("ready")
    assert systemd.hears()[0] == "READY=1"
    assert systemd.hears() == ["WATCHDOG=1"]
    health[0] = DEAD
    while (words := systemd.hears()) == ["WATCHDOG=1"]:
        pass
    assert words == ["STATUS=it hangs"]
    assert systemd.hears_nothing()
    health[0] = WELL
    assert [systemd.hears(), systemd.hears()] == [["WATCHDOG=1"], ["STATUS=ready"]]
    notify.end()


def test_a_worker_that_is_not_ready_lives(systemd: Systemd, path: str) -> None:
    """A full disk is told on one line of status; a restart would not mend it."""
    notify = Notify(lambda: ILL, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"})
    notify.begin("ready")
    assert systemd.hears()[0] == "READY=1"
    assert systemd.hears() == ["WATCHDOG=1"]
    assert systemd.hears() == ["STATUS=the disk is full"]
    notify.end()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_no_signs(systemd: Systemd, path: str, asked: dict[str, str]) -> None:
    """Nobody waits for life, or it is another process's: only readiness is told."""
    notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": path, **asked})
    notify.begin("ready")
    assert systemd.hears()[0] == "READY=1"
    assert systemd.hears_nothing()
    notify.end()


def test_the_watchdog_of_this_process(systemd: Systemd, path: str) -> None:
    """`WATCHDOG_PID` with our own number is meant for us."""
    asked = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": path, **asked})
    notify.begin("ready")
    assert [systemd.hears()[0], systemd.hears()[0]] == ["READY=1", "WATCHDOG=1"]
    notify.end()


def test_a_socket_that_is_gone_stops_nobody(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The service works on; a warning says what could not be told."""
    notify = Notify(lambda: WELL, {"NOTIFY_SOCKET": path})
    notify.begin("ready")
    notify.stopping(1)
    notify.end()
    assert "systemd could not be told READY=1: No such file" in caplog.text.replace(
        "[Errno 2] ", ""
    )
