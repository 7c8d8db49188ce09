"""One folder and many who look at it: stopped and revived, with other options, closed midway."""

import json
import signal

import pytest

from playhead import Engine, FileTrigger, Signal, Workflow, step
from playhead import signal as signalling
from tests.journeys.files.stage import (
    declined,
    engine_of,
    fired,
    looked,
    names,
    pause,
    reading,
    said,
    texts,
)
from tests.journeys.files.test_after import held


@pytest.mark.slow
def test_a_revived_daemon_takes_nothing_that_is_not_its_own(
    app, serve, reader, inbox, outside, until
):
    """A daemon is stopped, another puts its files away, new ones of the same names are dropped."""
    options = f"after={str(outside)!r}, settle=0.1, lease=1.0"
    (app / "hold").touch()
    for number in range(20):
        (inbox / f"{number}.txt").write_text("first")
    zombie = serve(options)
    until(lambda: len(fired(reader)) == 20)
    zombie.halt(reader.log)
    (app / "hold").unlink()
    serve(options)
    until(lambda: not list(inbox.iterdir()))
    for number in range(20):
        (inbox / f"{number}.txt").write_text("the second")
    zombie.process.send_signal(signal.SIGCONT)
    until(lambda: not list(inbox.iterdir()))
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 40)
    assert len(set(fired(reader))) == len(fired(reader)) == 40
    assert sorted(held(outside).values()) == ["first"] * 20 + ["the second"] * 20


def test_a_daemon_with_new_options_takes_over(file_url, inbox, until):
    """A trigger of the same name with another settle time: the newer fires, nothing fires twice."""
    (inbox / "a.txt").write_text("a")
    old = engine_of(file_url, inbox, settle=0.05)
    new = engine_of(file_url, inbox, settle=0.06)
    with old:
        until(lambda: len(old.runs(status="succeeded")) == 1)
        with new:
            until(lambda: len(said(new, "trigger.armed")) == 2)
            for number in range(10):
                (inbox / f"{number}.txt").write_text("x")
            until(lambda: len(new.runs(status="succeeded")) == 11)
            pause(0.3)
    assert len(set(fired(new))) == len(fired(new)) == 11


def test_closed_in_the_middle_of_a_burst(file_url, inbox, until):
    """Closed while it claims, twice: the engine goes on where it stood; 700 runs."""
    for number in range(700):
        (inbox / f"{number}.txt").touch()
    engine = engine_of(file_url, inbox)
    for share in (1, 500):
        with engine:
            until(lambda n=share: len(fired(engine)) >= n)
    engine.run_until_idle()
    assert len(set(fired(engine))) == len(engine.runs(limit=None, status="succeeded")) == 700


def test_many_looks_of_many_engines_by_hand(file_url, inbox):
    """Five engines look in turn at a folder that fills: each file is one run, of whichever."""
    engines = [engine_of(file_url, inbox) for _ in range(5)]
    for number in range(25):
        (inbox / f"{number}.txt").write_text(str(number))
        engines[number % 5].run_until_idle()
        engines[(number + 2) % 5].run_until_idle()
    assert texts(engines[0]) == sorted(str(number) for number in range(25))
    assert len(fired(engines[0])) == 25


@pytest.mark.slow
def test_two_daemons_and_copies_of_few_contents(app, serve, reader, inbox, until):
    """key="sha256", two daemons, 200 files of 20 contents: 20 runs."""
    for _ in range(2):
        serve("key='sha256'")
    until(lambda: said(reader, "trigger.armed"))
    for number in range(200):
        (inbox / f"{number}.txt").write_text("x" * (number % 20 + 1))
    until(lambda: len(reader.runs(status="succeeded", limit=None)) == 20)
    pause(1.5)
    assert len(fired(reader)) == len(reader.runs(limit=None)) == 20
    lines = (app / "notes.txt").read_text().splitlines()
    assert sorted(json.loads(line)[2] for line in lines) == list(range(1, 21))


def test_a_file_may_be_a_signal(file_url, inbox):
    """start=signal(...): the file goes to the run that waits for it, once; others are declined."""

    @step
    def take(order: str, answer: dict) -> str:
        return f"{order}: {answer['path'][-5:]}"

    orders = Workflow("orders", steps=[Signal("answer", dict), take])
    start = signalling(
        "answer",
        to=lambda firing: firing.facts["path"].rpartition("/")[2][:-4],
        workflow=orders,
    )
    trigger = FileTrigger(
        f"{inbox}/*.txt", start, name="drops", settle=0,
        input=lambda firing: {"path": firing.facts["path"]},
    )  # fmt: skip
    engine = Engine(file_url, workflows=[orders], triggers=[trigger])
    run = engine.start(orders, order="seven", key="7")
    engine.run_until_idle()
    (inbox / "7.txt").write_text("yes")
    (inbox / "8.txt").write_text("for nobody")
    for _ in range(3):
        engine.run_until_idle()
    assert run.result(timeout=20) == "seven: 7.txt"
    assert len(fired(engine)) == 1
    assert len(declined(engine)) == 1


def test_an_open_engine_on_a_frozen_clock(file_url, inbox, until, frozen):
    """With threads on a frozen clock a file settles when the clock is moved, and not before."""
    with engine_of(file_url, inbox, settle=60) as engine:
        (inbox / "a.txt").write_text("a")
        pause(1.5)
        assert engine.runs() == []
        frozen.tick(61)
        until(lambda: engine.runs(status="succeeded"))
    assert texts(engine) == ["a"]


def test_one_trigger_in_two_engines_of_one_process(tmp_path, inbox, until):
    """The same trigger object in two engines on two logs: each starts its own run of each file."""
    trigger = FileTrigger(f"{inbox}/*.txt", reading, name="drops", settle=0.05)
    engines = [
        Engine(f"sqlite:///{tmp_path / name}.db", workflows=[reading], triggers=[trigger])
        for name in ("one", "two")
    ]
    with engines[0], engines[1]:
        (inbox / "a.txt").write_text("a")
        until(lambda: all(engine.runs(status="succeeded") for engine in engines))
    with engines[1]:
        (inbox / "b.txt").write_text("b")
        until(lambda: len(engines[1].runs(status="succeeded")) == 2)
    assert [names(engine) for engine in engines] == [["a.txt"], ["a.txt", "b.txt"]]


def test_a_laptop_that_slept(file_url, inbox, frozen):
    """The clock jumps a year ahead between two looks: a file that came meanwhile still settles."""
    engine = engine_of(file_url, inbox, settle=5)
    engine.run_until_idle()
    frozen.tick(365 * 86_400)
    (inbox / "a.txt").write_text("a")
    engine.run_until_idle()
    assert engine.runs() == []
    looked(engine, frozen, 6)
    assert texts(engine) == ["a"]
