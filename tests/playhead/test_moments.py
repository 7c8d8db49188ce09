"""How far and since when: each way of saying it, and what is said of what is none."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from freezegun import freeze_time

from playhead.moments import TimelineRefused, arrival, moment_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "moment"),
    [
        ("2026-03-28 12:00", datetime(2026, 3, 28, 12, tzinfo=UTC)),
        ("2026-03-28T12:00:00.5", datetime(2026, 3, 28, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-28T12:00+02:00", datetime(2026, 3, 28, 10, tzinfo=UTC)),
        ("2026-03-28T12:00Z", datetime(2026, 3, 28, 12, tzinfo=UTC)),
        ("2026-03-28", datetime(2026, 3, 28, tzinfo=UTC)),
        (date(2026, 3, 28), datetime(2026, 3, 28, tzinfo=UTC)),
        (
            datetime(2026, 3, 28, 12, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 3, 28, 10, tzinfo=UTC),
        ),
    ],
)
def test_where_a_timeline_may_begin(start: object, moment: datetime) -> None:
    """Texts, dates and aware datetimes are moments, frozen or not; the time zone is kept."""
    assert moment_of(start) == moment
    with freeze_time("2031-01-01"):
        assert moment_of(start) == moment


@pytest.mark.parametrize(
    ("start", "kind", "said"),
    [
        ("soon", ValueError, "'soon' is no moment; write e.g. '2026-03-28 12:00'"),
        ("12:00", ValueError, "'12:00' is no moment"),  # of which day?
        (datetime(2026, 1, 1), ValueError, "no time zone"),  # noqa: DTZ001
        (3, TypeError, "3 is no moment"),
    ],
)
def test_what_is_no_moment(start: object, kind: type[Exception], said: str) -> None:
    """A text that no calendar knows, a naive datetime or a number is refused with an example."""
    with pytest.raises(kind, match=said):
        moment_of(start)


@pytest.mark.parametrize(
    ("by", "parts", "kind", "said"),
    [
        (None, {}, TypeError, "say how far: one of `hours=1`"),
        (3, {"hours": 1}, TypeError, "say how far"),
        (None, {"hour": 1}, TypeError, "hour= is no unit of time here; did you mean hours=?"),
        (None, {"years": 1}, TypeError, "years= is no unit"),
        (None, {"hours": "x"}, TypeError, "hours"),
        ("1h", {}, TypeError, "'1h' is no distance; say how far"),
        (True, {}, TypeError, "True is no distance"),
        (float("nan"), {}, ValueError, "nan is no distance"),
        (float("inf"), {}, ValueError, "inf is no distance"),
        (datetime(2031, 1, 1), {}, ValueError, "no time zone"),  # noqa: DTZ001
        (1e20, {}, TimelineRefused, "does not go as far as 1e\\+20"),
        (None, {"days": 9e9}, TimelineRefused, "does not go as far as days=9"),
        (timedelta(days=9e8), {}, TimelineRefused, "ends with the year 9999"),
        (-1, {}, TimelineRefused, "does not go back to 2029-12-31"),
        (timedelta(days=-900_000), {}, TimelineRefused, "does not go back to before 1970"),
    ],
)
def test_what_is_no_distance(by: object, parts: object, kind: type, said: str) -> None:
    """What is none, too far or backwards is refused in a sentence, not with an overflow."""
    with pytest.raises(kind, match=said):
        arrival(NOW, by, parts)  # type: ignore[arg-type]


def test_how_far() -> None:
    """Seconds, a timedelta, words and the moment itself lead to the same place."""
    there = NOW + timedelta(hours=1, seconds=0.5)
    assert arrival(NOW, 3600.5, {}) == there
    assert arrival(NOW, timedelta(hours=1, seconds=0.5), {}) == there
    assert arrival(NOW, None, {"hours": 1, "seconds": 0.5}) == there
    assert arrival(NOW, there, {}) == there
    assert arrival(NOW, 0, {}) == NOW
