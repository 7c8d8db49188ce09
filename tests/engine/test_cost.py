"""What a step costs, in what does not vary with the machine: statements, commits, bytes."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from eventstore import clock
from playhead import CircuitBreaker, Engine, Timer, Workflow, step

DOCUMENT = "x" * 1024


@step
def ingest(path: str) -> str:
    return path[:0] + DOCUMENT


@step
def enrich(ingest: str) -> str:
    return ingest


@step
def summarize(enrich: str) -> str:
    return enrich


documents = Workflow("documents", steps=[ingest, enrich, summarize])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


def cost(engine: Engine, act: Callable[[], object]) -> dict[str, int]:
    """Give what an action has asked of the database."""
    names = ("commits", "statements", "events", "bytes")
    before = {name: getattr(engine.log.counters, name) for name in names}
    act()
    return {name: getattr(engine.log.counters, name) - before[name] for name in names}


def test_a_three_step_run_is_four_commits(url: str) -> None:
    """A run of three steps is 4 commits, 8 events and at most 3 statements a commit."""
    engine = Engine(url, workflows=[documents])
    engine.run(documents, path="warm")
    spent = cost(engine, lambda: engine.run(documents, path="a"))
    engine.close()
    assert spent["commits"] == 4
    assert spent["events"] == 8
    assert spent["statements"] <= 12


def test_a_step_stores_its_change_and_no_more(url: str) -> None:
    """The bytes of a run are its values once each, and less than 120 bytes an event beside."""
    engine = Engine(url, workflows=[documents])
    engine.run(documents, path="warm")
    spent = cost(engine, lambda: engine.run(documents, path="a"))
    engine.close()
    assert 3 * len(DOCUMENT) < spent["bytes"] < 3 * len(DOCUMENT) + 8 * 120


def test_the_hundredth_step_costs_what_the_first_did(url: str) -> None:
    """In a chain of 200 steps each step is 1 commit, 2 events and the same bytes."""
    nodes = [step(name="s000")(lambda: 0)]
    nodes += [step(name=f"s{n:03}", after=[f"s{n - 1:03}"])(lambda: 0) for n in range(1, 200)]
    chain = Workflow("chain", steps=nodes)
    engine = Engine(url, workflows=[chain])
    sizes: list[int] = []
    engine.observe(lambda _, events: sizes.append(sum(len(e.data) for e in events)))
    spent = cost(engine, lambda: engine.run(chain))
    engine.close()
    assert spent["events"] == 2 * 200 + 2
    assert spent["commits"] <= 200 + 4
    middle = sizes[1:-1]
    assert max(middle) - min(middle) <= 2


def test_a_healthy_breaker_writes_nothing(url: str) -> None:
    """A guarded step whose calls succeed costs one check more and no event."""
    guarded = step(breaker=CircuitBreaker("api"), name="guarded")(lambda: 1)
    workflow = Workflow("guarded_flow", steps=[guarded])
    engine = Engine(url, workflows=[workflow])
    engine.run(workflow)
    spent = cost(engine, lambda: engine.run(workflow))
    engine.close()
    assert spent["events"] == 4
    assert spent["commits"] == 2


def test_a_hundred_runs_at_once_share_commits(url: str) -> None:
    """With 100 clients at once an append costs less than half a commit."""
    with Engine(url, workflows=[documents]) as engine:
        engine.start(documents, path="warm").result(timeout=60)

        def all_at_once() -> None:
            threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def one(n: int) -> None:
            engine.start(documents, path=str(n)).result(timeout=60)

        spent = cost(engine, all_at_once)
    assert spent["events"] == 800
    assert spent["commits"] < 200


def test_sleeping_runs_hold_no_thread(url: str) -> None:
    """A hundred runs that wait for a day add no thread, and nothing is asked for them."""
    wait = Workflow("wait", steps=[Timer("later", timedelta(days=1)), after_later])
    with Engine(url, workflows=[wait]) as engine:
        engine.start(wait)
        before = threading.active_count()
        for _ in range(100):
            engine.start(wait)
        assert threading.active_count() <= before + 1
        clock.real_sleep(1.2)
        for _ in range(3):  # the start may have been slow
            spent = cost(engine, lambda: clock.real_sleep(4))
            if spent["statements"] <= 5:
                break
    assert spent["statements"] <= 5


@step(after=["later"])
def after_later() -> int:
    return 1
