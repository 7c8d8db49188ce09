"""Clocks that do not agree: told to people, and deciding nothing."""

import logging

import freezegun
import pytest

from eventstore import clock
from tests.servers.waiting import wait_for


def warned(caplog):
    """Give what was said of clocks."""
    return [
        r.getMessage() for r in caplog.records if getattr(r, "action", "") == "clock_skewed"
    ]


def skew(engine):
    """Renew the lease; give by how many seconds the clock was found to be off, and look at it.

    A renewal that is slow to arrive makes the clock look behind: so ask again.
    """
    engine.worker.renew()
    engine.worker.neighbours.lapses()
    (worker,) = engine.log.workers()
    return worker.skew / 1e6


@pytest.mark.parametrize(("ahead", "told"), [(8, "s ahead of"), (-8, "s behind")])
def test_a_clock_that_is_off_is_told_once(fleet, caplog, ahead, told):
    """More than a quarter of the lease from the server's clock: one warning; the work is done."""
    with (
        caplog.at_level(logging.WARNING),
        freezegun.freeze_time(clock.from_us(clock.now_us() + ahead * clock.SECOND), tick=True),
        fleet.engine,
    ):
        assert fleet.engine.start("light", x=1).result(timeout=50) == 1
        wait_for(lambda: warned(caplog), "a warning")
        wait_for(lambda: abs(skew(fleet.engine) - ahead) < 1, "the skew")
    assert len(warned(caplog)) == 1
    assert told in warned(caplog)[0]


def test_a_clock_that_agrees_is_not_told_of(fleet, caplog):
    """On the server's own host there is no warning, and the skew is a few milliseconds."""
    with caplog.at_level(logging.WARNING), fleet.engine:
        wait_for(lambda: abs(skew(fleet.engine)) < 1, "a small skew")
    assert warned(caplog) == []
