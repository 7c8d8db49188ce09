"""Rows 44 to 48: poison values, results too large, hostile bytes in the database, injection."""

import json
import pickle
import socket
import sqlite3
from pathlib import Path

import msgspec
import pytest

from engine.perform import RESULT_LOST
from eventstore.errors import LogError
from playhead import (
    CircuitBreaker,
    Context,
    CronTrigger,
    DefinitionError,
    Engine,
    PlayheadError,
    RunUnknown,
    Signal,
    StorageError,
    ValueRefused,
    Workflow,
    step,
)


@step
def take(x):
    return x


taking = Workflow("taking", steps=[take])
waiting = Workflow("waiting", steps=[Signal("go"), step(lambda go: go, name="end")])

CARRIED = {
    "a NUL": "a\0b",
    "a large integer": 2**70 + 1,
    "four hundred digits": 10**400 + 7,
    "a tiny number": 5e-324,
    "an escape": "\x1b[31m",
    "a noncharacter": "\ufffe",
    "a key with a NUL": {"a\0b": {"": 1}},
    "SQL": "'); DROP TABLE event; --",
    "a name of ours": {"output_blob": "x", "_blob": 1, "__class__": "os.system"},
}


@pytest.mark.parametrize("kind", CARRIED)
def test_what_is_odd_and_still_json_comes_back_as_it_was(file_url, kind):
    """Row 44: as input, output, payload and in the history, to the last digit, in a new engine."""
    value = CARRIED[kind]
    engine = Engine(file_url, workflows=[taking, waiting])
    assert engine.run(taking, x=value) == value
    run = engine.start(waiting)
    engine.signal(run, "go", value)
    engine.run_until_idle()
    engine.close()
    other = Engine(file_url, workflows=[taking, waiting])
    assert other.get(run.id).result(timeout=1) == value
    (first,) = other.runs(workflow="taking")
    assert first.inputs == {"x": value}
    assert [
        e.value("output") for e in other.history(first.id) if e.type == "step.succeeded"
    ] == [value]
    assert list(other.log.verify()) == []
    other.close()


@pytest.mark.parametrize("name", ["a\0b", "\0"])
def test_a_name_with_a_nul_is_refused_everywhere(url, name):
    """Row 44: columns of text cannot hold it, on PostgreSQL at least; nothing is written."""
    engine = Engine(url, workflows=[taking, waiting])
    run = engine.start(waiting)
    before = len(engine.history(run))
    calls = [
        lambda: engine.start(taking, x=1, key=name),
        lambda: engine.start(taking, x=1, tags={"t": name}),
        lambda: engine.start(taking, x=1, tags={name: "t"}),
        lambda: engine.signal(run, name),
        lambda: engine.signal(run, "go", key=name),
        lambda: engine.cancel(run, reason=name),
        lambda: engine.runs(key=name),
        lambda: engine.runs(workflow=name),
        lambda: engine.runs(tags={"t": name}),
    ]
    for call in calls:
        with pytest.raises(ValueRefused, match="NUL"):
            call()
    with pytest.raises(RunUnknown):
        engine.get(name)
    for make in (
        lambda: CircuitBreaker(name),
        lambda: CronTrigger("* * * * *", taking, name=name),
        lambda: Workflow(name, steps=[take]),
        lambda: Engine(url, worker=name),
    ):
        with pytest.raises(DefinitionError):
            make()
    assert len(engine.history(run)) == before
    assert len(engine.runs()) == 1


LOST = {
    "a lambda": lambda: lambda: 1,
    "a socket": socket.socket,
    "a generator": lambda: iter([1]),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_result_that_cannot_be_kept_says_that_the_step_has_run(url, kind):
    """Row 45: the failure comes after the effect and says so; the step is not called again."""
    called = []

    @step(retry=_always())
    def effect():
        called.append(1)
        made = LOST[kind]()
        if isinstance(made, socket.socket):
            made.close()
        return made

    @step
    def clean() -> int:
        return 1

    workflow = Workflow("w", steps=[effect, clean])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    (failed,) = [event for event in engine.history(run) if event.type == "step.failed"]
    assert failed.data["error"]["type"] == "ValueRefused"
    assert failed.data["error"]["message"].endswith(RESULT_LOST)
    assert "output of step 'effect'" in failed.data["error"]["message"]
    assert called == [1]


def _always():
    import tenacity  # noqa: PLC0415 - the policy that would try for ever

    return tenacity.Retrying(stop=tenacity.stop_after_attempt(9), wait=tenacity.wait_none())


def test_an_input_that_is_refused_says_nothing_of_a_step(url):
    """Row 45: where no step has run, none is said to have."""
    engine = Engine(url, workflows=[taking])
    with pytest.raises(ValueRefused) as caught:
        engine.start(taking, x=object())
    assert RESULT_LOST not in str(caught.value)


@pytest.mark.slow
def test_a_result_of_a_hundred_megabytes(file_url, tmp_path):
    """Row 46: too large by default, and the error says both sizes and what to do.

    With `max_value` raised it goes through: one blob beside events of a few hundred bytes, read by
    the next step.
    """
    size = 100 * 2**20

    @step
    def make(n: int) -> str:
        return "x" * n

    @step
    def count(make: str) -> int:
        return len(make)

    workflow = Workflow("large", steps=[make, count])
    engine = Engine(file_url, workflows=[workflow])
    run = engine.start(workflow, n=size)
    engine.run_until_idle()
    assert run.error.error_type == "ValueRefused"
    for words in (str(size + 2), str(16 * 2**20), "keep it elsewhere", "raise max_value"):
        assert words in str(run.error.error)
    assert (tmp_path / "log.db").stat().st_size < 2**20
    engine.close()
    roomy = Engine(file_url, workflows=[workflow], max_value=size + 2)
    assert roomy.run(workflow, n=size) == size
    (newest, _) = roomy.runs()
    assert max(len(e.data) for e in roomy.log.read(newest.id)) < 1000
    made = next(e for e in roomy.history(newest.id) if e.type == "step.succeeded")
    assert "output_blob" in made.data
    assert len(made.value("output")) == size
    roomy.close()


# --- hostile bytes -----------------------------------------------------------------------------


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
def test_filters_keys_and_tags_are_values_and_never_sql(file_url, attack):
    """Row 48: each finds what bears that very text, and nothing else; the log is as it was."""
    engine = Engine(file_url, workflows=[taking, waiting])
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


def test_a_step_that_says_too_much_in_its_progress(url):
    """Row 44: progress is heard and not recorded; a lone surrogate in it harms nothing."""

    @step
    def odd(ctx: Context) -> int:
        ctx.progress(float("nan"), "\ud800\0")
        return 1

    workflow = Workflow("odd", steps=[odd])
    assert Engine(url, workflows=[workflow]).run(workflow) == 1


def test_storage_errors_are_ours(tmp_path):
    """Row 47: what is no log at all is a StorageError, also as a pickle."""
    path = tmp_path / "log.db"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    with pytest.raises(StorageError):
        Engine(f"sqlite:///{path}").runs()
    assert not (tmp_path / "canary").exists()
