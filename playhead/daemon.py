"""The daemon: an engine that serves, with an HTTP door, and systemd told how it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.errors import PlayheadError
from engine.serving import serve
from eventstore import clock
from playhead.notify import Notify

if TYPE_CHECKING:
    from engine.app import Engine
    from playhead.web.door import Door
    from playhead.web.server import Server

DELIVERIES = 5.0  # real seconds that deliveries under way get before the engine drains
LOOK = 0.01  # real seconds between looks whether they are answered
WEB = ("anyio", "h11", "starlette", "uvicorn")  # what the extra brings


class Daemon:
    """One engine, served until a signal comes; hears of the turns of its life."""

    def __init__(
        self, engine: "Engine", *, http: str | None, ready: Callable[["Daemon"], None]
    ) -> None:
        """Bind the address, if there is one; nothing works yet.

        Args:
            engine: not open.
            http: `HOST:PORT` of the door; None: there is none.
            ready: called when everything works.

        Raises:
            PlayheadError: the address is not to be had, or the extra `web` is not installed.
        """
        self._engine = engine
        self._ready = ready
        self._notify = Notify(engine.health)
        self._door: Door | None = None
        self._server: Server | None = None
        if http is not None:
            self._door, self._server = _door(engine, http)

    @property
    def url(self) -> str | None:
        """Give where the door is, None if there is none."""
        return None if self._server is None else self._server.url

    @property
    def unheard(self) -> list[str]:
        """Give the triggers whose deliveries this process does not receive."""
        return [] if self._server is not None else _webhooks(self._engine)

    def serve(self) -> int:
        """Work until a signal comes; give the exit code (0 drained, 130 stopped)."""
        try:
            return serve(self._engine, self)
        finally:
            if self._server is not None:
                self._server.stop()
            self._notify.end()
            self._engine.close()  # again: the last delivery may have opened the log

    def opened(self) -> None:
        """Open the door, then tell that everything is ready."""
        if self._door is not None and self._server is not None:
            self._door.is_open = True
            self._server.start()
        self._ready(self)
        parts = [
            _counted(len(self._engine.workflows), "workflow"),
            _counted(len(self._engine.triggers), "trigger"),
        ]
        if self.url is not None:
            parts.append(self.url)
        self._notify.begin(f"ready: {', '.join(parts)}")

    def draining(self, is_hurried: Callable[[], bool]) -> None:
        """Shut the door, and let the deliveries that are inside be answered."""
        self._notify.stopping(self._engine.grace)
        if self._door is None:
            return
        self._door.is_open = False
        until = clock.real_seconds() + min(DELIVERIES, self._engine.grace)
        while self._door.inside and clock.real_seconds() < until and not is_hurried():
            clock.real_sleep(LOOK)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _webhooks(engine: "Engine") -> list[str]:
    return [name for name, t in engine.triggers.items() if getattr(t, "kind", "") == "webhook"]


def _door(engine: "Engine", address: str) -> "tuple[Door, Server]":
    try:
        from playhead.web.door import LIVE, READY, Door  # noqa: PLC0415 - an extra
        from playhead.web.server import Server, bind  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in WEB:
            raise
        raise PlayheadError(
            "HTTP needs the extra `web`: pip install 'playhead[web]'"
        ) from missing
    deliveries: list[Any] = []
    if _webhooks(engine):
        from triggers.webhook import routes  # noqa: PLC0415 - only for who receives them

        deliveries = routes(engine)
    for route in deliveries:
        if route.path in (LIVE, READY):
            raise PlayheadError(
                f"{route.path} is where the daemon tells its health; give that webhook another path"
            )
    door = Door(engine.health, deliveries)
    return door, Server(door.app, bind(address))
