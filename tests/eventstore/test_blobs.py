"""What a SQL log keeps beside a blob: when it was last put."""

from datetime import timedelta

import freezegun
import pytest

from eventstore import clock

T0 = "2030-01-01T00:00:00+00:00"


def kept(log, name):
    """Give when a blob was last put."""
    (row,) = log.database.query("SELECT kept FROM blob WHERE sha256 = ?", (name,))
    return row[0]


@pytest.mark.parametrize("minutes", [60, 61, 60 * 24 * 400])
def test_a_blob_that_is_put_again_is_marked_as_put_now(file_log, minutes):
    """From an hour after the last put on, the same bytes count as put at the later time."""
    with freezegun.freeze_time(T0) as frozen:
        name = file_log.put_blob(b"x")
        assert kept(file_log, name) == clock.now_us()
        frozen.tick(timedelta(minutes=minutes))
        assert file_log.put_blob(b"x") == name
        assert kept(file_log, name) == clock.now_us()
        assert file_log.blob(name) == b"x"


def test_a_blob_that_is_put_again_soon_costs_one_look(file_log):
    """Within the hour the same bytes are looked for, and nothing is written."""
    with freezegun.freeze_time(T0) as frozen:
        name = file_log.put_blob(b"x")
        first, before = kept(file_log, name), file_log.counters.statements
        frozen.tick(timedelta(minutes=59))
        commits = file_log.counters.commits
        file_log.put_blob(b"x")
        assert file_log.counters.statements == before + 1
        assert file_log.counters.commits == commits
        assert kept(file_log, name) == first


def test_a_clock_that_goes_back_makes_no_blob_older(file_log):
    """A put by a clock that is behind leaves the later time."""
    with freezegun.freeze_time(T0) as frozen:
        name = file_log.put_blob(b"x")
        first = kept(file_log, name)
        frozen.tick(timedelta(days=-3))
        file_log.put_blob(b"x")
        assert kept(file_log, name) == first
