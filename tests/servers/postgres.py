"""A PostgreSQL server of the tests' own: made, started, stopped, hurt, and gone at the end."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.sql import SQL, Identifier
from psycopg.sql import Literal as Value

from tests.servers.binaries import account, as_account, bindir
from tests.servers.given import Given
from tests.servers.guard import Guard
from tests.servers.waiting import wait_for

Mode = Literal["smart", "fast", "immediate"]
STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
SECONDS = 60.0  # for a start or a stop
LOWEST = 10_000  # port
OWNER = "app"  # the role that owns the databases: no superuser, as in life


class Postgres(Given):
    """A server in a folder of its own, on a unix socket and on a free port of 127.0.0.1.

    It keeps PostgreSQL's defaults, fsync among them. As root it runs as another user.
    """

    own = True

    def __init__(self) -> None:
        self._bin = bindir()
        # Short, because the path of a unix socket ends at 107 characters.
        room = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108
        self.folder = Path(tempfile.mkdtemp(prefix="playhead-pg-", dir=room))
        self.log = self.folder / "log"
        self._pid_file = self.folder / "data" / "postmaster.pid"
        self._server: subprocess.Popen[bytes] | None = None
        self._frozen: set[int] = set()
        self._password = secrets.token_hex(8)
        self.port = free_port()
        self._guard = Guard(self.folder, self._pid_file)
        try:
            self._init()
            self.start()
            super().__init__(self._place("postgres", "postgres", unix=True))
            self.execute(
                SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    Identifier(OWNER), Value(self._password)
                )
            )
        except BaseException:
            self.close()
            raise

    def url(self, database: str, *, unix: bool = False) -> str:
        """Give the url of a database, for its owner: over TCP, or over the unix socket."""
        return self._place(database, OWNER, unix=unix)

    def admin_url(self, database: str = "postgres") -> str:
        """Give the url of a database, for the superuser."""
        return self._place(database, "postgres", unix=True)

    def create(self) -> str:
        """Make an empty database; give its name."""
        name = super().create()
        owned = SQL("ALTER DATABASE {} OWNER TO {}")
        self.execute(owned.format(Identifier(name), Identifier(OWNER)))
        return name

    def _place(self, database: str, role: str, *, unix: bool) -> str:
        place, rest = f"127.0.0.1:{self.port}", ""
        if unix:
            place, rest = "", f"?host={self.folder}&port={self.port}"
        return f"postgresql://{role}:{self._password}@{place}/{database}{rest}"

    def _init(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self._password, "ascii")
        who = account()
        if who:
            for place in (self.folder, secret):
                shutil.chown(place, who.pw_uid, who.pw_gid)
        done = subprocess.run(
            [
                self._bin / "initdb",
                f"--pgdata={self._pid_file.parent}",
                "--username=postgres",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",  # of the making alone; the server itself syncs as ever
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **as_account(),
        )
        assert done.returncode == 0, f"initdb failed: {done.stdout}"

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._server is not None

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._server is not None, "the server is not running"
        return self._server.pid

    def start(self) -> None:
        """Start the server; give back when it takes connections."""
        assert self._server is None, "the server is running"
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self._bin / "postgres",
                    *("-D", self._pid_file.parent),
                    *("-k", self.folder),
                    *("-h", "127.0.0.1"),
                    *("-p", str(self.port)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, not for the server
                **as_account(),
            )
        wait_for(self._is_ready, "a server that takes connections", SECONDS)

    def _is_ready(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            self._server = None
            raise AssertionError(f"PostgreSQL did not start: {self.log.read_text()[-2000:]}")
        try:  # starting, ready, stopping
            lines = self._pid_file.read_text("utf-8").splitlines()
            return int(lines[0]) == self.pid and lines[7].strip() == "ready"
        except (OSError, IndexError, ValueError):
            return False

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server if it runs; `immediate` is a crash: the next start recovers."""
        if self._server is None:
            return
        for pid in tuple(self._frozen):
            self.thaw(pid)
        self._server.send_signal(STOP[mode])
        try:
            self._server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"PostgreSQL did not stop: {self.log.read_text()}") from None
        self._server = None

    def restart(self, mode: Mode = "fast") -> None:
        """Stop and start again."""
        self.stop(mode)
        self.start()

    def kill(self, pid: int) -> None:
        """End one of its processes as `kill -9` does: all others end too, and it recovers."""
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of the process", SECONDS)
        wait_for(self._answers, "a server that has recovered", SECONDS)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def freeze(self, pid: int) -> None:
        """Stop one of the server's processes: it keeps its locks and its socket, and is mute."""
        os.kill(pid, signal.SIGSTOP)
        self._frozen.add(pid)

    def thaw(self, pid: int) -> None:
        """Let a frozen process go on."""
        self._frozen.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Freeze one of the server's processes for a while."""
        self.freeze(pid)
        try:
            yield
        finally:
            self.thaw(pid)

    def close(self) -> None:
        """End the server and its folder."""
        super().close()
        self._guard.close()
        if self._server is not None:
            self._server.wait()
            self._server = None


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on, and that the system gives to no client.

    Else one might take it before the server starts, or while it is stopped.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    room = first - LOWEST if first > LOWEST else 20_000
    while True:
        port = LOWEST + secrets.randbelow(room)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
