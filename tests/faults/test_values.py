"""Rows 44 to 46: poison values, results that cannot be kept, results that are too large."""

import secrets
import socket

import pytest

from engine.perform import RESULT_LOST
from playhead import (
    CircuitBreaker,
    Context,
    CronTrigger,
    DefinitionError,
    Engine,
    FileTrigger,
    RunUnknown,
    Signal,
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


def test_a_name_or_key_that_no_index_takes_is_refused_everywhere(url):
    """Row 44: so that what is in one database goes into the other; the longest are found again."""
    engine = Engine(url, workflows=[taking])
    key = secrets.token_hex(750)
    run = engine.start(taking, x=1, key=key)
    assert engine.start(taking, x=1, key=key).id == run.id
    assert [row.id for row in engine.runs(key=key)] == [run.id]
    for long in (key + "x", "ä" * 751):
        with pytest.raises(ValueRefused, match="longer than 1500 bytes"):
            engine.start(taking, x=1, key=long)
    with pytest.raises(ValueRefused, match="longer than 500 bytes"):
        engine.feed(cursor="c" * 501)
    name = "n" * 501
    for make in (
        lambda: CircuitBreaker(name),
        lambda: CronTrigger("* * * * *", taking, name=name),
        lambda: Workflow(name, steps=[take]),
        lambda: Engine(url, worker=name),
    ):
        with pytest.raises(DefinitionError, match="longer than 500 bytes"):
            make()
    assert len(engine.runs()) == 1


def test_a_file_of_the_longest_path_starts_one_run(file_url, tmp_path):
    """Row 44: its key is made of the path's hash, and is the same at the next look."""
    folder = (tmp_path / "in").joinpath(*(secrets.token_hex(120) for _ in range(14)))
    folder.mkdir(parents=True)

    @step
    def measure(path):
        return len(path)

    reading = Workflow("reading", steps=[measure])
    trigger = FileTrigger(f"{tmp_path}/in/**/*.txt", reading, complete="rename", name="files")
    (folder / "a.txt").write_text("x")
    for _ in range(2):
        engine = Engine(file_url, workflows=[reading], triggers=[trigger])
        engine.run_until_idle()
        (run,) = engine.runs()
        assert engine.get(run.id).result(timeout=1) == len(f"{folder}/a.txt") > 3000
        engine.close()


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


def test_a_step_that_says_too_much_in_its_progress(url):
    """Row 44: progress is heard and not recorded; a lone surrogate in it harms nothing."""

    @step
    def odd(ctx: Context) -> int:
        ctx.progress(float("nan"), "\ud800\0")
        return 1

    workflow = Workflow("odd", steps=[odd])
    assert Engine(url, workflows=[workflow]).run(workflow) == 1
