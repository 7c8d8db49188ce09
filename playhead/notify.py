"""What systemd is told of a service: ready, stopping, alive; by hand, a datagram for each word.

Says nothing where nobody listens. Source: sd_notify(3), the protocol of `Type=notify`.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

from engine.health import Health
from eventstore import clock

log = logging.getLogger(__name__)
SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
PACE = 5.0  # real seconds between two looks at the health, where no watchdog asks for more
MARGIN = 25.0  # real seconds beyond grace that stopping may take; see engine/serving.py


class Notify:
    """Tells systemd how a service is, from `begin` to `end`."""

    def __init__(
        self, health: Callable[[], Health], surroundings: Mapping[str, str] = os.environ
    ) -> None:
        """Read where to tell it.

        Args:
            health: asked before each sign of life: a worker that hangs gives none.
            surroundings: the environment.
        """
        self._health = health
        self._address = _address(surroundings.get(SOCKET, ""))
        self._watchdog = _watchdog(surroundings)  # real seconds; None: nobody waits for life
        self._status = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, status: str) -> None:
        """Tell that the service is ready, and from now on that it lives."""
        if self._address is None:
            return
        self._status = status
        self._tell("READY=1", f"STATUS={_line(status)}")
        self._thread = threading.Thread(
            target=self._keep_telling, name="playhead-notify", daemon=True
        )
        self._thread.start()

    def stopping(self, grace: float) -> None:
        """Tell that the service drains, for at most so many real seconds."""
        until = round((grace + MARGIN) * clock.SECOND)
        self._tell(
            "STOPPING=1",
            f"STATUS=draining, for {grace:g} s at most",
            f"EXTEND_TIMEOUT_USEC={until}",
        )

    def end(self) -> None:
        """Tell no more; leaves no thread behind."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep_telling(self) -> None:
        pace = PACE if self._watchdog is None else self._watchdog / 2
        told = _line(self._status)
        while True:
            health = self._health()
            if self._watchdog is not None and health.alive:
                self._tell("WATCHDOG=1")
            status = _line(health.reason or self._status)
            if status != told:
                self._tell(f"STATUS={status}")
                told = status
            if self._over.wait(pace):
                return

    def _tell(self, *words: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as letter:
                letter.settimeout(1.0)
                letter.sendto("\n".join(words).encode(), self._address)
        except OSError as error:  # a service works on, whoever listens
            log.warning(
                "systemd could not be told %s: %s", words[0], error,
                extra={"action": "notify_failed"},
            )  # fmt: skip


def _line(text: str) -> str:
    return " ".join(text.split())


def _address(named: str) -> str | None:
    """Give the socket's address; a leading @ stands for the zero byte of an abstract one."""
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def _watchdog(surroundings: Mapping[str, str]) -> float | None:
    """Give the real seconds within which a sign of life is expected of this very process."""
    microseconds, pid = surroundings.get(WATCHDOG, ""), surroundings.get(WATCHDOG_PID)
    if not microseconds.isdecimal() or pid not in (None, str(os.getpid())):
        return None
    return int(microseconds) / clock.SECOND or None
