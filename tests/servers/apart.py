"""A far host: an address across a pair of virtual network cards, which can be unplugged.

The far end lies in a network namespace that belongs to a thread of this process and has no name:
when the process ends, however it ends, the kernel takes namespace and cards away.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Self, TypeVar

from tests.servers.binaries import Missing
from tests.servers.proxy import Proxy, Target

CLONE_NEWNET = 0x4000_0000
Answer = TypeVar("Answer")
IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
LIBC = ctypes.CDLL(None, use_errno=True)


class Apart:
    """A host that is reached at `host`; `listen` opens a port there."""

    def __init__(self) -> None:
        if not IP or not hasattr(LIBC, "unshare"):
            raise Missing("no program `ip` was found (Debian: apt install iproute2)")
        number = (
            os.getpid() % 16_384
        )  # networks of four addresses in the block set aside for tests
        net = f"198.{18 + number // 8192}.{number // 32 % 256}.{number % 64 * 4}"
        first, last = net.rsplit(".", 1)
        here, self.host = (f"{first}.{int(last) + n}" for n in (1, 2))
        self._near, self._far = f"ph{os.getpid()}n", f"ph{os.getpid()}f"
        self._namespace: int | None = None
        self._in_thread(self._unshare)
        self._run_there("link", "set", "lo", "up")
        self._run_there(
            "link",
            "add",
            self._far,
            "type",
            "veth",
            "peer",
            self._near,
            "netns",
            str(os.getpid()),
        )
        self._run_there("addr", "add", f"{self.host}/30", "dev", self._far)
        _run("addr", "add", f"{here}/30", "dev", self._near)
        _run("link", "set", self._near, "up")
        self.plug()

    def listen(self) -> socket.socket:
        """Give a socket that listens on the far host."""
        return self._there(lambda: socket.create_server((self.host, 0)))

    def unplug(self) -> None:
        """Take the far card down: what is sent gets lost, and no one is told."""
        self._run_there("link", "set", self._far, "down")

    def plug(self) -> None:
        """Put the far card up again."""
        self._run_there("link", "set", self._far, "up")

    def close(self) -> None:
        """Take the cards and the namespace away."""
        if self._namespace is not None:
            with contextlib.suppress(Missing):
                _run("link", "delete", self._near)
            os.close(self._namespace)
            self._namespace = None

    def _unshare(self) -> None:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise Missing("making a network namespace is not permitted here; root may")
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def _run_there(self, *words: str) -> None:
        self._there(lambda: _run(*words))

    def _there(self, call: Callable[[], Answer]) -> Answer:
        """Call in a thread that stands in the far namespace; a child that it starts does too."""

        def enter() -> Answer:
            if LIBC.setns(self._namespace, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            return call()

        return self._in_thread(enter)

    @staticmethod
    def _in_thread(call: Callable[[], Answer]) -> Answer:
        answers: list[Answer] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                errors.append(error)

        thread = threading.Thread(target=run, name="far")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Far:
    """A server as it is seen from here when it stands on a far host."""

    def __init__(self, target: Target) -> None:
        self._host = Apart()
        try:
            self.proxy = Proxy(target, listening=self._host.listen())
        except BaseException:
            self._host.close()
            raise
        self.url, self.plug, self.unplug = self.proxy.url, self._host.plug, self._host.unplug

    def close(self) -> None:
        """Take the far host away."""
        self.proxy.close()
        self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(*words: str) -> None:
    done = subprocess.run([IP or "", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")
