"""A healthy log with every kind of stream in it, made once, and copied for each test."""

import shutil
from datetime import timedelta
from types import SimpleNamespace

import freezegun
import pytest
import tenacity

from engine import repository, triggerstream
from playhead import CircuitBreaker, Engine, FileTrigger, Signal, Timer, Workflow, step
from tests.engine.audit.forger import Forger

T0 = "2030-01-01T00:00:00+00:00"


def make(folder):
    """Let an engine do a bit of everything; give its file and the streams by name."""
    (folder / "in").mkdir()
    tries = []

    @step
    def read(path: str) -> str:
        return path

    @step(
        retry=tenacity.Retrying(
            stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(5)
        )
    )
    def shaky(read: str) -> str:
        tries.append(read)
        if len(tries) == 1:
            raise OSError("once")
        return read * 100_000

    @step
    def decide(approval: bool) -> bool:
        return approval

    @step
    def draft(topic: str) -> str:
        return topic

    def is_good(approve: str) -> bool:
        return approve == "good"

    @step(
        breaker=CircuitBreaker("api", failure_threshold=2, reset_timeout=3600), on_open="fail"
    )
    def call(number: int) -> int:
        raise OSError("down")

    words = Workflow("words", steps=[read, shaky])
    files = Workflow("files", steps=[read])
    calls = Workflow("calls", steps=[call])
    waits = Workflow(
        "waits",
        steps=[
            Signal("approval", bool, timeout=timedelta(hours=1)), decide,
            Timer("nap", timedelta(hours=2)),
        ],
    )  # fmt: skip
    papers = Workflow(
        "papers",
        steps=[draft, Signal("approve", str)],
        states=["draft", "review", "published"],
        transitions=[
            ["done", "draft", "review"],
            {
                "trigger": "approve",
                "source": "review",
                "dest": "published",
                "conditions": is_good,
            },
            ["again", "review", "draft"],
        ],
        initial="draft",
    )
    watch = FileTrigger(
        folder / "in/*.txt", files, settle=0, name="drops",
        input=lambda firing: {"path": firing.facts["path"]},
    )  # fmt: skip
    url = f"sqlite:///{folder / 'log.db'}"
    engine = Engine(url, workflows=[words, files, calls, waits, papers], triggers=[watch])
    with freezegun.freeze_time(T0) as clock:
        plain = engine.start(words, path="a", key="k", tags={"t": "v"}, priority=3)
        waiting, answered = engine.start(waits), engine.start(waits)
        paper = engine.start(papers, topic="t")
        engine.run_until_idle()
        engine.signal(answered, "approval", True, key="once")
        engine.signal(paper, "again")
        engine.run_until_idle()
        engine.signal(paper, "approve", "good")
        for number in range(3):
            engine.start(calls, number=number)
        (folder / "in/a.txt").write_text("a")
        clock.tick(10)
        engine.run_until_idle()
        (folder / "in/b.txt").write_text("b")
        engine.run_until_idle()
        fresh = engine.start(words, path="nobody has looked yet")
        engine.close()
    return SimpleNamespace(
        path=folder / "log.db", plain=plain.id, waiting=waiting.id, answered=answered.id,
        paper=paper.id, fresh=fresh.id, breaker="breaker:api", trigger="trigger:drops",
    )  # fmt: skip


@pytest.fixture(scope="session")
def _healthy(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "SNAPSHOT_EVERY", 3)
        patch.setattr(triggerstream, "SNAPSHOT_EVERY", 1)
        return make(tmp_path_factory.mktemp("healthy"))


@pytest.fixture
def shop(_healthy, tmp_path):
    """A copy of the log, its streams by name; `look` verifies it, `finds` expects one fault."""
    copy = tmp_path / "log.db"
    shutil.copy(_healthy.path, copy)
    engine = Engine(f"sqlite:///{copy}")

    def look(*, at=T0, **options):
        with freezegun.freeze_time(at):
            verdict = engine.verify(**{"deep": True, **options})
        engine.close()
        return verdict

    def finds(stream, told, **options):
        """Hold that a deep look finds just this fault, and that the chain looks whole."""
        (fault,) = look(**options).faults
        assert (fault.stream, told in fault) == (stream, True), fault
        assert look(deep=False).faults == []

    yield SimpleNamespace(
        **{**vars(_healthy), "path": copy}, look=look, finds=finds, engine=engine
    )
    engine.close()


@pytest.fixture
def forger(shop):
    """A hand in that copy."""
    with Forger(shop.path) as made:
        yield made
