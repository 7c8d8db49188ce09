"""Health is told by the real clock, without a query: ready, alive, or the reason why not."""

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from engine import health
from engine.health import Health
from eventstore import clock
from eventstore.errors import StorageError
from playhead import Engine, PlayheadError, Workflow, step

PATIENCE = 60  # real seconds that a test waits for what must come


@step
def one() -> int:
    return 1


simple = Workflow("simple", steps=[one])


def wait_until(condition: Callable[[], object]) -> None:
    """Wait on a condition with a deadline."""
    until = clock.real_seconds() + PATIENCE
    while not condition():
        assert clock.real_seconds() < until, "it took too long"
        clock.real_sleep(0.01)


class Torn(StorageError):
    """Another kind of failure."""


class Moody:
    """A trigger that fires nothing: its poll hangs or fails when it is told to."""

    kind, name, workflow, hears = "moody", "moody", "simple", None

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.waits = threading.Event()
        self.polls = 0

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Find no fault."""

    def revision(self) -> str:
        return "1"

    def poll(self, *_: object) -> int | None:
        self.polls += 1
        if not self.free.is_set():
            self.waits.set()
            self.free.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return None

    def ended(self, *_: object) -> int | None:
        return None

    def open(self, door: Any) -> None:
        """Watch nothing."""

    def close(self) -> None:
        """Let go of nothing."""


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moody]:
    """Give a moody trigger, and little patience with it."""
    monkeypatch.setattr(health, "PATIENCE", 0.5)
    trigger = Moody()
    yield trigger
    trigger.free.set()


def test_an_engine_that_is_not_open_is_not_alive() -> None:
    """Before `with engine:` and after it no worker runs, and health says so."""
    engine = Engine("sqlite:///:memory:", workflows=[simple])
    closed = Health(ready=False, alive=False, reason=health.CLOSED)
    assert engine.health() == closed
    with engine:
        assert engine.health() == Health(ready=True, alive=True, reason="")
    assert engine.health() == closed
    with engine:
        assert engine.health().ready


def test_asking_asks_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health is told from memory: it is known also where no log can be reached."""
    engine = Engine("sqlite:///:memory:", workflows=[simple])
    with engine, monkeypatch.context() as without:
        for part in ("log", "worker", "doorways", "repository"):
            without.setattr(engine, part, None)
        assert engine.health().ready


def test_a_worker_that_hangs_is_not_alive(moody: Moody) -> None:
    """A look that does not return is told after a while, and forgotten when it has returned."""
    with Engine(
        "sqlite:///:memory:", workflows=[simple], triggers=[moody], lease=0.1
    ) as engine:
        wait_until(lambda: engine.health().alive)
        moody.free.clear()
        hangs = "it hangs: looking for work took"
        wait_until(lambda: engine.health().reason.startswith(hangs))
        told = engine.health()
        assert not told.alive
        assert not told.ready
        moody.free.set()
        wait_until(lambda: engine.health().ready)


def test_a_long_lease_is_longer_patience(moody: Moody) -> None:
    """Nobody hangs before three leases are over."""
    with Engine("sqlite:///:memory:", workflows=[simple], triggers=[moody], lease=60) as engine:
        moody.free.clear()
        assert moody.waits.wait(PATIENCE)
        clock.real_sleep(2 * health.PATIENCE)
        assert engine.health().ready
        moody.free.set()


def test_a_round_that_fails_is_alive_but_not_ready(moody: Moody) -> None:
    """The last round's error is the reason until a round succeeds."""
    with Engine("sqlite:///:memory:", workflows=[simple], triggers=[moody]) as engine:
        moody.error = StorageError("the disk is full")
        wait_until(lambda: not engine.health().ready)
        assert engine.health() == Health(
            ready=False,
            alive=True,
            reason="looking for work failed: the disk is full",
        )
        moody.error = None
        wait_until(lambda: engine.health().ready)


