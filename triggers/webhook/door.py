"""The door for webhooks: an ASGI app that reads a delivery within bounds and hands it on.

Laws of this file: a body is read up to its limit and its deadline, whatever was announced; the
event loop waits for no database; the framework is imported when an app is asked for.
"""

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

import msgspec

from engine.triggering import Door
from triggers.errors import wrong
from triggers.webhook.schemes import Headers, once
from triggers.webhook.trigger import Answer, WebhookTrigger

DEADLINE = (
    10.0  # real seconds for a body of a megabyte; another second for each more it may have
)
THREADS = 32  # deliveries that are at the database at one time; the others wait
LINGER = (
    1.0  # real seconds in which a sender that is refused may still talk: it may not listen yet
)
LEFTOVER = 16_777_216  # bytes of such talk that are let pass
ROOM = (
    134_217_728  # bytes that the bodies of all deliveries at one time may take; or two largest
)

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class _Doorways(Protocol):
    @property
    def doors(self) -> Any: ...


class Listening(Protocol):
    """What is asked of an engine: its triggers and their doors, open or not."""

    @property
    def triggers(self) -> Any:
        """Give the triggers by name."""

    @property
    def doorways(self) -> _Doorways:
        """Give the doors by name."""


class _TooLarge(Exception):
    """More than the limit was announced, or has come."""


class _Full(Exception):
    """The bodies that are here together take all the room."""


class _Gone(Exception):
    """The sender went away in the middle."""


def webhooks(engine: Listening) -> Any:
    """Give an ASGI app that takes the deliveries of an engine's webhook triggers.

    To be mounted into a Starlette or FastAPI app, or served by itself. The engine may be open in
    this process, or only known to it: what is delivered is in the log, and a worker takes it.

    Args:
        engine: whose WebhookTriggers they are.

    Raises:
        DefinitionError: two triggers have one path.
        ModuleNotFoundError: Starlette is missing; it names the command that installs it.
    """
    found = routes(engine)
    from starlette.applications import Starlette  # noqa: PLC0415 - an extra

    app = Starlette(routes=found)
    app.router.redirect_slashes = False  # senders do not follow
    return app


def routes(engine: Listening) -> list[Any]:
    """Give a Starlette route for each webhook trigger of an engine.

    Raises:
        DefinitionError: two triggers have one path.
        ModuleNotFoundError: Starlette is missing; it names the command that installs it.
    """
    try:
        from starlette.routing import Route  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "webhooks need Starlette: pip install 'playhead[web]'", name=error.name
        ) from error
    import anyio  # noqa: PLC0415 - Starlette's own ground

    found: dict[str, WebhookTrigger] = {}
    for trigger in engine.triggers.values():
        if isinstance(trigger, WebhookTrigger):
            other = found.setdefault(trigger.path, trigger)
            if other is not trigger:
                raise wrong(
                    f"{other.name!r} and {trigger.name!r} have one path, {trigger.path!r}; give one"
                    " another, or let one workflow start what both want"
                )
    threads = anyio.CapacityLimiter(THREADS)
    room = _Room(max([ROOM, *(2 * trigger.limit for trigger in found.values())]))
    return [
        Route(
            path,
            _Address(trigger, engine.doorways.doors[trigger.name], threads, room),
            methods=["POST"],
            name=trigger.name,
        )
        for path, trigger in found.items()
    ]


class _Room:
    """The memory that bodies may take together; touched by one event loop only."""

    def __init__(self, size: int) -> None:
        self.left = size


class _Address:
    """One path: an ASGI app that reads a request and gives the trigger's answer."""

    def __init__(self, trigger: WebhookTrigger, door: Door, threads: Any, room: _Room) -> None:
        self._trigger, self._door, self._threads = trigger, door, threads
        self._room = room

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        chunks: list[bytes] = []
        try:
            await self._take(scope, receive, send, chunks)
        except _Gone:
            pass
        finally:
            self._room.left += sum(map(len, chunks))

    async def _take(
        self, scope: Message, receive: Receive, send: Send, chunks: list[bytes]
    ) -> None:
        limit = self._trigger.limit
        headers: Headers = scope["headers"]
        try:
            await _read(headers, receive, limit, chunks, self._room)
        except _TooLarge:
            answer = await self._turn_away(413, f"the body has more than {limit} bytes", scope)
            await _send(answer, send, receive)
        except _Full:
            answer = await self._turn_away(503, "too many deliveries at one time", scope)
            await _send(answer, send, receive)
        except TimeoutError:
            answer = await self._turn_away(408, "the body did not come in time", scope)
            await _send(answer, send)
        else:
            body = b"".join(chunks)
            answer = await self._in_thread(self._trigger.receive, self._door, headers, body)
            await _send(answer, send)

    async def _turn_away(self, status: int, reason: str, scope: Message) -> Answer:
        answer = await self._in_thread(self._trigger.turn_away, self._door, status, reason)
        if scope.get("http_version", "1.1").startswith(
            "1"
        ):  # else the server reads on to the end
            answer.headers["connection"] = "close"
        return answer

    async def _in_thread(self, work: Callable[..., Answer], *args: Any) -> Answer:
        from anyio import to_thread  # noqa: PLC0415 - Starlette's own ground

        return await to_thread.run_sync(work, *args, limiter=self._threads)


async def _read(
    headers: Headers, receive: Receive, limit: int, chunks: list[bytes], room: _Room
) -> None:
    """Read the whole body into `chunks`, and take its bytes off the room.

    Raises:
        _TooLarge: at once when more is announced, or as soon as more has come.
        _Full: with this body there would be too much in memory.
        TimeoutError: it did not come within the deadline.
        _Gone: the sender went away.
    """
    import anyio  # noqa: PLC0415 - Starlette's own ground

    announced = once(headers, "content-length") or b""
    if announced.isdigit() and (len(announced) > 15 or int(announced) > limit):
        raise _TooLarge
    left = limit
    with anyio.fail_after(DEADLINE + limit / 1_048_576):
        has_more = True
        while has_more:
            chunk, has_more = await _piece(receive)
            left -= len(chunk)
            if left < 0:
                raise _TooLarge
            chunks.append(chunk)
            room.left -= len(chunk)
            if room.left < 0:
                raise _Full


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """Give the next piece of a body, and whether there are more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _Gone
    return message.get("body", b""), message.get("more_body", False)


async def _send(answer: Answer, send: Send, unread: Receive | None = None) -> None:
    """Send an answer; with `unread`, let the sender finish a sentence before it is cut off."""
    import anyio  # noqa: PLC0415 - Starlette's own ground

    content = msgspec.json.encode(answer.told)
    headers = {
        "content-type": "application/json", "content-length": str(len(content)), **answer.headers,
    }  # fmt: skip
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content, "more_body": unread is not None})
    if unread is None:
        return
    left, has_more = LEFTOVER, True
    with contextlib.suppress(_Gone), anyio.move_on_after(LINGER):
        while has_more and left > 0:
            chunk, has_more = await _piece(unread)
            left -= len(chunk)
    await send({"type": "http.response.body", "body": b""})
