"""Row 52: two versions of the code at once on one database."""

import pytest

from eventstore import open_log
from eventstore.errors import SchemaMismatch
from eventstore.testing import birth, fact
from playhead import Engine, PlayheadError, Signal, Workflow, step


@step
def first(x: int) -> str:
    return "first"


@step
def second(first: str, go: int) -> str:
    return f"{first} second"


@step
def third(second: str) -> str:
    return f"{second} third"


def make(url, *steps):
    """Give an engine whose code is of a version: the same workflow with these steps."""
    flow = Workflow("flow", steps=[first, Signal("go", int), *steps])
    return Engine(url, workflows=[flow], lease=60.0)


def end_of(engine, run):
    """Give the result of a run that is let go on."""
    engine.signal(run, "go", 1)
    return engine.get(run).result(timeout=50)


def test_each_run_stays_with_the_code_it_began_with(postgres_url, until):
    """Row 52: in a rolling deploy old runs end by the old code, new ones by the new."""
    with make(postgres_url, second) as old, make(postgres_url, second, third) as new:
        began = {
            name: engine.start("flow", x=1).id for name, engine in (("old", old), ("new", new))
        }
        for name, run in began.items():
            until(lambda run=run: new.get(run).status == "waiting", what=name)
        assert end_of(new, began["old"]) == "first second"
        assert end_of(old, began["new"]) == "first second third"
        for run in began.values():
            assert "run.redefined" not in [event.type for event in new.history(run)]


def test_when_the_last_of_the_old_leaves_its_runs_go_on_by_the_new(postgres_url, until):
    """Row 52: what the old code had begun is redefined when no living worker has that code."""
    with make(postgres_url, second, third) as new:
        with make(postgres_url, second) as old:
            run = old.start("flow", x=1).id
            until(lambda: old.get(run).status == "waiting")
        assert end_of(new, run) == "first second third"
        assert [event.type for event in new.history(run)].count("run.redefined") == 1


def test_an_event_that_only_the_new_code_knows_is_kept(postgres_url):
    """Row 52: an unknown type is no loss: the feed shows it, the chain holds, its run says so."""
    with make(postgres_url, second) as engine:
        run = engine.start("flow", x=1).id
        engine.signal(run, "go", 1)
        assert engine.get(run).result(timeout=50) == "first second"
        head = engine.log.head(run)
        birth(engine.log, "other", events=(fact(type="run.teleported"),))
        assert [e.type for e in engine.log.read_all(after=0) if e.stream == "other"] == [
            "run.teleported"
        ]
        assert list(engine.log.verify()) == []
        with pytest.raises(PlayheadError):
            engine.history("other")
        assert engine.get(run).status == "succeeded"
        assert engine.log.head(run) == head


def test_a_newer_schema_is_refused_in_words(own_postgres, postgres_database, postgres_url):
    """Row 52: code older than the schema leaves it alone, and says what to update."""
    log = open_log(postgres_url)
    log.head("nobody")
    log.close()
    own_postgres.execute(
        "UPDATE playhead.log_meta SET value = '99' WHERE key = 'schema'",
        database=postgres_database,
    )
    with pytest.raises(SchemaMismatch, match="update Playhead"):
        log.head("nobody")
