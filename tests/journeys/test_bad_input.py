"""Bad input at the face: an error of our own tree that names what is wrong; nothing is written."""

import datetime as dt
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from playhead import (
    CircuitBreaker,
    Engine,
    IntervalTrigger,
    PlayheadError,
    Signal,
    ValueRefused,
    Workflow,
    step,
)


@step
def work(x: int) -> int:
    return x


simple = Workflow("simple", steps=[work])

STARTS = {
    "priority as text": ({"x": 1, "priority": "high"}, "priority"),
    "priority as float": ({"x": 1, "priority": 1.5}, "priority"),
    "priority too large": ({"x": 1, "priority": 2**70}, "priority"),
    "at as number": ({"x": 1, "at": 5}, "at"),
    "at as duration": ({"x": 1, "at": timedelta(5)}, "at"),
    "at naive": ({"x": 1, "at": datetime(2031, 1, 1)}, "at"),  # noqa: DTZ001
    "at a date": ({"x": 1, "at": dt.date(2031, 1, 1)}, "at"),
    "key as number": ({"x": 1, "key": 5}, "key"),
    "tags as list": ({"x": 1, "tags": ["a"]}, "tags"),
    "no input": ({}, "x"),
    "unknown input": ({"x": 1, "y": 2}, "y"),
    "wrong type": ({"x": "one"}, "x"),
    "bool for int": ({"x": True}, "x"),
    "None for int": ({"x": None}, "x"),
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_start_that_cannot_be_right(url, kind):
    """A start with a wrong option or input raises, names it, and leaves no run."""
    options, word = STARTS[kind]
    engine = Engine(url, workflows=[simple])
    with pytest.raises(PlayheadError, match=word):
        engine.start(simple, **options)
    assert engine.runs() == []


@pytest.mark.parametrize("name", [1, None, b"x", ("x",)], ids=repr)
def test_an_input_whose_name_is_no_text(url, name):
    """By a mapping, or by what `input=` gives: refused as such, and a slot does not hang on it."""
    trigger = IntervalTrigger(5, simple, name="beats", input=lambda _: {name: 1})
    with freeze_time("2030-01-01") as frozen:
        engine = Engine(url, workflows=[simple], triggers=[trigger])
        with pytest.raises(ValueRefused, match="name is text"):
            engine.start(simple, {name: 1})
        frozen.tick(6)
        engine.run_until_idle()
        *_, event = engine.trigger("beats").events()
        assert event.type == "trigger.declined"
        assert event.reason.startswith(
            "ValueRefused: workflow 'simple': an input's name is text"
        )
    assert engine.runs() == []


@pytest.mark.parametrize("wanted", [None, 5, "", work, Workflow], ids=repr)
def test_a_start_of_what_is_no_workflow(url, wanted):
    """A start of something that is no workflow raises and says what is known."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises(PlayheadError):
        engine.start(wanted, x=1)


ENGINES = {
    "no thread": ({"threads": 0}, "threads"),
    "half a thread": ({"threads": 1.5}, "threads"),
    "no lease": ({"lease": 0}, "lease"),
    "a lease of NaN": ({"lease": float("nan")}, "lease"),
    "negative grace": ({"grace": -1}, "grace"),
    "a step among the workflows": ({"workflows": [work]}, "work"),
    "a workflow, not a list": ({"workflows": simple}, "workflows"),
    "a function among the workflows": ({"workflows": [work.fn]}, "work"),
    "a number among the triggers": ({"triggers": [1]}, "1"),
    "an unknown tape": ({"tape": "sometimes"}, "tape"),
    "no value at all": ({"max_value": 0}, "max_value"),
    "executors": ({"executors": {"a": 1}}, "executors"),
}


@pytest.mark.parametrize("kind", ENGINES)
def test_an_engine_that_cannot_be_right(kind):
    """An engine with a wrong option is refused when it is made, and the option is named."""
    options, word = ENGINES[kind]
    with pytest.raises(PlayheadError, match=word):
        Engine("sqlite:///:memory:", **{"workflows": [simple], **options})


DEFINITIONS = {
    "a name that is no text": lambda: Workflow(5, steps=[work]),
    "a step, not a list": lambda: Workflow("w", steps=work),
    "a signal's name that is no text": lambda: Workflow("w", steps=[work, Signal(5)]),
    "a breaker's threshold": lambda: CircuitBreaker("a", failure_threshold="3"),
    "a breaker's name": lambda: CircuitBreaker(5),
}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_definition_of_the_wrong_kind(kind):
    """A definition whose parts are of the wrong kind is refused in our own words."""
    with pytest.raises(PlayheadError):
        DEFINITIONS[kind]()


@pytest.mark.parametrize("run", [None, 5, "nope", "", "\ud800", b"id"], ids=repr)
def test_what_is_no_run(url, run):
    """Whatever is no run or id is told so by every call that takes one."""
    engine = Engine(url, workflows=[simple])
    engine.run(simple, x=1)
    calls = [
        engine.get, engine.history, engine.playhead, engine.cancel, engine.pause, engine.resume,
        engine.retry, lambda one: engine.signal(one, "go"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(PlayheadError):
            call(run)


FILTERS = {
    "an unknown status": {"status": "done"},
    "a naive since": {"since": datetime(2020, 1, 1)},  # noqa: DTZ001
    "a since that is no time": {"since": 5},
    "tags as a list": {"tags": ["a"]},
    "a negative limit": {"limit": -1},
}


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_that_cannot_be_right(url, kind):
    """A wrong filter of `runs()` raises, and is no empty list."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises(PlayheadError):
        engine.runs(**FILTERS[kind])


def test_an_input_given_twice_is_refused(url):
    """An input in the mapping and by name as well is told, not settled silently."""
    engine = Engine(url, workflows=[simple])
    with pytest.raises((PlayheadError, TypeError), match="x"):
        engine.start(simple, {"x": 1}, x=2)


def test_a_result_asked_of_an_ended_time_is_still_a_result(url):
    """`result(timeout=0)` of an ended run gives the result."""
    engine = Engine(url, workflows=[simple])
    run = engine.start(simple, x=1)
    engine.run_until_idle()
    assert run.result(timeout=0) == 1
    assert engine.runs(since=datetime.now(UTC) + timedelta(1)) == []  # noqa: TID251
