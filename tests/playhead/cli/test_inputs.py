"""key=value, payloads and times as they are typed."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ValueRefused
from playhead.cli.inputs import read_moment, read_payload, read_since, read_value, split_pairs
from playhead.cli.options import Wrong


class Colour(Enum):
    red = "r"
    one = "1"


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("007", str, "007"),
        ("null", str, "null"),
        ("null", str | None, None),
        ("7", str | None, "7"),
        ("7", int, 7),
        ("7", int | str, 7),
        ("x7", int | str, "x7"),
        ("true", bool, True),
        ("[1, 2]", list[int], [1, 2]),
        ("1.10", Decimal, Decimal("1.10")),
        ("2026-01-01T00:00:00Z", datetime, datetime(2026, 1, 1, tzinfo=UTC)),
        ("a/b", Path, Path("a/b")),
        ("7", Path, Path("7")),
        ("r", Colour, Colour.red),
        ("1", Colour, Colour.one),
        ("7", Any, 7),
        ("seven", Any, "seven"),
        ("NaN", Any, "NaN"),
        ('{"a": 1}', Any, {"a": 1}),
        ("a=b=c", str, "a=b=c"),
        ("", str, ""),
    ],
)
def test_a_text_is_read_as_its_annotation_asks(text: str, annotation: Any, value: Any) -> None:
    """As the annotation asks, else as JSON, else as text."""
    assert read_value(text, annotation) == value


@pytest.mark.parametrize(("text", "annotation"), [("x", int), ("1.5", int), ("2026", datetime)])
def test_what_the_annotation_does_not_take(text: str, annotation: Any) -> None:
    """Neither as JSON nor as text: refused."""
    with pytest.raises(ValueRefused):
        read_value(text, annotation)


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"]])
def test_what_is_no_pair(pairs: list[str]) -> None:
    """A word without a name or an equals sign, or a name twice, is refused."""
    with pytest.raises(Wrong):
        split_pairs(pairs)


def test_a_payload_is_nothing_a_value_or_pairs() -> None:
    """Nothing is None; one word JSON or text; pairs make an object, unless text is declared."""
    assert read_payload([]) is None
    assert read_payload(['{"by": "ann"}']) == {"by": "ann"}
    assert read_payload(["by=ann", "n=2"]) == {"by": "ann", "n": 2}
    assert read_payload(["by=ann"], str) == "by=ann"
    with pytest.raises(Wrong):
        read_payload(["one", "two"])


def test_times() -> None:
    """ISO times without a zone are UTC; since may be a duration ago."""
    assert read_moment("2026-01-02T03:04") == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert read_since("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert read_since("2h") > read_since("3h")
    for text in ("9999999d", "99999999999d", f"{'9' * 400}w"):
        with pytest.raises(Wrong, match="before any calendar"):
            read_since(text)
    with pytest.raises(Wrong, match="2h for two hours ago"):
        read_since("yesterday")
    with pytest.raises(Wrong, match="no version and no ISO time"):
        read_moment("yesterday")
