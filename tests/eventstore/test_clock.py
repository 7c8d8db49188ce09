"""The clock's ids: they know when they were made."""

import pytest
from freezegun import freeze_time

from eventstore import clock


@pytest.mark.parametrize("when", ["1970-01-01", "2026-03-29 01:30:00.123", "9999-12-31"])
def test_an_id_knows_when_it_was_made(when: str) -> None:
    """To the millisecond, over all that a datetime can name."""
    with freeze_time(when):
        assert clock.made_at(clock.new_id()) == clock.now_us()


@pytest.mark.parametrize(
    "text", ["", "trigger:in", "01kdvdna00", "i" * 26, "trigger:" + "0" * 18]
)
def test_what_is_no_id_was_made_at_no_time(text: str) -> None:
    """Another length, or letters that no id has: 0."""
    assert clock.made_at(text) == 0