@pytest.mark.slow
def test_a_failure_that_lasts_is_told_once_and_so_is_its_end(
    moody: Moody, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is tried meanwhile; another failure is told too."""
    with Engine("memory://", workflows=[simple], triggers=[moody]) as engine:
        for error in (StorageError("the disk is full"), StorageError("still"), Torn("page 7")):
            moody.error = error
            tried = moody.polls
            wait_until(lambda tried=tried: moody.polls > tried + 3)
        moody.error = None
        wait_until(lambda: engine.health().ready)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said[:-1] == [
        ("ERROR", "a round failed, trying again: the disk is full"),
        ("ERROR", "a round failed, trying again: page 7"),
    ]
    assert said[-1][1].startswith("the log answers again, after ")


def test_a_lease_that_cannot_be_renewed_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that refuses the lease is told as well; it may run out."""
    with Engine("sqlite:///:memory:", workflows=[simple], lease=0.3) as engine:

        def refuse() -> None:
            raise StorageError("the disk is full")

        with monkeypatch.context() as full:
            full.setattr(engine.worker, "renew", refuse)
            wait_until(lambda: not engine.health().ready)
            assert engine.health().reason == "renewing the lease failed: the disk is full"
            assert engine.health().alive
        wait_until(lambda: engine.health().ready)


@pytest.mark.slow
def test_the_lease_is_renewed_after_whatever_went_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody has foreseen is logged, and the thread goes on: it is asked again and renews."""
    with Engine("memory://", workflows=[simple], lease=0.3) as engine:

        def stumble() -> None:
            raise RuntimeError("who knows")

        with monkeypatch.context() as broken:
            broken.setattr(engine.worker, "renew", stumble)
            wait_until(lambda: not engine.health().ready)
            told = engine.health()
        wait_until(lambda: engine.health().ready)
    assert told.reason == "renewing the lease failed: RuntimeError: who knows"
    assert [vars(record)["action"] for record in caplog.records] == [
        "lease_failed", "worker_goes_on",
    ]  # fmt: skip
    assert "who knows" in str(caplog.records[0].exc_text)
    assert caplog.records[1].getMessage().startswith("renewing the lease succeeds again")


def test_a_database_that_somebody_holds_is_not_ready(tmp_path: Path) -> None:
    """While another program holds the database it is alive and says why it waits; then goes on."""
    path = tmp_path / "log.db"
    with Engine(f"sqlite:///{path}", workflows=[simple], lease=0.3) as engine:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        wait_until(lambda: not engine.health().ready)  # 10 s: so long the log waits
        told = engine.health()
        assert told.alive
        assert "another program held the database" in told.reason
        other.execute("ROLLBACK")
        other.close()
        wait_until(lambda: engine.health().ready)


def test_a_draining_engine_is_alive_but_not_ready() -> None:
    """While a step in flight may end, the engine takes on no more, and says for how long."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(PATIENCE)
        return "done"

    workflow = Workflow("w", steps=[work])
    engine = Engine("sqlite:///:memory:", workflows=[workflow], grace=20)
    with engine:
        run = engine.start(workflow)
        assert inside.wait(PATIENCE)
        closing = threading.Thread(target=engine.close)
        closing.start()
        wait_until(lambda: not engine.health().ready)
        told = engine.health()
        gate.set()
        closing.join()
    assert (told.alive, told.ready) == (True, False)
    left = re.fullmatch(r"it drains: .* may end, for (\d+) s at most", told.reason)
    assert left
    assert 10 < int(left[1]) <= 20
    assert not engine.health().alive
    assert run.status == "succeeded"


def test_the_engines_clock_says_nothing_of_health(moody: Moody) -> None:
    """A clock that stands still, or jumps by a year, leaves health as it is."""
    engine = Engine("sqlite:///:memory:", workflows=[simple], triggers=[moody])
    with freeze_time("2030-01-01") as frozen, engine:
        frozen.tick(timedelta(days=366))
        assert engine.health().ready
        frozen.move_to("2020-01-01")
        assert engine.health().ready
        moody.error = StorageError("the disk is full")
        wait_until(lambda: not engine.health().ready)


def test_a_look_that_hangs_does_not_hold_the_end(
    moody: Moody, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Hurried, a close leaves the thread that hangs behind, named in a warning, within moments."""
    engine = Engine(
        f"sqlite:///{tmp_path / 'log.db'}", workflows=[simple], triggers=[moody], grace=60
    )
    with caplog.at_level(logging.WARNING), engine:
        moody.free.clear()
        assert moody.waits.wait(PATIENCE)
        engine.hurry()
        since = clock.real_seconds()
        engine.close()
        assert clock.real_seconds() - since < 30, "of 60"
        assert "a look for work did not return" in caplog.text
        moody.free.set()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "playhead-claims"])


def test_hurrying_before_the_close_counts() -> None:
    """A second request to stop that comes before the engine begins to drain is not lost."""
    inside, gate = threading.Event(), threading.Event()

    @step
    def work() -> str:
        inside.set()
        gate.wait(PATIENCE)
        return "done"

    workflow = Workflow("w", steps=[work])
    engine = Engine("sqlite:///:memory:", workflows=[workflow], grace=60)
    with engine:
        engine.start(workflow)
        assert inside.wait(PATIENCE)
        engine.hurry()
        since = clock.real_seconds()
        engine.close()
        assert clock.real_seconds() - since < 30, "of 60"
        gate.set()


@contextmanager
def refused(message: str) -> Iterator[None]:
    """Expect an error, and that nothing of the engine is left in this process."""
    before = set(threading.enumerate())
    with pytest.raises(Exception, match=message):
        yield
    assert set(threading.enumerate()) <= before


def test_an_engine_that_cannot_be_entered_is_closed(moody: Moody, tmp_path: Path) -> None:
    """A trigger that cannot watch, or a database that is not there, leaves no worker behind."""
    closed = []

    class Broken(Moody):
        name = "broken"

        def open(self, *_: object) -> None:
            raise OSError("no more threads")

    moody.close = lambda: closed.append("moody")  # type: ignore[method-assign]
    engine = Engine("sqlite:///:memory:", workflows=[simple], triggers=[moody, Broken()])
    with refused("no more threads"), engine:
        raise AssertionError("it cannot be entered")
    assert closed == ["moody"]
    assert not engine.is_open
    assert not engine.health().alive
    nowhere = Engine(f"sqlite:///{tmp_path}/missing/log.db", workflows=[simple])
    with refused("missing"), nowhere:
        raise AssertionError("it cannot be entered")
    assert not nowhere.is_open


def test_a_trigger_that_cannot_be_closed_keeps_nothing_open(moody: Moody) -> None:
    """Its error is told, after the workers have ended."""

    def close() -> None:
        raise OSError("busy")

    moody.close = close  # type: ignore[method-assign]
    engine = Engine("sqlite:///:memory:", workflows=[simple], triggers=[moody])
    with refused("busy"), engine:
        pass
    assert not engine.is_open


def test_an_open_engine_is_not_entered_twice() -> None:
    """The second `with` is refused, and the first goes on."""
    with Engine("sqlite:///:memory:", workflows=[simple]) as engine:
        with pytest.raises(PlayheadError, match="already open"), engine:
            raise AssertionError("it cannot be entered")
        assert engine.health().ready
        assert engine.start(simple).result(timeout=PATIENCE) == 1
