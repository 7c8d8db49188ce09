"""Values: strict JSON between steps, converted to the annotation of who receives them."""

import dataclasses
import decimal
import enum
import json
import math
import pathlib
import sqlite3
import uuid
from collections import deque
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from playhead import Engine, PlayheadError, RunFailed, ValueRefused, Workflow, step


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)


class Book(msgspec.Struct):
    title: str
    pages: int
    parts: list[Point] = []


class Movie(TypedDict):
    name: str
    year: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    left: int
    right: str


def passed(url, value, annotation):
    """Hand a value from a step to one that receives it as annotated; give what arrived."""
    arrived = []

    def make():
        return value

    make.__annotations__["return"] = annotation

    def take(make):
        arrived.append(make)

    take.__annotations__["make"] = annotation
    workflow = Workflow("w", steps=[step(make), step(take)])
    Engine(url, workflows=[workflow]).run(workflow)
    return arrived[0]


VALUES = [
    (Point(1, 2.5, ["a"]), Point),
    (Book("b", 3, [Point(1)]), Book),
    ({"name": "m", "year": 1999}, Movie),
    (datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC), datetime),
    (date(2024, 2, 29), date),
    (timedelta(days=2, seconds=3, microseconds=5), timedelta),
    (uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID),
    (decimal.Decimal("1.10"), decimal.Decimal),
    (b"\x00\xff raw", bytes),
    (pathlib.Path("a/b c.txt"), pathlib.Path),
    (Colour.BLUE, Colour),
    ((1, "two"), tuple[int, str]),
    (Pair(1, "r"), Pair),
    ([Point(1), Point(2)], list[Point]),
    ({"a": Point(1)}, dict[str, Point]),
    (Point(3), Point | None),
    (None, Point | None),
    ("low", Literal["low", "high"]),
    (2**60, int),
    (-0.1, float),
    ("π 🐍 \u2028", str),
    ("", str),
    ([], list[int]),
    ({}, dict[str, int]),
    (True, bool),
    ([b"a", b"b"], list[bytes]),
    ({"p": pathlib.Path("x")}, dict[str, pathlib.Path]),
]


@pytest.mark.parametrize(("value", "annotation"), VALUES, ids=lambda v: str(v)[:40])
def test_a_value_arrives_as_it_was_sent(file_url, value, annotation):
    """A value goes through JSON and is converted to the annotation of the parameter."""
    arrived = passed(file_url, value, annotation)
    assert arrived == value
    assert type(arrived) is type(value) or isinstance(arrived, type(value))


def test_a_pydantic_model_passes(url):
    """A pydantic model is a value like others."""
    pydantic = pytest.importorskip("pydantic")

    class User(pydantic.BaseModel):
        name: str
        born: date

    user = User(name="ann", born=date(2000, 1, 2))
    assert passed(url, user, User) == user
    assert passed(url, [user], list[User]) == [user]


def test_an_attrs_class_passes(url):
    """An attrs class is a value like others."""
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Place:
        name: str
        at: datetime

    place = Place("here", datetime(2020, 1, 1, tzinfo=UTC))
    assert passed(url, place, Place) == place


def test_a_receiver_may_ask_for_another_type_that_fits(url):
    """The receiver's annotation decides: what one step gives as a dict another takes as a class."""

    @step
    def make() -> dict:
        return {"x": 4, "y": 1.5, "tags": []}

    @step
    def take(make: Point) -> int:
        assert isinstance(make, Point)
        return make.x

    workflow = Workflow("w", steps=[make, take])
    assert Engine(url, workflows=[workflow]).run(workflow) == 4


def test_a_receiver_without_annotation_gets_the_declared_type(url):
    """A parameter without annotation, a lambda's too, gets the producer's declared type."""
    seen = []

    @step
    def make() -> Point:
        return Point(7)

    @step(when=lambda make: seen.append(make) or make.x == 7)
    def take(make) -> int:
        seen.append(make)
        return make.x

    workflow = Workflow("w", steps=[make, take])
    assert Engine(url, workflows=[workflow]).run(workflow) == 7
    assert seen == [Point(7), Point(7)]


def test_without_any_annotation_it_is_plain_json(url):
    """Where nobody declares a type, the value is plain JSON: a tuple has become a list."""
    seen = []

    @step
    def make():
        return {"pair": (1, 2), "when": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)}

    @step
    def take(make):
        seen.append(make)

    workflow = Workflow("w", steps=[make, take])
    Engine(url, workflows=[workflow]).run(workflow)
    assert seen == [{"pair": [1, 2], "when": "2024-01-02T03:04:05Z"}]


