"""An HTTP server on a thread of this process, on a socket that was bound before anything began."""

import contextlib
import os
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from engine.errors import PlayheadError
from eventstore import clock

LOOPBACK = "127.0.0.1"
STARTS = 10.0  # real seconds that the server may take to answer
LOOK = 0.005  # real seconds between looks whether it does


class AddressRefused(PlayheadError):
    """Nothing can be served at this address."""


def bind(address: str) -> socket.socket:
    """Give a socket that listens at `HOST:PORT`, `[HOST]:PORT`, `:PORT` or `PORT`.

    Without a host it listens on loopback only. Port 0 is any that is free.

    Raises:
        AddressRefused: that is no address, or it is not to be had.
    """
    host, port = _parts(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found.sort(key=lambda one: one[0] != socket.AF_INET)  # `localhost` is 127.0.0.1
        family, _, _, _, where = found[0]
        listener = socket.create_server((str(where[0]), int(where[1])), family=family)
    except OSError as error:
        is_name = isinstance(error, socket.gaierror)
        why = error.strerror if is_name else os.strerror(error.errno or 0)
        raise AddressRefused(
            f"nothing can listen at {address}: {why};"
            " give another port (0: any that is free), or stop who listens there"
        ) from error
    # asyncio does this for sockets that it made: else an answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not (
        host.isascii()
        and ".." not in host
        and port.isascii()
        and port.isdigit()
        and int(port) < 1 << 16
    ):
        raise AddressRefused(
            f"{address!r} is no address to listen at; write HOST:PORT, such as"
            f" {LOOPBACK}:8080, or 0.0.0.0:8080 for every address of this machine"
        )
    return host, int(port)


class Server:
    """Serves an ASGI app from `start` until `stop`; takes no signals."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        """Take the app, and a socket that listens; it is closed by `stop`."""
        self._listener = listener
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="playhead-http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def start(self) -> None:
        """Serve; returns when requests are answered.

        Raises:
            AddressRefused: the server did not start.
        """
        self._thread.start()
        until = clock.real_seconds() + STARTS
        while not self._server.started:
            if not self._thread.is_alive() or clock.real_seconds() > until:
                raise AddressRefused(f"the server at {self.url} did not start")
            clock.real_sleep(LOOK)

    def stop(self) -> None:
        """Answer what has been asked, and end; leaves no thread and no socket behind."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(STARTS)
        with contextlib.suppress(OSError):
            self._listener.close()
