"""Values on their way through the log: what JSON carries comes back, the rest is refused."""

import datetime
import decimal
import math
import subprocess
import sys
import timeit
import uuid
import zoneinfo
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ValueRefused
from engine.values import decode, encode, why_unreadable

LIMIT = 1 << 24


class Colour(Enum):
    red = 1
    blue = "b"
    both = (1, 2)


class Size(StrEnum):
    small = "s"


@dataclass
class Page:
    number: int
    score: Any = 0.5
    path: Path = Path("a.txt")
    tags: list[str] = field(default_factory=list)


class Reading(msgspec.Struct, tag=True):
    value: Any
    at: datetime.datetime | None = None


class Row(TypedDict, total=False):
    cells: list[Any]


class Point(NamedTuple):
    x: int
    y: int


class Order(pydantic.BaseModel):
    number: int = pydantic.Field(alias="orderNumber")
    amount: decimal.Decimal = decimal.Decimal(0)
    raw: bytes = b""
    site: pydantic.AnyUrl | None = None
    weight: float = 0.0
    parts: Any = None


def through(value: Any, annotation: Any = Any) -> Any:
    """Give a value as it comes back from the log."""
    return decode(encode(value, "value", LIMIT), annotation)


def refusal(value: Any, limit: int = LIMIT) -> str:
    """Give the words with which a value is refused."""
    with pytest.raises(ValueRefused) as caught:
        encode(value, "output of step 'enrich'", limit)
    assert str(caught.value).startswith("output of step 'enrich': ")
    return str(caught.value).removeprefix("output of step 'enrich': ")


