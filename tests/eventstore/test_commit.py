import threading

import pytest

from eventstore import open_log
from eventstore.commit import Queue, Ticket
from eventstore.errors import WrongExpectedVersion
from eventstore.event import NEW
from eventstore.store import Append, Write
from eventstore.testing import birth, fact, row, step


class Slow:
    """A writer that notes its batches and can be held up."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.interrupt = False

    def write(self, batch):
        self.begun.set()
        assert self.gate.wait(10)
        self.batches.append(len(batch))
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt
        return []


def start(queue, tickets):
    """Submit each ticket in a thread of its own."""
    threads = [threading.Thread(target=queue.submit, args=(ticket,)) for ticket in tickets]
    for thread in threads:
        thread.start()
    return threads


def wait_queued(queue, number):
    deadline = threading.Event()
    for _ in range(1000):
        if len(queue._waiting) == number:
            return
        deadline.wait(0.005)
    pytest.fail("they did not queue")


def test_who_comes_meanwhile_shares_the_next_commit():
    """One leads; the five that queue while it writes are written together."""
    slow = Slow()
    queue = Queue(slow.write, lambda: None)
    first = start(queue, [Ticket()])
    assert slow.begun.wait(10)
    rest = start(queue, [Ticket() for _ in range(5)])
    wait_queued(queue, 5)
    slow.gate.set()
    for thread in first + rest:
        thread.join(10)
    assert slow.batches == [1, 5]
    assert not queue._led


def test_an_interrupted_leader_loses_nobody():
    """A leader that is interrupted passes its followers on to the next leader."""
    slow = Slow()
    queue = Queue(slow.write, lambda: None)
    first = start(queue, [Ticket()])
    assert slow.begun.wait(10)
    outcomes = []

    def submit():
        try:
            queue.submit(Ticket())
            outcomes.append("done")
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    rest = [threading.Thread(target=submit) for _ in range(4)]
    for thread in rest:
        thread.start()
    wait_queued(queue, 4)
    original, slow.write_once = slow.write, None

    def write(batch):
        slow.interrupt = len(batch) == 4
        return original(batch)

    queue._write = write
    slow.gate.set()
    for thread in first + rest:
        thread.join(10)
    assert sorted(outcomes) == ["done", "done", "done", "interrupted"]
    assert not queue._led


def batched(log, appends):
    """Append all in one batch, as threads that queued together would; give the outcomes."""
    outcomes = {}

    def go(append):
        try:
            outcomes[append.id] = log.append(append)
        except Exception as error:  # noqa: BLE001 - the outcome is what is asked for
            outcomes[append.id] = error

    with log.database._writing:  # the first to come leads and is held up here
        threads = [threading.Thread(target=go, args=(append,)) for append in appends]
        threads[0].start()
        waiting = threading.Event()
        while not log._writer._queue._led:
            waiting.wait(0.001)
        for thread in threads[1:]:
            thread.start()
        wait_queued(log._writer._queue, len(threads) - 1)
    for thread in threads:
        thread.join(10)
    return outcomes


def test_one_conflict_in_a_batch_spoils_nothing():
    """Of five appends in one commit the stale one is refused, the others are written."""
    log = open_log("sqlite:///:memory:")
    stale = birth(log, "s")
    step(log, "s", stale)
    commits = log.counters.commits
    appends = [Append("lead", (Write("lead", "run", NEW, (fact(),), row()),))]
    appends += [
        Append(name, (Write(name, "run", NEW, (fact(),), row()),)) for name in ("a", "b", "c")
    ]
    appends.append(Append("bad", (Write("s", "run", stale, (fact(),), row()),)))
    outcomes = batched(log, appends)
    assert isinstance(outcomes.pop("bad"), WrongExpectedVersion)
    assert all(tips[0].version == 1 for tips in outcomes.values())
    assert log.counters.commits == commits + 2
    assert list(log.verify()) == []


def test_a_bad_value_in_a_batch_spoils_nothing():
    """A value that the driver refuses is told to its own caller only."""
    log = open_log("sqlite:///:memory:")
    appends = [
        Append(name, (Write(name, "run", NEW, (fact(),), row(due=due)),))
        for name, due in (("lead", 1), ("a", 1), ("bad", 2**70), ("b", 1))
    ]
    outcomes = batched(log, appends)
    assert isinstance(outcomes.pop("bad"), OverflowError)
    assert len(outcomes) == 3
    assert log.head("bad") is None
    assert list(log.verify()) == []


def test_appends_to_one_stream_in_a_batch_keep_their_order():
    """The second append to a stream waits for the next commit, and is then refused as stale."""
    log = open_log("sqlite:///:memory:")
    tip = birth(log, "s")
    appends = [Append("lead", (Write("lead", "run", NEW, (fact(),), row()),))]
    appends += [
        Append(name, (Write("s", "run", tip, (fact(),), row()),)) for name in ("a", "b", "c")
    ]
    outcomes = batched(log, appends)
    refused = [name for name, out in outcomes.items() if isinstance(out, WrongExpectedVersion)]
    assert len(refused) == 2
    assert len(log.read("s")) == 2
    assert list(log.verify()) == []
