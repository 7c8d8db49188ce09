"""Faults of breakers and triggers: their moves, their rows, and what their events follow from."""

import pytest


def test_a_breaker_makes_an_illegal_move(shop, forger):
    """It cannot open when it is open."""
    forger.event(shop.breaker, 3, source="open")
    shop.finds(shop.breaker, "breaker.opened open -> open cannot follow state closed")


@pytest.mark.parametrize(
    ("version", "data", "told"),
    [
        (2, {"count": 5}, "it is told as failure 5 in a row, and it is 2"),
        (3, {"generation": 4}, "it is told in generation 4, and it is 1"),
    ],
)
def test_a_breaker_counts_wrong(version, data, told, shop, forger):
    """Failures in a row and generations count up by one."""
    forger.told(shop.breaker, version, **data)
    shop.finds(shop.breaker, told)


def test_a_breaker_judges_a_call_that_was_never_made(shop, forger):
    """Half open, only the end of a probe that was begun closes it."""
    forger.repeat(
        shop.breaker, 3, type="breaker.half_opened", source="open", dest="half_open",
        data='{"generation": 2}',
    )  # fmt: skip
    forger.repeat(
        shop.breaker, 4, type="breaker.closed", source="half_open", dest="closed",
        data='{"generation": 3, "by": "nobody"}',
    )  # fmt: skip
    label = '{"failures": 0, "until": null}'
    forger.row(shop.breaker, status="closed", due=None, label=label)
    shop.finds(shop.breaker, "it tells the end of the probe 'nobody', which was never begun")


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "closed"), ("due", None), ("label", "{}"), ("name", "x"), ("owner", "w")],
)
def test_a_breakers_row_says_otherwise(field, value, shop, forger):
    """Status, cool-down and counts in the row are those of the fold; nobody owns it."""
    forger.row(shop.breaker, **{field: value})
    shop.finds(shop.breaker, f"its row says {field} ")


def test_a_trigger_makes_an_illegal_move(shop, forger):
    """One that is armed does not fire from being paused."""
    forger.event(shop.trigger, 3, source="paused")
    shop.finds(shop.trigger, "trigger.fired paused -> armed cannot follow state armed")


def test_a_trigger_fires_a_slot_that_was_settled(shop, forger):
    """A slot at or before the watermark never fires."""
    forger.told(shop.trigger, 3, slot=1)
    shop.finds(
        shop.trigger, "event 3 (trigger.fired of 'trigger'): its slot 1 was settled before"
    )


def test_an_event_of_a_trigger_that_nobody_knows(shop, forger):
    """It may be a newer program's; this one cannot judge it."""
    forger.event(shop.trigger, 3, type="trigger.exploded")
    shop.finds(shop.trigger, "type 'trigger.exploded' is unknown")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "paused"}, "its row says status 'paused', its events 'armed'"),
        ({"name": "x"}, "its row says name 'x', its events 'drops'"),
    ],
)
def test_a_triggers_row_says_otherwise(fields, told, shop, forger):
    """Its state and name in the row are those of the fold."""
    forger.row(shop.trigger, **fields)
    shop.finds(shop.trigger, told)


def test_a_paused_trigger_is_not_due(shop, forger):
    """Only one that is armed has a next look."""
    forger.repeat(
        shop.trigger, 3, type="trigger.paused", source="armed", dest="paused", data="{}"
    )
    forger.row(shop.trigger, status="paused", due=5)
    shop.finds(shop.trigger, "its row is due although it is paused")
