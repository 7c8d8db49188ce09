"""Large values go when nothing names them, and never between their put and the append."""

from datetime import timedelta

import freezegun
import pytest

from eventstore import clock
from eventstore.errors import StillCoded, StorageCorrupt
from eventstore.store import WorkerRow
from eventstore.sweeping import names_in, sweep
from eventstore.testing import birth, fact


@pytest.fixture
def frozen():
    with freezegun.freeze_time("2030-01-01T00:00:00+00:00") as stopped:
        yield stopped


def naming(name):
    """Give an event that names a value, as the engine's do."""
    return fact(data=f'{{"attempt":1,"output_blob":"{name}"}}')


def test_a_value_that_nothing_names_goes_after_a_day(log, frozen):
    """At 24 hours it is still there, a microsecond later it goes; the count and size are told."""
    name = log.put_blob(b"x" * 1000)
    frozen.tick(timedelta(days=1))
    assert sweep(log, now=clock.now_us()) == (0, 0)
    assert log.blob(name) == b"x" * 1000
    frozen.tick(timedelta(microseconds=1))
    assert sweep(log, now=clock.now_us()) == (1, 1000)
    with pytest.raises(StorageCorrupt, match="there is no blob"):
        log.blob(name)


def test_what_is_named_stays(log, frozen):
    """An event, a worker's offer, and a value that is named itself each keep a value."""
    inner = log.put_blob(b'"inner"')
    outer = log.put_blob(b'{"more":"' + inner.encode() + b'"}')
    offered, lost = log.put_blob(b"offered"), log.put_blob(b"lost")
    birth(log, "s", events=(naming(outer),))
    log.enter(WorkerRow("w", "w", "h", 1, 0, 10, (offered,)))
    frozen.tick(timedelta(days=400))
    assert sweep(log, now=clock.now_us()) == (1, 4)
    assert {log.blob(name) for name in (outer, offered, inner)} >= {b'"inner"', b"offered"}
    with pytest.raises(StorageCorrupt):
        log.blob(lost)


def test_what_only_a_purged_stream_named_goes(log, frozen):
    """A value that another stream names too stays for that one."""
    alone, shared = log.put_blob(b"alone"), log.put_blob(b"shared")
    tip = birth(log, "old", events=(naming(alone), naming(shared)))
    birth(log, "other", events=(naming(shared),))
    frozen.tick(timedelta(days=2))
    log.purge({"old": tip}, now=clock.now_us())
    assert sweep(log, now=clock.now_us()) == (1, 5)
    assert log.blob(shared) == b"shared"


def test_a_value_that_is_put_during_the_sweep_stays(log, frozen):
    """Found unnamed, then put again and named by an append before it is deleted: it stays."""
    name = log.put_blob(b"known")
    birth(log, "first")
    frozen.tick(timedelta(days=30))

    def put_and_name(_position, _last):
        assert log.put_blob(b"known") == name
        if log.head("late") is None:
            birth(log, "late", events=(naming(name),))

    assert sweep(log, now=clock.now_us(), told=put_and_name) == (0, 0)
    assert log.blob(name) == b"known"
    assert log.head("late") is not None


def test_a_value_that_was_put_but_not_yet_named_stays(log, frozen):
    """What is known of old and was put an hour ago is about to be named: a day is left for that."""
    name = log.put_blob(b"known")
    frozen.tick(timedelta(days=30))
    assert log.put_blob(b"known") == name
    frozen.tick(timedelta(hours=23))
    assert sweep(log, now=clock.now_us()) == (0, 0)
    birth(log, "s", events=(naming(name),))
    frozen.tick(timedelta(days=30))
    assert sweep(log, now=clock.now_us()) == (0, 0)


def test_events_that_cannot_be_read_keep_everything(log, frozen):
    """Where a codec hides the names nothing is deleted, and what is missing is said."""
    name = log.put_blob(b"x")
    birth(log, "s", events=(fact(data='{"coded":"Z0FBQUFB"}'),))
    frozen.tick(timedelta(days=2))
    with pytest.raises(StillCoded, match=r"event 1 of 's' is stored encoded.*none was deleted"):
        sweep(log, now=clock.now_us())
    assert log.blob(name) == b"x"


def test_names_are_whole():
    """64 hex digits are a name wherever they stand; 63 or 65 are none."""
    name = "0123456789abcdef" * 4
    assert names_in(f'{{"a":"{name}"}}') == {name}
    assert names_in(name[1:]) == names_in(name + "0") == names_in("") == set()