# text that JSON can carry: everything but half surrogates
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(
    lambda m: datetime.timezone(datetime.timedelta(minutes=m))
)
TYPED = st.one_of(
    st.tuples(st.just(datetime.datetime), st.datetimes()),
    st.tuples(st.just(datetime.datetime), st.datetimes(timezones=OFFSETS)),
    st.tuples(st.just(datetime.date), st.dates()),
    st.tuples(st.just(datetime.time), st.times()),
    st.tuples(st.just(datetime.timedelta), st.timedeltas()),
    st.tuples(st.just(uuid.UUID), st.uuids()),
    st.tuples(st.just(decimal.Decimal), st.decimals(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(bytes), st.binary()),
    st.tuples(st.just(PurePosixPath), TEXT.map(PurePosixPath)),
    st.tuples(st.just(Colour), st.sampled_from(Colour)),
    st.tuples(st.just(Size), st.sampled_from(Size)),
    st.tuples(st.just(Point), st.builds(Point, st.integers(), st.integers())),
    st.tuples(st.just(float), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(int), st.integers(-(10**60), 10**60)),
)


@given(PLAIN)
def test_plain_values_come_back_equal(value: Any) -> None:
    """None, booleans, numbers of any size, text with NUL, lists and dicts round trip."""
    assert through(value) == value


@given(TYPED)
def test_typed_values_come_back_by_their_annotation(pair: tuple[Any, Any]) -> None:
    """What has a type beyond JSON's comes back equal and of that type."""
    annotation, value = pair
    found = through(value, annotation)
    assert found == value
    assert type(found) is type(value) or isinstance(found, type(value))


@given(TYPED)
def test_typed_values_come_back_inside_others(pair: tuple[Any, Any]) -> None:
    """Lists and dicts of them do the same."""
    annotation, value = pair
    if annotation is Colour:  # an enum of mixed values stands alone
        return
    assert through([value], list[annotation]) == [value]
    assert through({"a": value}, dict[str, annotation]) == {"a": value}


@given(
    st.recursive(
        st.floats() | st.sampled_from(["ok", "\ud800", 3, {1}, object]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=8,
    )
)
def test_a_value_is_refused_or_comes_back(value: Any) -> None:
    """Nothing is changed in silence: every value round trips or raises ValueRefused."""
    try:
        raw = encode(value, "value", LIMIT)
    except ValueRefused:
        return
    assert decode(raw) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "$ is NaN"),
        ({"pages": [0, 1, 2, {"score": math.inf}]}, "$.pages[3].score is Infinity"),
        ({"a b": [-math.inf]}, "$['a b'][0] is -Infinity"),
        (decimal.Decimal("NaN"), "$ is NaN"),
        ([decimal.Decimal("-Infinity")], "$[0] is -Infinity"),
        ({1: 2}, "$ has the key 1"),
        ({"a": {None: 2}}, "$.a has the key None"),
        ({"a": {1, 2}}, "$.a is a set"),
        ([frozenset()], "$[0] is a set"),
        ("\ud800", "$ is text that is no Unicode: half a surrogate pair at character 0"),
        ({"\udfff": 1}, "$ has a key that is no Unicode"),
        (Path("/a\udcff"), "$ is text that is no Unicode"),
        (object(), "$ is of type object"),
        ([deque()], "$[0] is of type deque"),
        (complex(1), "$ is of type complex"),
        (msgspec.Raw(b"1"), "$ is of type Raw"),
        (Page(1, score=math.nan), "$.score is NaN"),
        ([Page(1, score=Page(2, score={3: 4}))], "$[0].score.score has the key 3"),
        (Reading([{"x": {1}}]), "$.value[0].x is a set"),
        (Row(cells=[1, math.nan]), "$.cells[1] is NaN"),
        (Order(orderNumber=1, weight=math.nan), "$.weight is NaN"),
        (Order(orderNumber=1, parts=[{1}]), "$.parts[0] is a set"),
        (Order(orderNumber=1, parts=pydantic.SecretStr("x")), "$.parts is a secret"),
        (lambda: 1, "$ is of type function"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_place(value: Any, words: str) -> None:
    """The refusal names whose value it is, the place inside it, and what to do."""
    assert refusal(value).startswith(words)


def test_a_moment_off_utc_by_odd_seconds_is_refused() -> None:
    """Msgspec would cut the seconds of Paris time before 1911, and so move the moment."""
    then = datetime.datetime(1900, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    assert "odd seconds" in refusal({"at": then})
    assert through(then.astimezone(datetime.UTC), datetime.datetime) == then


def test_a_value_may_not_hold_itself() -> None:
    """A circle is refused with its place, not with a RecursionError."""
    circle: list[Any] = [1]
    circle.append({"again": circle})
    assert refusal(circle).startswith("$[1].again holds itself")


def test_a_value_nested_too_deeply_is_refused() -> None:
    """3,000 lists in each other are too many."""
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    assert "too deeply" in refusal(deep)


def test_a_value_may_share_its_parts() -> None:
    """The same list twice is no circle."""
    part = [1, Path("a")]
    assert through({"a": part, "b": [part, part]}) == {
        "a": [1, "a"],
        "b": [[1, "a"], [1, "a"]],
    }


def test_a_value_that_doubles_without_end_is_refused() -> None:
    """2**60 places that share their parts are known by their count, in no time."""
    bomb: list[Any] = [1]
    for _ in range(60):
        bomb = [bomb, bomb]
    assert "more than 5000 places" in refusal(bomb, 5000)


def test_a_value_over_the_limit_is_refused_with_both_sizes() -> None:
    """One byte over max_value is too much; max_value itself is not."""
    assert encode("x" * 98, "value", 100) == b'"' + b"x" * 98 + b'"'
    assert refusal("x" * 99, 100).startswith("101 bytes of JSON, and max_value is 100")


def test_a_number_of_too_many_digits_is_refused() -> None:
    """Python itself writes no more than 4,300 digits."""
    assert "4300 digits" in refusal(10**5000)


def test_tuples_become_lists() -> None:
    """Without an annotation a tuple comes back as a list; with one as a tuple."""
    assert through((1, (2, 3))) == [1, [2, 3]]
    assert through((1, "a"), tuple[int, str]) == (1, "a")


def test_records_come_back_by_their_annotation() -> None:
    """Dataclasses, structs, typed dicts and pydantic models, alone and inside each other."""
    page = Page(1, path=Path("/b"), tags=["x"])
    order = Order(
        orderNumber=7,
        amount=decimal.Decimal("1.50"),
        raw=b"ab",
        site=pydantic.AnyUrl("http://playhead.test/"),
    )
    assert through(page, Page) == page
    assert through([order], list[Order]) == [order]
    assert through({"a": Reading(3)}, dict[str, Reading]) == {"a": Reading(3)}
    assert through(Row(cells=[1]), Row) == {"cells": [1]}
    assert through(page) == {"number": 1, "score": 0.5, "path": "/b", "tags": ["x"]}


def test_a_model_is_read_by_its_alias_too() -> None:
    """JSON from outside may use pydantic's alias; what the log wrote uses the name."""
    assert decode(b'{"orderNumber":7}', Order).number == 7
    assert through(Order(orderNumber=7)) | {"number": 7} == through(Order(orderNumber=7))


def test_subclasses_of_plain_types_are_written_as_what_they_are() -> None:
    """A str or int of another class is text or a number."""

    class Name(str):
        __slots__ = ()

    class Count(int): ...

    assert through([Name("a"), Count(3), {Name("k"): 1}]) == ["a", 3, {"k": 1}]
    assert type(through("a", Name)) is Name


def test_freezeguns_datetimes_are_datetimes() -> None:
    """As values and as annotations, at the top and inside, frozen or not."""
    with freeze_time("2020-01-01 12:00"):

        @dataclass
        class Frozen:
            at: datetime.datetime
            on: datetime.date | None = None

        now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - freezegun's class is wanted
        today = now.date()
        raw = encode({"at": now, "on": today}, "value", LIMIT)
        assert raw == b'{"at":"2020-01-01T12:00:00Z","on":"2020-01-01"}'
        inside = decode(raw, Frozen)
        assert (inside.at, inside.on) == (now, today)
        assert through(now, datetime.datetime) == now
        assert through([today], list[datetime.date]) == [today]
        fake = datetime.datetime
    assert decode(raw, Frozen).at == now
    assert through(now, fake) == now


def test_a_value_that_does_not_fit_is_refused() -> None:
    """The refusal names whose value it is, what was expected and where inside."""
    with pytest.raises(ValueRefused, match=r"^input 'p': Expected `int`, got `str` - at `\$"):
        decode(b'{"number":"1"}', Page, "input 'p'")
    with pytest.raises(ValueRefused, match=r"^input 'p': .*\norderNumber"):
        decode(b'{"orderNumber":"x"}', Order, "input 'p'")


@pytest.mark.parametrize(
    ("raw", "annotation"),
    [
        (b'"1"', int),
        (b"1.0", int),
        (b"true", int),
        (b"1", str),
        (b"null", str),
        (b"3", Path),
        (b'"2"', Colour),
        (b"true", Colour),
        (b'"x"', datetime.datetime),
        (b"[1]", dict),
        (b"{", Any),
        (b"NaN", float),
    ],
)
def test_conversion_is_strict(raw: bytes, annotation: Any) -> None:
    """Text is no number, a boolean no int, and half a document nothing."""
    with pytest.raises(ValueRefused):
        decode(raw, annotation)


def test_optional_and_unions_are_read() -> None:
    """None passes an Optional; of a union the arm that fits; text where a path may stand."""
    assert decode(b"null", Page | None) is None
    assert decode(b'"a"', Path | None) == Path("a")
    assert decode(b'"a"', str | Path) == "a"
    assert decode(b"3", int | str) == 3


def test_a_type_that_no_json_can_be_is_told() -> None:
    """A plain class, or two records that look alike, can never be read; others can."""

    class Plain: ...

    assert "`Plain` cannot be read" in why_unreadable(Plain | None).replace(
        Plain.__qualname__, "Plain"
    )
    assert "tag" in why_unreadable(Page | Point | dict | Order)
    for fine in (Page, Path, Order, Colour, str | Path, Any, list[Page] | None):
        assert why_unreadable(fine) == ""
    with pytest.raises(ValueRefused, match="cannot be read from JSON"):
        decode(b"1", Plain)


def test_small_values_are_cheap() -> None:
    """A dict of ten texts, or 1 KB of text, takes a few microseconds at most."""
    texts = {f"key{n}": "value" for n in range(10)}
    for value in (texts, "x" * 1000):
        best = min(timeit.repeat(lambda v=value: encode(v, "v", LIMIT), number=1000, repeat=5))
        assert best / 1000 < 10e-6


def test_a_library_imported_on_a_frozen_clock_knows_the_real_datetime() -> None:
    """A test may freeze the clock before it imports anything of ours."""
    code = """
from freezegun import freeze_time
with freeze_time("2020-01-01"):
    from engine.values import decode, encode
    import datetime
    raw = encode([datetime.datetime.now(datetime.UTC)], "value", 99)
import datetime
assert raw == b'["2020-01-01T00:00:00Z"]', raw
assert type(decode(raw, list[datetime.datetime])[0]) is datetime.datetime
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
