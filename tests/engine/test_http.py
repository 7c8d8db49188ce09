"""The clients handed to steps, against a real server on loopback."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from engine.http import async_client, call_numbers, sync_client

KEY = "r1/enrich:1"


class Server(ThreadingHTTPServer):
    """Remembers path and key of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def keys(self) -> list[str | None]:
        return [key for _, key in self.seen]


class Handler(BaseHTTPRequestHandler):
    """Answers 200, and /away with a redirect to /there."""

    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Idempotency-Key"]))
        away = self.path == "/away"
        self.send_response(307 if away else 200)
        if away:
            self.send_header("Location", "/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on loopback while a test runs."""
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_the_first_call_sends_the_key_and_the_nth_its_number(server: Server) -> None:
    """An attempt's calls are told apart, and are the same in each attempt."""
    for _ in range(2):
        with sync_client(KEY) as client:
            client.get(server.url)
            client.post(server.url, json={"a": 1})
            with client.stream("GET", server.url):
                pass
    assert server.keys == [KEY, f"{KEY}#2", f"{KEY}#3"] * 2


def test_a_key_that_the_caller_has_set_stays(server: Server) -> None:
    """In a call, or for the whole client; the count goes on."""
    with sync_client(KEY) as client:
        client.get(server.url, headers={"idempotency-key": "mine"})
        client.get(server.url)
        client.headers["Idempotency-Key"] = "always mine"
        client.get(server.url)
    assert server.keys == ["mine", f"{KEY}#2", "always mine"]


def test_a_redirect_is_the_same_call(server: Server) -> None:
    """Both requests of a redirected call bear one key."""
    with sync_client(KEY) as client:
        client.get(f"{server.url}/away", follow_redirects=True)
        client.get(server.url)
    assert server.seen == [("/away", KEY), ("/there", KEY), ("/", f"{KEY}#2")]


def test_the_async_client_does_the_same(server: Server) -> None:
    """First call the key, then its numbers."""

    async def main() -> None:
        async with async_client(KEY) as client:
            assert isinstance(client, httpx.AsyncClient)
            await client.get(server.url)
            await client.get(f"{server.url}/away", follow_redirects=True)

    asyncio.run(main())
    assert server.keys == [KEY, f"{KEY}#2", f"{KEY}#2"]


def test_two_clients_of_an_attempt_share_its_numbers(server: Server) -> None:
    """No two calls of an attempt have one key."""
    calls = call_numbers()
    with sync_client(KEY, calls) as one, sync_client(KEY, calls) as two:
        one.get(server.url)
        two.get(server.url)
    assert server.keys == [KEY, f"{KEY}#2"]


def test_threads_of_a_step_get_a_number_each(server: Server) -> None:
    """Twenty calls from four threads bear twenty keys."""
    with sync_client(KEY) as client:
        threads = [
            threading.Thread(target=lambda: [client.get(server.url) for _ in range(5)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(server.keys)) == 20


def test_it_is_the_client_that_steps_are_annotated_with() -> None:
    """An `httpx.Client`, closed when the attempt ends."""
    client = sync_client(KEY)
    assert isinstance(client, httpx.Client)
    client.close()
    assert client.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        client.get("http://127.0.0.1:1/")


def test_httpx_is_imported_when_the_first_client_is_wanted() -> None:
    """An engine whose steps call nobody does not pay for it."""
    code = "import sys, engine.http, engine.breakers; print('httpx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