def test_a_value_is_not_shared_between_steps(url):
    """What one step does to its input, no other sees: values always pass through JSON."""

    @step
    def make() -> list[int]:
        return [1]

    @step
    def spoil(make: list[int]) -> int:
        make.append(99)
        return len(make)

    @step(after=["spoil"])
    def read(make: list[int]) -> list[int]:
        return make

    @step
    def last(spoil: int, read: list[int]) -> list[int]:
        return read

    workflow = Workflow("w", steps=[make, spoil, read, last])
    assert Engine(url, workflows=[workflow]).run(workflow) == [1]


def test_inputs_are_converted_to_the_annotation(url):
    """Inputs given as Python values or as JSON arrive as the step's annotation says."""
    seen = []

    @step
    def take(where: pathlib.Path, point: Point, when: datetime) -> None:
        seen.append((where, point, when))

    workflow = Workflow("w", steps=[take])
    engine = Engine(url, workflows=[workflow])
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    engine.run(workflow, where="a.txt", point=Point(1), when=moment)
    engine.run(workflow, where=pathlib.Path("a.txt"), point={"x": 1}, when=moment)
    assert seen == [(pathlib.Path("a.txt"), Point(1), moment)] * 2


def test_the_result_of_run_is_the_output(url):
    """`engine.run` gives the output of the last step, a class as its own type."""

    @step
    def make(x: int) -> Point:
        return Point(x)

    workflow = Workflow("w", steps=[make])
    engine = Engine(url, workflows=[workflow])
    result = engine.run(workflow, x=3)
    assert result in (Point(3), {"x": 3, "y": 0.5, "tags": []})
    run = engine.start(workflow, x=3)
    engine.run_until_idle()
    assert run.result(timeout=1) == result


def test_an_output_that_does_not_fit_its_receiver_fails_the_receiver(url):
    """A value that does not convert to the annotation fails the step that should receive it."""

    @step
    def make() -> dict:
        return {"x": "not a number"}

    @step
    def take(make: Point) -> int:
        return make.x

    workflow = Workflow("w", steps=[make, take])
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(RunFailed, match="x"):
        engine.run(workflow)


# --- refused -------------------------------------------------------------------------------


@dataclasses.dataclass
class Holder:
    inner: Any


class Box(msgspec.Struct):
    inner: Any


class Hidden:
    """No JSON in sight."""


def loop():
    """Give a list that holds itself."""
    made = []
    made.append(made)
    return made


