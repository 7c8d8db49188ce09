"""The door: health first, deliveries only while it is open; over real HTTP on loopback."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.health import Health
from eventstore import clock
from playhead.web.door import SHUT, Door
from playhead.web.server import AddressRefused, Server, bind

WELL = Health(ready=True, alive=True, reason="")


async def echo(request: Request) -> Response:
    """Answer what was sent, after the whole of it has come."""
    return PlainTextResponse(await request.body())


class Ill:
    """A health that may change."""

    now = WELL

    def __call__(self) -> Health:
        return self.now


@pytest.fixture
def health() -> Ill:
    return Ill()


@pytest.fixture
def door(health: Ill) -> Door:
    """Give an open door with two webhooks behind it, one of which would hide all others."""
    made = Door(
        health,
        [
            Route("/hooks/echo", echo, methods=["POST"]),
            Route("/{rest:path}", echo, methods=["PUT"]),
        ],
    )
    made.is_open = True
    return made


@pytest.fixture
def server(door: Door) -> Iterator[Server]:
    made = Server(door.app, bind("127.0.0.1:0"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield client.request


def test_health_as_it_is(ask: Callable[..., httpx.Response], health: Ill) -> None:
    """200 when well; 503 and the reason when not ready, or when it needs a restart."""
    assert ask("GET", "/livez").text == "alive\n"
    assert ask("GET", "/readyz").text == "ready\n"
    assert ask("HEAD", "/livez").status_code == 200
    health.now = Health(ready=False, alive=True, reason="the disk is full")
    assert ask("GET", "/livez").status_code == 200
    answer = ask("GET", "/readyz")
    assert (answer.status_code, answer.text) == (503, "the disk is full\n")
    health.now = Health(ready=False, alive=False, reason="it hangs")
    answer = ask("GET", "/livez")
    assert (answer.status_code, answer.text) == (503, "it hangs\n")


def test_a_delivery_goes_through_an_open_door(
    ask: Callable[..., httpx.Response], door: Door
) -> None:
    """It reaches its route, and nobody is inside when it is answered; elsewhere it is 404."""
    assert ask("POST", "/hooks/echo", content=b"hello").text == "hello"
    assert ask("POST", "/hooks/other").status_code in (404, 405)
    assert door.inside == 0


def test_no_route_hides_the_health(ask: Callable[..., httpx.Response]) -> None:
    """A webhook that takes any path takes neither of these."""
    assert ask("PUT", "/anything", content=b"x").text == "x"
    assert ask("GET", "/readyz").text == "ready\n"


def test_a_shut_door_sends_deliveries_away(
    ask: Callable[..., httpx.Response], door: Door
) -> None:
    """503 with Retry-After, the connection is closed; health is still told, and not ready."""
    door.is_open = False
    answer = ask("POST", "/hooks/echo", content=b"hello")
    assert (answer.status_code, answer.text) == (503, f"{SHUT}\n")
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["connection"] == "close"
    assert ask("GET", "/livez").status_code == 200
    answer = ask("GET", "/readyz")
    assert (answer.status_code, answer.text) == (503, f"{SHUT}\n")


def test_a_delivery_inside_is_answered(server: Server, door: Door) -> None:
    """One that came before the door was shut is answered, also while the server stops."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(b"POST /hooks/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        until = clock.real_seconds() + 60
        while not door.inside:
            assert clock.real_seconds() < until
            clock.real_sleep(0.01)
        door.is_open = False
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        client.sendall(b"llo")
        answer = b""
        while part := client.recv(4096):
            answer += part
        stopping.join()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")
    assert door.inside == 0


def test_a_delivery_cut_off_while_the_door_is_open() -> None:
    """Whoever cancels it hears so: only a door that was shut has an answer ready."""

    async def cut() -> None:
        arrived = asyncio.Event()

        async def hang(request: Request) -> Response:
            arrived.set()
            await asyncio.Event().wait()
            raise AssertionError("never")

        door = Door(lambda: WELL, [Route("/hook", hang, methods=["POST"])])
        door.is_open = True
        transport = httpx.ASGITransport(door.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            asking = asyncio.create_task(client.post("/hook"))
            await arrived.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert door.inside == 0
            asking = asyncio.create_task(client.post("/hook"))
            arrived.clear()
            await arrived.wait()
            door.is_open = False
            asking.cancel()
            assert (await asking).status_code == 503

    asyncio.run(cut())


def test_a_door_without_webhooks(health: Ill) -> None:
    """It tells the health, and everything else is not found."""
    door = Door(health)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(door.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return [(await client.get(path)).status_code for path in ("/livez", "/hooks/echo")]

    assert asyncio.run(ask()) == [200, 404]


def handles() -> list[str]:
    """Give what stands behind this process's file handles."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue
    return sorted(name for name in found if not name.startswith("/proc/"))


def test_a_server_leaves_nothing_behind(door: Door) -> None:
    """No thread and no socket, also if a client still holds its connection; nor if not started."""
    threads, before = set(threading.enumerate()), handles()
    server = Server(door.app, bind("127.0.0.1:0"))
    server.start()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/livez").status_code == 200
        server.stop()
    assert set(threading.enumerate()) == threads
    assert handles() == before
    Server(door.app, bind("127.0.0.1:0")).stop()
    assert handles() == before


@pytest.mark.parametrize(
    ("address", "begins"),
    [
        ("0", "http://127.0.0.1:"),
        (":0", "http://127.0.0.1:"),
        ("localhost:0", "http://127.0.0.1:"),
        ("0.0.0.0:0", "http://0.0.0.0:"),
        ("[::1]:0", "http://[::1]:"),
        ("::1:0", "http://[::1]:"),
    ],
)
def test_addresses(door: Door, address: str, begins: str) -> None:
    """Without a host it is loopback; others only when they are named."""
    if "::1" in address and not os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
        pytest.skip("there is no IPv6 here")
    server = Server(door.app, bind(address))
    assert server.url.startswith(begins)
    assert not server.url.endswith(":0")
    server.stop()


@pytest.mark.parametrize("address", ["", "host", ":", "1.2.3.4:-1", ":65536", "x:8o", "ö:80"])
def test_addresses_that_are_none(address: str) -> None:
    """The refusal says what to write."""
    with pytest.raises(AddressRefused, match="write HOST:PORT, such as 127"):
        bind(address)
