"""The daemon's HTTP door: is it alive, is it ready, and the webhooks of its triggers.

Laws of this file: asking for health asks no database; a delivery that the daemon would rather
not take is refused before it is read, and its sender is told to come back.
"""

import asyncio
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Message, Receive, Scope, Send

from engine.health import Health

LIVE, READY = "/livez", "/readyz"
RETRY_AFTER = "5"  # seconds; by then another daemon, or the next life of this one, is there
SHUT = "this daemon takes on nothing now: it has yet to open, or it drains"


class Door:
    """The ASGI app of one daemon; shut until `is_open` is set."""

    def __init__(
        self, health: Callable[[], Health], webhooks: Sequence[BaseRoute] = ()
    ) -> None:
        """Take what tells the health, and the routes of the deliveries."""
        self.is_open = False
        self.inside = 0  # deliveries being answered; counted on the server's one thread
        self._health = health
        self._webhooks = Router(webhooks, redirect_slashes=False)  # senders do not follow
        routes: list[BaseRoute] = [Route(LIVE, self._live), Route(READY, self._ready)]
        if webhooks:
            routes.append(Mount("/", self._deliver))
        self.app = Starlette(routes=routes)

    async def _live(self, _request: Request) -> Response:
        health = self._health()
        return _answer("alive") if health.alive else _answer(health.reason, 503)

    async def _ready(self, _request: Request) -> Response:
        health = self._health()
        if health.ready and self.is_open:
            return _answer("ready")
        return _answer(health.reason or SHUT, 503)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a delivery in, unless shut; one that is cut off in the end may come again too."""
        if not self.is_open:
            await _AGAIN(scope, receive, send)
            return
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        self.inside += 1
        try:
            await self._webhooks(scope, receive, sending)
        except asyncio.CancelledError:  # the server stops, and waits for it no longer
            if self.is_open:
                raise
            if not has_begun:
                await _AGAIN(scope, receive, send)
        finally:
            self.inside -= 1


def _answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    fresh = {"Cache-Control": "no-store", **(headers or {})}
    return PlainTextResponse(f"{text}\n", status, fresh)


_AGAIN = _answer(SHUT, 503, {"Retry-After": RETRY_AFTER, "Connection": "close"})
