"""A wire between a client and PostgreSQL that can be cut, muted, slowed, and made to lie."""

import contextlib
import itertools
import re
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.servers import wire

Target = tuple[str, int] | str  # host and port, or the path of a unix socket


class Lost:
    """An answer that is to get lost: it comes, it is thrown away, and the client is cut off."""

    def __init__(self, asked: str, tag: str, *, for_good: bool) -> None:
        self.asked = re.compile(asked, re.IGNORECASE | re.DOTALL)
        self.tag, self.for_good = tag, for_good
        self._passed = threading.Event()
        self.happened = False

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until the server has answered and the client was cut; False: it did not happen."""
        return self._passed.wait(seconds)

    def happen(self) -> None:
        """Tell that it has happened."""
        self.happened = True
        self._passed.set()


class Proxy:
    """Listens on 127.0.0.1 and passes on what comes; `url` gives a url that leads through it.

    `delay` is in seconds, before each answer is passed on. `poses_as_pooler` makes up the pids of
    new connections: they are not what `pg_backend_pid()` says, as behind a pooler.
    """

    def __init__(self, target: Target, *, listening: socket.socket | None = None) -> None:
        self._target = target
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self._open = True
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._lost: Lost | None = None
        self.to_server = threading.Event()  # while it is set, bytes flow that way
        self.to_client = threading.Event()
        self.delay = 0.0
        self.refusing = False  # new connections
        self.poses_as_pooler = False
        self.pids: dict[int, int] = {}  # made up: true
        self.numbers = itertools.count(2_000_000_001)
        self.taken = 0  # connections so far
        self.resume()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listening.getsockname()[:2]
        return host, port

    def url(self, url: str) -> str:
        """Give a TCP url of the target as one that leads through here."""
        parts = urlsplit(url)
        who = parts.netloc.rpartition("@")[0]
        host, port = self.address
        return urlunsplit(parts._replace(netloc=f"{who}@{host}:{port}", query=""))

    def cut(self) -> int:
        """Cut all connections, on both sides; give how many. New ones are taken."""
        with self._lock:
            pairs = tuple(self._pairs)
        for pair in pairs:
            pair.cut()
        return len(pairs)

    def mute(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Pass nothing on, without a word; what comes is kept for `resume`."""
        if to_server:
            self.to_server.clear()
        if to_client:
            self.to_client.clear()

    def resume(self) -> None:
        """Pass on again, what was kept first."""
        self.to_server.set()
        self.to_client.set()

    @contextlib.contextmanager
    def muted(self, *, to_server: bool = True, to_client: bool = True) -> Iterator[None]:
        """Pass nothing on for a while."""
        self.mute(to_server=to_server, to_client=to_client)
        try:
            yield
        finally:
            self.resume()

    def lose_answer(
        self, asked: str = "COMMIT", *, tag: str = "COMMIT", for_good: bool = False
    ) -> Lost:
        """Throw away the answer to the next statement that fits an expression, and cut there.

        The server gets the statement and carries it out; the tag is what it says that it did,
        such as INSERT. `for_good`: no connection is taken afterwards.
        """
        lost = Lost(asked, tag, for_good=for_good)
        with self._lock:
            self._lost = lost
        return lost

    def take_lost(self, said: str) -> Lost | None:
        """Give the answer to lose, once, if this statement is the one that was meant."""
        with self._lock:
            lost = self._lost
            if lost is None or not lost.asked.match(said.lstrip()):
                return None
            self._lost = None
            return lost

    def connect(self) -> socket.socket:
        """Open a connection to the target."""
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        server = socket.create_connection(self._target)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def forget(self, pair: "Pair") -> None:
        """Leave a connection that has ended out of the count."""
        with self._lock:
            self._pairs.discard(pair)

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.refusing or not self._open:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(self, client)
            with self._lock:
                self._pairs.add(pair)
                self.taken += 1
            pair.start()

    def close(self) -> None:
        """Cut all, listen no more, and wait for its threads."""
        self._open = False
        self.resume()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listening.close()
        self._thread.join()
        with self._lock:
            pairs = tuple(self._pairs)
        self.cut()
        for pair in pairs:
            pair.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pair:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._losing: Lost | None = None
        self._threads = [threading.Thread(target=self._forward, name="to server", daemon=True)]

    def start(self) -> None:
        """Begin to pass on."""
        self._threads[0].start()

    def join(self) -> None:
        """Wait for the end of its threads."""
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """End both connections, wherever they are."""
        for end in (self._client, self._server):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes who reads

    def _forward(self) -> None:
        back = None
        try:
            first = self._first()
            if first:
                self._server = self._proxy.connect()
                for end in (self._client, self._server):
                    if end.family != socket.AF_UNIX:  # each message goes on at once
                        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self._answer, name="to client", daemon=True)
                self._threads.append(back)
                back.start()
                self._server.sendall(first)
                self._pass_requests()
        except OSError:
            pass
        finally:
            self.cut()
            if back is not None:
                back.join()
            for end in (self._client, self._server):
                if end is not None:
                    end.close()
            self._proxy.forget(self)

    def _first(self) -> bytes:
        """Give the client's first message that is for the server; requests to encrypt are not."""
        while True:
            begun = self._exactly(4)
            message = begun + self._exactly((wire.first_size(begun) or 4) - 4)
            code = wire.first_code(message)
            if code == wire.CANCEL:
                return wire.cancelling(message, self._proxy.pids)
            if code not in {wire.SSL, wire.GSS}:
                return message
            self._client.sendall(wire.NO)

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            more = self._client.recv(size - len(got))
            if not more:
                raise ConnectionResetError
            got += more
        return got

    def _pass_requests(self) -> None:
        assert self._server is not None
        messages, statements = wire.Messages(), wire.Statements()
        while given := self._client.recv(65_536):
            self._proxy.to_server.wait()
            for message in messages.feed(given):
                said = statements.asked(message)
                lost = self._proxy.take_lost(said) if said is not None else None
                if lost is not None:
                    self._losing = lost  # from here on, no answer gets back
                self._server.sendall(message)

    def _answer(self) -> None:
        assert self._server is not None
        messages = wire.Messages()
        with contextlib.suppress(OSError):
            while given := self._server.recv(65_536):
                if self._proxy.delay:
                    threading.Event().wait(self._proxy.delay)
                self._proxy.to_client.wait()
                passed = b""
                for message in messages.feed(given):
                    lost = self._losing
                    if lost is None:
                        passed += self._told(message)
                    elif wire.is_end_of(message, lost.tag):
                        self._proxy.refusing = lost.for_good
                        self.cut()
                        lost.happen()
                        return
                self._client.sendall(passed)
        self.cut()

    def _told(self, message: bytes) -> bytes:
        known = wire.key(message)
        if known is None or not self._proxy.poses_as_pooler:
            return message
        made_up = next(self._proxy.numbers)
        self._proxy.pids[made_up] = known[0]
        return wire.with_pid(message, made_up)
