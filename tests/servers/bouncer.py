"""PgBouncer in transaction mode in front of the server of the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.servers.binaries import Missing, account, as_account
from tests.servers.guard import Guard
from tests.servers.postgres import Postgres, free_port
from tests.servers.waiting import wait_for

SETTINGS = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
pidfile = {folder}/pid
logfile = {folder}/log
ignore_startup_parameters = extra_float_digits,options
server_lifetime = 3600
"""


class Bouncer:
    """A pooler that gives a client another backend for each transaction."""

    def __init__(self, server: Postgres) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if not program:
            raise Missing("no pgbouncer was found (Debian: apt install pgbouncer)")
        self._folder = Path(tempfile.mkdtemp(prefix="playhead-pgbouncer-"))
        self._guard = Guard(self._folder, self._folder / "pid")
        self.port = free_port()
        settings = SETTINGS.format(
            host=server.folder, server_port=server.port, port=self.port, folder=self._folder
        )
        who = urlsplit(server.url("postgres"))
        (self._folder / "settings").write_text(settings, "utf-8")
        (self._folder / "users").write_text(f'"{who.username}" "{who.password}"\n', "utf-8")
        lent_to = account()
        if lent_to:
            for place in (self._folder, *self._folder.iterdir()):
                shutil.chown(place, lent_to.pw_uid, lent_to.pw_gid)
        self._process = subprocess.Popen(
            [program, "-q", self._folder / "settings"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **as_account(),
        )
        wait_for(self._listens, "a pooler that listens")

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text("utf-8")
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def url(self, url: str) -> str:
        """Give a TCP url of the server as one that leads through here."""
        parts = urlsplit(url)
        who = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{self.port}", query=""))

    def close(self) -> None:
        """End it and its folder."""
        self._guard.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
