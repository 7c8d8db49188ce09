"""A log of every earlier schema is migrated for ever, and its runs go on."""

import runpy
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from engine.app import Engine
from eventstore.migrating import migrate_file
from playhead import IntervalTrigger

HERE = Path(__file__).parent
LOGS = sorted(HERE.glob("schema-*.sql"))


@pytest.fixture(params=LOGS, ids=[log.stem for log in LOGS])
def migrated(request, tmp_path, monkeypatch):
    """An engine with today's workflows on a migrated log, at 02:00:01 of its day."""
    path = tmp_path / "log.db"
    raw = sqlite3.connect(path)
    raw.executescript(request.param.read_text("utf-8"))
    raw.close()
    migrate_file(str(path))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    made = runpy.run_path(str(HERE / "record_log.py"))
    beat = made["beat"]()
    workflows = [made["pipeline"](), made["machine"](), made["large"](), beat]
    with freeze_time(datetime(2026, 1, 1, 2, 0, 1, tzinfo=UTC)) as frozen:
        engine = Engine(
            f"sqlite:///{path}",
            workflows=workflows,
            triggers=[IntervalTrigger(timedelta(hours=1), beat)],
        )
        engine.frozen = frozen
        yield engine
        engine.close()


def test_every_run_of_an_old_log_replays(migrated):
    """Each history folds into the status that its row has; chains are whole, values are there."""
    rows = migrated.runs(limit=None)
    assert [migrated.get(row.id).status for row in rows] == [row.status for row in rows]
    assert sorted(row.status for row in rows) == (
        ["failed"] + 5 * ["succeeded"] + 2 * ["waiting"]
    )
    (large,) = migrated.runs("golden-large")
    assert migrated.history(large.id)[2].value("output") == "x" * 70_000
    assert list(migrated.log.verify()) == []


def test_the_runs_of_an_old_log_go_on(migrated):
    """A signal, a deadline and a start key of then do today what they would have done then."""
    (waits,) = migrated.runs("golden-pipeline", status="waiting")
    (late,) = migrated.runs("golden-machine", status="waiting")
    assert migrated.start("golden-pipeline", path="b.txt", key="b").id == waits.id
    migrated.run_until_idle()
    migrated.signal(waits.id, "go", {"by": "ann"})
    migrated.run_until_idle()
    assert migrated.get(waits.id).result(5) == ["offline", {"by": "ann"}, None]
    beats = len(migrated.runs("golden-beat"))
    migrated.frozen.tick(timedelta(hours=1))
    migrated.run_until_idle()
    assert migrated.get(late.id).status == "failed"  # nobody reviewed it within the hour
    assert len(migrated.runs("golden-beat")) == beats + 1
    assert list(migrated.log.verify()) == []