REFUSED = {
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "minus infinity": lambda: -math.inf,
    "nan in a list": lambda: [1, [math.nan]],
    "nan in a dict": lambda: {"a": {"b": math.nan}},
    "nan in a dataclass": lambda: Holder(math.nan),
    "nan in a struct": lambda: Box([math.inf]),
    "nan as decimal": lambda: decimal.Decimal("NaN"),
    "a set": lambda: {1, 2},
    "a frozenset": lambda: frozenset({1}),
    "a set in a struct": lambda: Box({"a": {1}}),
    "a number as key": lambda: {1: "a"},
    "a number as key inside": lambda: {"a": [{2: 3}]},
    "None as key": lambda: {None: 1},
    "True as key": lambda: {True: 1},
    "a lone surrogate": lambda: "bad \ud800 text",
    "a lone surrogate as key": lambda: {"\udfff": 1},
    "a lone surrogate inside": lambda: Holder(["\udc80"]),
    "an object": Hidden,
    "a function": lambda: print,
    "a list that holds itself": loop,
    "a generator": lambda: (x for x in [1]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_output_that_is_no_json_fails_the_step(file_url, kind):
    """An output that is not strict JSON fails its step with `ValueRefused`, nothing recorded."""

    @step
    def make():
        return REFUSED[kind]()

    workflow = Workflow("w", steps=[make])
    engine = Engine(file_url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "failed"
    failed = [e for e in engine.history(run) if e.type == "step.failed"]
    assert len(failed) == 1
    assert failed[0].data["error"]["type"].endswith("ValueRefused")
    with pytest.raises(RunFailed, match="make"):
        run.result(timeout=1)


@pytest.mark.parametrize("kind", REFUSED)
def test_an_input_that_is_no_json_is_refused_at_the_start(file_url, kind):
    """An input that is not strict JSON raises `ValueRefused` at the start, nothing written."""

    @step
    def take(x) -> None: ...

    workflow = Workflow("w", steps=[take])
    engine = Engine(file_url, workflows=[workflow])
    with pytest.raises(ValueRefused, match="x"):
        engine.start(workflow, x=REFUSED[kind]())
    assert engine.runs() == []


def test_a_value_over_the_limit_is_refused(url):
    """A value over `max_value` bytes fails the step, one below passes."""

    @step
    def make(n: int) -> str:
        return "x" * n

    workflow = Workflow("w", steps=[make])
    engine = Engine(url, workflows=[workflow], max_value=1000)
    assert engine.run(workflow, n=900) == "x" * 900
    with pytest.raises(RunFailed, match=r"1[,_]?000|max_value"):
        engine.run(workflow, n=1001)


def test_a_large_value_is_stored_and_read_back(file_url):
    """A value over 64 KiB goes to a blob and comes back whole, in another engine too."""

    @step
    def make(n: int) -> str:
        return "é" * n

    @step
    def count(make: str) -> int:
        return len(make)

    workflow = Workflow("w", steps=[make, count])
    engine = Engine(file_url, workflows=[workflow])
    run = engine.start(workflow, n=200_000)
    engine.run_until_idle()
    assert run.result(timeout=1) == 200_000
    other = Engine(file_url, workflows=[workflow])
    assert other.playhead(run.id).state.steps["make"].output == "é" * 200_000


def test_a_payload_and_a_start_key_with_a_surrogate_are_refused(url):
    """Text that UTF-8 cannot hold is refused where it comes in, as a key too."""

    @step
    def take(x: int) -> int:
        return x

    workflow = Workflow("w", steps=[take])
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(PlayheadError):
        engine.start(workflow, x=1, key="bad \ud800")
    with pytest.raises(PlayheadError):
        engine.start(workflow, x=1, tags={"a": "\ud800"})
    assert engine.runs() == []


def test_frozen_datetimes_are_datetimes(url, frozen):
    """Freezegun's datetimes pass as values, as annotations and as inputs."""
    import datetime as module  # noqa: PLC0415

    seen = []

    def make(start: module.datetime) -> module.datetime:
        return module.datetime.fromisoformat("2030-01-01T00:00:00+00:00") + (start - start)

    def take(make: module.datetime, day: module.date) -> module.date:
        seen.append(make)
        return day

    workflow = Workflow("w", steps=[step(make), step(take)])
    engine = Engine(url, workflows=[workflow])
    start = module.datetime.fromisoformat("2030-01-01T00:00:00+00:00")
    day = module.date(2030, 1, 2)
    run = engine.start(workflow, start=start, day=day)
    engine.run_until_idle()
    run.result(timeout=1)
    assert seen == [start]


def test_values_in_the_log_are_json_text(file_url, tmp_path):
    """What stands in the log is JSON that any reader reads; never pickle."""

    @step
    def make() -> Point:
        return Point(1, 2.5, ["ü"])

    workflow = Workflow("w", steps=[make])
    Engine(file_url, workflows=[workflow]).run(workflow)
    with sqlite3.connect(tmp_path / "log.db") as db:
        rows = db.execute("SELECT type, data FROM event ORDER BY position").fetchall()
    db.close()
    data = {kind: json.loads(text) for kind, text in rows}
    assert data["step.succeeded"]["output"] == {"x": 1, "y": 2.5, "tags": ["ü"]}


def test_an_annotated_input_with_a_constraint_is_checked(url):
    """`Annotated` with msgspec's constraints is honoured at the start."""

    @step
    def take(x: Annotated[int, msgspec.Meta(ge=0)]) -> int:
        return x

    workflow = Workflow("w", steps=[take])
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow, x=1) == 1
    with pytest.raises(PlayheadError):
        engine.start(workflow, x=-1)


def test_a_deque_or_any_other_json_like_value_never_becomes_none(url):
    """An unusual sequence passes as a list or is refused; it does not vanish."""

    @step
    def make():
        return deque([1, 2])

    workflow = Workflow("w", steps=[make])
    engine = Engine(url, workflows=[workflow])
    run = engine.start(workflow)
    engine.run_until_idle()
    assert run.status == "failed" or run.result(timeout=1) == [1, 2]


def test_the_error_says_where_the_value_is(url):
    """`ValueRefused` names the place inside the value."""

    @step
    def take(x) -> None: ...

    workflow = Workflow("w", steps=[take])
    engine = Engine(url, workflows=[workflow])
    with pytest.raises(ValueRefused) as caught:
        engine.start(workflow, x={"rows": [1, {"price": math.nan}]})
    assert "price" in str(caught.value)
    assert "rows" in str(caught.value)
