"""The same application moves from a SQLite file to PostgreSQL and back, by its url alone."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventstore import NEW, Append, Headline, Row, Write, open_log
from eventstore.testing import fact
from playhead import Engine
from tests.servers.waiting import wait_for

WRITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_xid IS NOT NULL"
    " AND application_name = 'playhead'"
)
# An import that is killed as soon as it writes: from inside, for who watches from outside may stand
# still until it is over.
KILLED = """
import os, runpy, signal, sys, threading
import psycopg

def watch(url, *asked):
    with psycopg.connect(url, autocommit=True) as db:
        while not db.execute(asked[0], asked[1:]).fetchone():
            threading.Event().wait(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

words = [sys.argv.pop(1) for _ in range(3)]
threading.Thread(target=watch, args=words, daemon=True).start()
runpy.run_module("playhead", run_name="__main__", alter_sys=True)
"""
GUARDS = "SELECT count(*) FROM pg_trigger WHERE tgenabled = 'O' AND NOT tgisinternal"


@pytest.mark.slow
def test_from_sqlite_to_postgresql_and_back(cli: Any, folder: Path, postgres_url: str) -> None:
    """Chains and lines are the same on each way; the run that waits goes on where it arrives."""
    cli("run", "app.py:hello", "name=Ann", "-q", "--key", "k")
    cli("run", "app.py:calls", "-q")
    waits = json.loads(cli("start", "app.py:waits", "--json").stdout)["id"]
    hops = ("sqlite:///app.db", postgres_url, "sqlite:///back.db")
    lines = []
    for number, url in enumerate(hops):
        if number:
            taken = cli("import", f"{number - 1}.jsonl", "--url", url)
            assert (taken.exit_code, "imported 4 streams" in taken.stderr) == (0, True), taken
        assert "chains whole" in cli("verify", "--url", url).stdout
        assert cli("export", "--url", url, "--out", f"{number}.jsonl").exit_code == 0
        lines.append(Path(f"{number}.jsonl").read_bytes().splitlines()[1:-1])
    assert lines[0] == lines[1] == lines[2]
    assert cli("signal", waits, "approval", "true", "--url", postgres_url).exit_code == 0
    import app  # noqa: PLC0415 - the folder's

    engine = Engine(postgres_url, workflows=app.engine.workflows.values())
    engine.run_until_idle()
    assert engine.get(waits).result(timeout=0) == "yes"
    engine.close()
    again = cli("import", "2.jsonl", "--url", postgres_url)
    assert (again.exit_code, "4 streams were here already" in again.stderr) == (0, True)
    Path("grown.jsonl").unlink(missing_ok=True)
    assert cli("export", "--url", postgres_url, "--out", "grown.jsonl").exit_code == 0
    grown = cli("import", "grown.jsonl", "--url", "sqlite:///back.db")
    assert "1 of them went on from where they stood" in grown.stderr
    rows = [json.loads(cli("runs", "--url", url, "--json").stdout) for url in hops[1:]]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_killed_while_it_arrives_on_a_server_and_done_again(
    tmp_path: Path, own_postgres: Any, postgres_database: str, postgres_url: str
) -> None:
    """SIGKILL while the import writes leaves nothing of it, and every guard; again, it is whole."""
    source = open_log(f"sqlite:///{tmp_path}/app.db")
    for start in range(0, 4000, 500):
        names = [f"r{number:05}" for number in range(start, start + 500)]
        writes = tuple(
            Write(n, "run", NEW, (fact(),) * 5, Row("succeeded"), Headline("w")) for n in names
        )
        source.append(Append(f"a{start}", writes))
    source.close()
    target = open_log(postgres_url)
    assert target.last_position() == 0
    guards = own_postgres.execute(GUARDS, database=postgres_database)
    playhead = [sys.executable, "-m", "playhead"]
    leaving = [*playhead, "export", "--url", "sqlite:///app.db", "--out", "log.jsonl"]
    subprocess.run(leaving, cwd=tmp_path, check=True, capture_output=True)
    arriving = [*playhead, "import", "log.jsonl", "--url", postgres_url]
    watch = [own_postgres.admin_url(), WRITING, postgres_database]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, *watch, *arriving[3:]], cwd=tmp_path, check=False,
        stderr=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL
    wait_for(
        lambda: not own_postgres.execute(WRITING, [postgres_database]), "the end of its backend"
    )
    assert target.heads(kind="run") == target.read_all() == []
    assert own_postgres.execute(GUARDS, database=postgres_database) == guards
    for said in ("imported 4000 streams, 20000 events", "4000 streams were here already"):
        done = subprocess.run(
            arriving, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert said in done.stderr
    assert own_postgres.execute(GUARDS, database=postgres_database) == guards
    assert list(target.verify()) == []
    target.close()
