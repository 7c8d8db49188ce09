"""Canaries: declared secrets are found in no file, no line of a log and no command's answer."""

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.servers.kinds import POSTGRES

ROOT = Path(__file__).parents[2]
PLACES = (
    "log", "extra", "progress", "basic", "url", "chained", "message", "output", "blob", "failure",
    "input", "key", "tag", "payload", "signal", "body", "header", "reason", "steered",
)  # fmt: skip
FIELDS = ("field", "query", "cookie", "hook")
COMMANDS = (
    ("show", "{run}", "--json"), ("show", "{run}"), ("replay", "{run}", "--json"),
    ("runs", "--json"), ("triggers", "explain", "hook", "--json"), ("graph", "{run}"),
    ("workers", "--json"),
)  # fmt: skip
EXPORT = ("export",)
UNWRITTEN = {"log", "extra", "progress"}  # said to loggers and listeners, not to the log


class Files:
    """A log in a file: what is beside it is looked at, too."""

    commands = (*COMMANDS, EXPORT)

    def __init__(self, folder):
        self.folder, self.url = folder, f"sqlite:///{folder / 'log.db'}"
        self.password = None

    def content(self):
        """Give the bytes of each file, by name."""
        files = {
            file.name: file.read_bytes() for file in self.folder.rglob("*") if file.is_file()
        }
        assert {"log.db", "log.db-wal", "log.db-shm"} <= files.keys()
        return files


class Server:
    """A log on a server: each row; and if the server is ours its files, and what it logs."""

    commands = (("show", "{run}", "--json"), EXPORT)  # the others read the same rows

    def __init__(self, postgres, database, url):
        self.postgres, self.database, self.url = postgres, database, url
        self.password = urlsplit(url).password

    def content(self):
        """Give the rows of each table, the database's files, and the server's own lines."""
        if not self.postgres.own:
            return dict(self._rows())
        self.postgres.execute("CHECKPOINT")
        (oid,) = self.postgres.execute(
            "SELECT oid FROM pg_database WHERE datname = %s", [self.database]
        )[0]
        data = self.postgres.folder / "data"
        parts = {"files": data / "base" / str(oid), "wal": data / "pg_wal"}
        said = {
            name: b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
            for name, folder in parts.items()
        }
        return {**dict(self._rows()), **said, "server": self.postgres.log.read_bytes()}

    def _rows(self):
        with psycopg.connect(self.url) as reader:
            tables = reader.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'playhead'"
            ).fetchall()
            for (table,) in tables:
                rows = reader.execute(
                    SQL("SELECT * FROM playhead.{}").format(Identifier(table))
                )
                cells = [cell for row in rows for cell in row]
                yield (
                    f"rows of {table}",
                    b" ".join(
                        cell if isinstance(cell, bytes) else str(cell).encode()
                        for cell in cells
                    ),
                )


@pytest.fixture(params=["file", POSTGRES])
def place(request, tmp_path):
    """Where the log lies: in a file, or on a server."""
    if request.param == "file":
        return Files(tmp_path)
    asked = ("postgres", "postgres_database", "postgres_url")
    return Server(*map(request.getfixturevalue, asked))


def surroundings(mark):
    """Give an environment with a canary for each place, each with a mark of this song."""
    named = {f"CANARY_{place.upper()}": f"canary/{place}+{mark}" for place in PLACES}
    named |= {f"BIRD_{field}": f"bird-of-{field}-{mark}" for field in FIELDS}
    return {**os.environ, **named, "PYTHONPATH": str(ROOT)}


def found(content, mark):
    """Give the places whose canary stands in some bytes, as it is or in another form."""
    text = content.decode("utf-8", "replace")
    basic = base64.b64encode(f"app:canary/basic+{mark}".encode()).decode().rstrip("=")[:-4]
    heard = {"basic"} if basic in text else set()
    text = text.lower()
    signs = {
        place: (f"canary/{place}+{mark}", f"canary%2f{place}%2b{mark}") for place in PLACES
    }
    signs |= {field: (f"bird-of-{field}-{mark}",) for field in FIELDS}
    return heard | {
        name for name, forms in signs.items() if any(form in text for form in forms)
    }


def sing(folder, place, server, mark, commands, *, declared):
    """Run the program; give what its files, its lines and the commands say, by where."""
    command = [
        sys.executable, str(ROOT / "tests/journeys/canaries.py"), place.url, f"{server}/bird",
    ]  # fmt: skip
    with (folder / "err.txt").open("wb") as lines:
        process = subprocess.Popen(
            [*command, "declared" if declared else "bare"], env=surroundings(mark), cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lines,
        )  # fmt: skip
    try:
        said = process.stdout.readline().decode().split()
        assert said[:1] == ["sung"], (folder / "err.txt").read_text()
        heard = place.content()
        for parts in commands:
            words = [part.format(run=said[1]) for part in parts]
            done = subprocess.run(
                [sys.executable, "-m", "playhead", *words, "--url", place.url],
                env=surroundings(mark), cwd=folder, capture_output=True, check=False, timeout=200,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            heard[" ".join(parts)] = done.stdout + done.stderr
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait(60)
        process.stdout.close()
    assert process.returncode == 0, (folder / "err.txt").read_text()
    if isinstance(place, Files):
        heard["log.db, closed"] = (folder / "log.db").read_bytes()
    heard["blobs of the export"] = blobs(heard["export"])
    heard["stderr"] = (folder / "err.txt").read_bytes()
    return heard


def blobs(exported):
    """Give the large values of an export, which stand in it in base64."""
    rows = [json.loads(line) for line in exported.splitlines() if line.startswith(b"{")]
    return b" ".join(base64.b64decode(row["content"]) for row in rows if "content" in row)


@pytest.mark.slow
def test_no_canary_is_found_anywhere(tmp_path, place, server):
    """In the database and its files, lines of loggers, commands' answers, an export: none."""
    mark = secrets.token_hex(4)
    heard = sing(tmp_path, place, server.url, mark, place.commands, declared=True)
    assert {where: birds for where in heard if (birds := found(heard[where], mark))} == {}
    if place.password:
        assert [where for where in heard if place.password.encode() in heard[where]] == []
    marks = b"".join(heard.values())
    missed = [
        name for name in PLACES if f"[redacted:CANARY_{name.upper()}]".encode() not in marks
    ]
    assert missed == []


@pytest.mark.slow
def test_without_secrets_each_canary_is_found(tmp_path, place, server):
    """The same program that declares nothing writes each of them: the search above can fail."""
    mark = secrets.token_hex(4)
    heard = sing(tmp_path, place, server.url, mark, (EXPORT,), declared=False)
    every = {*PLACES, *FIELDS}
    assert found(b"".join(heard.values()), mark) == every
    stored = [where for where in heard if where.startswith(("log.db", "rows of "))]
    assert found(b"".join(heard[where] for where in stored), mark) == every - UNWRITTEN
    exported = heard["export"] + heard["blobs of the export"]
    assert found(exported, mark) == every - UNWRITTEN
    if "wal" in heard:
        assert found(heard["files"] + heard["wal"], mark) >= every - UNWRITTEN - {"blob"}
    assert found(heard["stderr"], mark) >= {"log", "progress", "url", "query"}
