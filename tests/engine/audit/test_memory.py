"""The deep look holds a page of a log in memory, not the log."""

import tracemalloc

import pytest

from eventstore import NEW, Append, Headline, NewEvent, Row, Write, open_log
from playhead import Engine

EVENTS, FACTS = 10_000, "y" * 1_000
ARMED = '{"revision": "r", "since": 1}'
DECLINED = '{"reason": "r", "key": "k%d", "facts": {"x": "%s"}}'


def grow(log, streams):
    """Append triggers that declined again and again, 10 MB in all."""
    arm = NewEvent("trigger.armed", "trigger", "–", "armed", ARMED, 5)  # noqa: RUF001
    for number in range(streams):
        told = tuple(
            NewEvent("trigger.declined", "trigger", "armed", "armed", DECLINED % (n, FACTS), 6)
            for n in range(EVENTS // streams)
        )
        name = f"t{number:03}"
        stream = f"trigger:{name}"
        write = Write(stream, "trigger", NEW, (arm, *told), Row("armed"), Headline(name))
        log.append(Append(name, (write,)))


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 500])
def test_memory_does_not_grow_with_the_log(streams, tmp_path):
    """10 MB of events in one stream, or in many short ones: a look takes less than 5 MB."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = open_log(url)
    grow(log, streams)
    log.close()
    engine = Engine(url)
    engine.log.changed()  # opened before it is measured
    tracemalloc.start()
    try:
        verdict = engine.verify(deep=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        engine.close()
    assert (verdict.faults, verdict.events) == ([], EVENTS + streams)
    assert peak < 5_000_000
