"""The raw limit: the rows of a run in as many transactions, through the bare driver."""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DDL = """
CREATE TABLE stream (id TEXT PRIMARY KEY, version INTEGER, epoch INTEGER, status TEXT, due INTEGER,
    owner TEXT, label TEXT, head BLOB);
CREATE TABLE event (position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT, version INTEGER,
    type TEXT, epoch INTEGER, subject TEXT, source TEXT, dest TEXT, data TEXT, at INTEGER,
    cause TEXT, append_id TEXT, hash BLOB, UNIQUE (stream, version));
"""
INSERT = "INSERT INTO event VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?)"
UPDATE = (
    "UPDATE stream SET version=?,status=?,due=?,owner=?,label=?,head=? WHERE id=? AND version=?"
)
COMMITS = 4  # of a three-step run: start, three results
EVENTS = 2  # a commit


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an empty database as durable as ours: WAL, synchronous=FULL."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(DDL)
    yield connection
    connection.close()


def rows(run: str, turn: int, data: str) -> list[tuple[object, ...]]:
    """Give the event rows of one turn of a run."""
    out = []
    for n in range(EVENTS):
        version = turn * EVENTS + n + 1
        hashed = hashlib.sha256(data.encode()).digest()
        told = data if n == 0 else "{}"
        out.append(
            (run, version, "step.succeeded", 1, "enrich", "running", "succeeded", told, 0,
             f"{run}@{version}", f"{run}.{turn}", hashed)
        )  # fmt: skip
    return out


def turn_of(connection: sqlite3.Connection, run: str, turn: int, data: str) -> None:
    """Write one turn: the stream's row, then its events."""
    if turn == 0:
        connection.execute(
            "INSERT INTO stream VALUES (?,?,1,'running',NULL,'w','{}',NULL)", (run, EVENTS)
        )
    else:
        before = turn * EVENTS
        connection.execute(
            UPDATE, (before + EVENTS, "running", None, "w", "{}", b"", run, before)
        )
    connection.executemany(INSERT, rows(run, turn, data))


def one_at_a_time(path: Path, runs: int, data: str) -> list[float]:
    """Give the seconds of each run, every commit durable before the next."""
    took = []
    with database(path) as connection:
        for n in range(runs):
            begun = time.perf_counter()
            for turn in range(COMMITS):
                connection.execute("BEGIN IMMEDIATE")
                turn_of(connection, f"run-{n}", turn, data)
                connection.execute("COMMIT")
            took.append(time.perf_counter() - begun)
    return took


def grouped(path: Path, runs: int, data: str, together: int = 100) -> float:
    """Give runs a second when `together` runs share each commit."""
    with database(path) as connection:
        begun = time.perf_counter()
        for first in range(0, runs, together):
            for turn in range(COMMITS):
                connection.execute("BEGIN IMMEDIATE")
                for n in range(first, first + together):
                    turn_of(connection, f"run-{n}", turn, data)
                connection.execute("COMMIT")
        return runs / (time.perf_counter() - begun)
