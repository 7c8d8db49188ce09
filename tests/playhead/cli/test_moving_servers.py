"""The same application moves from a SQLite file to PostgreSQL and back, by its url alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from playhead import Engine


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
