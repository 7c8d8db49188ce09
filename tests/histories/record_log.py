"""Record a whole log of today's schema as SQL text: `python tests/histories/record_log.py`.

Run once for each schema, never again: every later Playhead migrates what is here. In it are
runs that ended well, that failed, and that still wait; a breaker, a trigger with its firings, a
value in a blob, and a worker that died.
"""

import shutil
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from freezegun import freeze_time

sys.path.insert(0, str(Path(__file__).parent))
from record import machine, pipeline

from engine.app import Engine
from eventstore import WorkerRow, schema
from playhead import IntervalTrigger, Workflow, step


def large() -> Workflow:
    """A pipeline whose output is too large to stand in its event."""

    @step
    def letters(letter: str) -> str:
        return letter * 70_000

    @step
    def count(letters: str) -> int:
        return len(letters)

    return Workflow("golden-large", steps=[letters, count])


def beat() -> Workflow:
    """A pipeline without inputs, for a trigger."""

    @step
    def tick() -> str:
        return "tick"

    return Workflow("golden-beat", steps=[tick])


def make(url: str) -> None:
    """Let the workflows live for two hours of 2026 in a log at a url."""
    with freeze_time(datetime(2026, 1, 1, tzinfo=UTC)) as frozen:
        beats = beat()
        engine = Engine(
            url,
            workflows=[pipeline(), machine(), large(), beats],
            triggers=[IntervalTrigger(timedelta(hours=1), beats)],
        )
        one = engine.start("golden-pipeline", path="a.txt", key="a", tags={"who": "ann"})
        engine.start("golden-pipeline", path="b.txt", key="b")  # waits for its signal
        two = engine.start("golden-machine", key="approved")
        engine.start("golden-machine", key="expired")
        engine.start("golden-large", letter="x", key="large")
        engine.run_until_idle()
        engine.signal(one, "go", {"by": "ann"})
        engine.signal(two, "approve", {"by": "bob"}, key="k")
        for _ in range(6):
            frozen.tick(timedelta(minutes=20))
            engine.run_until_idle()
        engine.start("golden-machine", key="late")
        engine.run_until_idle()
        engine.log.enter(WorkerRow("w0", "old", "host", 4_000_000, 1, 2, ("v1",), dead=True))
        engine.close()


def dump(path: Path) -> str:
    """Give a database as the SQL that makes it."""
    with sqlite3.connect(path) as raw:
        text = "\n".join(raw.iterdump())
    raw.close()
    return f"PRAGMA auto_vacuum=INCREMENTAL;\nPRAGMA journal_mode=WAL;\n{text}\n"


if __name__ == "__main__":
    target = Path(__file__).with_name(f"schema-{schema.VERSION}.sql")
    if target.exists():
        raise SystemExit(f"{target.name} is there already: a recorded log never changes")
    folder = Path(tempfile.mkdtemp())
    make(f"sqlite:///{folder / 'log.db'}")
    target.write_text(dump(folder / "log.db"))
    shutil.rmtree(folder)
