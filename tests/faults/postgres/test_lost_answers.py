"""Rows 13 and 14: a connection ends in mid-commit, and what was written is found by its id."""

import threading

import pytest

from eventstore import NEW, Append, Write, clock
from eventstore.errors import CursorMoved, StorageUnreachable
from eventstore.postgres import patience
from eventstore.testing import birth, fact, row
from eventstore.testing import step as advance
from playhead import Engine, Workflow, step
from tests.servers.waiting import wait_for

APPENDING = r"WITH .* INSERT INTO \S*event"  # the one statement that an append is, as a rule


def an_append(name):
    """Give an append that creates a stream."""
    return Append(f"append-{name}", (Write(name, "run", NEW, (fact(),), row()),))


def test_an_append_whose_answer_gets_lost_is_found_done(
    log_at, log, postgres_proxy, postgres_url
):
    """Row 14: the server commits, the answer never comes: the append succeeds, written once."""
    far = log_at(postgres_proxy.url(postgres_url))
    tip = birth(far, "s")
    lost = postgres_proxy.lose_answer(APPENDING, tag="INSERT")
    tip = advance(far, "s", tip)
    assert lost.happened
    assert tip.version == 2
    assert [event.version for event in log.read("s")] == [1, 2]
    assert list(log.verify()) == []


def test_the_answer_to_a_commit_gets_lost(log_at, log, postgres_proxy, postgres_url):
    """Row 14: so it is with an append that looks before it writes, and ends in COMMIT."""
    far = log_at(postgres_proxy.url(postgres_url))
    tip = birth(far, "s")
    lost = postgres_proxy.lose_answer("COMMIT")
    writes = (Write("s", "run", tip, (fact(),), row()), Write("absent", "run", NEW))
    assert far.append(Append("careful", writes))[0].version == 2
    assert lost.happened
    assert [event.version for event in log.read("s")] == [1, 2]


def test_a_cursor_whose_commit_nobody_confirmed_has_moved_by_the_same_hand(
    log_at, log, postgres_proxy, postgres_url
):
    """Row 14: the follower that moved it is not told that another one did; another one is."""
    far = log_at(postgres_proxy.url(postgres_url))
    begun = far.cursor("c")
    for position in (5, 7):  # made, then moved
        cursor = far.cursor("c")
        lost = postgres_proxy.lose_answer("COMMIT")
        moved = far.move_cursor(cursor, position, now=position)
        assert lost.happened
        assert (moved.position, log.cursor("c")) == (position, moved)
    with pytest.raises(CursorMoved):
        far.move_cursor(begun, 7, now=7)
    with pytest.raises(CursorMoved):
        log.move_cursor(cursor, 7, now=7)


def test_whom_a_lost_answer_woke_is_told_and_nobody_else_is_woken(
    log_at, log, postgres_proxy, postgres_url
):
    """Row 14: one was to be woken, one is, although the answer to the commit never came."""
    for name in ("s1", "s2"):
        birth(log, name, waits_on=("b",))
    far = log_at(postgres_proxy.url(postgres_url))
    far.head("nobody")
    lost = postgres_proxy.lose_answer("COMMIT")
    assert far.wake("b", now=9, limit=1) == ["s1"]
    assert lost.happened
    assert (log.head("s1").due, log.head("s2").due) == (9, None)
    assert far.wake("b", now=10, limit=1) == ["s2"]


def test_a_batch_waits_once_for_a_server_that_does_not_come_back(
    log_at, log, postgres_proxy, postgres_url, monkeypatch
):
    """Row 14: what became of each is asked once for all, not after ten seconds for each."""
    tip = birth(log, "s")
    far = log_at(postgres_proxy.url(postgres_url))
    far.head("nobody")
    monkeypatch.setattr(patience, "PATIENCE", 1.5)  # seconds, of which there are ten
    postgres_proxy.lose_answer(APPENDING, tag="INSERT", for_good=True)
    held, told = threading.Event(), []

    def write(name):
        with pytest.raises(StorageUnreachable) as caught:
            far.append(an_append(name))
        told.append((str(caught.value), clock.real_seconds()))

    def hold(cursor):  # the others queue behind it, and share the next transaction
        held.wait(10)

    holder = threading.Thread(target=far._writer.do, args=(hold,))
    holder.start()
    until_led(far)
    threads = [threading.Thread(target=write, args=(f"n{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    until_led(far, waiting=8)
    begun = clock.real_seconds()
    held.set()
    for thread in (holder, *threads):
        thread.join()
    assert len(told) == 8
    assert all("again with the same id" in text for text, _ in told)
    assert max(at for _, at in told) - begun < 9, "far from eight times"
    assert log.head("s").tip == tip


def until_led(log, waiting=0):
    """Wait until somebody writes and so many wait behind."""
    queue = log._writer._queue
    wait_for(lambda: queue._led and len(queue._waiting) == waiting, "a leader")


@pytest.mark.slow
def test_runs_end_although_answers_get_lost(postgres_proxy, postgres_url):
    """Row 14: claimed, begun, recorded or ended: whichever answer is lost, each result is one."""
    calls = []
    note = step_of(calls)
    workflow = Workflow("w", steps=[note])
    url = postgres_proxy.url(postgres_url)
    desk = Engine(postgres_url, workflows=[workflow])
    with Engine(url, workflows=[workflow]):
        for number in range(8):
            word, tag = [(APPENDING, "INSERT"), ("COMMIT", "COMMIT")][number % 2]
            lost = postgres_proxy.lose_answer(word, tag=tag)
            run = desk.start(workflow, x=number)  # the other one claims it: that is a COMMIT
            assert run.result(timeout=50) == number
            assert lost.wait()
            kinds = [event.type for event in desk.history(run)]
            assert kinds.count("step.succeeded") == kinds.count("run.succeeded") == 1
    assert list(desk.log.verify()) == []
    desk.close()
    assert calls == list(range(8))


def step_of(calls):
    """Give a step that keeps count of its calls."""

    @step
    def note(x: int) -> int:
        calls.append(x)
        return x

    return note


def test_an_outcome_that_nobody_can_tell_is_told_as_such(
    log_at, log, postgres_proxy, postgres_url, monkeypatch
):
    """Row 14: with no server to ask, the error says how to find out; asked again, it is done."""
    far = log_at(postgres_proxy.url(postgres_url))
    far.head("nobody")
    monkeypatch.setattr(patience, "PATIENCE", 0.5)  # seconds, of which there are ten
    postgres_proxy.lose_answer(APPENDING, tag="INSERT", for_good=True)
    with pytest.raises(StorageUnreachable, match="again with the same id"):
        far.append(an_append("s"))
    postgres_proxy.refusing = False
    (tip,) = far.append(an_append("s"))
    assert log.head("s").tip == tip
    assert len(log.read("s")) == 1
