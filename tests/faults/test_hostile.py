"""Rows 47 and 48: hostile bytes in the database, and SQL where values belong; nothing is obeyed."""

import json
import pickle
import sqlite3
from pathlib import Path

import msgspec
import pytest

from eventstore.errors import LogError
from playhead import Engine, PlayheadError, Signal, StorageError, Workflow, step
from tests.servers.kinds import POSTGRES


@step
def take(x):
    return x


taking = Workflow("taking", steps=[take])
waiting = Workflow("waiting", steps=[Signal("go"), step(lambda go: go, name="end")])


class Bomb:
    """Would make a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def hostile(canary):
    """Give contents that some decoders obey."""
    return {
        "pickle": pickle.dumps(Bomb(canary)),
        "pickle as text": pickle.dumps(Bomb(canary), protocol=0),
        "yaml": f"!!python/object/apply:pathlib.Path.touch [{canary}]",
        "object json": json.dumps(
            {"py/object": "pathlib.Path", "__reduce__": ["touch", str(canary)], "$type": "x"}
        ),
        "deep": "[" * 200_000,
        "no text": b"\xff\xfe\x00",
        "nothing": "",
    }


PLACES = (
    ("event", "data"), ("stream", "label"), ("stream", "tags"), ("stream", "waits_on"),
    ("snapshot", "content"), ("blob", "content"), ("worker", "offers"),
)  # fmt: skip


@pytest.mark.parametrize("kind", hostile(Path("x")))
@pytest.mark.parametrize(("table", "column"), PLACES, ids=[".".join(p) for p in PLACES])
def test_hostile_bytes_are_read_as_json_or_refused(tmp_path, table, column, kind):
    """Row 47: whatever stands in a column is plain JSON or one of our errors; nothing is obeyed."""
    path, canary = tmp_path / "log.db", tmp_path / "canary"
    engine = Engine(f"sqlite:///{path}", workflows=[taking, waiting])
    engine.run(taking, x="y" * 70_000)
    run = engine.start(waiting)
    engine.run_until_idle()
    engine.worker.enter()
    engine.log.put_snapshot(run.id, 1, "plain", b"{}")
    with sqlite3.connect(path) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            raw.execute(f"DROP TRIGGER {name}")
        cast = "BLOB" if column == "content" else "TEXT"  # else the table itself refuses it
        content = hostile(canary)[kind]
        raw.execute(
            f"UPDATE {table} SET {column} = CAST(? AS {cast})",  # noqa: S608 - ours
            (content if isinstance(content, bytes) else content.encode(),),
        )
    raw.close()
    calls = [
        engine.runs, lambda: engine.history(run), lambda: engine.playhead(run).state,
        lambda: engine.get(run.id).status, lambda: engine.signal(run, "go", 1),
        engine.run_until_idle, lambda: list(engine.log.verify()), engine.log.workers,
        lambda: engine.log.snapshot(run.id, "plain"), engine.next_due,
    ]  # fmt: skip
    refused = 0
    for call in calls:
        try:
            call()
        except (PlayheadError, LogError, msgspec.MsgspecError):  # the last two: asked below
            refused += 1
    assert not canary.exists()
    if (table, column) == ("event", "data"):
        assert refused or kind == "object json"
        assert list(engine.log.verify()) != []


# --- injection ---------------------------------------------------------------------------------

SQL = [
    "') OR 1=1--", "x' OR '1'='1", '"; DROP TABLE event; --', "%", "_", "*", "a.b", "$.t",
    "t') = '", "\\", "NULL", "') UNION SELECT hash FROM event --",
]  # fmt: skip


@pytest.mark.parametrize("attack", SQL)
@pytest.mark.parametrize("place", ["file", POSTGRES])
def test_filters_keys_and_tags_are_values_and_never_sql(request, place, attack):
    """Row 48: each finds what bears that very text, and nothing else; the log is as it was."""
    asked = {"file": "file_url", "postgres": "postgres_log_url"}[place]
    engine = Engine(request.getfixturevalue(asked), workflows=[taking, waiting])
    plain = engine.start(taking, x=1, key="k", tags={"t": "v"})
    mine = engine.start(taking, x=2, key=attack, tags={attack: attack})
    engine.run_until_idle()
    events = len(engine.log.read_all())
    found = {
        "key": engine.runs(key=attack),
        "tag": engine.runs(tags={attack: attack}),
        "start": [engine.start(taking, x=2, key=attack)],
    }
    assert {name: [run.id for run in rows] for name, rows in found.items()} == {
        name: [mine.id] for name in found
    }
    assert engine.runs(tags={attack: "v"}) == engine.runs(tags={"t": attack}) == []
    assert engine.runs(workflow=attack) == []
    assert [run.id for run in engine.runs(tags={"t": "v"})] == [plain.id]
    for call in (
        lambda: engine.runs(status=attack),
        lambda: engine.runs(limit=attack),
        lambda: engine.runs(since=attack),
        lambda: engine.get(attack),
        lambda: engine.signal(mine, attack),
        lambda: engine.trigger(attack),
    ):
        with pytest.raises(PlayheadError):
            call()
    assert engine.breaker(attack).state == "closed"
    assert engine.log.find("start:taking", attack) == mine.id
    assert engine.log.find_all("start:taking", [attack, "none"]) == {attack: mine.id}
    assert engine.log.statuses([attack]) == {}
    assert engine.log.wake(attack, now=1, limit=9) == []
    assert engine.log.owned(attack) == {}
    assert len(engine.log.read_all()) == events
    assert list(engine.log.verify()) == []
    engine.close()


def test_order_and_limit_are_ours(file_url):
    """Row 48: there is no order to ask for: newest first, and a limit is a number."""
    engine = Engine(file_url, workflows=[taking])
    with pytest.raises(TypeError):
        engine.runs(order="id; DROP TABLE event")
    for limit in ("1; DROP TABLE event", -1, 1.5):
        with pytest.raises(PlayheadError):
            engine.runs(limit=limit)
    engine.close()


def test_storage_errors_are_ours(tmp_path):
    """Row 47: what is no log at all is a StorageError, also as a pickle."""
    path = tmp_path / "log.db"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    with pytest.raises(StorageError):
        Engine(f"sqlite:///{path}").runs()
    assert not (tmp_path / "canary").exists()
