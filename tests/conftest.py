"""What holds for every test: no stray settings, and no way out of this machine."""

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.fixtures"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs started here must not
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # and nohup ignores hangups
    signal.signal(signal.SIGHUP, lambda *_: None)  # what is handled here is not ignored there

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the shell has set for Playhead, save the switches of the tests."""
    for name in list(os.environ):
        if name.startswith("PLAYHEAD_") and not name.startswith("PLAYHEAD_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse connections from Python to anywhere but this machine."""
    connect = socket.socket.connect

    def connect_here(sock: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(str(host)):
            raise OSError(f"a test tried to reach {address}; tests stay on this machine")
        connect(sock, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
